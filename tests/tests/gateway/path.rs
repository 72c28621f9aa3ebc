//! Path Gateway Specification of 2026-03-05: content paths, statuses, types, and the guard of service workers. Sections
//! are numbered as in the published text.
//!
//! Elsewhere: §2.1.1 and §2.1.2, §3.2.1–3 in `caching`; §2.1.3, §2.2.3 and §3.2.6 in `formats` and `codecs`; §2.1.4 in
//! `range`; §2.2.1, §2.2.2 and §3.2.5 in `disposition`; §2.2.4–8 in `car`; §3.1.7, §3.1.9, §3.1.10 and §3.1.13 in
//! `operation`; §3.2.10 and the notes on listings in `directories`.
//!
//! Not testable here: §3.1.12 (502 needs a network with failing providers); that HEAD moves little data over a network
//! (§1.2); §3.2.15–17, which are optional and leave the values open; response time of listings (`make bench`).

use crate::{
    table::{Row, check, get, head},
    world::{HELLO, PAGE, PNG, SVG, World, digits, parse},
};
use cairn_tests::keystream;
use cid::multibase::Base;

/// A path, encoded as a browser does.
pub fn encoded(path: &str) -> String {
    path.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[test]
fn files() {
    let w = World::get();
    let file = w.cid("files/hello.txt");
    let (old, new) = &w.v0;
    let hello = w.at("files/hello.txt");
    let dir = w.cid("files/twice");
    check(
        w,
        vec![
            get("path §1.1: a file below a root", &hello)
                .body(HELLO)
                .is("content-length", "16")
                .starts("content-type", "text/plain")
                .is("x-ipfs-path", &hello)
                .is("x-ipfs-roots", w.roots("files/hello.txt"))
                .is("etag", format!("\"{file}\""))
                .is("cache-control", "public, max-age=29030400, immutable")
                .lacks("content-disposition")
                .lacks("content-location")
                .lacks("last-modified"),
            get("path §1.1: a root that is a raw block", format!("/ipfs/{file}"))
                .body(HELLO)
                .is("x-ipfs-path", format!("/ipfs/{file}"))
                .is("x-ipfs-roots", file)
                .is("etag", format!("\"{file}\"")),
            get("path §1.1: a CID of version 0", format!("/ipfs/{old}"))
                .body("an old CID\n")
                .is("etag", format!("\"{old}\""))
                .is("x-ipfs-path", format!("/ipfs/{old}"))
                .is("x-ipfs-roots", old),
            get("path §1.1: the same block by its CID of version 1", format!("/ipfs/{new}"))
                .body("an old CID\n")
                .is("etag", format!("\"{new}\"")),
            get("path §1.1: a CID of sha2-512", format!("/ipfs/{}", w.too_long)).body("an old CID\n"),
            get("path §1.1: a file of many blocks comes whole", w.at("files/sub/multi.bin"))
                .body(keystream::bytes("multi", crate::world::MULTI))
                .is("content-length", crate::world::MULTI.to_string())
                .is("x-ipfs-roots", w.roots("files/sub/multi.bin")),
            get("path §1.1: a file in a sharded directory", format!("{}/{}", w.at("hamt"), crate::world::entry(7)))
                .body("entry 7\n"),
            get("path §1.1: a large file in a sharded directory", w.at("hamt/multi.bin"))
                .body(keystream::bytes("hamt", 600_000)),
            get("path §1.1: of a sharded directory only what leads there is needed", {
                let (root, name, _) = &w.holed_hamt;
                format!("/ipfs/{root}/{name}")
            })
            .body("holed entry 7\n")
            .is("x-ipfs-roots", format!("{},{}", w.holed_hamt.0, w.holed_hamt.2)),
            get("path §1.1: an empty file", w.at("files/empty.txt"))
                .body("")
                .is("content-length", "0")
                .starts("content-type", "text/plain"),
            get("path §1.1: the empty identity CID", "/ipfs/bafkqaaa").body("").is("content-length", "0"),
            get("path §1.1: data that stands in its CID", format!("/ipfs/{}", inline("hello"))).body("hello"),
            get("path §1.1: a file whose data stands in the link", w.at("inline/tiny.txt")).body("tiny\n"),
            get("path §1.1: equal files in a directory", format!("/ipfs/{dir}/b.bin"))
                .body(keystream::bytes("twice", 600_000)),
            get("path A.1.3: a symlink gives its target as the body", w.at("files/link"))
                .body("hello.txt")
                .is("content-type", "inode/symlink"),
            get("path §1.3: a file below a key's name", format!("/ipns/{}/hello.txt", w.site_key.name()))
                .body(HELLO)
                .is("x-ipfs-path", format!("/ipns/{}/hello.txt", w.site_key.name()))
                .is("x-ipfs-roots", w.roots("files/hello.txt")),
            get("path §1.3: a file below a domain", "/ipns/dnslink.test/hello.txt")
                .body(HELLO)
                .is("x-ipfs-path", "/ipns/dnslink.test/hello.txt")
                .is("x-ipfs-roots", w.roots("files/hello.txt")),
            get("path §1.3: a name that points at a path", format!("/ipns/{}", w.file_key.name())).body(HELLO),
            get("path §1.3: a name that points at another", format!("/ipns/{}/ascii.txt", w.chain_key.name()))
                .body("ascii\n"),
            get("path §1.3: a name that points at a domain", format!("/ipns/{}/hello.txt", w.domain_key.name()))
                .body(HELLO),
            get("path §1.3: a record of version 2 only", format!("/ipns/{}", w.v2_key.name())).body(HELLO),
        ],
    );
}

/// A raw CID that holds its data.
fn inline(data: &str) -> String {
    let hash = cid::multihash::Multihash::<64>::wrap(0, data.as_bytes()).expect("it is short");
    cid::Cid::new_v1(0x55, hash).to_string()
}

#[test]
fn names() {
    let w = World::get();
    let file = w.parsed("files/hello.txt");
    let spelled = |base, text: &str| {
        let cid = file.to_string_of_base(base).expect("version 1 has every base");
        get(format!("path §1.1: a CID in {text}"), format!("/ipfs/{cid}")).body(HELLO)
    };
    let root = w.cid("files");
    let unicode = "ünï cöde/ę/file-źł.txt";
    check(
        w,
        vec![
            spelled(Base::Base36Lower, "base36"),
            spelled(Base::Base16Lower, "base16"),
            spelled(Base::Base58Btc, "base58"),
            spelled(Base::Base32Upper, "base32 in upper case"),
            spelled(Base::Base64Url, "base64url"),
            get("path §1.1: percent-encoded UTF-8", format!("/ipfs/{root}/{}", encoded(unicode))).body("unicode\n"),
            get(
                "path §1.1: percent-encoded UTF-8 in lower case",
                format!("/ipfs/{root}/{}", encoded(unicode).to_lowercase()),
            )
            .body("unicode\n"),
            get(
                "path §1.1: reserved characters, percent-encoded",
                format!("/ipfs/{root}/{}", encoded("odd ?#%&+=.txt")),
            )
            .body("an odd name\n"),
            get("path §1.1: a plus sign in a path is no space", format!("/ipfs/{root}/odd%20%3F%23%25%26+=.txt"))
                .body("an odd name\n"),
            get("path §1.1: letters that need no encoding", format!("/ipfs/{root}/%68ello.txt")).body(HELLO),
            get("path §1.1: unknown parameters are ignored", format!("/ipfs/{root}/hello.txt?x=1&y")).body(HELLO),
            get(
                "path §3.1.5: a path with dots is taken as a URL or as it stands",
                format!("/ipfs/{root}/sub/../hello.txt"),
            )
            .statuses(&[200, 301, 302, 307, 308, 400, 404]),
            get("path §3.1.5: but not out of its namespace", format!("/ipfs/{root}/../../api/v0/id"))
                .statuses(&[301, 302, 307, 308, 400, 404]),
            get("path §3.1.5: nor when they are encoded", format!("/ipfs/{root}/%2e%2e/%2e%2e/%2e%2e/etc/passwd"))
                .statuses(&[301, 302, 307, 308, 400, 404])
                .body_lacks("root:"),
            get("path §3.1.5: a zero byte in a name", format!("/ipfs/{root}/hello.txt%00")).statuses(&[400, 404]),
            get("path §3.1.5: a name that is no UTF-8", format!("/ipfs/{root}/%FF%FE")).statuses(&[400, 404]),
            get("path §3.1.4: a percent sign without digits", format!("/ipfs/{root}/%zz")).statuses(&[400, 404]),
            get("path §3.1.5: line ends in a name make no header", format!("/ipfs/{root}/%0d%0aX-Evil:%20yes"))
                .statuses(&[400, 404])
                .lacks("x-evil"),
        ],
    );
}

#[test]
fn statuses() {
    let w = World::get();
    let root = w.cid("files");
    let bad = |cid: &str| get(format!("path A.1.5: an invalid CID is 400: {cid}"), format!("/ipfs/{cid}")).status(400);
    let short = &root[..root.len() - 1];
    check(
        w,
        vec![
            bad("not-a-cid"),
            bad("12345"),
            bad("QmInvalid/pleaseDontAddMe"),
            bad(short),
            bad(&format!("{}1", &root[..root.len() - 1])),
            bad("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5O"),
            get("path §3.1.4: no CID at all", "/ipfs/").status(400),
            get("path §3.1.5: a path that is no content path", "/unknown/path").status(404),
            get("path A.1.5: a name that a directory lacks is 404 and said", format!("/ipfs/{root}/no-such.txt"))
                .status(404)
                .body_has("no-such.txt"),
            get("path A.1.5: a missing name in the middle is said", format!("/ipfs/{root}/no-such/deep.txt"))
                .status(404)
                .body_has("no-such"),
            get("path A.1.5: nothing lies below a file", format!("/ipfs/{root}/hello.txt/more")).status(404),
            get("path A.1.5: nothing lies below a raw block", format!("/ipfs/{}/more", w.cid("files/hello.txt")))
                .status(404),
            get("path A.1.5: a name that a sharded directory lacks", w.at("hamt") + "/no-such").status(404),
            get("path A.1.5: names are case-sensitive", format!("/ipfs/{root}/HELLO.TXT")).status(404),
            get("path §3.1.5: a missing root block", format!("/ipfs/{}", w.absent)).status(404),
            head("path §3.1.5: a missing root block, asked by HEAD", format!("/ipfs/{}", w.absent)).status(404),
            get("path §3.1.5: a path below a missing root", format!("/ipfs/{}/x", parse_dir(&w.absent))).status(404),
            get("path §3.1.5: a child that is missing", format!("/ipfs/{}/absent.txt", w.holed_dir)).status(404),
            get("path §3.1.5: its sibling is there", format!("/ipfs/{}/present.txt", w.holed_dir))
                .body("this is there\n"),
            get("path A.1.5: a name without a record", format!("/ipns/{}", cairn_tests::records::Key::new("?").name()))
                .statuses(&[404, 500, 502, 503, 504]),
            get("path A.1.5: a domain without a link", "/ipns/no-such-domain.test/")
                .statuses(&[404, 500, 502, 503, 504]),
            get("path A.1.5: what is neither key nor domain", "/ipns/QmInvalid/x").statuses(&[400, 404, 500, 502, 503]),
            get("path §3.1.4: no name at all", "/ipns/").status(400),
            get("path §3.1.5: errors are not kept as if they were content", format!("/ipfs/{root}/no-such.txt"))
                .status(404)
                .not("cache-control", "immutable")
                .lacks("etag"),
            get("path §3.1: a program gets plain text", format!("/ipfs/{root}/no-such.txt"))
                .status(404)
                .starts("content-type", "text/plain"),
            get("path §3.1: a person gets a page", format!("/ipfs/{root}/no-such.txt"))
                .accept("text/html,application/xhtml+xml,*/*;q=0.8")
                .status(404)
                .starts("content-type", "text/html")
                .body_has("<!DOCTYPE html>")
                .body_has("no-such.txt"),
            get(
                "path §3.1: a page of an error is no way in",
                format!("/ipfs/{root}/%3Cscript%3Ealert(1)%3C/script%3E"),
            )
            .accept("text/html")
            .status(404)
            .body_lacks("<script>alert(1)"),
        ],
    );
}

/// The same hash as a directory's.
fn parse_dir(cid: &str) -> String {
    cid::Cid::new_v1(0x70, *parse(cid).hash()).to_string()
}

#[test]
fn types() {
    let w = World::get();
    let kind = |path: &str, wanted: &str| {
        get(format!("path §3.2.4: {path} is {wanted}"), w.at(path)).starts("content-type", wanted)
    };
    let named = |path: &str, name: &str, wanted: &str| {
        let target = format!("/ipfs/{}?filename={name}", w.cid(path));
        get(format!("path §3.2.4: {path} as {name} is {wanted}"), target).starts("content-type", wanted)
    };
    check(
        w,
        vec![
            kind("files/hello.txt", "text/plain").body(HELLO),
            kind("files/plain", "text/plain"),
            kind("files/page.html", "text/html").body(PAGE),
            kind("files/drawing.svg", "image/svg+xml").body(SVG),
            kind("files/drawing", "image/svg+xml"),
            kind("files/picture.png", "image/png").body(PNG),
            kind("files/picture", "image/png"),
            kind("files/data.json", "application/json"),
            kind("files/style.css", "text/css"),
            kind("files/sw.js", "text/javascript"),
            kind("files/sub/multi.bin", "application/octet-stream"),
            kind("files/digits.txt", "text/plain").body(digits(1000)),
            named("files/page.html", "", "text/html"),
            named("files/plain", "x.html", "text/html"),
            named("files/plain", "x.css", "text/css"),
            named("files/plain", "x.unknown-extension", "text/plain"),
            named("files/picture", "x.png", "image/png"),
            get("path §3.2.4: a domain's last label is no extension", "/ipns/file.test")
                .body(HELLO)
                .starts("content-type", "text/plain"),
            get("path §3.2.4: a range from within a file has the type of its name", w.at("files/page.html"))
                .with("Range", "bytes=5-9")
                .status(206)
                .starts("content-type", "text/html"),
        ],
    );
}

#[test]
fn service_workers() {
    let w = World::get();
    let root = w.cid("files");
    let ask = |name: &str, target: String| get(format!("path §2.1.5: {name}"), target).with("Service-Worker", "script");
    let denied = |row: Row| row.status(400).body_lacks("self.addEventListener");
    check(
        w,
        vec![
            denied(ask("a script at a root of /ipfs is denied", format!("/ipfs/{root}"))),
            denied(ask("whatever its name", format!("/ipfs/{}?filename=sw.js", w.cid("files/sw.js")))),
            denied(ask("a script at a root of /ipns is denied", format!("/ipns/{}", w.site_key.name()))),
            denied(ask("and at a domain", "/ipns/dnslink.test".to_owned())),
            ask("a script below a root is served", format!("/ipfs/{root}/sw.js"))
                .has("content-type", "javascript")
                .body_has("addEventListener"),
            ask("and below a name", "/ipns/dnslink.test/sw.js".to_owned()).has("content-type", "javascript"),
            ask("a root with its slash is served", format!("/ipfs/{root}/")),
            get("path §2.1.5: another value of the header does not matter", format!("/ipfs/{}", w.cid("files/sw.js")))
                .with("Service-Worker", "no"),
        ],
    );
}

#[test]
fn mistaken_addresses() {
    let w = World::get();
    let file = w.cid("files/hello.txt");
    let name = w.site_key.name();
    check(
        w,
        vec![
            get("path: /ipfs/ipfs/CID leads to /ipfs/CID", format!("/ipfs/ipfs/{file}?query=to-remember"))
                .status(301)
                .is("location", format!("/ipfs/{file}?query=to-remember")),
            get("path: and keeps the path", format!("/ipfs/ipfs/{}/sub/ascii.txt", w.cid("files")))
                .status(301)
                .is("location", format!("/ipfs/{}/sub/ascii.txt", w.cid("files"))),
            get("path: /ipfs/ipns/NAME leads to /ipns/NAME", format!("/ipfs/ipns/{name}?query=to-remember"))
                .status(301)
                .is("location", format!("/ipns/{name}?query=to-remember")),
            get("path: /ipfs/ipns/DOMAIN leads to /ipns/DOMAIN", "/ipfs/ipns/dnslink.test")
                .status(301)
                .is("location", "/ipns/dnslink.test"),
            get("path: a page is sent there too", format!("/ipfs/ipfs/{file}"))
                .accept("text/html")
                .status(301)
                .is("location", format!("/ipfs/{file}")),
            get("path: nothing leads to an invalid path", "/ipfs/ipfs/not-a-cid").status(400).lacks("location"),
            get(
                "path: a key in base58 leads to its CID in base36",
                format!("/ipns/{}?keep=query", w.site_key.peer_id()),
            )
            .statuses(&[301, 302, 307, 308])
            .is("location", format!("/ipns/{name}?keep=query")),
            get("path: a key in base58 keeps the path", format!("/ipns/{}/sub/ascii.txt", w.site_key.peer_id()))
                .statuses(&[301, 302, 307, 308])
                .is("location", format!("/ipns/{name}/sub/ascii.txt")),
            get("path: an RSA key in base58", "/ipns/QmcJM7PRfkSbcM5cf1QugM5R37TLRKyJGgBEhXjLTB8uA2?keep=query")
                .statuses(&[301, 302, 307, 308])
                .is("location", "/ipns/k2k4r8ol4m8kkcqz509c1rcjwunebj02gcnm5excpx842u736nja8ger?keep=query"),
            get(
                "path: a key in base32 leads to base36",
                format!("/ipns/{}/hello.txt", w.site_key.cid(cairn_tests::records::LIBP2P_KEY)),
            )
            .statuses(&[301, 302, 307, 308])
            .is("location", format!("/ipns/{name}/hello.txt")),
        ],
    );
}
