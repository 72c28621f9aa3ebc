//! IPIP-328 of 2022-10-07 and IPIP-524 of 2026-03-05, and the Path Gateway Specification of 2026-03-05, §2.1.3, §3.1.6,
//! §3.3 and A.1.4: documents of dag-cbor, dag-json, cbor and json.
//!
//! Where text and practice differ: `format=json` on dag-json and `format=cbor` on dag-cbor are served, as deployed gateways
//! do. Left open by the text, so that both answers pass: json asked of a file that is none.

use crate::{
    table::{Row, check, get, head},
    world::{HELLO, SCRIPT, World},
};
use cairn_tests::{
    gateway::{self, Gateway},
    http::Response,
};

/// Names of the codecs, as parameters, and their media types.
const CODECS: [(&str, &str); 4] = [
    ("dag-json", "application/vnd.ipld.dag-json"),
    ("dag-cbor", "application/vnd.ipld.dag-cbor"),
    ("json", "application/json"),
    ("cbor", "application/cbor"),
];

#[test]
fn documents_as_themselves() {
    let w = World::get();
    let rows = CODECS.iter().flat_map(|(codec, kind)| {
        let (cid, block) = (&w.docs[codec], &w.doc_blocks[codec]);
        let etag = format!("\"{cid}.{codec}\"");
        let served = |row: Row| {
            row.is("content-type", *kind)
                .body(block)
                .is("content-length", block.len().to_string())
                .is("etag", &etag)
                .is("cache-control", "public, max-age=29030400, immutable")
                .is("x-ipfs-roots", cid)
                .is("x-content-type-options", "nosniff")
        };
        [
            served(get(format!("path §3.3: {codec} is its own type"), format!("/ipfs/{cid}"))),
            served(get(format!("IPIP-524: {codec} asked for by parameter"), format!("/ipfs/{cid}?format={codec}"))),
            served(get(format!("IPIP-524: {codec} asked for by header"), format!("/ipfs/{cid}")).accept(*kind)),
            served(get(format!("IPIP-523: {codec} by parameter in a browser"), format!("/ipfs/{cid}?format={codec}")))
                .accept("text/html"),
            get(format!("path §3.3: a part of {codec}"), format!("/ipfs/{cid}"))
                .with("Range", "bytes=1-4")
                .status(206)
                .is("content-range", format!("bytes 1-4/{}", block.len()))
                .body(&block[1..5]),
            get(format!("IPIP-524: {codec} as a raw block"), format!("/ipfs/{cid}?format=raw"))
                .is("content-type", "application/vnd.ipld.raw")
                .body(block),
            head(format!("path §1.2: {codec} asked by HEAD"), format!("/ipfs/{cid}"))
                .is("content-type", *kind)
                .is("content-length", block.len().to_string())
                .is("etag", &etag),
        ]
    });
    check(w, rows.collect());
}

