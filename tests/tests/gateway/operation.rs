//! The Path Gateway Specification of 2026-03-05, where it speaks of running a gateway: methods and CORS, limits (§3.1.9,
//! §3.1.13, §3.2.14), denylists (§3.1.7, §3.1.10, A.3, and the Compact Denylist Format of 2023-08-24), and Kubo's settings
//! under `Gateway`.
//!
//! The hint `gateway_status` in a denylist, which makes a 451 of a 410, is that of nopfs: the format leaves hints open.
//!
//! Not tested here: slow clients, minimum rates, fairness and metrics, which are no part of the specifications.

use crate::{
    table::{Row, ask, check, get, head},
    world::{HELLO, World},
};
use cairn_tests::{
    gateway::{self, Gateway},
    http::{self, Client, Request},
    keystream,
    records::{Key, Record},
};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    time::{Duration, Instant},
};

/// Headers that pages of other origins may send.
const ALLOWED: [&str; 4] = ["Content-Type", "Range", "User-Agent", "X-Requested-With"];
/// Headers that they may read.
const EXPOSED: [&str; 6] =
    ["Content-Length", "Content-Range", "X-Chunked-Output", "X-Ipfs-Path", "X-Ipfs-Roots", "X-Stream-Output"];

/// What lets pages of other origins in.
fn open(row: Row) -> Row {
    let row = row.is("access-control-allow-origin", "*");
    let row = ["GET", "HEAD", "OPTIONS"].iter().fold(row, |row, m| row.lists("access-control-allow-methods", *m));
    let row = ALLOWED.iter().fold(row, |row, name| row.lists("access-control-allow-headers", *name));
    EXPOSED.iter().fold(row, |row, name| row.lists("access-control-expose-headers", *name))
}

#[test]
fn methods() {
    let w = World::get();
    let file = w.at("files/hello.txt");
    let refused = |method: &str, target: &str| {
        ask(method, format!("path §1: {method} {target} is not allowed"), target)
            .status(405)
            .lists("allow", "GET")
            .lists("allow", "HEAD")
            .lists("allow", "OPTIONS")
    };
    let mut rows: Vec<Row> = ["POST", "PUT", "DELETE", "PATCH"].iter().map(|method| refused(method, &file)).collect();
    rows.extend([
        refused("POST", &format!("/ipns/{}", w.site_key.name())),
        ask("POST", "path §1: POST on a subdomain is not allowed", "/hello.txt")
            .host(format!("{}.ipfs.example.com", w.cid("files")))
            .status(405),
        ask("BREW", "path §1: nor is what is no method", &file).statuses(&[400, 405, 501]),
        ask("POST", "path §1: the RPC is not here", "/api/v0/id").statuses(&[404, 405]),
        get("path §1: nor for reading", "/api/v0/id").status(404),
    ]);
    check(w, rows);
}

#[test]
fn other_origins() {
    let w = World::get();
    let root = w.cid("files");
    let file = w.at("files/hello.txt");
    let from = |row: Row| row.with("Origin", "https://example.net");
    let cors = |name: &str, target: &str| open(from(get(format!("CORS: GET of {name}"), target)));
    let options = |name: &str, target: &str| {
        open(from(ask("OPTIONS", format!("CORS: OPTIONS of {name}"), target)))
            .with("Access-Control-Request-Method", "GET")
            .statuses(&[200, 204])
    };
    check(
        w,
        vec![
            cors("a file", &file).body(HELLO),
            cors("a listing", &format!("/ipfs/{root}/")),
            cors("a block", &format!("{file}?format=raw")),
            cors("a CAR", &format!("{file}?format=car")),
            cors("an archive", &format!("{file}?format=tar")),
            cors("a record", &format!("/ipns/{}?format=ipns-record", w.site_key.name())),
            cors("a part", &file).with("Range", "bytes=0-4").status(206).again("range"),
            cors("what did not change", &file).with("If-None-Match", "*").status(304).again("condition"),
            cors("a directory without its slash", &format!("/ipfs/{root}/sub")).status(301),
            cors("what is not there", &format!("/ipfs/{root}/no-such")).status(404),
            cors("an invalid CID", "/ipfs/not-a-cid").status(400),
            cors("a domain", "/hello.txt").host("dnslink.test"),
            open(get("CORS: no origin is needed", &file)),
            open(head("CORS: HEAD", &file)),
            open(ask("POST", "CORS: a method that is refused says so to pages too", &file)).status(405),
            options("a file", &file).body(""),
            options("a file says what is allowed", &file)
                .lists("allow", "GET")
                .lists("allow", "HEAD")
                .lists("allow", "OPTIONS")
                .not_kubo(),
            options("a name", &format!("/ipns/{}", w.site_key.name())),
            options("what is not there", &format!("/ipfs/{}", w.absent)),
            options("a subdomain", "/").host(format!("{root}.ipfs.example.com")),
            options("a header that nobody allowed", &file)
                .with("Access-Control-Request-Headers", "X-Unexpected")
                .check(|response| match response.lists("access-control-allow-headers", "X-Unexpected") {
                    true => Err("no X-Unexpected".to_owned()),
                    false => Ok(()),
                }),
            from(ask("OPTIONS", "CORS: OPTIONS of a path leads to its subdomain", format!("/ipfs/{root}")))
                .host("example.com")
                .status(301)
                .given("location")
                .is("access-control-allow-origin", "*"),
        ],
    );
}

