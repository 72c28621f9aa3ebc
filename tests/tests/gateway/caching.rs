//! Path Gateway Specification of 2026-03-05, caching: `If-None-Match` (§2.1.1), `only-if-cached` (§2.1.2, §1.2.1, §3.1.8),
//! `Etag` (§3.2.1), `Cache-Control` (§3.2.2), `Last-Modified` (§3.2.3), with RFC 9110 §13.1.
//!
//! Where text and practice differ: `Last-Modified` of a listing, and of blocks, CARs and archives below `/ipfs`, is left
//! out, as deployed gateways do; so `If-Modified-Since` changes nothing there.

use crate::{
    table::{Row, check, get, head},
    world::{DATED, TTL, World, parse},
};
use cairn_tests::{
    http::{self, Request, Response},
    records::Key,
};

/// What everything below `/ipfs` is kept by.
const IMMUTABLE: &str = "public, max-age=29030400, immutable";

/// Each kind of response: what it is, what is asked, and its ETag, or how that begins.
fn kinds(w: &World) -> Vec<(&'static str, String, Option<&'static str>, String)> {
    let file = w.cid("files/hello.txt");
    let dir = w.cid("files/sub");
    let doc = |codec: &str| (format!("/ipfs/{}", w.docs[codec]), format!("\"{}.{codec}\"", w.docs[codec]));
    let (cbor, json) = (doc("dag-cbor"), doc("dag-json"));
    vec![
        ("a file", w.at("files/hello.txt"), None, format!("\"{file}\"")),
        ("a file in a browser", w.at("files/hello.txt"), Some("text/html,*/*;q=0.8"), format!("\"{file}\"")),
        ("a large file", w.at("files/sub/multi.bin"), None, format!("\"{}\"", w.cid("files/sub/multi.bin"))),
        ("an index", format!("{}/", w.at("files/indexed")), None, format!("\"{}\"", w.cid("files/indexed"))),
        ("a listing", format!("{}/", w.at("files/sub")), None, "\"DirIndex-".to_owned()),
        ("a raw block", format!("{}?format=raw", w.at("files/sub")), None, format!("\"{dir}.raw\"")),
        ("a raw block by header", w.at("files/sub"), Some("application/vnd.ipld.raw"), format!("\"{dir}.raw\"")),
        ("a raw block of a file", format!("{}?format=raw", w.at("files/hello.txt")), None, format!("\"{file}.raw\"")),
        ("an archive", format!("{}?format=tar", w.at("files/sub")), None, format!("W/\"{dir}.x-tar\"")),
        ("a CAR", format!("{}?format=car", w.at("files/sub")), None, "W/\"".to_owned()),
        ("dag-cbor", cbor.0.clone(), None, cbor.1.clone()),
        ("dag-json", json.0, None, json.1),
        ("a page of dag-cbor", format!("{}/", cbor.0), Some("text/html"), "\"DagIndex-".to_owned()),
        ("a file below a domain", "/ipns/dnslink.test/hello.txt".to_owned(), None, format!("\"{file}\"")),
        ("a listing below a domain", "/ipns/dnslink.test/sub/".to_owned(), None, "\"DirIndex-".to_owned()),
    ]
}

/// The answer to a GET.
fn fetch(w: &World, target: &str, accept: Option<&str>) -> Response {
    let mut request = Request::new("GET", target);
    if let Some(accept) = accept {
        request = request.with("Accept", accept);
    }
    http::send(w.address(), &request).expect("an answer")
}

#[test]
fn etags() {
    let w = World::get();
    let mut rows = Vec::new();
    for (what, target, accept, etag) in kinds(w) {
        let first = fetch(w, &target, accept);
        let given = first.header("etag").unwrap_or_default().to_owned();
        assert!(given.starts_with(&etag), "§3.2.1: the ETag of {what} begins with {etag}, not {given:?}");
        let ask = |name: &str, sent: String| {
            let row = get(format!("path §2.1.1: {what}, {name}"), &target).with("If-None-Match", sent);
            match accept {
                Some(accept) => row.accept(accept),
                None => row,
            }
        };
        let mut same = ask("its own ETag", given.clone()).status(304).is("etag", &given);
        same = match first.header("cache-control") {
            Some(kept) => same.is("cache-control", kept),
            None => same.lacks("cache-control"),
        };
        let strong = given.strip_prefix("W/").unwrap_or(&given);
        rows.extend([
            same,
            ask("its own among others", format!("\"a\", {given},\"b\"")).status(304),
            ask("its own, weak", format!("W/{strong}")).status(304),
            ask("a star", "*".to_owned()).status(304),
            ask("another ETag", "\"other\"".to_owned()).status(200).is("etag", &given),
            ask("a weak other", "W/\"other\"".to_owned()).status(200),
            ask("what is no ETag", "just-some-gibberish".to_owned()).status(200).check({
                let roots = first.joined("x-ipfs-roots");
                move |response| match response.joined("x-ipfs-roots") == roots {
                    true => Ok(()),
                    false => Err(format!("x-ipfs-roots: {roots:?}")),
                }
            }),
        ]);
    }
    let file = w.cid("files/hello.txt");
    rows.extend([
        get("path §3.2.1: another format has another ETag", format!("{}?format=raw", w.at("files/hello.txt")))
            .with("If-None-Match", format!("\"{file}\""))
            .status(200),
        get("path §2.1.1: the ETag of a file is none of its directory", format!("/ipfs/{}/", w.cid("files")))
            .with("If-None-Match", format!("\"{file}\""))
            .status(200),
        head("path §2.1.1: HEAD", w.at("files/hello.txt")).with("If-None-Match", format!("\"{file}\"")).status(304),
        get("path §2.1.1: what is not there has no ETag that could match", format!("/ipfs/{}", w.absent))
            .with("If-None-Match", format!("\"{}\"", parse(&w.absent)))
            .statuses(&[304, 404]),
        get("RFC 9110 §13.1.2: a star matches nothing that is not there", format!("/ipfs/{}", w.absent))
            .with("If-None-Match", "*")
            .status(404)
            .not_kubo(),
        get("path §2.1.1: a name that is not there", w.at("files") + "/no-such").with("If-None-Match", "*").status(404),
        get("RFC 9110 §13.1.1: If-Match that matches", w.at("files/hello.txt"))
            .with("If-Match", format!("\"{file}\""))
            .status(200),
        get("RFC 9110 §13.1.1: If-Match that does not", w.at("files/hello.txt"))
            .with("If-Match", "\"other\"")
            .status(412),
    ]);
    check(w, rows);
}

