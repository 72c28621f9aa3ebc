//! What clients of Kubo's listings compare as text: the expectations of its tests `t0114-gateway-subdomains` and
//! `t0115-gateway-dir-listing`.

use super::{
    super::{Frame, Origin, View},
    samples::{cid, listing},
};
use cairn_store::cid::codec;

const ROOT: &str = "bafybeig6ka5mlwkl4subqhaiatalkcleo4jgnr3hqwvpmsqfca27cijp3i";
const FILE: &str = "file-źł.txt";

fn page(root: &str, origin: Origin<'_>) -> String {
    listing(Frame { path: &format!("{root}/ą/ę"), origin }, View::Table, &[FILE.as_bytes()])
}

fn must_have(page: &str, wanted: &[String]) {
    for wanted in wanted {
        assert!(page.contains(wanted.as_str()), "no {wanted} in\n{}", &page[page.find("<body>").expect("a body")..]);
    }
}

#[test]
fn below_a_path() {
    let file = cid(codec::RAW, FILE.as_bytes());
    must_have(
        &page(&format!("/ipfs/{ROOT}"), Origin::Path),
        &[
            "Index of".to_owned(),
            format!(
                "/ipfs/<a href=\"/ipfs/{ROOT}\">{ROOT}</a>/<a href=\"/ipfs/{ROOT}/%C4%85\">ą</a>\
                 /<a href=\"/ipfs/{ROOT}/%C4%85/%C4%99\">ę</a>"
            ),
            format!("<a href=\"/ipfs/{ROOT}/%C4%85/%C4%99/..\">..</a>"),
            format!("<a href=\"/ipfs/{ROOT}/%C4%85/%C4%99/file-%C5%BA%C5%82.txt\">file-źł.txt</a>"),
            format!(
                "<a class=\"ipfs-hash\" translate=\"no\" href=\"/ipfs/{file}?filename=file-%25C5%25BA%25C5%2582.txt\">"
            ),
        ],
    );
}

#[test]
fn on_a_subdomain() {
    let file = cid(codec::RAW, FILE.as_bytes());
    let gateway = "//localhost:8080";
    must_have(
        &page(&format!("/ipfs/{ROOT}"), Origin::Subdomain { gateway }),
        &[
            format!(
                "/ipfs/<a href=\"{gateway}/ipfs/{ROOT}\">{ROOT}</a>/<a href=\"{gateway}/ipfs/{ROOT}/%C4%85\">ą</a>\
                 /<a href=\"{gateway}/ipfs/{ROOT}/%C4%85/%C4%99\">ę</a>"
            ),
            "<a href=\"/%C4%85/%C4%99/..\">..</a>".to_owned(),
            "<a href=\"/%C4%85/%C4%99/file-%C5%BA%C5%82.txt\">file-źł.txt</a>".to_owned(),
            format!(
                "<a class=\"ipfs-hash\" translate=\"no\" \
                 href=\"{gateway}/ipfs/{file}?filename=file-%25C5%25BA%25C5%2582.txt\">"
            ),
        ],
    );
    let root = Frame { path: &format!("/ipfs/{ROOT}"), origin: Origin::Subdomain { gateway } };
    let root = listing(root, View::Table, &[b"hello", b"ipfs"]);
    must_have(&root, &["<a href=\"/hello\">hello</a>".to_owned(), "<a href=\"/ipfs\">ipfs</a>".to_owned()]);
    assert!(!root.contains(">..</a>"), "a root has no parent");
}

#[test]
fn on_a_dnslink_site() {
    let file = cid(codec::RAW, FILE.as_bytes());
    must_have(
        &page("/ipns/website.example.com", Origin::DnsLink { gateway: "//website.example.com:8080" }),
        &[
            "/ipns/<a href=\"//website.example.com:8080/\">website.example.com</a>\
             /<a href=\"//website.example.com:8080/%C4%85\">ą</a>\
             /<a href=\"//website.example.com:8080/%C4%85/%C4%99\">ę</a>"
                .to_owned(),
            "<a href=\"/%C4%85/%C4%99/..\">..</a>".to_owned(),
            "<a href=\"/%C4%85/%C4%99/file-%C5%BA%C5%82.txt\">file-źł.txt</a>".to_owned(),
            format!(
                "<a class=\"ipfs-hash\" translate=\"no\" href=\"https://cid.ipfs.tech/#{file}\" target=\"_blank\" \
                 rel=\"noreferrer noopener\">"
            ),
        ],
    );
}
