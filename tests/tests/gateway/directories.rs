//! Path Gateway Specification of 2026-03-05: directories. Redirects to the trailing slash (§3.2.10), `index.html` and
//! listings (§3.3, and the notes on generated HTML).
//!
//! Not testable here: how listings look, which the browser test shows.

use crate::{
    path::encoded,
    table::{Row, check, get, head},
    world::{ENTRIES, HOSTILE, INDEX, World, entry},
};
use cairn_tests::http::Response;

/// The listing's headers.
fn listing(row: Row, cid: &str) -> Row {
    let cid = format!("_CID-{cid}\"");
    row.starts("content-type", "text/html")
        .starts("etag", "\"DirIndex-")
        .has("etag", cid)
        .not("cache-control", "immutable")
        .lacks("content-disposition")
        .lacks("last-modified")
        .body_has("<!DOCTYPE html>")
}

/// A redirect must stay on the host: a location that begins with two slashes leads to another.
fn stays(response: &Response) -> Result<(), String> {
    match response.header("location") {
        Some(to) if to.starts_with("//") || to.starts_with("/\\") => Err("a location on the same host".to_owned()),
        _ => Ok(()),
    }
}

#[test]
fn redirects() {
    let w = World::get();
    let root = w.cid("files");
    let unicode = format!("/ipfs/{root}/{}", encoded("ünï cöde/ę"));
    let to =
        |name: &str, from: &str, to: &str| get(format!("path §3.2.10: {name}"), from).status(301).is("location", to);
    check(
        w,
        vec![
            to("a root without its slash", &format!("/ipfs/{root}"), &format!("/ipfs/{root}/")),
            to("a directory without its slash", &format!("/ipfs/{root}/sub"), &format!("/ipfs/{root}/sub/")),
            to("one with an index too", &format!("/ipfs/{root}/indexed"), &format!("/ipfs/{root}/indexed/")),
            to("a sharded directory", &w.at("hamt"), &format!("{}/", w.at("hamt"))),
            to("a directory of a key's name", &format!("/ipns/{}/sub", w.site_key.name()), &{
                format!("/ipns/{}/sub/", w.site_key.name())
            }),
            to("a directory of a domain", "/ipns/dnslink.test/sub", "/ipns/dnslink.test/sub/"),
            to("a domain itself", "/ipns/dnslink.test", "/ipns/dnslink.test/"),
            to("the query stays", &format!("/ipfs/{root}/sub?a=b&c=d"), &format!("/ipfs/{root}/sub/?a=b&c=d")),
            to("the query stays as it was encoded", &format!("/ipfs/{root}/sub?a=%20b%26"), &{
                format!("/ipfs/{root}/sub/?a=%20b%26")
            })
            .not_kubo(),
            to("a page is sent there too", &format!("/ipfs/{root}/sub"), &format!("/ipfs/{root}/sub/"))
                .accept("text/html,*/*;q=0.8"),
            to("names stay encoded", &unicode, &format!("{unicode}/")),
            get("path §3.2.10: names in lower-case encoding", unicode.replace("%C3", "%c3"))
                .status(301)
                .any("location", &[format!("{unicode}/"), format!("{}/", unicode.replace("%C3", "%c3"))]),
            head("path §3.2.10: HEAD is sent there too", format!("/ipfs/{root}/sub?a=b"))
                .status(301)
                .is("location", format!("/ipfs/{root}/sub/?a=b")),
            get("path §3.2.10: no redirect to another host", format!("//ipfs/{root}/sub"))
                .statuses(&[301, 302, 307, 308, 400, 404])
                .check(stays),
            get("path §3.2.10: nor from a site's root", "//sub")
                .host(format!("{root}.ipfs.example.com"))
                .statuses(&[301, 302, 307, 308, 400, 404])
                .check(stays),
            get("path §3.2.10: nor by a backslash", "/%5Csub")
                .host(format!("{root}.ipfs.example.com"))
                .statuses(&[301, 302, 307, 308, 400, 404])
                .check(stays),
            get("path §3.2.10: a file has no slash to be sent to", w.at("files/hello.txt")).lacks("location"),
            get("path §3.2.10: blocks of a directory are no pages", format!("/ipfs/{root}?format=raw")),
            get("path §3.2.10: CARs of a directory are no pages", format!("/ipfs/{root}?format=car")),
            get("path §3.2.10: archives of a directory are no pages", format!("/ipfs/{root}/sub?format=tar")),
            get("path §3.2.10: nor are blocks asked for by a header", format!("/ipfs/{root}"))
                .accept("application/vnd.ipld.raw"),
        ],
    );
}

