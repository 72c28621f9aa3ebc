//! IPIP-351 of 2022-11-29, the Trustless Gateway Specification of 2026-03-05, §6, and the IPNS Record Specification of
//! 2025-02-28 where a gateway shows it: records as such, names that resolve, and records that are worth nothing.
//!
//! Records are signed by keys of the test, and there are those of Kubo under `net/tests/vectors`. A
//! record that is worth nothing is a failure of the server (5xx), as deployed gateways say; a name without any record may be
//! 404 too.

use crate::{
    table::{Row, check, get, head},
    world::{HELLO, TTL, World},
};
use cairn_tests::{
    http::{self, Request, Response},
    records::Key,
};
use std::path::Path;

/// Media type of a record.
const KIND: &str = "application/vnd.ipfs.ipns-record";

/// A record as it was put, with all that is said of it.
fn record(row: Row, key: &Key) -> Row {
    let w = World::get();
    row.is("content-type", KIND)
        .is("x-content-type-options", "nosniff")
        .starts("content-disposition", "attachment; filename=\"")
        .given("etag")
        .body(&w.records[&key.name()])
}

/// `max-age` between these.
fn aged(row: Row, least: u64, most: u64) -> Row {
    row.check(move |response: &Response| {
        let value = response.header("cache-control").unwrap_or_default();
        match value.strip_prefix("public, max-age=").and_then(|age| age.parse::<u64>().ok()) {
            Some(age) if (least..=most).contains(&age) => Ok(()),
            _ => Err(format!("cache-control: public, max-age={least}…{most}")),
        }
    })
}

#[test]
fn records() {
    let w = World::get();
    let by = |what: &str, key: &Key| {
        let target = format!("/ipns/{}?format=ipns-record", key.name());
        record(get(format!("IPIP-351: the record of {what}"), target), key)
    };
    let name = w.site_key.name();
    let etag = {
        let request = Request::new("GET", format!("/ipns/{name}?format=ipns-record"));
        let response = http::send(w.address(), &request).expect("an answer");
        response.header("etag").unwrap_or_default().to_owned()
    };
    check(
        w,
        vec![
            aged(by("a name", &w.site_key), TTL - 60, TTL),
            aged(by("a name of a minute", &w.file_key), 60, 60),
            by("a name that points at another", &w.chain_key),
            by("a name that points at a domain", &w.domain_key),
            by("version 2 only", &w.v2_key),
            aged(by("a record that ends before its TTL", &w.long_key), 80_000, 86_400),
            record(get("IPIP-351: by header", format!("/ipns/{name}")).accept(KIND), &w.site_key)
                .is("content-location", format!("/ipns/{name}?format=ipns-record")),
            record(get("IPIP-351: with a trailing slash", format!("/ipns/{name}/?format=ipns-record")), &w.site_key),
            record(
                get("IPIP-351: on a subdomain", "/?format=ipns-record").host(format!("{name}.ipns.example.com")),
                &w.site_key,
            ),
            head("IPIP-351: HEAD", format!("/ipns/{name}?format=ipns-record")).is("content-type", KIND).given("etag"),
            get("IPIP-351: its ETag", format!("/ipns/{name}?format=ipns-record")).is("etag", &etag),
            get("IPIP-351: an ETag is a quoted string", format!("/ipns/{name}?format=ipns-record"))
                .starts("etag", "\"")
                .not_kubo(),
            get("IPIP-351: its ETag gives 304", format!("/ipns/{name}?format=ipns-record"))
                .with("If-None-Match", &etag)
                .status(304)
                .not_kubo(),
            get("IPIP-351: another ETag does not", format!("/ipns/{name}?format=ipns-record"))
                .with("If-None-Match", "\"other\"")
                .status(200),
            get("path §2.1.3: a record below a name is 400", format!("/ipns/{name}/hello.txt?format=ipns-record"))
                .status(400),
            get("path §2.1.3: a record of /ipfs is 400", format!("/ipfs/{}?format=ipns-record", w.cid("files")))
                .status(400),
            get("path §2.1.3: by header too", format!("/ipfs/{}", w.cid("files"))).accept(KIND).status(400),
            get("path §2.1.3: a domain has no record", "/ipns/dnslink.test?format=ipns-record").status(400),
            get("IPIP-351: a name without a record", format!("/ipns/{}?format=ipns-record", Key::new("?").name()))
                .statuses(&[404, 500, 502, 503, 504]),
        ],
    );
}

