//! Properties that every tree has, whatever the flags.

use crate::support::{Importer, test_bytes};
use bytes::Bytes;
use cairn_store::{
    Cid,
    chunker::ChunkerSpec,
    cid::codec,
    dag::pb::PbNode,
    unixfs::{
        Root,
        layout::LayoutBuilder,
        leaf::{self, Leaf},
        meta::FileMeta,
        node::{Data, Kind, Mtime},
        profile::{Layout, Profile},
    },
};
use proptest::prelude::*;

/// Reads a file back, and checks sizes on the way; answers its bytes and the depths of its leaves.
fn read(importer: &Importer, root: &Root) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut depths) = (Vec::new(), Vec::new());
    let mut todo: Vec<(Cid, u64, u64, usize)> = vec![(root.cid, root.tsize, root.file_size, 0)];
    while let Some((cid, tsize, file_size, depth)) = todo.pop() {
        let block = &importer.blocks[&cid];
        if cid.codec() == codec::RAW {
            assert_eq!((tsize, file_size), (block.len() as u64, block.len() as u64));
            bytes.extend_from_slice(block);
            depths.push(depth);
            continue;
        }
        let node = PbNode::decode(block).expect("dag-pb");
        let data = Data::decode(node.data.as_ref().expect("data")).expect("unixfs");
        assert_eq!(data.filesize, Some(file_size));
        assert_eq!(data.blocksizes.len(), node.links.len());
        assert_eq!(tsize, block.len() as u64 + node.links.iter().filter_map(|l| l.tsize).sum::<u64>());
        if node.links.is_empty() {
            bytes.extend_from_slice(&data.data.unwrap_or_default());
            depths.push(depth);
        } else {
            assert_eq!((data.kind, data.data), (Kind::File, None));
        }
        for (link, size) in node.links.iter().zip(data.blocksizes).rev() {
            assert_eq!(link.name.as_deref(), Some(&b""[..]));
            todo.push((link.cid, link.tsize.expect("a size"), size, depth + 1));
        }
    }
    (bytes, depths)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_tree_reads_back(
        len in 0usize..5000, chunk in 1usize..200, links in 2usize..12,
        raw in any::<bool>(), v1 in any::<bool>(), trickle in any::<bool>(), mode in any::<Option<u16>>(),
        inline in any::<Option<u8>>(),
    ) {
        let mut importer = Importer::new(Profile {
            cid_version: if v1 { cid::Version::V1 } else { cid::Version::V0 },
            raw_leaves: raw,
            chunker: ChunkerSpec::Size(chunk),
            layout: if trickle { Layout::Trickle } else { Layout::Balanced },
            max_file_links: links,
            inline: inline.map(|limit| usize::from(limit) % 129),
            ..Profile::default()
        });
        importer.meta = FileMeta { mode: mode.map(u32::from), mtime: None };
        let bytes = test_bytes("shape", len);
        let root = importer.file(&bytes);
        let (got, depths) = read(&importer, &root);
        prop_assert_eq!(got, bytes);
        if !trickle {
            prop_assert!(depths.iter().all(|d| *d == depths[0]), "{:?}", depths);
            // The least depth that holds so many leaves, or 1 for metadata over a raw leaf.
            let leaves = len.div_ceil(chunk).max(1);
            let least = (0..).find(|d| links.pow(*d) >= leaves).expect("some depth") as usize;
            let wrapped = leaves == 1 && raw && mode.is_some_and(|m| m & 0o7777 != 0);
            prop_assert_eq!(depths[0], least + usize::from(wrapped));
        }
    }
}

/// Nodes are handed on as soon as they are full: what waits is one node for each level.
#[test]
fn memory_does_not_grow_with_the_file() {
    for layout in [Layout::Balanced, Layout::Trickle] {
        let profile = Profile { layout, max_file_links: 10, ..Profile::cid_v1() };
        let mut builder = LayoutBuilder::new(&profile);
        let (mut out, mut emitted) = (Vec::new(), 0);
        for i in 1..=10_000usize {
            let chunk = leaf::encode(&profile, Bytes::copy_from_slice(&i.to_le_bytes()));
            let block = profile.seal_leaf(chunk).expect("seals");
            builder.push(Leaf { block, file_size: 8 }, &mut out).expect("a node");
            emitted += out.len();
            out.clear();
            // Every leaf but the first went out at once, and a tenth as many nodes, but for the unfinished ones.
            assert!(emitted + 1 >= i + (i / 10).saturating_sub(6), "{layout:?}: {emitted} after {i}");
        }
    }
}

#[test]
fn metadata_over_a_raw_leaf_gets_a_node_of_its_own() {
    let mut importer = Importer::new(Profile::cid_v1());
    let bare = importer.file(b"content");
    assert_eq!(importer.blocks.len(), 1);
    importer.meta.mtime = Some(Mtime { seconds: 7, nanos: 0 });
    let root = importer.file(b"content");
    assert_eq!(importer.blocks.len(), 2);
    let node = PbNode::decode(&importer.blocks[&root.cid]).expect("dag-pb");
    assert_eq!(node.links[0].cid, bare.cid);
    assert_eq!(Data::decode(&node.data.expect("data")).expect("unixfs").mtime, importer.meta.mtime);
    // A mode of 0 is no metadata.
    importer.meta = FileMeta { mode: Some(0o100_000), mtime: None };
    assert_eq!(importer.file(b"content"), bare);
}

#[test]
fn a_node_that_no_peer_would_take_is_refused() {
    let profile = Profile { max_file_links: 100_000, ..Profile::cid_v1() };
    let mut builder = LayoutBuilder::new(&profile);
    let mut out = Vec::new();
    let block = profile.seal_leaf(leaf::encode(&profile, Bytes::from_static(b"x"))).expect("seals");
    for _ in 0..60_000 {
        builder.push(Leaf { block: block.clone(), file_size: 1 }, &mut out).expect("a leaf");
        out.clear();
    }
    let error = builder.finish(FileMeta::NONE, &mut out).expect_err("too large").to_string();
    assert!(error.contains("allow fewer links"), "{error}");
}