/// `max-age` of at most so many seconds, and at least a tenth of them: it counts down.
fn max_age(row: Row, most: u64, more: &'static str) -> Row {
    row.not("cache-control", "immutable").check(move |response| {
        let value = response.header("cache-control").unwrap_or_default();
        let age = value.strip_prefix("public, max-age=").and_then(|rest| rest.strip_suffix(more));
        match age.and_then(|age| age.parse::<u64>().ok()) {
            Some(age) if age <= most && age >= most / 10 => Ok(()),
            _ => Err(format!("cache-control: public, max-age=N{more} with N up to {most}")),
        }
    })
}

#[test]
fn cache_control() {
    let w = World::get();
    let root = w.cid("files");
    let name = w.site_key.name();
    let kept = |what: &str, target: String| {
        get(format!("path §3.2.2: {what} is immutable"), target).is("cache-control", IMMUTABLE)
    };
    let week = "public, max-age=604800, stale-while-revalidate=2678400";
    let aged = |what: &str, target: String| get(format!("path §3.2.2: {what} is kept by its TTL"), target);
    check(
        w,
        vec![
            kept("a file", w.at("files/hello.txt")),
            kept("a file by its CID", format!("/ipfs/{}", w.cid("files/hello.txt"))),
            kept("a symlink", w.at("files/link")),
            kept("an index", format!("/ipfs/{root}/indexed/")),
            kept("a raw block", format!("/ipfs/{root}?format=raw")),
            kept("a CAR", format!("/ipfs/{root}?format=car")),
            kept("an archive", format!("/ipfs/{root}/sub?format=tar")),
            kept("dag-cbor", format!("/ipfs/{}", w.docs["dag-cbor"])),
            kept("json", format!("/ipfs/{}", w.docs["json"])),
            kept("a part", w.at("files/digits.txt")).with("Range", "bytes=0-4").status(206),
            kept("a file on a subdomain", "/hello.txt".to_owned()).host(format!("{root}.ipfs.example.com")),
            get("path §3.2.2: a listing is not immutable", format!("/ipfs/{root}/")).any("cache-control", &[week]),
            get("path §3.2.2: a page of dag-cbor is not kept", format!("/ipfs/{}/", w.docs["dag-cbor"]))
                .accept("text/html")
                .lacks("cache-control"),
            max_age(aged("a file behind a name", format!("/ipns/{name}/hello.txt")), TTL, ""),
            max_age(aged("an index behind a name", format!("/ipns/{name}/indexed/")), TTL, ""),
            max_age(aged("a block behind a name", format!("/ipns/{name}?format=raw")), TTL, ""),
            max_age(aged("a CAR behind a name", format!("/ipns/{name}?format=car")), TTL, ""),
            max_age(aged("an archive behind a name", format!("/ipns/{name}/sub?format=tar")), TTL, ""),
            max_age(
                aged("a listing behind a name", format!("/ipns/{name}/sub/")),
                TTL,
                ", stale-while-revalidate=2678400",
            ),
            max_age(aged("a file behind a name of a minute", format!("/ipns/{}", w.file_key.name())), 60, ""),
            max_age(
                aged("a name on a subdomain", "/hello.txt".to_owned()).host(format!("{name}.ipns.example.com")),
                TTL,
                "",
            ),
            get("path §3.2.2: a domain whose TTL is not known says nothing", "/ipns/dnslink.test/hello.txt")
                .lacks("cache-control"),
            get("path §3.2.2: nor does its listing", "/ipns/dnslink.test/sub/").lacks("cache-control"),
            get("path §3.2.2: nor its index", "/ipns/dnslink.test/indexed/").lacks("cache-control"),
            get("path §3.2.2: an error is not kept like content", format!("/ipfs/{}", w.absent))
                .status(404)
                .not("cache-control", "immutable"),
            get("path §3.2.2: nor a redirect to a directory", format!("/ipfs/{root}/sub"))
                .status(301)
                .not("cache-control", "no-store"),
        ],
    );
}

