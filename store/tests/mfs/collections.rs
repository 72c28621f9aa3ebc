//! The tree and collections.

use crate::{
    support::{leaf, missing},
    world::{Without, World, dir, look, options, read, small, stored, write},
};
use bytes::Bytes;
use cairn_store::{
    Block, Cid,
    block::Prefix,
    blockstore::{Blockstore as _, KvBlocks},
    cid::codec,
    dag,
    gc::{self, Event},
    kv::Durability,
    mfs::{Mfs, MfsError, New, Options, ROOT_INO, RenameMode},
    pin::Pins,
    unixfs::{directory::DirBuilder, meta::FileMeta, profile::Profile},
};
use std::{collections::BTreeSet, sync::atomic::AtomicBool};
use tokio::runtime::Handle;

/// Collects; `meanwhile` is called when the roots have been read and nothing was marked.
async fn collect_while(world: &World, meanwhile: impl FnOnce() + Send + 'static) -> usize {
    let (blocks, mfs) = (world.blocks.clone(), world.mfs.clone());
    let work = move || {
        let pins = Pins::new(blocks.clone());
        let meanwhile = std::cell::Cell::new(Some(meanwhile));
        let roots = || {
            let kept = mfs.keep();
            if let Some(meanwhile) = meanwhile.take() {
                meanwhile();
            }
            kept
        };
        let mut removed = 0;
        gc::collect(&blocks, &pins, &roots, &AtomicBool::new(false), &mut |event| {
            removed += usize::from(matches!(event, Event::Removed(_)));
        })
        .expect("collects");
        removed
    };
    tokio::task::spawn_blocking(work).await.expect("collects")
}

pub async fn collect(world: &World) -> usize {
    collect_while(world, || {}).await
}

/// All that is in the store.
pub fn all(blocks: &KvBlocks) -> BTreeSet<Vec<u8>> {
    blocks.list().map(|listed| listed.expect("reads").0.to_bytes()).collect()
}

/// All that is below a root.
pub fn reachable(blocks: &KvBlocks, root: &Cid) -> BTreeSet<Vec<u8>> {
    let (mut found, mut stack) = (BTreeSet::new(), vec![*root]);
    while let Some(cid) = stack.pop() {
        let block = blocks.get(&cid).expect("reads").expect("is here");
        stack.extend(dag::links(&cid, block.data()).expect("is a node"));
        found.insert(cid.hash().to_bytes());
    }
    found
}

#[tokio::test]
async fn a_collection_takes_nothing_of_what_was_not_committed() {
    // Everything is written back at once.
    let options = Options { dirty_max: 0, ..options(small()) };
    let world = World::new(options).await;
    let mfs = &world.mfs;
    let d = dir(mfs, ROOT_INO, "d").await;
    for i in 0..30u8 {
        let file = write(mfs, d, &format!("f{i}"), &[i; 300]).await;
        mfs.write(file.ino, 100, Bytes::from(vec![!i; 50])).await.expect("writes");
        if i % 10 == 0 {
            collect(&world).await;
        }
        if i == 15 {
            mfs.flush(d).await.expect("flushes");
        }
    }
    mfs.rename(ROOT_INO, b"d", ROOT_INO, b"e", RenameMode::Replace).await.expect("renames");
    collect(&world).await;
    let seen = look(mfs).await;
    let root = mfs.sync().await.expect("syncs");
    assert_eq!(missing(&world.blocks, &root), None);
    assert_eq!(stored(&world.blocks, &root).await, seen);
    // What was overwritten goes, and nothing else.
    assert!(collect(&world).await > 0);
    assert_eq!(all(&world.blocks), reachable(&world.blocks, &root));
    let file = mfs.resolve(b"/e/f3").await.expect("is there");
    mfs.write(file.ino(), 0, Bytes::from(vec![99; 40])).await.expect("writes");
    let root = mfs.sync().await.expect("syncs");
    assert!(collect(&world).await > 2);
    assert_eq!(all(&world.blocks), reachable(&world.blocks, &root));
    assert_eq!(collect(&world).await, 0);
}

/// Stores a directory of three leaves, which no pin keeps.
fn unpinned(blocks: &KvBlocks) -> Cid {
    let mut builder = DirBuilder::new(&small(), FileMeta::NONE);
    let mut out: Vec<Block> = (0..3).map(|i| leaf(&format!("leaf {i}"))).collect();
    for (i, leaf) in out.iter().enumerate() {
        builder.add(format!("{i}"), leaf.cid(), leaf.data().len() as u64).expect("adds");
    }
    let root = builder.finish(&mut out).expect("builds");
    blocks.put_many(&out, Durability::Synced).expect("puts");
    root.cid
}

