//! Trustless Gateway Specification of 2026-03-05: raw blocks, probes, statuses, and hosts that serve nothing else. CARs are
//! in `car`, IPNS records in `ipns_record`.
//!
//! Where text and practice differ: a trustless host refuses what it does not serve with 406, also where `Accept` is
//! missing, as deployed gateways do; and raw blocks carry `X-Ipfs-Path` and `X-Ipfs-Roots`, which clients want.
//!
//! Not testable here: what is asked of clients, and of servers on the public internet (TLS, HTTP/2, rates, recursion).

use crate::{
    table::{Row, check, get, head},
    world::{World, parse},
};
use cairn_tests::{
    car::{Car, verify},
    http::Response,
};

/// Media type of a block.
const RAW: &str = "application/vnd.ipld.raw";

#[test]
fn raw_blocks() {
    let w = World::get();
    let block = |what: &str, cid: &str, by_header: bool| {
        let path = format!("/ipfs/{cid}");
        let wanted = parse(cid);
        let how = if by_header { "header" } else { "parameter" };
        let target = if by_header { path.clone() } else { format!("{path}?format=raw") };
        let row = get(format!("trustless: the block of {what}, by {how}"), target)
            .is("content-type", RAW)
            .is("x-content-type-options", "nosniff")
            .starts("content-disposition", "attachment; filename=\"")
            .has("content-disposition", format!("filename=\"{cid}.bin\""))
            .is("etag", format!("\"{cid}.raw\""))
            .is("cache-control", "public, max-age=29030400, immutable")
            .is("x-ipfs-path", &path)
            .is("x-ipfs-roots", cid)
            .given("content-length")
            .check(move |response| verify(&wanted, &response.body));
        if by_header { row.accept(RAW) } else { row }
    };
    let mut rows = Vec::new();
    for (what, cid) in [
        ("a leaf", w.cid("files/hello.txt")),
        ("a file of many blocks", w.cid("files/sub/multi.bin")),
        ("a directory", w.cid("files")),
        ("a sharded directory", w.cid("hamt")),
        ("a symlink", w.cid("files/link")),
        ("dag-cbor", &w.docs["dag-cbor"]),
        ("json", &w.docs["json"]),
        ("a CID of version 0", &w.v0.0),
        ("a file with a hole", &w.holed.cid),
    ] {
        rows.extend([block(what, cid, false), block(what, cid, true)]);
    }
    let file = w.cid("files/sub/multi.bin").to_owned();
    let bytes = w.dag.get(&parse(&file)).expect("it was exported").to_vec();
    rows.extend([
        get("trustless: a block below a path", format!("{}?format=raw", w.at("files/sub/multi.bin")))
            .is("content-type", RAW)
            .is("x-ipfs-roots", w.roots("files/sub/multi.bin"))
            .is("etag", format!("\"{file}.raw\""))
            .body(&bytes),
        get("path §2.1.4: a part of a block", format!("/ipfs/{file}?format=raw"))
            .with("Range", "bytes=3-9")
            .status(206)
            .is("content-range", format!("bytes 3-9/{}", bytes.len()))
            .body(&bytes[3..10]),
        get("trustless: a block behind a name", format!("/ipns/{}?format=raw", w.site_key.name()))
            .is("content-type", RAW)
            .is("etag", format!("\"{}.raw\"", w.cid("files")))
            .not("cache-control", "immutable"),
        head("trustless: HEAD of a block", format!("/ipfs/{file}?format=raw"))
            .is("content-type", RAW)
            .is("content-length", bytes.len().to_string())
            .is("etag", format!("\"{file}.raw\"")),
    ]);
    check(w, rows);
}

#[test]
fn probes() {
    let w = World::get();
    let probe = |response: &Response| {
        let car = Car::read(&response.body)?;
        match car.roots.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice() {
            [root] if root == "bafkqaaa" && car.version == 1 => Ok(()),
            other => Err(format!("the root bafkqaaa, not {other:?}")),
        }
    };
    check(
        w,
        vec![
            get("trustless A.1.1: the probe by parameter", "/ipfs/bafkqaaa?format=raw")
                .body("")
                .is("content-type", RAW),
            get("trustless A.1.1: the probe by header", "/ipfs/bafkqaaa").accept(RAW).body("").is("content-type", RAW),
            get("trustless A.1.1: the probe for CARs", "/ipfs/bafkqaaa?format=car").check(probe),
            get("trustless A.1.1: the probe for CARs by header", "/ipfs/bafkqaaa")
                .accept("application/vnd.ipld.car")
                .check(probe),
            head("trustless A.1.2: the probe by HEAD", "/ipfs/bafkqaaa?format=raw"),
            head("trustless A.1.2: the probe by HEAD and header", "/ipfs/bafkqaaa").accept(RAW),
            head("trustless A.1.2: the probe for CARs by HEAD", "/ipfs/bafkqaaa?format=car"),
            get("trustless A.1.1: the probe on a trustless host", "/ipfs/bafkqaaa?format=raw")
                .host("trustless.test")
                .body(""),
        ],
    );
}

