//! Names, texts and paths of strangers.

use super::{
    super::{DagPage, ErrorPage, Frame, Origin, View, dag, error},
    html::{self, Token},
    samples::{cid, listing},
};
use cairn_store::{cid::codec, dag::Ipld};
use http::StatusCode;
use proptest::prelude::*;
use std::borrow::Cow;

/// Names that mean something to a browser, a URL or a reader's eye.
const NAMES: &[&[u8]] = &[
    b"<script>alert(1)</script>",
    b"</script><script>alert(1)</script>",
    b"</style><img src=x onerror=alert(1)>",
    b"</title><svg onload=alert(1)>",
    b"\"><b onmouseover=alert(1)>",
    b"' onmouseover='alert(1)",
    b"` onmouseover=`alert(1)",
    b"javascript:alert(1)",
    b"JaVaScRiPt:alert(1)",
    b"data:text/html,x",
    b"a:b",
    b"//example.com",
    b"\\\\example.com",
    b"/etc/passwd",
    b"..",
    b".",
    b"",
    b"?a=b#c",
    b"%2e%2e",
    b"&lt;script&gt;",
    b"&#60;",
    b"&",
    b"<!--",
    b"]]>",
    b"nul\0in it",
    b"line\r\nfeed\tand tab\x0b\x0c\x7f",
    b"\xff\xfe<b>\x80",
    b"\xc3",
    b"\xed\xa0\x80",
    "photo\u{202e}gnp.exe".as_bytes(),
    "\u{2066}a\u{2069}\u{200b}\u{feff}\u{e0041}\u{85}".as_bytes(),
    "\u{ff1c}script\u{ff1e}".as_bytes(),
    b" x ",
];

