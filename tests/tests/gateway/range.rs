//! Path Gateway Specification of 2026-03-05, §2.1.4, §3.1.2, §3.2.8 and §3.2.9, with RFC 9110 §13.1.5 and §14: parts of
//! files.
//!
//! Left open by the texts, so that several answers pass: more than one range in a request (the first, all in one body, or
//! the whole file); a header that makes no sense (refused or ignored); and ranges with HEAD. Kubo sends the wrong bytes where
//! `If-Range` does not hold.

use crate::{
    table::{Row, check, get, head},
    world::{DATED, LEAF, MULTI, World, digits},
};
use cairn_tests::keystream;

/// A part of the 1,000 digits.
fn part(name: &str, range: &str, from: usize, to: usize) -> Row {
    ask(name, range)
        .status(206)
        .is("content-range", format!("bytes {from}-{to}/1000"))
        .is("content-length", (to - from + 1).to_string())
        .body(&digits(1000)[from..=to])
}

fn ask(name: &str, range: &str) -> Row {
    get(format!("path §2.1.4: {name}"), World::get().at("files/digits.txt")).with("Range", range)
}

/// The whole file, as if there had been no range.
fn whole(row: Row) -> Row {
    row.status(200).lacks("content-range").is("content-length", "1000").body(digits(1000))
}

#[test]
fn single_ranges() {
    let w = World::get();
    check(
        w,
        vec![
            part("the first bytes", "bytes=0-9", 0, 9),
            part("one byte", "bytes=0-0", 0, 0),
            part("the last byte", "bytes=999-999", 999, 999),
            part("bytes within", "bytes=123-456", 123, 456),
            part("from a byte on", "bytes=990-", 990, 999),
            part("from the first byte on", "bytes=0-", 0, 999),
            part("the last bytes", "bytes=-5", 995, 999),
            part("more last bytes than there are", "bytes=-5000", 0, 999).not_kubo(),
            part("an end beyond the file", "bytes=990-5000", 990, 999),
            part("spaces around", "bytes= 5-9 ", 5, 9),
            whole(get("path §2.1.4: no range", w.at("files/digits.txt"))).is("accept-ranges", "bytes"),
            part("a part has what the whole has", "bytes=5-9", 5, 9)
                .is("accept-ranges", "bytes")
                .starts("content-type", "text/plain")
                .is("x-ipfs-path", w.at("files/digits.txt"))
                .is("x-ipfs-roots", w.roots("files/digits.txt"))
                .is("cache-control", "public, max-age=29030400, immutable")
                .has("etag", w.cid("files/digits.txt")),
            get("path §2.1.4: a part below a domain", "/ipns/dnslink.test/digits.txt")
                .with("Range", "bytes=10-12")
                .status(206)
                .body("012"),
            get("path §2.1.4: a part of a raw leaf", format!("/ipfs/{}", w.cid("files/digits.txt")))
                .with("Range", "bytes=10-12")
                .status(206)
                .body("012"),
            get("path §2.1.4: a part of a file in a dag-pb block", format!("/ipfs/{}", w.v0.0))
                .with("Range", "bytes=3-5")
                .status(206)
                .is("content-range", "bytes 3-5/11")
                .body("old"),
            get("path §2.1.4: a listing has no parts", format!("{}/", w.at("files/sub")))
                .with("Range", "bytes=0-9")
                .lacks("content-range")
                .body_has("ascii.txt"),
        ],
    );
}

#[test]
fn ranges_that_cannot_be() {
    let w = World::get();
    let beyond = |name: &str, range: &str| ask(name, range).status(416).is("content-range", "bytes */1000");
    let senseless = |range: &str| ask(&format!("senseless: {range}"), range).statuses(&[200, 400, 416]);
    let empty = w.at("files/empty.txt");
    check(
        w,
        vec![
            beyond("behind the end", "bytes=1000-"),
            beyond("far behind the end", "bytes=5000-6000"),
            beyond("behind the end, of one byte", "bytes=1000-1000"),
            ask("the last zero bytes", "bytes=-0").statuses(&[200, 206, 400, 416]),
            senseless("bytes=9-5"),
            senseless("bytes=a-b"),
            senseless("bytes=-"),
            senseless("bytes="),
            senseless("bytes=5"),
            senseless("bytes=--5"),
            senseless("bytes=99999999999999999999-"),
            ask("another unit is ignored or refused", "items=0-5").statuses(&[200, 400, 416]),
            get("path §2.1.4: an empty file has no parts, but is there", &empty)
                .with("Range", "bytes=0-1048575")
                .is("content-length", "0")
                .body(""),
            get("path §2.1.4: nor has the empty identity CID", "/ipfs/bafkqaaa")
                .with("Range", "bytes=0-1048575")
                .is("content-length", "0")
                .body(""),
        ],
    );
}