#[test]
fn names_that_resolve() {
    let w = World::get();
    let name = w.site_key.name();
    check(
        w,
        vec![
            get("IPNS: a name and a path", format!("/ipns/{name}/hello.txt")).body(HELLO),
            get("IPNS: a record of version 2 only", format!("/ipns/{}", w.v2_key.name())).body(HELLO),
            get("IPNS: a value with a path", format!("/ipns/{}", w.file_key.name()))
                .body(HELLO)
                .is("x-ipfs-path", format!("/ipns/{}", w.file_key.name()))
                .has("etag", w.cid("files/hello.txt")),
            get("IPNS: a name that points at another name", format!("/ipns/{}/ascii.txt", w.chain_key.name()))
                .body("ascii\n"),
            get("IPNS: a name that points at a domain", format!("/ipns/{}/hello.txt", w.domain_key.name())).body(HELLO),
            get("IPNS: below a file there is nothing", format!("/ipns/{}/more", w.file_key.name())).status(404),
            get("IPNS: a path that is not there", format!("/ipns/{name}/no-such")).status(404).body_has("no-such"),
            get("IPNS: a listing", format!("/ipns/{name}/"))
                .is("x-ipfs-path", format!("/ipns/{name}/"))
                .is("x-ipfs-roots", w.cid("files"))
                .body_has("hello.txt"),
        ],
    );
}

#[test]
fn records_that_are_worth_nothing() {
    let w = World::get();
    let mut rows = Vec::new();
    for (what, key) in &w.bad_keys {
        let ask = |name: &str, target: String| {
            get(format!("IPNS §4.3: {what}: {name}"), target).statuses(&[500, 502, 503, 504]).body_lacks(HELLO)
        };
        rows.extend([
            ask("a file", format!("/ipns/{}", key.name())),
            ask("a path", format!("/ipns/{}/x", key.name())),
            ask("the record", format!("/ipns/{}?format=ipns-record", key.name())),
            ask("a block", format!("/ipns/{}?format=raw", key.name())),
        ]);
    }
    check(w, rows);
}

/// Records of Kubo, which are valid until November 2027; what they point at stands in the CID.
#[test]
fn vectors() {
    const NAMES: [(&str, &str, &str); 3] = [
        ("ed25519-v2", "k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k", "hello world\n"),
        ("rsa", "k2k4r8phop4x2pzuzhbh92kyw60nqfzg3f4chrmnd6roiu3e52ce73m3", "hello world\n"),
        ("secp256k1", "kzwfwjn5ji4puonrlpp7mth5jm6ilgo4zbmmuyxpjh02h9ryxcnfr2d9x2r08dm", "hello world\n"),
    ];
    let w = World::get();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../net/tests/vectors/names");
    let mut rows = Vec::new();
    for (kind, name, body) in NAMES {
        let file = dir.join(format!("{kind}.record"));
        let bytes = std::fs::read(&file).expect("the vector is there");
        w.node().ok(["routing", "put", "--allow-offline", &format!("/ipns/{name}"), file.to_str().expect("UTF-8")]);
        rows.extend([
            get(format!("IPIP-351: a record of Kubo, {kind}"), format!("/ipns/{name}?format=ipns-record"))
                .is("content-type", KIND)
                .body(bytes),
            get(format!("IPNS: a name of Kubo, {kind}"), format!("/ipns/{name}")).body(body),
            get(format!("subdomain §2.1.1: a name of Kubo on a subdomain, {kind}"), "/")
                .host(format!("{name}.ipns.example.com"))
                .body(body),
        ]);
    }
    check(w, rows);
}
