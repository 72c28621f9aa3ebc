use super::*;
use crate::{block::Prefix, dag::pb::PbNode};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn leaf(content: &str) -> Block {
    Block::seal(Prefix::V0, bytes::Bytes::copy_from_slice(content.as_bytes())).expect("seals")
}

fn build(profile: &Profile, entries: &[(String, String)]) -> (Root, Vec<Block>) {
    let mut dir = DirBuilder::new(profile, FileMeta::NONE);
    for (name, content) in entries {
        dir.add(name, leaf(content).cid(), content.len() as u64).expect("a good name");
    }
    let mut out = Vec::new();
    (dir.finish(&mut out).expect("builds"), out)
}

/// Reads a directory back: every name with the CID that it leads to, and the size of the tree.
fn read(root: &Root, blocks: &[Block], prefix: usize) -> BTreeMap<String, Cid> {
    let mut found = BTreeMap::new();
    let mut todo = vec![(root.cid, root.tsize)];
    while let Some((cid, tsize)) = todo.pop() {
        let block = blocks.iter().find(|b| *b.cid() == cid).expect("was emitted");
        let node = PbNode::decode(block.data()).expect("dag-pb");
        let below: u64 = node.links.iter().filter_map(|l| l.tsize).sum();
        assert_eq!(tsize, block.data().len() as u64 + below);
        let data = Data::decode(node.data.as_ref().expect("data")).expect("unixfs");
        let skip = if data.kind == Kind::HamtShard { prefix } else { 0 };
        if skip > 0 {
            let bits: u32 = data.data.expect("a bitfield").iter().map(|b| b.count_ones()).sum();
            assert_eq!(bits as usize, node.links.len());
            let only = (bits == 1).then(|| node.links[0].name().len() - skip);
            assert!(only.is_none_or(|rest| rest == 0), "a shard for one entry");
        }
        assert!(node.links.is_sorted_by(|a, b| a.name() < b.name()));
        for link in node.links {
            let name = String::from_utf8(link.name()[skip..].to_vec()).expect("utf-8");
            if name.is_empty() {
                todo.push((link.cid, link.tsize.expect("a size")));
            } else {
                assert!(found.insert(name, link.cid).is_none());
            }
        }
    }
    found
}

proptest! {
    #[test]
    fn order_does_not_matter_and_the_last_of_a_name_stays(
        mut entries in proptest::collection::vec(("[a-e]{1,4}", "[x-z]{1,2}"), 0..200),
        fanout in prop_oneof![Just(8usize), Just(16), Just(256), Just(1024)],
        max_dir_links in 0usize..40,
        rotate in 0usize..200,
    ) {
        let profile = Profile { max_hamt_fanout: fanout, max_dir_links, ..Profile::cid_v1() };
        let (root, blocks) = build(&profile, &entries);
        let want: BTreeMap<String, Cid> =
            entries.iter().map(|(name, content)| (name.clone(), *leaf(content).cid())).collect();
        prop_assert_eq!(read(&root, &blocks, hamt::prefix_len(fanout)), want.clone());
        let sharded = max_dir_links > 0 && want.len() > max_dir_links;
        let top = PbNode::decode(blocks.last().expect("a root").data()).expect("dag-pb").data.expect("data");
        let kind = if sharded { Kind::HamtShard } else { Kind::Directory };
        prop_assert_eq!(Data::decode(&top).expect("unixfs").kind, kind);
        // Another order, without the entries that were replaced.
        entries = want.keys().filter_map(|name| entries.iter().rfind(|e| e.0 == *name).cloned()).collect();
        let len = entries.len().max(1);
        entries.rotate_left(rotate % len);
        prop_assert_eq!(build(&profile, &entries).0, root);
    }
}

#[test]
fn names_that_lead_nowhere_are_refused() {
    let mut dir = DirBuilder::new(&Profile::default(), FileMeta::NONE);
    let cid = *leaf("x").cid();
    for name in ["", ".", "..", "/", "a/b", "a\0"] {
        dir.add(name, &cid, 1).expect_err(name);
    }
    for name in [&b"..."[..], b".a", b"\xff\xfe", b"a\nb", b"a\\b"] {
        dir.add(name, &cid, 1).expect("any other bytes may be a name");
    }
    assert_eq!(dir.add("a", &cid, 1 << 63), Err(BuildError::Tsize(1 << 63)));
    assert_eq!(dir.len(), 5);
}

#[test]
fn limits_are_named() {
    let entries: Vec<(String, String)> = (0..20).map(|i| (format!("e{i}"), String::new())).collect();
    let finish = |profile: &Profile| {
        let mut dir = DirBuilder::new(profile, FileMeta::NONE);
        for (name, content) in &entries {
            dir.add(name, leaf(content).cid(), 0).expect("a good name");
        }
        dir.finish(&mut Vec::new())
    };
    let off = Profile { hamt_threshold: 0, ..Profile::default() };
    finish(&off).expect("one node");
    let error = finish(&Profile { max_dir_links: 19, ..off }).expect_err("too many");
    assert_eq!(error, BuildError::TooManyLinks { entries: 20, max: 19 });

    // A name of two mebibytes can't be in any block.
    let mut dir = DirBuilder::new(&Profile::default(), FileMeta::NONE);
    dir.add("n".repeat(2 << 20), leaf("").cid(), 0).expect("a good name");
    assert!(matches!(dir.finish(&mut Vec::new()), Err(BuildError::NodeTooLarge(_))));
}

#[test]
fn an_emitter_that_fails_ends_the_build() {
    #[derive(Debug)]
    struct Stop;
    impl From<BuildError> for Stop {
        fn from(error: BuildError) -> Self {
            panic!("{error}");
        }
    }
    let mut dir = DirBuilder::new(&Profile { max_dir_links: 1, ..Profile::default() }, FileMeta::NONE);
    for i in 0..100 {
        dir.add(format!("{i}"), leaf("").cid(), 0).expect("a good name");
    }
    let mut emitted = 0;
    dir.finish_with(|_| {
        emitted += 1;
        if emitted == 3 { Err(Stop) } else { Ok(()) }
    })
    .expect_err("stopped");
    assert_eq!(emitted, 3);
}
