//! The file reader against a slice of bytes.

use super::world::World;
use cairn_store::unixfs::{
    FileReader,
    meta::FileMeta,
    profile::{Layout, Profile},
};
use proptest::prelude::*;
use std::sync::Arc;

fn profiles() -> impl Strategy<Value = Profile> {
    (any::<bool>(), any::<bool>(), 2usize..6, proptest::option::of(0usize..64)).prop_map(
        |(v1, trickle, links, inline)| {
            let profile = if v1 { Profile::cid_v1() } else { Profile::unixfs_v0_2015() };
            let layout = if trickle { Layout::Trickle } else { Layout::Balanced };
            Profile { layout, max_file_links: links, inline: inline.filter(|_| v1), ..profile }
        },
    )
}

/// What is done with a reader.
#[derive(Debug, Clone)]
enum Act {
    Seek(u64),
    Next,
    AtMost(usize),
    Range(u64, u64),
}

fn acts(len: u64) -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (0..len + 10).prop_map(Act::Seek),
        Just(Act::Next),
        Just(Act::Next),
        (1usize..700).prop_map(Act::AtMost),
        (0..len + 10, 0..len + 10).prop_map(|(a, b)| Act::Range(a.min(b), a.max(b))),
    ];
    proptest::collection::vec(act, 1..60)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8 ^ (i >> 8) as u8).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_way_of_reading_gives_the_bytes(
        profile in profiles(),
        chunk in 1usize..400,
        (len, acts) in (0usize..20_000).prop_flat_map(|len| (Just(len), acts(len as u64))),
    ) {
        let world = World::new();
        let model = bytes(len);
        let root = world.file(&profile, chunk, &model, FileMeta::NONE);
        runtime().block_on(async {
            let mut reader = FileReader::open(world, &root.cid, None).await.expect("opens");
            prop_assert_eq!(reader.size(), len as u64);
            let (mut position, mut end) = (0, len);
            for act in acts {
                match act {
                    Act::Seek(to) => {
                        reader.seek(to);
                        position = to as usize;
                    }
                    Act::Range(from, to) => {
                        reader.set_range(from..to);
                        (position, end) = (from as usize, len.min(to as usize));
                    }
                    Act::Next | Act::AtMost(_) => {
                        let max = if let Act::AtMost(max) = act { max } else { usize::MAX };
                        let got = reader.next_at_most(max).await.expect("reads");
                        let Some(got) = got else {
                            prop_assert!(position >= end);
                            continue;
                        };
                        prop_assert!(!got.is_empty() && got.len() <= max);
                        prop_assert_eq!(&model[position..end][..got.len()], &got[..]);
                        position += got.len();
                    }
                }
                prop_assert_eq!(reader.position(), position as u64);
            }
            Ok(())
        })?;
    }
}

async fn all(mut reader: FileReader) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(chunk) = reader.next().await.expect("reads") {
        out.extend_from_slice(&chunk);
    }
    out
}

#[tokio::test]
async fn large_leaves_are_read_ahead_across_nodes() {
    // Leaves of 256 KiB, 8 to a node: batches of 4 MiB end in the middle of nodes, and nodes in the middle of them.
    let world = World::new();
    let model = bytes(12 << 20);
    let profile = Profile { max_file_links: 8, ..Profile::cid_v1() };
    let root = world.file(&profile, 256 << 10, &model, FileMeta::NONE);
    let reader = FileReader::open(world.clone(), &root.cid, None).await.expect("opens");
    assert!(all(reader).await == model);
    assert_eq!(world.count(), 48 + 6 + 1, "each block once");
}

#[tokio::test]
async fn a_range_fetches_only_its_own_blocks() {
    let world = World::new();
    let model = bytes(100_000);
    // 1000 leaves of 100 bytes, 10 to a node: three levels of inner nodes.
    let profile = Profile { max_file_links: 10, ..Profile::cid_v1() };
    let root = world.file(&profile, 100, &model, FileMeta::NONE);
    let mut reader = FileReader::open(Arc::clone(&world) as _, &root.cid, None).await.expect("opens");
    reader.set_range(50_150..50_250);
    assert_eq!(all(reader).await, &model[50_150..50_250]);
    assert_eq!(world.count(), 3 + 2, "the inner nodes on the way, and two leaves");
    let mut reader = FileReader::open(Arc::clone(&world) as _, &root.cid, None).await.expect("opens");
    reader.set_range(50_100..50_200);
    assert_eq!(all(reader).await, &model[50_100..50_200]);
    assert_eq!(world.count(), 3 + 1, "one leaf from its first byte to its last");
}

#[tokio::test]
async fn blocks_that_are_missing_are_named() {
    let world = World::new();
    let leaf = world.raw(b"gone");
    let root = world.parts(&[(world.raw(b"here"), 4), (leaf, 4)]);
    world.forget(&leaf);
    let mut reader = FileReader::open(world, &root, None).await.expect("opens");
    assert_eq!(reader.next().await.expect("reads").expect("bytes").as_ref(), b"here");
    let error = reader.next().await.expect_err("it is missing");
    assert_eq!(error.to_string(), format!("block was not found locally (offline): ipld: could not find {leaf}"));
}