#[test]
fn several_ranges() {
    let w = World::get();
    let all = digits(1000);
    let open = |name: &str, range: &str, first: std::ops::RangeInclusive<usize>| {
        let all = all.clone();
        ask(name, range).statuses(&[200, 206]).check(move |response| {
            let kind = response.header("content-type").unwrap_or_default();
            let wanted = format!("bytes {}-{}/1000", first.start(), first.end());
            match response.header("content-range") {
                Some(range) if range == wanted && response.text() == all[first.clone()] => Ok(()),
                None if response.status == 200 && response.text() == all => Ok(()),
                None if kind.starts_with("multipart/byteranges") && response.text().contains(&all[first.clone()]) => {
                    Ok(())
                }
                _ => Err("the first range, all of them, or the whole file".to_owned()),
            }
        })
    };
    check(
        w,
        vec![
            open("two ranges", "bytes=10-14,20-24", 10..=14),
            open("three ranges", "bytes=1-2, 4-5, 7-8", 1..=2),
            open("two ranges, the later first", "bytes=20-24,10-14", 20..=24),
            open("a range and the last bytes", "bytes=0-1,-2", 0..=1),
        ],
    );
}

#[test]
fn large_files() {
    let w = World::get();
    let bytes = keystream::bytes("multi", MULTI);
    let holed = &w.holed;
    let of = |name: String, path: String, bytes: &[u8], from: usize, to: usize| {
        get(name, path)
            .with("Range", format!("bytes={from}-{to}"))
            .status(206)
            .is("content-range", format!("bytes {from}-{to}/{MULTI}"))
            .body(&bytes[from..=to])
    };
    let mut rows = Vec::new();
    for (from, to) in [
        (0, LEAF - 1),
        (LEAF - 1, LEAF),
        (LEAF, 2 * LEAF - 1),
        (1000, 2 * LEAF + 1000),
        (3 * LEAF, MULTI - 1),
        (0, MULTI - 1),
    ] {
        rows.push(of(
            format!("path §2.1.4: {from} to {to} of many blocks"),
            w.at("files/sub/multi.bin"),
            &bytes,
            from,
            to,
        ));
    }
    for (from, to) in [(0, 999), (0, 2 * LEAF - 1), (3 * LEAF, MULTI - 1), (3 * LEAF + 7, 3 * LEAF + 7)] {
        let name = format!("path §2.1.4: {from} to {to}, beside a hole");
        rows.push(of(name, format!("/ipfs/{}", holed.cid), &holed.bytes, from, to));
    }
    rows.extend([
        get("path §2.1.4: the last bytes, behind a hole", format!("/ipfs/{}", holed.cid))
            .with("Range", "bytes=-1000")
            .status(206)
            .body(&holed.bytes[MULTI - 1000..]),
        get("path §3.1.5: a part that is missing", format!("/ipfs/{}", holed.cid))
            .with("Range", format!("bytes={}-{}", 2 * LEAF, 2 * LEAF + 9))
            .statuses(&[206, 404, 500, 502, 504])
            .check(|response| match response.status {
                206 if response.whole => Err("no whole answer of bytes that are not there".to_owned()),
                _ => Ok(()),
            })
            .may_break(),
        head("path §1.2: HEAD needs no leaves", format!("/ipfs/{}", holed.cid))
            .is("content-length", MULTI.to_string())
            .given("content-type"),
        get("path §3.1: a file with a hole does not come whole", format!("/ipfs/{}", holed.cid))
            .statuses(&[200, 404, 500, 502, 504])
            .check(|response| match response.status {
                200 if response.whole => Err("no whole answer of bytes that are not there".to_owned()),
                _ => Ok(()),
            })
            .may_break(),
    ]);
    check(w, rows);
}

#[test]
fn if_range() {
    let w = World::get();
    let etag = format!("\"{}\"", w.cid("files/digits.txt"));
    let only = |name: &str, value: &str| {
        get(format!("RFC 9110 §13.1.5: {name}"), w.at("files/digits.txt"))
            .with("Range", "bytes=5-9")
            .with("If-Range", value)
    };
    let dated = |name: &str, value: &str| {
        get(format!("RFC 9110 §13.1.5: {name}"), w.at("dated/file.txt"))
            .with("Range", "bytes=0-1")
            .with("If-Range", value)
    };
    let first = get("RFC 9110 §14.2: a condition that holds goes before the range", w.at("files/digits.txt"));
    check(
        w,
        vec![
            only("the same ETag", &etag).status(206).body("56789"),
            whole(only("another ETag", "\"other\"")).not_kubo(),
            whole(only("a weak ETag never matches", &format!("W/{etag}"))).not_kubo(),
            whole(only("a date where none is known", DATED.1)).not_kubo(),
            whole(only("what is neither", "nonsense")).not_kubo(),
            dated("the date of the file", DATED.1).status(206).body("da"),
            dated("an earlier date", "Tue, 14 Nov 2023 22:13:19 GMT").status(200).body("dated\n"),
            first.with("Range", "bytes=5-9").with("If-None-Match", &etag).status(304),
        ],
    );
}