/// `Gateway.HTTPHeaders`, `RootRedirect`, `DeserializedResponses`, `PublicGateways` with a null, and `DisableHTMLErrors`.
#[test]
fn settings() {
    let node = gateway::node();
    for (key, value) in [
        ("Gateway.RootRedirect", r#""/ipfs/bafkqaaa""#),
        ("Gateway.DeserializedResponses", "false"),
        ("Gateway.DisableHTMLErrors", "true"),
        (
            "Gateway.PublicGateways",
            r#"{"localhost": null, "open.test": {"Paths": ["/ipfs"], "DeserializedResponses": true},
            "same.test": {"Paths": ["/ipfs"]}}"#,
        ),
        (
            "Gateway.HTTPHeaders",
            r#"{"Access-Control-Allow-Origin": ["https://a.example"], "X-Own": ["yes"],
            "Access-Control-Allow-Headers": ["X-Custom1"], "Access-Control-Expose-Headers": ["X-Custom2"]}"#,
        ),
    ] {
        node.ok(["config", "--json", key, value]);
    }
    let cid = node.feed_bytes(["add", "-Q", "--cid-version=1"], HELLO);
    let path = format!("/ipfs/{cid}");
    let gateway = Gateway::start(node, &[]);
    check(
        &gateway,
        vec![
            get("RootRedirect", "/").statuses(&[301, 302, 307, 308]).is("location", "/ipfs/bafkqaaa"),
            get("DeserializedResponses: a file is refused", &path).status(406),
            get("DeserializedResponses: a block is served", format!("{path}?format=raw")).body(HELLO),
            get("DeserializedResponses: a host may serve files", &path).host("open.test").body(HELLO),
            get("DeserializedResponses: a host has the setting of all", &path).host("same.test").status(406),
            get("DeserializedResponses: a proxy may name the host", &path)
                .with("X-Forwarded-Host", "open.test")
                .body(HELLO),
            get("PublicGateways: localhost can be taken out", format!("{path}?format=raw"))
                .host("localhost")
                .status(200)
                .body(HELLO),
            get("DisableHTMLErrors", "/ipfs/not-a-cid").accept("text/html").status(400).not("content-type", "html"),
            get("HTTPHeaders: a header of one's own", &path).host("open.test").is("x-own", "yes").again("file"),
            get("HTTPHeaders: the origin replaces the default", &path)
                .host("open.test")
                .is("access-control-allow-origin", "https://a.example")
                .lists("access-control-allow-methods", "GET"),
            ask("OPTIONS", "HTTPHeaders: lists are extended", &path)
                .host("open.test")
                .statuses(&[200, 204])
                .lists("access-control-allow-headers", "X-Custom1")
                .lists("access-control-allow-headers", "Range")
                .lists("access-control-expose-headers", "X-Custom2")
                .lists("access-control-expose-headers", "X-Ipfs-Roots"),
        ],
    );
}

