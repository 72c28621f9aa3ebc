//! Directories: listed and looked up.

use super::world::{World, sharded};
use cairn_store::unixfs::{Dir, listing::Listing, meta::FileMeta, profile::Profile};
use proptest::prelude::*;
use std::collections::BTreeSet;

async fn names(world: &std::sync::Arc<World>, cid: &cairn_store::Cid) -> Vec<String> {
    let mut entries = Dir::open(world.clone(), cid, None).await.expect("opens").entries();
    let mut names = Vec::new();
    while let Some(entry) = entries.next().await.expect("lists") {
        names.push(String::from_utf8(entry.name.to_vec()).expect("text"));
    }
    names
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_is_listed_once_and_found(
        names in proptest::collection::btree_set("[a-zé]{1,12}", 2..300),
        fanout in 3u32..11,
        plain in any::<bool>(),
    ) {
        let world = World::new();
        let cid = world.raw(b"x");
        let profile = if plain { Profile::cid_v1() } else { sharded(1 << fanout) };
        let entries: Vec<_> = names.iter().map(|name| (name.clone(), cid)).collect();
        let root = world.directory(&profile, &entries, FileMeta::NONE);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let listed = self::names(&world, &root).await;
            prop_assert_eq!(listed.len(), names.len());
            prop_assert_eq!(&listed.into_iter().collect::<BTreeSet<_>>(), &names);
            let dir = Dir::open(world.clone(), &root, None).await.expect("opens");
            for name in &names {
                let found = dir.lookup(name.as_bytes()).await.expect("looks up").expect("is there");
                prop_assert_eq!((found.name.as_ref(), found.cid), (name.as_bytes(), cid));
                let absent = dir.lookup(format!("{name}!").as_bytes()).await.expect("looks up");
                prop_assert_eq!(absent, None);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_sharded_directory_lists_in_the_order_of_hashes() {
    // From `ipfs ls -s` of Kubo 0.44 on `ipfs add -r --max-directory-links=1` of these names.
    let world = World::new();
    let cid = world.raw(b"x");
    let entries: Vec<_> = (0..8).map(|i| (format!("file-{i}"), cid)).collect();
    let root = world.directory(&sharded(256), &entries, FileMeta::NONE);
    assert_eq!(names(&world, &root).await, KUBO_ORDER);
}

const KUBO_ORDER: [&str; 8] = ["file-5", "file-2", "file-1", "file-4", "file-0", "file-7", "file-3", "file-6"];

#[tokio::test]
async fn one_name_costs_one_shard_a_level() {
    let world = World::new();
    let cid = world.raw(b"x");
    let entries: Vec<_> = (0..5000).map(|i| (format!("entry {i}"), cid)).collect();
    let root = world.directory(&sharded(256), &entries, FileMeta::NONE);
    let dir = Dir::open(world.clone(), &root, None).await.expect("opens");
    world.count();
    dir.lookup(b"entry 4711").await.expect("looks up").expect("is there");
    let fetched = world.count();
    assert!((1..=3).contains(&fetched), "{fetched} shards for one of 5000 names, 256 to a level");
}

#[tokio::test]
async fn a_listing_looks_at_entries_only_if_asked() {
    let world = World::new();
    let link = world.symlink(b"target");
    let sub = world.dir(&[]);
    let file = world.parts(&[(world.raw(b"12345"), 5)]);
    let raw = world.raw(b"raw");
    let root = world.dir(&[(b"link", link), (b"sub", sub), (b"file", file), (b"raw", raw)]);
    for (look, fetched) in [(true, 4), (false, 1)] {
        world.count();
        let mut listing = Listing::open(world.clone(), &root, look, None).await.expect("opens");
        let mut seen = Vec::new();
        while let Some(listed) = listing.next().await.expect("lists") {
            seen.push((
                String::from_utf8_lossy(&listed.entry.name).into_owned(),
                format!("{:?}", listed.kind),
                listed.size,
            ));
        }
        let kinds: Vec<&str> = seen.iter().map(|s| s.1.as_str()).collect();
        let sizes: Vec<u64> = seen.iter().map(|s| s.2).collect();
        if look {
            assert_eq!(kinds, ["Symlink", "Directory", "File", "File"]);
            assert_eq!(sizes, [6, 0, 5, 0], "a raw block's size is what the directory says: 0");
        } else {
            assert_eq!(kinds, ["Unknown", "Unknown", "Unknown", "File"]);
        }
        assert_eq!(world.count(), fetched);
    }
}