#[test]
fn no_conversion() {
    let w = World::get();
    let mut rows = Vec::new();
    for (codec, _) in CODECS {
        for (wanted, kind) in CODECS.iter().filter(|(wanted, _)| *wanted != codec) {
            let cid = &w.docs[codec];
            let row = |how: &str, target: String| get(format!("IPIP-524: {codec} as {wanted}, by {how}"), target);
            let both = [
                row("parameter", format!("/ipfs/{cid}?format={wanted}")),
                row("header", format!("/ipfs/{cid}")).accept(*kind),
            ];
            let plain = codec.strip_prefix("dag-") == Some(wanted);
            rows.extend(both.map(|row| match plain {
                true => row.is("content-type", *kind).body(&w.doc_blocks[codec]),
                // Kubo says 400 to the two plain types.
                false if wanted.starts_with("dag-") => row.status(406),
                false => row.status(406).not_kubo(),
            }));
        }
    }
    let dir = format!("{}/", w.at("files/sub"));
    for (what, path) in [
        ("a file", w.at("files/hello.txt")),
        ("a directory", dir),
        ("a file of version 0", format!("/ipfs/{}", w.v0.0)),
    ] {
        for (wanted, kind) in &CODECS[..2] {
            rows.push(get(format!("IPIP-524: {what} as {wanted}"), format!("{path}?format={wanted}")).status(406));
            rows.push(get(format!("IPIP-524: {what}, Accept: {kind}"), &path).accept(*kind).status(406));
        }
    }
    rows.extend([
        get("IPIP-524: a JSON file as json, by header", w.at("files/data.json"))
            .accept("application/json")
            .starts("content-type", "application/json")
            .body("{\"a\": 1}\n"),
        get("IPIP-524: a JSON file as json, by parameter", format!("{}?format=json", w.at("files/data.json")))
            .starts("content-type", "application/json")
            .body("{\"a\": 1}\n"),
        get("IPIP-524: a raw block with JSON as json", format!("/ipfs/{}?format=json", w.cid("files/data.json")))
            .body("{\"a\": 1}\n"),
        get("IPIP-524: json of a file that is none is left open", format!("{}?format=json", w.at("files/hello.txt")))
            .statuses(&[200, 406]),
        get("IPIP-524: cbor of a file is left open", format!("{}?format=cbor", w.at("files/hello.txt")))
            .statuses(&[200, 406]),
        get("path §3.1.6: an archive of what is no UnixFS", format!("/ipfs/{}?format=tar", w.docs["dag-cbor"]))
            .status(406)
            .not_kubo(),
        get("path §2.1.3: an archive of what is no UnixFS, by header", format!("/ipfs/{}", w.docs["dag-json"]))
            .accept("application/x-tar")
            .status(406)
            .not_kubo(),
        get("path §2.1.3: a record of what is no name", format!("/ipfs/{}?format=ipns-record", w.docs["json"]))
            .status(400),
    ]);
    check(w, rows);
}

#[test]
fn pages() {
    let w = World::get();
    let (cbor, json) = (&w.docs["dag-cbor"], &w.docs["dag-json"]);
    let html = "text/html,application/xhtml+xml,*/*;q=0.8";
    let page = |row: Row, cid: &str| {
        row.accept(html)
            .starts("content-type", "text/html")
            .starts("etag", "\"DagIndex-")
            .has("etag", format!("_CID-{cid}\""))
            .lacks("cache-control")
            .lacks("content-disposition")
            .is("x-ipfs-roots", cid)
            .body_has("<!DOCTYPE html>")
            .body_has(cid)
    };
    let escaped = |response: &Response| match response.text() {
        text if text.contains(SCRIPT) => Err("no script of the document".to_owned()),
        text if !text.contains("hacked") => Err("the text of the document".to_owned()),
        _ => Ok(()),
    };
    let plain = |name: &str, target: String, codec: &str| {
        get(format!("path §3.3: {name}"), target).accept(html).body(&w.doc_blocks[codec])
    };
    check(
        w,
        vec![
            get("path §3.3: a page of dag-cbor has a trailing slash", format!("/ipfs/{cbor}"))
                .accept(html)
                .status(301)
                .is("location", format!("/ipfs/{cbor}/")),
            get("path §3.3: a page of dag-json too", format!("/ipfs/{json}"))
                .accept(html)
                .status(301)
                .is("location", format!("/ipfs/{json}/")),
            page(get("path §3.3: a page of dag-cbor", format!("/ipfs/{cbor}/")), cbor)
                .check(escaped)
                .body_has("?format=raw")
                .body_has("?format=dag-cbor")
                .body_lacks("?format=dag-json"),
            page(get("path §3.3: a page of dag-json", format!("/ipfs/{json}/")), json)
                .check(escaped)
                .body_has("?format=dag-json"),
            page(get("path §3.3: its links lead on", format!("/ipfs/{cbor}/")), cbor)
                .body_has(w.cid("files/sub"))
                .body_has(&w.docs["leaf"]),
            page(get("path §3.3: a page on a subdomain", "/").host(format!("{cbor}.ipfs.example.com")), cbor),
            plain("cbor has no page", format!("/ipfs/{}", w.docs["cbor"]), "cbor")
                .is("content-type", "application/cbor"),
            plain("json has no page", format!("/ipfs/{}", w.docs["json"]), "json")
                .is("content-type", "application/json"),
            plain("to be saved it is no page", format!("/ipfs/{cbor}?download=true"), "dag-cbor")
                .starts("content-disposition", "attachment"),
            get("path §3.3: with a slash but no browser it is data", format!("/ipfs/{cbor}/"))
                .body(&w.doc_blocks["dag-cbor"])
                .is("content-type", "application/vnd.ipld.dag-cbor"),
        ],
    );
}

