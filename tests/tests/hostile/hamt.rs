//! Sharded directories that contradict themselves.

use crate::world::{Maker, refuse, run};
use cairn_store::Cid;
use cairn_tests::harness::Node;

const MURMUR: u64 = 0x22;

#[test]
fn shards_with_a_bogus_width_or_bitfield_are_refused() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let leaf = maker.raw(b"x");
    let mut bad: Vec<(&str, Cid)> = Vec::new();
    for fanout in [0, 1, 3, 7, 255, 2048, 1 << 20, 1 << 31, 1 << 32, 1 << 63, u64::MAX] {
        bad.push(("a width that can't be", maker.shard(&[1], fanout, MURMUR, &[("00x", leaf)])));
    }
    bad.push(("a bit without its link", maker.shard(&[3], 256, MURMUR, &[("00x", leaf)])));
    bad.push(("a link without its bit", maker.shard(&[1], 256, MURMUR, &[("00x", leaf), ("01y", leaf)])));
    bad.push(("no bits", maker.shard(&[], 256, MURMUR, &[("00x", leaf)])));
    bad.push(("more bits than the width", maker.shard(&[1; 33], 256, MURMUR, &[("00x", leaf); 33])));
    bad.push(("a bitfield of a megabyte", maker.shard(&vec![0; 1 << 20], 256, MURMUR, &[])));
    bad.push(("another hash function", maker.shard(&[1], 256, 0x12, &[("00x", leaf)])));
    bad.push(("a name without its digits", maker.shard(&[1], 256, MURMUR, &[("", leaf)])));
    bad.push(("digits of another index", maker.shard(&[1], 256, MURMUR, &[("FFx", leaf)])));
    maker.import(&node);
    for (why, cid) in bad {
        for command in [&["ls"][..], &["ls", "--size=false", "--resolve-type=false"], &["get", "-o", "out"]] {
            let mut args = command.to_vec();
            let cid = cid.to_string();
            args.push(&cid);
            let message = refuse(&node, &args);
            assert!(message.len() < 2000, "{why}: a message of {} bytes", message.len());
        }
        refuse(&node, ["cat", &format!("/ipfs/{cid}/x")]);
    }
}

#[test]
fn shards_below_shards_end_with_the_hash() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let mut root = maker.raw(b"x");
    // Eight levels use up the 64 bits of a hash at a width of 256; this has 5,000.
    for level in 0..5_000 {
        root = maker.shard(&[1], 256, MURMUR, &[(if level == 0 { "00x" } else { "00" }, root)]);
    }
    maker.import(&node);
    let root = root.to_string();
    refuse(&node, ["ls", &root]);
    refuse(&node, ["cat", &format!("/ipfs/{root}/x")]);
    refuse(&node, ["get", "-o", "out", &root]);
    // As a DAG it is a chain like any other.
    assert!(run(&node, ["pin", "add", &root]).status.success());
}

/// One shard at all 256 indices of its parent, three levels of them: 16 million entries from four blocks.
#[test]
fn one_shard_in_every_place_is_not_listed_for_ever() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let mut root = maker.raw(b"x");
    let names: Vec<Vec<String>> = ["x", "", ""].map(|n| (0..256).map(|i| format!("{i:02X}{n}")).collect()).to_vec();
    for names in &names {
        let links: Vec<(&str, Cid)> = names.iter().map(|name| (name.as_str(), root)).collect();
        root = maker.shard(&[0xff; 32], 256, MURMUR, &links);
    }
    maker.import(&node);
    // An entry stands where its name's hash says, so all but a few of these are in the wrong place.
    refuse(&node, ["ls", &root.to_string()]);
    refuse(&node, ["get", "-o", "out", &root.to_string()]);
}