#[test]
fn last_modified() {
    let w = World::get();
    let file = w.at("dated/file.txt");
    let dated = |what: &str, target: &str| get(format!("path §3.2.3: {what}"), target);
    let since = |what: &str, target: &str, date: &str| {
        get(format!("RFC 9110 §13.1.3: {what}"), target).with("If-Modified-Since", date)
    };
    let etag = format!("\"{}\"", w.cid("dated/file.txt"));
    let plain = w.at("files/hello.txt");
    check(
        w,
        vec![
            dated("a file with a time", &file).is("last-modified", DATED.1).body("dated\n"),
            head("path §3.2.3: HEAD of a file with a time", &file).is("last-modified", DATED.1),
            dated("a file without a time", &plain).lacks("last-modified"),
            dated("a listing", &format!("{}/", w.at("dated"))).lacks("last-modified"),
            dated("a raw block", &format!("{file}?format=raw")).lacks("last-modified"),
            dated("a CAR", &format!("{file}?format=car")).lacks("last-modified"),
            since("the time of the file", &file, DATED.1)
                .status(304)
                .is("etag", &etag)
                .is("cache-control", IMMUTABLE)
                .lacks("content-length"),
            since("an hour after it", &file, "Tue, 14 Nov 2023 23:13:20 GMT").status(304),
            since("an hour before it", &file, "Tue, 14 Nov 2023 21:13:20 GMT").status(200).body("dated\n"),
            since("a second before it", &file, "Tue, 14 Nov 2023 22:13:19 GMT").status(200),
            since("what is no date", &file, "yesterday").status(200),
            since("where no time is known", &plain, DATED.1).status(200),
            since("a listing", &format!("{}/", w.at("dated")), "Tue, 14 Nov 2033 23:13:20 GMT").status(200),
            since("a raw block", &format!("{file}?format=raw"), "Tue, 14 Nov 2033 23:13:20 GMT").statuses(&[200, 304]),
            since("If-None-Match goes before it", &file, DATED.1).with("If-None-Match", "\"other\"").status(200),
            get("RFC 9110 §13.1.4: If-Unmodified-Since before the time", &file)
                .with("If-Unmodified-Since", "Tue, 14 Nov 2023 21:13:20 GMT")
                .status(412),
            get("RFC 9110 §13.1.4: If-Unmodified-Since at the time", &file)
                .with("If-Unmodified-Since", DATED.1)
                .status(200),
        ],
    );
}

#[test]
fn only_if_cached() {
    let w = World::get();
    let root = w.cid("files");
    let ask = |name: &str, target: String| {
        get(format!("path §2.1.2: {name}"), target).with("Cache-Control", "only-if-cached")
    };
    let probe = |name: &str, target: String| {
        head(format!("path §1.2.1: {name}"), target).with("Cache-Control", "only-if-cached")
    };
    let absent = format!("/ipfs/{}", w.absent);
    check(
        w,
        vec![
            ask("a file that is there", w.at("files/hello.txt")).body(crate::world::HELLO),
            ask("a listing that is there", format!("/ipfs/{root}/")),
            ask("a file that is not", absent.clone()).status(412).lacks("etag").not("cache-control", "immutable"),
            ask("a block that is not", format!("{absent}?format=raw")).status(412),
            ask(
                "a path below a root that is not there",
                format!("/ipfs/{}/x", cid::Cid::new_v1(0x70, *parse(&w.absent).hash())),
            )
            .status(412),
            ask("a child that is not there", format!("/ipfs/{}/absent.txt", w.holed_dir)).status(412),
            ask("a domain whose content is not there", "/ipns/gone.test/".to_owned()).status(412),
            ask("a name without a record", format!("/ipns/{}", Key::new("?").name())).status(412),
            ask("a file behind a name", format!("/ipns/{}/hello.txt", w.site_key.name())).body(crate::world::HELLO),
            ask("on a subdomain", "/hello.txt".to_owned())
                .host(format!("{root}.ipfs.example.com"))
                .body(crate::world::HELLO),
            ask("on a subdomain, not there", "/".to_owned()).host(format!("{}.ipfs.example.com", w.absent)).status(412),
            get("path §2.1.2: among other directives", format!("/ipfs/{}", w.absent))
                .with("Cache-Control", "no-transform, Only-If-Cached")
                .status(412)
                .not_kubo(),
            probe("a probe for a file that is there", w.at("files/hello.txt")),
            probe("a probe for a large file", w.at("files/sub/multi.bin")),
            probe("a probe for a file that is not", absent).status(412),
            probe("a probe for a root with holes below it", format!("/ipfs/{}", w.holed.cid)),
            get("path §2.1.2: other directives do not matter", w.at("files/hello.txt"))
                .with("Cache-Control", "no-cache")
                .body(crate::world::HELLO),
        ],
    );
}