#[test]
fn index() {
    let w = World::get();
    let dir = w.at("files/indexed");
    let cid = w.cid("files/indexed");
    check(
        w,
        vec![
            get("path §3.3: index.html stands for its directory", format!("{dir}/"))
                .body(INDEX)
                .is("content-type", "text/html")
                .is("content-length", INDEX.len().to_string())
                .is("etag", format!("\"{cid}\""))
                .is("cache-control", "public, max-age=29030400, immutable")
                .is("x-ipfs-path", format!("{dir}/"))
                .is("x-ipfs-roots", w.roots("files/indexed")),
            get("path §3.3: as it does with a query", format!("{dir}/?a=b")).body(INDEX),
            get("path §3.3: and in a part of it", format!("{dir}/"))
                .with("Range", "bytes=0-8")
                .status(206)
                .is("content-range", format!("bytes 0-8/{}", INDEX.len()))
                .body(&INDEX[..9]),
            get("path §3.3: index.html by its own name", format!("{dir}/index.html"))
                .body(INDEX)
                .is("etag", format!("\"{}\"", w.cid("files/indexed/index.html")))
                .is("x-ipfs-roots", w.roots("files/indexed/index.html")),
            get("path §3.3: of a domain", "/ipns/dnslink.test/indexed/").body(INDEX).not("cache-control", "immutable"),
            get("path: go get wants no redirect to an index", format!("{dir}?go-get=1")).body(INDEX).lacks("location"),
            get("path: nor to a listing", format!("{}?go-get=1", w.at("files/sub"))).lacks("location"),
            get("path: go-get=0 is none", format!("{dir}?go-get=0")).status(301),
        ],
    );
}

#[test]
fn listings() {
    let w = World::get();
    let root = w.cid("files");
    let all = |response: &Response| {
        let text = response.text();
        match (0..ENTRIES).map(entry).find(|name| !text.contains(name)) {
            Some(name) => Err(format!("{name} in the listing")),
            None => Ok(()),
        }
    };
    let escaped = |response: &Response| {
        let text = response.text();
        let raw = text.contains("<img src=x") || text.contains(HOSTILE);
        if raw || !text.contains("&lt;img src=x onerror=alert(1)&gt;") {
            return Err("names escaped".to_owned());
        }
        Ok(())
    };
    check(
        w,
        vec![
            listing(get("path §3.3: a directory is listed", format!("/ipfs/{root}/")), root)
                .is("x-ipfs-path", format!("/ipfs/{root}/"))
                .is("x-ipfs-roots", root)
                .body_has("hello.txt")
                .body_has("sub")
                .body_has(root),
            listing(get("path §3.3: a directory below it", format!("{}/", w.at("files/sub"))), w.cid("files/sub"))
                .is("x-ipfs-path", format!("{}/", w.at("files/sub")))
                .is("x-ipfs-roots", w.roots("files/sub"))
                .body_has("ascii.txt")
                .body_has("multi.bin")
                .body_has(w.cid("files/sub/ascii.txt")),
            listing(get("path §3.3: a directory of a domain", "/ipns/dnslink.test/sub/"), w.cid("files/sub"))
                .is("x-ipfs-path", "/ipns/dnslink.test/sub/")
                .body_has("ascii.txt"),
            listing(get("path §3.3: a browser gets the same", format!("/ipfs/{root}/")).accept("text/html"), root)
                .body_has("hello.txt"),
            get("path notes: entries link to their paths", format!("{}/", w.at("files/sub")))
                .body_has(format!("/ipfs/{root}/sub/ascii.txt")),
            get("path notes: links to names are encoded", format!("/ipfs/{root}/{}/", encoded("ünï cöde/ę")))
                .body_has("file-źł.txt")
                .body_has("file-%C5%BA%C5%82.txt"),
            get("path notes: names are escaped", format!("/ipfs/{root}/")).check(escaped),
            get("path notes: reserved characters in links are encoded", format!("/ipfs/{root}/"))
                .body_has("odd%20%3F%23%25")
                .body_lacks("href=\"odd ?"),
            get("path notes: sizes come from links, so children may be missing", format!("/ipfs/{}/", w.holed_dir))
                .body_has("absent.txt")
                .body_has("present.txt"),
            get("path notes: all entries of a sharded directory", format!("{}/", w.at("hamt"))).check(all),
            get("path §3.2.2: a listing is kept for a week at most", format!("/ipfs/{root}/"))
                .is("cache-control", "public, max-age=604800, stale-while-revalidate=2678400"),
            get("path: a page runs no script that it did not bring", format!("/ipfs/{root}/"))
                .given("content-security-policy")
                .not("content-security-policy", "unsafe-inline' script-src")
                .not_kubo(),
            get("path §2.2.2: a listing has no name to be saved as", format!("/ipfs/{root}/?x=1"))
                .lacks("content-disposition"),
            get("path notes: a missing directory block is no empty listing", {
                let hash = *crate::world::parse(&w.absent).hash();
                format!("/ipfs/{}/", cid::Cid::new_v1(0x70, hash))
            })
            .status(404),
        ],
    );
}