#[test]
fn missing_blocks() {
    let w = World::get();
    let absent = format!("/ipfs/{}", w.absent);
    let cached = |row: Row| row.with("Cache-Control", "only-if-cached");
    check(
        w,
        vec![
            get("trustless §3.1.1: a missing block is 404", format!("{absent}?format=raw")).status(404),
            get("trustless §3.1.1: a missing block is 404, by header", &absent).accept(RAW).status(404),
            head("trustless §3.1.1: HEAD of a missing block is 404", format!("{absent}?format=raw")).status(404),
            head("trustless §3.1.1: HEAD of any missing CID is 404", &absent).status(404),
            get("trustless §3.1.1: a CAR whose root is missing is 404", format!("{absent}?format=car"))
                .status(404)
                .not_kubo(),
            head("trustless §3.1.1: HEAD of a CAR whose root is missing is 404", format!("{absent}?format=car"))
                .status(404)
                .not_kubo(),
            get(
                "trustless §3.1.1: a block below a path that is missing",
                format!("/ipfs/{}/absent.txt?format=raw", w.holed_dir),
            )
            .status(404),
            cached(get("trustless §2.1.2: only-if-cached and missing", format!("{absent}?format=raw"))).status(412),
            cached(get("trustless §2.1.2: only-if-cached CAR and missing", format!("{absent}?format=car"))).status(412),
            cached(get("trustless §2.1.2: only-if-cached and there", format!("/ipfs/{}?format=raw", w.cid("files"))))
                .is("content-type", RAW),
            get("trustless: an invalid CID is 400", "/ipfs/not-a-cid?format=raw").status(400),
            get("trustless: an invalid CID is 400 for CARs", "/ipfs/not-a-cid?format=car").status(400),
        ],
    );
}

#[test]
fn hosts_without_deserialized_responses() {
    let w = World::get();
    let (root, file) = (w.cid("files"), w.cid("files/hello.txt"));
    let name = w.site_key.name();
    let ask = |name: &str, target: String| get(format!("trustless host: {name}"), target).host("trustless.test");
    let mut rows = vec![
        ask("a block", format!("/ipfs/{file}?format=raw")).is("content-type", RAW),
        ask("a block by header", format!("/ipfs/{file}")).accept(RAW).is("content-type", RAW),
        ask("a CAR", format!("/ipfs/{root}?format=car")).starts("content-type", "application/vnd.ipld.car"),
        ask("a CAR by header", format!("/ipfs/{root}")).accept("application/vnd.ipld.car"),
        ask("a CAR of a path", format!("/ipfs/{root}/sub/ascii.txt?format=car")),
        ask("an IPNS record", format!("/ipns/{name}?format=ipns-record"))
            .is("content-type", "application/vnd.ipfs.ipns-record"),
        ask("an IPNS record by header", format!("/ipns/{name}")).accept("application/vnd.ipfs.ipns-record"),
        ask("a block below a path", format!("/ipfs/{root}/hello.txt?format=raw")).status(406),
        ask("a file", format!("/ipfs/{file}")).status(406),
        ask("a file in a browser", format!("/ipfs/{file}")).accept("text/html,*/*;q=0.8").status(406),
        ask("a file below a path", format!("/ipfs/{root}/hello.txt")).status(406),
        ask("a listing", format!("/ipfs/{root}/")).status(406),
        ask("a directory without its slash", format!("/ipfs/{root}")).status(406),
        ask("a part of a file", format!("/ipfs/{file}")).with("Range", "bytes=0-1").status(406),
        ask("a file behind a name", format!("/ipns/{name}/hello.txt")).status(406),
        ask("a block behind a name", format!("/ipns/{name}?format=raw")).status(406),
        ask("a CAR behind a name", format!("/ipns/{name}?format=car")).status(406),
        ask("a record of a domain", "/ipns/dnslink.test?format=ipns-record".to_owned()).status(406),
        ask("the host's own domain", "/".to_owned()).statuses(&[404, 406]),
        ask("a domain's block", "/?format=raw".to_owned()).statuses(&[404, 406]),
        ask("HEAD of a file", format!("/ipfs/{file}")).status(406),
        get("trustless host: named by a proxy", format!("/ipfs/{file}"))
            .with("X-Forwarded-Host", "trustless.test")
            .status(406),
        get("trustless host: on a subdomain", "/hello.txt").host(format!("{root}.ipfs.trustless-sub.test")).status(406),
        get("trustless host: a block on a subdomain", "/?format=raw")
            .host(format!("{root}.ipfs.trustless-sub.test"))
            .is("content-type", RAW),
        get("trustless host: others serve files still", format!("/ipfs/{file}")),
    ];
    for format in ["tar", "dag-json", "dag-cbor", "json", "cbor"] {
        let kind = if format == "tar" { "application/x-tar".to_owned() } else { format!("application/{format}") };
        rows.push(ask(&format!("format={format}"), format!("/ipfs/{root}/?format={format}")).status(406));
        rows.push(ask(&format!("Accept: {kind}"), format!("/ipfs/{}", w.docs["json"])).accept(kind).status(406));
    }
    check(w, rows);
}