#[test]
fn paths_through_documents() {
    let w = World::get();
    let rows = ["dag-cbor", "dag-json"].into_iter().flat_map(|codec| {
        let cid = &w.docs[codec];
        let ask = |name: &str, path: &str| get(format!("path A.1.4: {name} in {codec}"), format!("/ipfs/{cid}/{path}"));
        [
            ask("a link", "leaf")
                .body(&w.doc_blocks["leaf"])
                .is("content-type", "application/vnd.ipld.dag-cbor")
                .is("x-ipfs-roots", format!("{cid},{}", w.docs["leaf"])),
            ask("a link behind a link", "leaf/hello").body(HELLO),
            ask("a link below a field", "nested/deep").body(HELLO).has("x-ipfs-roots", w.cid("files/hello.txt")),
            ask("a file behind a link", "dir/ascii.txt").body("ascii\n"),
            ask("a directory behind a link, redirected", "dir").status(301).is("location", format!("/ipfs/{cid}/dir/")),
            ask("a number is no link", "number").status(501),
            ask("a map is no link", "nested").status(501),
            ask("an item of a list is no link", "list/0").status(501),
            ask("a field that is not there", "no-such").status(404),
            ask("a field that is not there, below a link", "leaf/no-such").status(404),
            ask("nothing lies below a number", "number/x").statuses(&[404, 501]),
        ]
    });
    let plain = ["json", "cbor"].map(|codec| {
        get(format!("path A.1.4: {codec} has no links"), format!("/ipfs/{}/a", w.docs[codec])).statuses(&[404, 501])
    });
    check(w, rows.chain(plain).collect());
}

/// `Gateway.AllowCodecConversion` (IPIP-524, "opt-in backward compatibility").
#[test]
fn conversion_where_it_is_allowed() {
    let node = gateway::node();
    node.ok(["config", "--json", "Gateway.AllowCodecConversion", "true"]);
    let doc = node.feed_bytes(["dag", "put"], r#"{"a": [1, "b"]}"#);
    let file = node.feed_bytes(["add", "-Q", "--cid-version=1", "--raw-leaves=false"], "12345");
    let gateway = Gateway::start(node, &[]);
    check(
        &gateway,
        vec![
            get("IPIP-524: dag-cbor becomes dag-json", format!("/ipfs/{doc}?format=dag-json"))
                .is("content-type", "application/vnd.ipld.dag-json")
                .is("etag", format!("\"{doc}.dag-json\""))
                .body(r#"{"a":[1,"b"]}"#),
            get("IPIP-524: dag-pb becomes dag-json", format!("/ipfs/{file}?format=dag-json"))
                .is("content-type", "application/vnd.ipld.dag-json")
                .body(r#"{"Data":{"/":{"bytes":"CAISBTEyMzQ1GAU"}},"Links":[]}"#),
            get("IPIP-524: what matches stays", format!("/ipfs/{doc}?format=dag-cbor"))
                .is("content-type", "application/vnd.ipld.dag-cbor")
                .body(b"\xa1\x61a\x82\x01\x61b"),
        ],
    );
}
