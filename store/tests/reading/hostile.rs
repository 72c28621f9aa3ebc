//! DAGs that were made to break readers.

use super::world::{World, sharded};
use bytes::Bytes;
use cairn_store::{
    Cid,
    dag::pb::PbLink,
    unixfs::{
        Dir, FileReader, ReadError, hamt,
        meta::FileMeta,
        node::{Data, Kind},
        tree::Tree,
    },
};
use std::{collections::BTreeMap, sync::Arc};

async fn read(world: &Arc<World>, cid: &Cid) -> Result<u64, ReadError> {
    let mut reader = FileReader::open(world.clone(), cid, None).await?;
    let mut bytes = 0;
    while let Some(chunk) = reader.next().await? {
        bytes += chunk.len() as u64;
    }
    Ok(bytes)
}

async fn list(world: &Arc<World>, cid: &Cid) -> Result<usize, ReadError> {
    let mut entries = Dir::open(world.clone(), cid, None).await?.entries();
    let mut count = 0;
    while entries.next().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

#[tokio::test]
async fn a_file_of_2_to_the_62_bytes_costs_what_is_read_of_it() {
    let world = World::new();
    let (mut cid, mut size) = (world.raw(b"abcd"), 4);
    for _ in 0..60 {
        cid = world.parts(&[(cid, size), (cid, size)]);
        size *= 2;
    }
    let mut reader = FileReader::open(world.clone(), &cid, None).await.expect("opens");
    assert_eq!(reader.size(), 1 << 62);
    reader.set_range((1 << 61) + 1..(1 << 61) + 9);
    let mut got = Vec::new();
    while let Some(chunk) = reader.next().await.expect("reads") {
        got.extend_from_slice(&chunk);
    }
    assert_eq!(got, b"bcdabcda");
    assert!(world.count() < 400, "about two blocks for each of 60 levels");
}

/// Lets what was asked for in the background come.
async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn all_levels_of_a_file_share_what_is_read_ahead() {
    let world = World::new();
    let (other, mut cid, mut size) = (world.raw(b"y"), world.raw(b"x"), 1);
    for _ in 0..100 {
        let mut parts = vec![(other, 1); 32];
        parts[0] = (cid, size);
        size += 31;
        cid = world.parts(&parts);
    }
    let mut reader = FileReader::open(world.clone(), &cid, None).await.expect("opens");
    assert_eq!(reader.next().await.expect("reads").as_deref(), Some(&b"x"[..]));
    settle().await;
    let fetched = world.count();
    assert!(fetched < 100 + 80, "{fetched} blocks for the first byte below 100 levels");
    let mut read = 1;
    while let Some(chunk) = reader.next().await.expect("reads") {
        read += chunk.len() as u64;
    }
    assert_eq!(read, size);
}

/// Names whose hashes begin with eight zeros, by the next eight bits: one for each of 20 slots in a shard of width 256
/// that stands in the first slot of another.
fn names_in_first_slot() -> BTreeMap<u8, String> {
    let mut names = BTreeMap::new();
    for name in (0u32..).map(|i| i.to_string()) {
        let [0, slot, ..] = hamt::hash_name(name.as_bytes()).to_be_bytes() else { continue };
        names.insert(slot, name);
        if names.len() == 20 {
            break;
        }
    }
    names
}

/// The field of a shard of width 256 with those slots.
fn field(slots: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut field = vec![0; 32];
    slots.into_iter().for_each(|slot| field[31 - usize::from(slot) / 8] |= 1 << (slot % 8));
    field
}

#[tokio::test]
async fn all_levels_of_a_tree_share_what_is_read_ahead() {
    let world = World::new();
    let (other, names) = (world.raw(b"y"), names_in_first_slot());
    let mut cid = other;
    for _ in 0..100 {
        let mut links: Vec<_> = names.iter().map(|(i, name)| PbLink::new(other, format!("{i:02X}{name}"), 1)).collect();
        links[0].cid = cid;
        let first = world.node(&shard(256, &field(names.keys().copied())), links);
        let mut links: Vec<_> = (0..32).map(|i| PbLink::new(other, format!("{i:02X}"), 1)).collect();
        links[0].cid = first;
        cid = world.node(&shard(256, &field(0..32)), links);
    }
    let mut tree = Tree::open(world.clone(), &cid, None).await.expect("opens");
    for _ in 0..=100 {
        tree.next().await.expect("reads").expect("a step down");
    }
    settle().await;
    let fetched = world.count();
    assert!(fetched < 200 + 80, "{fetched} blocks on the way 100 levels down");
}

#[tokio::test]
async fn directories_on_the_way_may_not_hold_more_than_their_bound() {
    let world = World::new();
    let (leaf, long) = (world.raw(b"x"), vec![b'n'; 1 << 20]);
    let (mut wide, mut deep) = (leaf, leaf);
    for _ in 0..64 {
        wide = world.dir(&[(b"a", wide), (&long, leaf)]);
        deep = world.dir(&[(&long, deep)]);
    }
    for root in [wide, deep] {
        let mut tree = Tree::open(world.clone(), &root, None).await.expect("opens");
        let error = loop {
            match tree.next().await {
                Ok(step) => assert!(step.is_some(), "it ended"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ReadError::Unreasonable { .. }), "{error}");
        assert!(world.count() < 64);
    }
}

#[tokio::test]
async fn after_an_error_a_reader_goes_on_with_the_same_block() {
    let world = World::new();
    let parts: Vec<_> = (b'a'..=b'z').map(|byte| world.raw(&[byte])).collect();
    let halves = parts.chunks(13).map(|half| (world.parts(&half.iter().map(|cid| (*cid, 1)).collect::<Vec<_>>()), 13));
    let root = world.parts(&halves.collect::<Vec<_>>());
    let missing = [parts[3], parts[13]];
    missing.iter().for_each(|cid| world.forget(cid));
    let mut reader = FileReader::open(world.clone(), &root, None).await.expect("opens");
    let mut read = Vec::new();
    let mut failed = 0;
    loop {
        match reader.next().await {
            Ok(Some(chunk)) => read.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(_) => {
                reader.next().await.expect_err("it is still not here");
                world.raw(&[if read.len() == 3 { b'd' } else { b'n' }]);
                failed += 1;
            }
        }
    }
    assert_eq!((read, failed), ((b'a'..=b'z').collect(), 2));
}

#[tokio::test]
async fn a_file_100000_levels_deep_is_refused() {
    let world = World::new();
    let mut cid = world.raw(b"x");
    for _ in 0..100_000 {
        cid = world.parts(&[(cid, 1)]);
    }
    world.count();
    let error = read(&world, &cid).await.expect_err("too deep");
    assert!(matches!(error, ReadError::Unreasonable { .. }), "{error}");
    assert!(world.count() < 2000);
}

#[tokio::test]
async fn parts_that_are_said_to_be_empty_are_not_followed() {
    let world = World::new();
    let mut cid = world.raw(b"");
    for _ in 0..20 {
        cid = world.parts(&[(cid, 0); 500]);
    }
    assert_eq!(read(&world, &cid).await.expect("reads"), 0);
    assert_eq!(world.count(), 1, "500^20 ways to nothing");
}

#[tokio::test]
async fn false_sizes_are_noticed() {
    let world = World::new();
    let leaf = world.raw(b"12345");
    for (size, why) in [(4, "shorter than it is"), (6, "longer than it is"), (u64::MAX, "huge")] {
        let error = read(&world, &world.parts(&[(leaf, size)])).await.expect_err(why);
        assert!(error.to_string().contains("it holds 5 bytes where its parent declares"), "{why}: {error}");
    }
    let sum = world.parts(&[(leaf, u64::MAX), (leaf, 5)]);
    assert!(read(&world, &sum).await.is_err(), "a sum over 2^64");
    let mut data = Data::new(Kind::File);
    data.filesize = Some(1 << 40);
    assert!(read(&world, &world.node(&data, vec![])).await.is_err(), "a file size without a file");
    data.filesize = None;
    assert!(read(&world, &world.node(&data, vec![PbLink::new(leaf, "", 5)])).await.is_err(), "no block sizes");
    data.blocksizes = vec![5];
    assert!(read(&world, &world.node(&data, vec![])).await.is_err(), "no links");
    assert!(read(&world, &world.node(&data, vec![PbLink::new(leaf, "name", 5)])).await.is_err(), "a named part");
    assert_eq!(read(&world, &world.node(&data, vec![PbLink::new(leaf, "", 5)])).await.expect("reads"), 5);
    let dir = world.dir(&[]);
    assert!(read(&world, &world.parts(&[(dir, 5)])).await.is_err(), "a directory for a part");
}

fn shard(fanout: u64, field: &[u8]) -> Data {
    let mut data = Data::new(Kind::HamtShard);
    data.hash_type = Some(hamt::HASH_MURMUR3_X64_64);
    data.fanout = Some(fanout);
    data.data = Some(Bytes::copy_from_slice(field));
    data
}

#[tokio::test]
async fn bogus_shards_are_refused() {
    let world = World::new();
    let x = world.raw(b"x");
    let slot = hamt::index(hamt::hash_name(b"x"), 0, 8).expect("a slot");
    let link = |name: &str| PbLink::new(x, name.to_owned(), 1);
    let good = [1u8 << slot];
    let named = format!("{slot}x");
    assert_eq!(list(&world, &world.node(&shard(8, &good), vec![link(&named)])).await.expect("lists"), 1);
    for fanout in [0, 1, 4, 7, 12, 2048, 1 << 32, 1 << 63, u64::MAX] {
        assert!(list(&world, &world.node(&shard(fanout, &good), vec![link(&named)])).await.is_err(), "{fanout}");
    }
    for (field, links, why) in [
        (vec![0, 0, 1 << slot], vec![link(&named)], "a bitfield longer than the width"),
        (vec![0xff; 1 << 20], vec![link(&named)], "a bitfield of a megabyte"),
        (vec![0xff], vec![link(&named)], "more bits than links"),
        (vec![], vec![link(&named)], "more links than bits"),
        (good.to_vec(), vec![link("")], "a link without an index"),
        (good.to_vec(), vec![link(&format!("{}x", (slot + 1) % 8))], "the index of another bit"),
        (good.to_vec(), vec![link(&format!("{slot}y"))], "a name whose hash belongs elsewhere"),
    ] {
        assert!(list(&world, &world.node(&shard(8, &field), links)).await.is_err(), "{why}");
    }
    let mut other_hash = shard(8, &good);
    other_hash.hash_type = Some(0x12);
    assert!(list(&world, &world.node(&other_hash, vec![link(&named)])).await.is_err(), "another hash function");
}

#[tokio::test]
async fn shards_that_are_shared_or_empty_or_too_deep_are_refused() {
    let world = World::new();
    let both = |cid: Cid| vec![PbLink::new(cid, "0", 1), PbLink::new(cid, "1", 1)];
    // Two ways into each level, and nothing at the end.
    let mut cid = world.node(&shard(8, &[]), vec![]);
    for _ in 0..20 {
        cid = world.node(&shard(8, &[0b11]), both(cid));
    }
    let error = list(&world, &cid).await.expect_err("2^20 ways to an empty shard");
    assert!(error.to_string().contains("empty shard"), "{error}");
    // A chain longer than a hash has bits.
    let mut deep = world.node(&shard(8, &[1]), vec![PbLink::new(world.raw(b"x"), "0x", 1)]);
    for _ in 0..100 {
        deep = world.node(&shard(8, &[1]), vec![PbLink::new(deep, "0", 1)]);
    }
    let error = list(&world, &deep).await.expect_err("too deep");
    assert!(matches!(error, ReadError::Unreasonable { .. }), "{error}");
    let dir = Dir::open(world.clone(), &deep, None).await.expect("opens");
    for i in 0..64 {
        // Whatever bits the name begins with: an end, with or without an error, after 21 shards at most.
        let _ = dir.lookup(format!("{i}").as_bytes()).await;
    }
    // A real shard, linked from a second place.
    let entries: Vec<_> = (0..40).map(|i| (format!("{i}"), world.raw(b"x"))).collect();
    let inner = world.directory(&sharded(8), &entries, FileMeta::NONE);
    let root = world.node(&shard(8, &[0b11]), both(inner));
    assert!(list(&world, &root).await.is_err());
}

#[tokio::test]
async fn nested_directories_are_walked_to_a_bound() {
    let world = World::new();
    let mut cid = world.dir(&[]);
    for _ in 0..100_000 {
        cid = world.dir(&[(b"d", cid)]);
    }
    let mut tree = Tree::open(world.clone(), &cid, None).await.expect("opens");
    let mut steps = 0;
    let error = loop {
        match tree.next().await {
            Ok(Some(_)) => steps += 1,
            Ok(None) => panic!("it should not come to an end"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Unreasonable { .. }), "{error}");
    assert_eq!(steps, cairn_store::unixfs::tree::MAX_DEPTH);
}
