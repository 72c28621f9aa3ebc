//! Files and directories that lie about sizes.

use crate::world::{Maker, refuse, run};
use cairn_store::{
    dag::pb::PbLink,
    unixfs::node::{Data, Kind},
};
use cairn_tests::harness::Node;

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