#[tokio::test]
async fn what_was_taken_by_reference_stays() {
    let world = World::new(options(small())).await;
    // Its stamps are old by the time that it is taken.
    let root = unpinned(&world.blocks);
    world.blocks.epochs().advance();
    world.mfs.link_cid(ROOT_INO, b"before", &root).await.expect("links");
    assert_eq!(world.mfs.keep().expect("reads"), [root]);
    assert_eq!(collect(&world).await, 0);
    assert_eq!(missing(&world.blocks, &root), None);
    world.mfs.sync().await.expect("syncs");
    assert_eq!(collect(&world).await, 0);
    assert_eq!(read(&world.mfs, "/before/1").await.expect("reads"), b"leaf 1");
    world.mfs.remove(ROOT_INO, b"before").await.expect("removes");
    assert_eq!(collect(&world).await, 0);
    world.mfs.sync().await.expect("syncs");
    // The root block of before, the directory and its leaves.
    assert_eq!(collect(&world).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_by_reference_while_a_collection_runs_stays() {
    for commit in [false, true] {
        let world = World::new(options(small())).await;
        world.mfs.sync().await.expect("syncs");
        let root = unpinned(&world.blocks);
        let junk = leaf("junk");
        world.blocks.put(&junk).expect("puts");
        let (mfs, runtime) = (world.mfs.clone(), Handle::current());
        let removed = collect_while(&world, move || {
            runtime.block_on(async {
                mfs.link_cid(ROOT_INO, b"d", &root).await.expect("links");
                if commit {
                    mfs.sync().await.expect("syncs");
                }
            });
        });
        assert_eq!(removed.await, 1, "the junk");
        assert_eq!(missing(&world.blocks, &root), None);
        world.mfs.sync().await.expect("syncs");
        assert_eq!(read(&world.mfs, "/d/2").await.expect("reads"), b"leaf 2");
    }
}

#[tokio::test]
async fn an_adoption_that_comes_to_nothing_keeps_nothing() {
    let world = World::new(options(small())).await;
    let root = unpinned(&world.blocks);
    write(&world.mfs, ROOT_INO, "f", b"x").await;
    assert!(matches!(world.mfs.link_cid(ROOT_INO, b"f", &root).await, Err(MfsError::Exists(_))));
    let lost = leaf("lost");
    assert!(matches!(world.mfs.link_cid(ROOT_INO, b"g", lost.cid()).await, Err(MfsError::Fetch(_))));
    assert!(world.mfs.keep().expect("reads").is_empty());
}

#[tokio::test]
async fn a_file_that_is_open_is_kept_when_it_is_unlinked() {
    let world = World::new(options(small())).await;
    let mfs = &world.mfs;
    let file = write(mfs, ROOT_INO, "f", &[1; 200]).await;
    let unsynced = write(mfs, ROOT_INO, "g", &[2; 200]).await;
    mfs.flush(file.ino).await.expect("flushes");
    mfs.open_file(file.ino).expect("opens");
    mfs.open_file(unsynced.ino).expect("opens");
    mfs.sync().await.expect("syncs");
    for (name, ino) in [("f", file.ino), ("g", unsynced.ino)] {
        mfs.unlink(ROOT_INO, name.as_bytes()).await.expect("unlinks");
        mfs.forget(ino, 1);
    }
    mfs.write(unsynced.ino, 0, Bytes::from(vec![3; 30])).await.expect("writes");
    mfs.sync().await.expect("syncs");
    collect(&world).await;
    assert_eq!(mfs.read(file.ino, 0, 1000).await.expect("reads"), vec![1; 200]);
    assert_eq!(mfs.read(unsynced.ino, 0, 1000).await.expect("reads"), [vec![3; 30], vec![2; 170]].concat());
    mfs.release(file.ino);
    mfs.release(unsynced.ino);
    let root = mfs.sync().await.expect("syncs");
    collect(&world).await;
    assert_eq!(all(&world.blocks), reachable(&world.blocks, &root));
}

#[tokio::test]
async fn a_copy_keeps_what_its_source_held() {
    let world = World::new(options(small())).await;
    let mfs = &world.mfs;
    let d = dir(mfs, ROOT_INO, "d").await;
    let file = write(mfs, d, "f", &[5; 100]).await;
    mfs.copy(d, ROOT_INO, b"copy").await.expect("copies");
    assert!(matches!(mfs.copy(d, ROOT_INO, b"copy").await, Err(MfsError::Exists(_))));
    mfs.write(file.ino, 0, Bytes::from_static(b"changed")).await.expect("writes");
    mfs.remove(ROOT_INO, b"d").await.expect("removes");
    collect(&world).await;
    mfs.sync().await.expect("syncs");
    collect(&world).await;
    assert_eq!(read(mfs, "/copy/f").await.expect("reads"), vec![5; 100]);
    // A file's range, by reference.
    let target = mfs.create(ROOT_INO, b"g", New::default(), true).await.expect("creates");
    let source = mfs.resolve(b"/copy/f").await.expect("is there");
    let copied = mfs.copy_range(source.ino(), 0..1000, target.ino, 0).await.expect("copies");
    assert_eq!(copied, 100);
    assert_eq!(mfs.stats().dirty_bytes, 0, "no byte was copied");
    mfs.remove(ROOT_INO, b"copy").await.expect("removes");
    mfs.sync().await.expect("syncs");
    collect(&world).await;
    assert_eq!(read(mfs, "/g").await.expect("reads"), vec![5; 100]);
}

#[tokio::test]
async fn what_is_missing_below_the_tree_is_no_error_to_a_collection() {
    let world = World::new(options(Profile::cid_v1())).await;
    let root = unpinned(&world.blocks);
    let lost = leaf("leaf 1");
    world.blocks.delete_many(&[*lost.cid().hash()]).expect("deletes");
    let source = Without::new(&world.blocks);
    let mfs: Mfs = world.mfs.through(source.clone());
    mfs.link_cid(ROOT_INO, b"d", &root).await.expect("links");
    assert_eq!(source.fetched.lock().expect("lock").as_slice(), [root], "only its root");
    mfs.sync().await.expect("syncs");
    assert_eq!(collect(&world).await, 0);
    assert!(matches!(read(&mfs, "/d/1").await, Err(MfsError::Fetch(_))));
    assert_eq!(read(&mfs, "/d/2").await.expect("reads"), b"leaf 2");
}

/// A range that was taken by reference out of a file without a name outlives that file.
#[tokio::test]
async fn a_range_of_an_unlinked_file_outlives_it() {
    let world = World::new(options(small())).await;
    let mfs = &world.mfs;
    let content: Vec<u8> = (0..200).collect();
    let source = write(mfs, ROOT_INO, "source", &content).await;
    let target = write(mfs, ROOT_INO, "target", b"").await;
    mfs.open_file(source.ino).expect("opens");
    mfs.sync().await.expect("syncs");
    for _ in 0..2 {
        collect(&world).await;
    }
    mfs.unlink(ROOT_INO, b"source").await.expect("unlinks");
    mfs.sync().await.expect("syncs");
    assert_eq!(mfs.copy_range(source.ino, 0..160, target.ino, 0).await.expect("copies"), 160);
    assert_eq!(mfs.copy_range(source.ino, 0..160, target.ino, 160).await.expect("copies"), 160);
    assert_eq!(mfs.stats().dirty_bytes, 0, "no byte was copied");
    mfs.release(source.ino);
    mfs.forget(source.ino, 1);
    collect(&world).await;
    let root = mfs.sync().await.expect("syncs");
    collect(&world).await;
    assert_eq!(read(mfs, "/target").await.expect("reads"), [&content[..160], &content[..160]].concat());
    assert_eq!(all(&world.blocks), reachable(&world.blocks, &root), "and nothing else is kept");
}

#[tokio::test]
async fn what_is_malformed_below_the_tree_stops_no_collection() {
    let world = World::new(options(Profile::cid_v1())).await;
    let mut out = Vec::new();
    let mut builder = DirBuilder::new(&Profile::cid_v1(), FileMeta::NONE);
    for (name, codec) in [("pb", codec::DAG_PB), ("cbor", codec::DAG_CBOR)] {
        let bad = Block::seal(Prefix::v1(codec), Bytes::from_static(&[0xff; 3])).expect("seals");
        builder.add(name, bad.cid(), 3).expect("adds");
        out.push(bad);
    }
    let good = leaf("good");
    builder.add("good", good.cid(), 4).expect("adds");
    out.push(good);
    let root = builder.finish(&mut out).expect("builds").cid;
    world.blocks.put_many(&out, Durability::Synced).expect("puts");
    world.mfs.link_cid(ROOT_INO, b"d", &root).await.expect("links");
    world.mfs.sync().await.expect("syncs");
    world.blocks.put(&leaf("junk")).expect("puts");
    world.blocks.epochs().advance();
    assert_eq!(collect(&world).await, 1, "the junk");
    assert_eq!(read(&world.mfs, "/d/good").await.expect("reads"), b"good");
}