#[test]
fn too_many_requests() {
    let node = gateway::node();
    node.ok(["config", "--json", "Gateway.MaxConcurrentRequests", "1"]);
    // More than the sockets between the two hold.
    let large = node.add(&["--cid-version=1"], &node.file("large", keystream::bytes("large", 64 << 20)));
    let small = node.feed_bytes(["add", "-Q", "--cid-version=1"], HELLO);
    let gateway = Gateway::start(node, &[]);
    let path = format!("/ipfs/{small}");
    check(&gateway, vec![get("path §3.1.9: one request is served", &path).body(HELLO)]);

    let mut slow = Client::connect(gateway.address).expect("it listens");
    slow.write(Request::new("GET", format!("/ipfs/{large}")).encode(gateway.address)).expect("it reads");
    assert!(!slow.closed().expect("the answer begins"), "the first request is being served");
    check(
        &gateway,
        vec![
            get("path §3.1.9: another one meanwhile is 429", &path).status(429).is("cache-control", "no-store").check(
                |response| match response.header("retry-after").map(str::parse::<u32>) {
                    Some(Ok(seconds)) if seconds > 0 => Ok(()),
                    _ => Err("retry-after: seconds".to_owned()),
                },
            ),
            get("path §3.1.9: a person gets a page", &path).accept("text/html").status(429).given("retry-after"),
        ],
    );
    drop(slow);
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let response = http::send(gateway.address, &Request::new("GET", &path)).expect("an answer");
        if response.status == 200 {
            break;
        }
        assert!(Instant::now() < until, "the place is not free again: {}", response.describe());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A network without peers, and content that nobody has.
#[test]
fn what_does_not_come_in_time() {
    let absent = cairn_tests::car::cid_of(0x55, b"nobody has this");
    for (key, wanted) in [("RetrievalTimeout", "30s"), ("MaxRequestDuration", "1h")] {
        let node = gateway::node();
        for (key, value) in [("Routing.Type", "\"none\""), ("Bootstrap", "[]"), ("Swarm.RelayClient.Enabled", "false")]
        {
            node.ok(["config", "--json", key, value]);
        }
        let other = if key == "RetrievalTimeout" { "MaxRequestDuration" } else { "RetrievalTimeout" };
        node.ok(["config", "--json", &format!("Gateway.{key}"), "\"1s\""]);
        node.ok(["config", "--json", &format!("Gateway.{other}"), if wanted == "30s" { "\"1h\"" } else { "\"5m\"" }]);
        let there = node.feed_bytes(["add", "-Q", "--cid-version=1"], HELLO);
        let gateway = Gateway::with(node, &[], &["daemon"]);
        let late = |name: &str, query: &str| {
            get(format!("path §3.1.13: {key}: {name}"), format!("/ipfs/{absent}{query}"))
                .status(504)
                .not("cache-control", "immutable")
                .lacks("etag")
        };
        check(
            &gateway,
            vec![
                get(format!("path §3.1.13: {key}: what is there comes"), format!("/ipfs/{there}")).body(HELLO),
                late("what is not is 504", ""),
                late("a block", "?format=raw"),
                late("says when to come again", "?x=1").given("retry-after").not_kubo(),
                late("says what is missing", "?x=2").body_has(absent.to_string()).not_kubo(),
                late("a person gets a page", "?x=3").accept("text/html").starts("content-type", "text/html").not_kubo(),
                head(format!("path §3.1.13: {key}: HEAD"), format!("/ipfs/{absent}")).status(504),
                get(format!("path §2.1.2: {key}: only-if-cached does not wait"), format!("/ipfs/{absent}"))
                    .with("Cache-Control", "only-if-cached")
                    .status(412),
            ],
        );
    }
}

/// Base58 of a SHA-256 multihash of a text.
fn double(text: &str) -> String {
    let hash = [&[0x12, 32], Sha256::digest(text.as_bytes()).as_slice()].concat();
    cid::multibase::Base::Base58Btc.encode(hash)
}

#[test]
fn denylists() {
    let node = gateway::node();
    if node.program().is_kubo() {
        return; // It needs a plugin for them.
    }
    let cid = |text: &str| node.feed_bytes(["add", "-Q", "--cid-version=1"], text);
    let [plain, legal, double_cid, legacy, allowed, free] =
        ["plain\n", "legal\n", "double\n", "legacy\n", "allowed\n", "free\n"].map(cid);
    let dir = node.work().join("dir");
    fs::create_dir_all(dir.join("blocked")).expect("the directory is writable");
    for name in ["open.txt", "blocked.txt", "blocked-not.txt", "blocked/a.txt", "exact.txt", "hashed.txt"] {
        fs::write(dir.join(name), format!("{name}\n")).expect("the directory is writable");
    }
    let root = node.add(&["-r", "--cid-version=1"], &dir);
    let whole = node.add(&["-r", "--cid-version=1", "-w"], &dir);
    let key = Key::new("denied");
    let b58 = |cid: &str| cid::multibase::Base::Base58Btc.encode(crate::world::parse(cid).hash().to_bytes());
    let hex: String = Sha256::digest(format!("{legacy}/")).iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!(
        "version: 1\nname: test\nhints:\n  unknown: yes\n---\n# a comment\n\n/ipfs/{plain}\n/ipfs/{legal} gateway_status=451\n\
         /ipfs/{root}/blocked*\n!/ipfs/{root}/blocked-not.txt\n/ipfs/{root}/exact.txt\n/ipfs/{whole}/*\n\
         /ipfs/{allowed}\n!/ipfs/{allowed}\n/ipns/{}\n/ipns/denied.test\n//{}\n//{}\n//{hex}\nthis is no rule\n",
        key.name(),
        double(&b58(&double_cid)),
        double(&format!("{}/hashed.txt", b58(&root))),
    );
    for folder in [node.repo().join("denylists"), node.work().join("xdg/ipfs/denylists")] {
        fs::create_dir_all(&folder).expect("the directory is writable");
        fs::write(folder.join("test.deny"), &list).expect("the directory is writable");
    }
    let record = node.file("record", key.sign(&Record::new(format!("/ipfs/{free}"), Duration::from_secs(60))));
    node.ok(["routing", "put", "--allow-offline", &format!("/ipns/{}", key.name()), record.to_str().expect("UTF-8")]);
    let free_path = format!("/ipfs/{free}");
    let gateway = Gateway::start(node, &[("denied.test", &free_path), ("open.test", &free_path)]);
    let gone = |name: &str, target: String| {
        get(format!("denylist: {name}"), target).status(410).not("cache-control", "immutable").lacks("etag")
    };
    let open = |name: &str, target: String| get(format!("denylist: {name}"), target);
    let as_v0 = cid::Cid::new_v1(0x70, *crate::world::parse(&plain).hash());
    check(
        &gateway,
        vec![
            gone("a CID is 410", format!("/ipfs/{plain}")).body_lacks("plain"),
            gone("a CID as a block", format!("/ipfs/{plain}?format=raw")),
            gone("a CID as a CAR", format!("/ipfs/{plain}?format=car")),
            gone("the same hash with another codec", format!("/ipfs/{as_v0}")),
            open("only-if-cached", format!("/ipfs/{plain}?x=1"))
                .with("Cache-Control", "only-if-cached")
                .statuses(&[410, 412]),
            head("denylist: HEAD", format!("/ipfs/{plain}")).status(410),
            gone("on a subdomain", "/".to_owned()).host(format!("{plain}.ipfs.localhost")),
            gone("a page for a person", format!("/ipfs/{plain}?x=2"))
                .accept("text/html")
                .starts("content-type", "text/html"),
            open("on legal grounds it is 451", format!("/ipfs/{legal}")).status(451),
            gone("a path with a prefix", format!("/ipfs/{root}/blocked.txt")),
            gone("a directory with a prefix", format!("/ipfs/{root}/blocked/a.txt")),
            open("an exception to a prefix", format!("/ipfs/{root}/blocked-not.txt")).body("blocked-not.txt\n"),
            gone("an exact path", format!("/ipfs/{root}/exact.txt")),
            gone("an exact path with a slash", format!("/ipfs/{root}/exact.txt/")),
            open("a path beside it", format!("/ipfs/{root}/open.txt")).body("open.txt\n"),
            gone("all below a root", format!("/ipfs/{whole}/dir/open.txt")),
            gone("the root too", format!("/ipfs/{whole}/")),
            open("the last rule counts", format!("/ipfs/{allowed}")).body("allowed\n"),
            gone("a name", format!("/ipns/{}", key.name())),
            gone("a name's subdomain", "/".to_owned()).host(format!("{}.ipns.localhost", key.name())).again("name"),
            gone("a domain on a path", "/ipns/denied.test/".to_owned()),
            gone("a domain as the host", "/".to_owned()).host("denied.test").again("domain"),
            open("where they lead is free", free_path.clone()).body("free\n"),
            open("by another domain too", "/".to_owned()).host("open.test").body("free\n"),
            gone("a CID that is hashed twice", format!("/ipfs/{double_cid}")),
            gone("a path that is hashed twice", format!("/ipfs/{root}/hashed.txt")),
            gone("a CID of the older form", format!("/ipfs/{legacy}")),
        ],
    );
}

#[test]
fn connections() {
    let w = World::get();
    let mut client = Client::connect(w.address()).expect("it listens");
    let keep = |method: &str, target: String| Request { keep: true, ..Request::new(method, target) };
    for (method, target, status, len) in [
        ("GET", w.at("files/hello.txt"), 200, HELLO.len()),
        ("HEAD", w.at("files/hello.txt"), 200, 0),
        ("GET", format!("/ipfs/{}", w.absent), 404, usize::MAX),
        ("GET", format!("{}?format=car", w.at("files/sub")), 200, usize::MAX),
        ("OPTIONS", w.at("files/hello.txt"), 200, 0),
        ("GET", w.at("files/hello.txt"), 200, HELLO.len()),
    ] {
        let response = client.send(&keep(method, target.clone())).expect("the connection stays open");
        let right = response.status == status || method == "OPTIONS" && response.status == 204;
        assert!(right && response.whole, "{method} {target}: {}", response.describe());
        assert!(len == usize::MAX || response.body.len() == len, "{method} {target}: {}", response.describe());
    }
    let last = Request::new("GET", w.at("files/hello.txt"));
    assert_eq!(client.send(&last).expect("an answer").text(), HELLO);
    assert!(client.closed().expect("it says so"), "Connection: close closes");
}
