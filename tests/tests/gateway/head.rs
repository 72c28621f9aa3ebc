//! Path Gateway Specification of 2026-03-05, §1.2 and §1.4, and RFC 9110 §9.3.2: HEAD answers as GET does, without the
//! payload.
//!
//! Left open by RFC 9110: headers that only the making of the content shows, such as the length of a page.

use crate::world::{World, entry};
use cairn_tests::http::{self, Request, Response};
use std::fmt::Write as _;

/// Headers that must be the same.
const SAME: [&str; 12] = [
    "content-type",
    "content-disposition",
    "content-location",
    "content-range",
    "etag",
    "accept-ranges",
    "location",
    "x-ipfs-path",
    "x-ipfs-roots",
    "x-content-type-options",
    "access-control-allow-origin",
    "access-control-expose-headers",
];

/// What is asked: a target, and perhaps a host and a header.
type Asked = (String, Option<String>, Option<(&'static str, String)>);

fn asked(w: &World) -> Vec<Asked> {
    let root = w.cid("files");
    let plain = |target: String| (target, None, None);
    let mut asked: Vec<Asked> = [
        w.at("files/hello.txt"),
        w.at("files/sub/multi.bin"),
        w.at("files/empty.txt"),
        w.at("files/link"),
        w.at("files/picture"),
        w.at("files/page.html"),
        w.at("dated/file.txt"),
        format!("{}/", w.at("dated")),
        format!("/ipfs/{root}/"),
        format!("/ipfs/{root}/indexed/"),
        format!("/ipfs/{root}/sub"),
        format!("/ipfs/{root}/sub?a=b"),
        format!("{}/", w.at("hamt")),
        format!("{}/{}", w.at("hamt"), entry(3)),
        format!("/ipfs/{root}/no-such.txt"),
        format!("/ipfs/{}", w.absent),
        "/ipfs/not-a-cid".to_owned(),
        "/unknown".to_owned(),
        "/ipfs/bafkqaaa".to_owned(),
        format!("/ipfs/{}", w.v0.0),
        format!("/ipfs/{root}/hello.txt?filename=x.txt&download=true"),
        format!("/ipfs/ipfs/{root}"),
        format!("/ipns/{}/hello.txt", w.v2_key.name()),
        format!("/ipns/{}", w.site_key.peer_id()),
        format!("/ipns/{}?format=ipns-record", w.site_key.name()),
        "/ipns/dnslink.test/hello.txt".to_owned(),
        "/ipns/dnslink.test/sub/".to_owned(),
        "/ipns/dnslink.test/sub".to_owned(),
    ]
    .map(plain)
    .into();
    asked.extend(["raw", "car", "tar"].map(|format| plain(format!("/ipfs/{root}/sub?format={format}"))));
    asked.extend(w.docs.values().map(|cid| plain(format!("/ipfs/{cid}"))));
    let dag = &w.docs["dag-cbor"];
    let header = |target: String, name, value: &str| (target, None, Some((name, value.to_owned())));
    asked.extend([
        header(format!("/ipfs/{dag}/"), "Accept", "text/html"),
        header(format!("/ipfs/{dag}"), "Accept", "text/html"),
        header(w.at("files/hello.txt"), "Accept", "application/vnd.ipld.raw"),
        header(w.at("files/hello.txt"), "Accept", "application/vnd.ipld.car"),
        header(w.at("files/hello.txt"), "If-None-Match", "*"),
        header(w.at("files/hello.txt"), "If-None-Match", "\"other\""),
        header(format!("/ipfs/{root}"), "Service-Worker", "script"),
    ]);
    let host = |target: &str, host: String| (target.to_owned(), Some(host), None);
    asked.extend([
        host("/hello.txt", format!("{root}.ipfs.example.com")),
        host("/", format!("{root}.ipfs.example.com")),
        host(&format!("/ipfs/{root}/hello.txt"), "example.com".to_owned()),
        host("/hello.txt", "dnslink.test".to_owned()),
        host("/redirect-one", "site.test".to_owned()),
        host("/not-found/page", "site.test".to_owned()),
        host("/", "no-dnslink.test".to_owned()),
    ]);
    asked
}

/// What is wrong with an answer to HEAD.
fn differ(get: &Response, head: &Response) -> String {
    let mut wrong = String::new();
    if get.status != head.status {
        let _ = writeln!(wrong, "  {} to GET, {} to HEAD", get.status, head.status);
    }
    for name in SAME.iter().filter(|name| get.joined(name) != head.joined(name)) {
        let _ = writeln!(wrong, "  {name}: {:?} to GET, {:?} to HEAD", get.joined(name), head.joined(name));
    }
    // These may move on with the clock between the two.
    let still = |response: &Response, name: &str| {
        response.joined(name).map(|value| value.chars().filter(|c| !c.is_ascii_digit()).collect::<String>())
    };
    if still(get, "cache-control") != still(head, "cache-control") {
        let _ =
            writeln!(wrong, "  cache-control: {:?}, {:?}", get.header("cache-control"), head.header("cache-control"));
    }
    if get.header("last-modified").is_some() != head.header("last-modified").is_some() {
        let _ = writeln!(wrong, "  last-modified to one of them only");
    }
    // A length may be left out, but it must not be another.
    match (get.header("content-length"), head.header("content-length")) {
        (Some(get), Some(head)) if get == head => {}
        (Some("0"), None) => {}
        (None, Some(head)) if head != "0" => {}
        (_, None) if get.status != 200 || !get.lists("accept-ranges", "bytes") => {}
        (None, None) => {}
        (get, head) => {
            let _ = writeln!(wrong, "  content-length: {get:?} to GET, {head:?} to HEAD");
        }
    }
    if !head.body.is_empty() {
        let _ = writeln!(wrong, "  {} bytes after the head", head.body.len());
    }
    wrong
}

#[test]
fn head_answers_as_get_does() {
    let w = World::get();
    let mut failed = Vec::new();
    let asked = asked(w);
    for (target, host, header) in &asked {
        let ask = |method: &str| {
            let mut request = Request { host: host.clone(), ..Request::new(method, target) };
            if let Some((name, value)) = header {
                request = request.with(name, value);
            }
            http::send(w.address(), &request).expect("an answer")
        };
        let get = ask("GET");
        // Kubo forgets the headers of its own pages with HEAD.
        if w.node().program().is_kubo() && get.header("etag").is_some_and(|etag| etag.contains("Index-")) {
            continue;
        }
        let wrong = differ(&get, &ask("HEAD"));
        if !wrong.is_empty() {
            failed.push(format!("path §1.2: HEAD {target} {host:?} {header:?}\n{wrong}"));
        }
    }
    assert!(failed.is_empty(), "{} of {} differ:\n{}", failed.len(), asked.len(), failed.join("\n"));
}
