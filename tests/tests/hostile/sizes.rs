//! Files and directories that lie about sizes.

use crate::world::{Maker, refuse, run};
use bytes::Bytes;
use cairn_store::{
    Cid,
    dag::pb::PbLink,
    unixfs::{
        hamt,
        node::{Data, Kind},
    },
};
use cairn_tests::harness::Node;
use std::collections::BTreeMap;

#[test]
fn files_that_lie_about_their_parts_are_refused_before_a_wrong_byte_is_given() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let leaf = maker.raw(b"0123456789");
    let inner = maker.file(&[(leaf, 10)], Some(10));
    let lies = [
        ("too long", maker.file(&[(leaf, 11)], Some(11))),
        ("too short", maker.file(&[(leaf, 9), (leaf, 10)], Some(19))),
        ("huge", maker.file(&[(leaf, 1 << 60)], Some(1 << 60))),
        ("a sum that wraps", maker.file(&[(leaf, u64::MAX), (leaf, 11)], Some(10))),
        ("another total", maker.file(&[(leaf, 10)], Some(1 << 50))),
        ("an inner node that is longer", maker.file(&[(inner, 20)], Some(20))),
        ("no sizes", maker.node(&Data::new(Kind::File), vec![PbLink::new(leaf, "", 10)])),
        ("a part with a name", {
            let mut data = Data::new(Kind::File);
            data.blocksizes = vec![10];
            maker.node(&data, vec![PbLink::new(leaf, "x", 10)])
        }),
    ];
    maker.import(&node);
    for (why, cid) in lies {
        let cid = cid.to_string();
        refuse(&node, ["cat", &cid]);
        refuse(&node, ["get", "-o", "out", &cid]);
        refuse(&node, ["get", "-a", "-o", "out.tar", &cid]);
        assert!(!node.work().join("out").exists(), "{why}: a wrong file was left behind");
        run(&node, ["ls", "-s", &cid]);
        run(&node, ["cat", "-o", "5", "-l", "1", &cid]);
    }
}

#[test]
fn sizes_of_links_are_shown_and_never_believed() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let leaf = maker.raw(b"0123456789");
    let directory = Data::new(Kind::Directory);
    let root = maker.node(&directory, vec![PbLink::new(leaf, "file", u64::MAX), PbLink::new(leaf, "other", 0)]);
    maker.import(&node);
    let root = root.to_string();
    assert!(run(&node, ["ls", "-s", &root]).status.success());
    let got = run(&node, ["get", "-o", "out", &root]);
    assert!(got.status.success(), "{}", got.errors());
    assert_eq!(std::fs::read(node.work().join("out/file")).expect("it was written"), b"0123456789");
    assert!(run(&node, ["get", "-a", "-o", "out.tar", &root]).status.success());
    assert!(run(&node, ["dag", "stat", "--progress=false", &root]).status.success());
}

/// Bytes that claim to be one, and cost whoever reads ahead 2 MiB.
fn big(maker: &mut Maker) -> Cid {
    maker.raw(&vec![0; 2 << 20])
}

#[test]
fn what_is_read_ahead_on_a_long_way_down_a_file_does_not_pile_up() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let (big, mut root, mut size) = (big(&mut maker), maker.raw(b"x"), 1);
    for _ in 0..40 {
        let mut parts = vec![(big, 1); 32];
        parts[0] = (root, size);
        size += 31;
        root = maker.file(&parts, Some(size));
    }
    maker.import(&node);
    refuse(&node, ["cat", &root.to_string()]);
    refuse(&node, ["get", "-o", "out", &root.to_string()]);
}

#[test]
fn what_is_read_ahead_on_a_long_way_down_directories_does_not_pile_up() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let (big, leaf) = (big(&mut maker), maker.raw(b"x"));
    // Names whose hashes begin with eight zeros, by the next eight bits.
    let mut names = BTreeMap::new();
    for name in (0u32..).map(|i| i.to_string()) {
        let [0, slot, ..] = hamt::hash_name(name.as_bytes()).to_be_bytes() else { continue };
        names.insert(usize::from(slot), format!("{slot:02X}{name}"));
        if names.len() == 20 {
            break;
        }
    }
    let mut field = [0; 32];
    names.keys().for_each(|slot| field[31 - slot / 8] |= 1 << (slot % 8));
    let slots: Vec<String> = (0..32).map(|i| format!("{i:02X}")).collect();
    let mut root = leaf;
    for _ in 0..40 {
        let mut links: Vec<_> = names.values().map(|name| (name.as_str(), leaf)).collect();
        links[0].1 = root;
        let first = maker.shard(&field, 256, 0x22, &links);
        let mut links: Vec<_> = slots.iter().map(|slot| (slot.as_str(), big)).collect();
        links[0].1 = first;
        root = maker.shard(&[0xff; 4], 256, 0x22, &links);
    }
    maker.import(&node);
    refuse(&node, ["get", "-o", "out", &root.to_string()]);
    refuse(&node, ["get", "-a", "-o", "out.tar", &root.to_string()]);
}

#[test]
fn names_on_a_long_way_down_do_not_keep_their_blocks() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let leaf = maker.raw(b"x");
    let mut root = leaf;
    let filler = Bytes::from(vec![0; (2 << 20) - 1000]);
    for _ in 0..200 {
        let data = Data { data: Some(filler.clone()), ..Data::new(Kind::File) };
        root = maker.node(&data, vec![PbLink::new(root, "a", 1), PbLink::new(leaf, "b", 1)]);
    }
    maker.import(&node);
    let refs = run(&node, ["refs", "-r", &root.to_string()]);
    assert_eq!(refs.text().lines().count(), 400, "{}", refs.errors());
}