const ORIGINS: [(&str, Origin<'static>); 3] = [
    ("", Origin::Path),
    ("//gw.example:8080", Origin::Subdomain { gateway: "//gw.example:8080" }),
    ("//site.example", Origin::DnsLink { gateway: "//site.example" }),
];

/// A page without what is allowed to depend on a name: text, the values of links, and the marks of hidden characters.
fn shape(tokens: &[Token]) -> Vec<String> {
    let mut shape = Vec::new();
    let mut marked = false;
    for token in tokens {
        match token {
            Token::Open(name, attributes) if name == "b" && attributes == &[("class".into(), "x".into())] => {
                marked = true;
            }
            Token::Close(name) if name == "b" && marked => marked = false,
            Token::Open(name, attributes) => {
                let keep = |(name, value): &(String, String)| match name.as_str() {
                    "href" | "src" => name.clone(),
                    _ => format!("{name}={value}"),
                };
                shape.push(format!("<{name} {}>", attributes.iter().map(keep).collect::<Vec<_>>().join(" ")));
            }
            Token::Close(name) => shape.push(format!("</{name}>")),
            Token::Text(_) => {}
        }
    }
    shape
}

/// Checks every link: this page, this host, the gateway, or the page that explains CIDs; never a scheme of the name's own.
fn check_links(tokens: &[Token], gateway: &str) {
    for href in html::values(tokens, "href").into_iter().chain(html::values(tokens, "src")) {
        let here = href.starts_with(['?', '#']) || (href.starts_with('/') && !href.starts_with("//"));
        let gateway = !gateway.is_empty() && href.starts_with(&format!("{gateway}/"));
        let fixed = href.starts_with("https://cid.ipfs.tech/#b") || href == super::super::FAVICON;
        assert!(here || gateway || fixed, "{href:?}");
        assert!(href == super::super::FAVICON || href.bytes().all(|byte| byte.is_ascii_graphic()), "{href:?}");
    }
}

fn check_listing(name: &[u8]) {
    for (gateway, origin) in ORIGINS {
        for view in [View::Table, View::Tiles] {
            let frame = Frame { path: "/ipns/site.example/dir", origin };
            let page = html::read(&listing(frame, view, &[name]));
            // The same page of a name that nothing has to be done for. Its sort follows from what a name is: a path can
            // hold it or not, and its suffix.
            let addressable =
                std::str::from_utf8(name).is_ok_and(|name| !["", ".", ".."].contains(&name) && !name.contains('/'));
            let plain: Vec<u8> =
                name.iter().filter(|byte| byte.is_ascii_alphanumeric() || **byte == b'.').copied().collect();
            let plain =
                if addressable { [b"x".as_slice(), &plain].concat() } else { [b"x/".as_slice(), &plain].concat() };
            let icons = |shape: Vec<String>| {
                shape.into_iter().filter(|part| !part.starts_with("<i") && part != "</i>").collect::<Vec<_>>()
            };
            let expected = html::read(&listing(frame, view, &[&plain]));
            assert_eq!(icons(shape(&page)), icons(shape(&expected)), "{name:?} in {view:?} of {origin:?}");
            check_links(&page, gateway);
        }
    }
}

fn check_texts(text: &str) {
    let frame = |path| Frame { path, origin: Origin::Path };
    let (path, plain) = (format!("/ipns/{}/x", text.replace('/', "|")), "/ipns/x/x");
    let errors = [(path.as_str(), text), (plain, "x")].map(|(path, text)| {
        let hints = [Cow::Borrowed(text)];
        let reason = text.replace(['\n', '\r'], " ");
        let status = StatusCode::NOT_FOUND;
        let page = ErrorPage {
            frame: Some(frame(path)),
            status,
            reason: &reason,
            missing: None,
            hints: &hints,
            diagnostics: Some(text),
        };
        html::read(&error(&page))
    });
    assert_eq!(shape(&errors[0]), shape(&errors[1]), "{text:?}");
    check_links(&errors[0], "");
    let block = cid(codec::DAG_CBOR, b"x");
    let pages = [(path.as_str(), text), (plain, "x")].map(|(path, text)| {
        let value = Ipld::Map(vec![(text.to_owned(), Ipld::List(vec![Ipld::String(text.to_owned())]))]);
        html::read(&dag(&DagPage {
            frame: frame(path),
            cid: &block,
            codec: text,
            size: 1,
            value: Ok(&value),
            convert: true,
        }))
    });
    assert_eq!(shape(&pages[0]), shape(&pages[1]), "{text:?}");
    check_links(&pages[0], "");
}

#[test]
fn no_name_of_the_table_becomes_markup_or_a_link_elsewhere() {
    for name in NAMES {
        check_listing(name);
        let text = String::from_utf8_lossy(name);
        // An empty or a dotted part is no path.
        if text.len() > 2 {
            check_texts(&text);
        }
    }
}

#[test]
fn names_are_shown_as_they_are_and_what_can_not_be_seen_by_its_number() {
    for (name, expected) in [
        (b"<b>&\"'`".as_slice(), "<b>&\"'`"),
        ("photo\u{202e}gnp.exe".as_bytes(), "photoU+202Egnp.exe"),
        (b"a\0\r\n\x7f", "aU+0000U+000DU+000AU+007F"),
        (b"\xffx\xc3\xa9\xc3", "0xFFx\u{e9}0xC3"),
        ("\u{e0041}\u{85}".as_bytes(), "U+0E0041U+0085"),
        ("\u{1f468}\u{200d}\u{1f469}\u{fe0f}".as_bytes(), "\u{1f468}\u{200d}\u{1f469}\u{fe0f}"),
        (b"", "no name"),
    ] {
        let frame = Frame { path: "/ipns/x/dir", origin: Origin::Path };
        let page = html::read(&listing(frame, View::Table, &[name]));
        let shown = html::inside(&page, "a");
        assert!(shown.iter().any(|text| text == expected), "{expected:?} is not among {shown:?}");
    }
}

#[test]
fn names_that_no_path_can_hold_are_linked_by_their_cid() {
    for name in [b"".as_slice(), b".", b"..", b"a/b", b"\xff"] {
        let target = format!("/ipfs/{}", cid(codec::RAW, name));
        for (gateway, origin) in ORIGINS {
            let page = html::read(&listing(Frame { path: "/ipns/site.example", origin }, View::Table, &[name]));
            let direct = html::values(&page, "href").contains(&format!("{gateway}{target}"));
            assert_eq!(direct, !matches!(origin, Origin::DnsLink { .. }), "{name:?} on {origin:?}");
        }
    }
}

#[test]
fn hosts_and_configured_addresses_can_not_end_an_attribute() {
    let block = cid(codec::RAW, b"x");
    for name in NAMES {
        let text = String::from_utf8_lossy(name);
        let shapes = [text.as_ref(), "x"].map(|text| {
            let (gateway, service) = (format!("//{text}"), format!("https://{text}"));
            let status = StatusCode::GATEWAY_TIMEOUT;
            let (missing, diagnostics) = (Some(&block), Some(service.as_str()));
            let failure = error(&ErrorPage { frame: None, status, reason: "x", missing, hints: &[], diagnostics });
            let frame = Frame { path: "/ipns/x/y", origin: Origin::Subdomain { gateway: &gateway } };
            let listing = listing(frame, View::Table, &[b"name"]);
            [failure, listing].map(|page| shape(&html::read(&page)))
        });
        assert_eq!(shapes[0], shapes[1], "{text:?}");
    }
}

#[test]
fn a_diagnostic_service_is_a_web_page() {
    let block = cid(codec::RAW, b"x");
    let page = |url| {
        let status = StatusCode::GATEWAY_TIMEOUT;
        error(&ErrorPage {
            frame: None,
            status,
            reason: "x",
            missing: Some(&block),
            hints: &[],
            diagnostics: Some(url),
        })
    };
    assert!(page("https://check.example").contains(&format!("href=\"https://check.example?cid={block}\"")));
    assert!(!page("javascript:alert(1)//").contains("javascript:"));
}

fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let alphabet = prop::sample::select(b"<>\"'`&;=/\\:%#?!-. \0\n\r\tab\x7f\x80\xe2\x80\xae\xff".to_vec());
    prop_oneof![prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(alphabet, 0..40)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_name_becomes_markup_or_a_link_elsewhere(name in nasty()) {
        check_listing(&name);
    }

    #[test]
    fn no_text_becomes_markup_or_a_link_elsewhere(text in nasty().prop_map(|bytes| format!("x{}", String::from_utf8_lossy(&bytes)))) {
        check_texts(&text);
    }
}
