//! CARs that declare more than they hold.

use crate::world::{MAX_MEMORY, MAX_TIME, refuse, run};
use cairn_store::{
    Block,
    block::Prefix,
    car::{write_header, write_section},
    cid::codec,
};
use cairn_tests::{harness::Node, process};
use std::{fs, path::Path};

fn varint(value: u64) -> Vec<u8> {
    unsigned_varint::encode::u64(value, &mut unsigned_varint::encode::u64_buffer()).to_vec()
}

fn empty_car() -> Vec<u8> {
    let mut out = Vec::new();
    write_header(&mut out, &[]).expect("a Vec takes all");
    out
}

fn v2(offset: u64, size: u64, data: &[u8]) -> Vec<u8> {
    let mut out = b"\x0a\xa1\x67version\x02".to_vec();
    out.extend_from_slice(&[0; 16]);
    for number in [offset, size, 0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(data);
    out
}

#[test]
fn huge_declared_lengths_are_refused_at_once() {
    let node = Node::new();
    let mut cars: Vec<(String, Vec<u8>)> = Vec::new();
    for len in [1 << 25, (1 << 25) + 1, 1 << 40, i64::MAX as u64, u64::MAX] {
        cars.push((format!("header of {len}"), varint(len)));
    }
    for len in [1 << 23, (1 << 23) + 1, 1 << 31, 1 << 40, i64::MAX as u64, u64::MAX] {
        cars.push((format!("section of {len}"), [empty_car(), varint(len), vec![1, 0x55, 0x12, 0x20]].concat()));
    }
    // Lists, texts and bytes with 2^32 and 2^64 - 1 items or bytes, none of them there.
    for major in [0x80u8, 0xa0, 0x60, 0x40] {
        for size in [&[0x1a, 0xff, 0xff, 0xff, 0xff][..], &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]] {
            let item = [&[major | size[0]], &size[1..]].concat();
            for header in [item.clone(), [b"\xa2\x65roots".to_vec(), item].concat()] {
                cars.push((format!("CBOR {major:x}"), [varint(header.len() as u64), header].concat()));
            }
        }
    }
    cars.push(("nested lists".into(), [varint(1 << 20), vec![0x81; 1 << 20]].concat()));
    cars.push(("nested tags".into(), [varint(1 << 20), vec![0xd8; 1 << 20]].concat()));
    for (offset, size) in [(51, u64::MAX), (u64::MAX, 1), (1 << 62, 1 << 62), (0, 10), (51, 1 << 40), (51, 3)] {
        cars.push((format!("CARv2 {offset} {size}"), v2(offset, size, &empty_car())));
    }
    for (name, bytes) in cars {
        let path = node.file("hostile.car", &bytes);
        let message = refuse(&node, [Path::new("dag"), Path::new("import"), &path]);
        assert!(message.len() < 500, "{name}: {message}");
    }
    assert_eq!(run(&node, ["refs", "local"]).text(), "", "nothing of them was stored");
}

#[test]
fn a_header_of_32_mib_stays_within_memory() {
    let node = Node::new();
    // As many roots as fit, all of them well formed: more than are accepted.
    let link = [&[0xd8, 0x2a, 0x45, 0x00, 0x01, 0x55, 0x00, 0x00][..]].concat();
    let count = (32usize << 20) / link.len() - 10;
    let mut header = b"\xa2\x65roots\x9a".to_vec();
    header.extend_from_slice(&(count as u32).to_be_bytes());
    let path = node.work().join("hostile.car");
    header.extend(link.repeat(count));
    header.extend_from_slice(b"\x67version\x01");
    fs::write(&path, [varint(header.len() as u64), header].concat()).expect("the working directory is writable");
    refuse(&node, [Path::new("dag"), Path::new("import"), &path]);
}

#[test]
fn a_stream_without_end_is_refused_where_it_goes_wrong() {
    let node = Node::new();
    let mut command = node.command(["dag", "import"]);
    let endless = std::io::Read::chain(std::io::Cursor::new(empty_car()), std::io::repeat(0));
    let outcome = process::run(&mut command, Some(Box::new(endless))).expect("the program can be started");
    assert_eq!(outcome.status.code(), Some(1), "{}", outcome.errors());
    assert!(outcome.usage.peak_rss < MAX_MEMORY && outcome.usage.wall < MAX_TIME);
}

/// A hundred thousand tiny blocks, and then one whose bytes are wrong: nothing is pinned, and what the store
/// held before is still there.
#[test]
fn a_lie_at_the_end_leaves_no_pin() {
    let node = Node::new();
    let kept = node.feed_bytes(["add", "-Q"], "kept");
    let seal = |data: Vec<u8>| Block::seal(Prefix::v1(codec::RAW), data.into()).expect("SHA-256 takes all");
    let root = seal(0u32.to_be_bytes().to_vec());
    let mut bytes = Vec::new();
    write_header(&mut bytes, &[*root.cid()]).expect("a Vec takes all");
    for i in 0..100_000u32 {
        write_section(&mut bytes, &seal(i.to_be_bytes().to_vec())).expect("a Vec takes all");
    }
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let path = node.file("hostile.car", &bytes);
    drop(bytes);
    let message = refuse(&node, [Path::new("dag"), Path::new("import"), &path]);
    assert!(message.contains("import failed at block"), "{message}");
    let pins = run(&node, ["pin", "ls", "--type=recursive", "-q"]).text();
    assert!(pins.lines().all(|pin| pin == kept), "{pins}");
    assert_eq!(run(&node, ["cat", &kept]).text(), "kept");
}
