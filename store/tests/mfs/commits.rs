//! What a commit promises.

use crate::{
    support::Shared,
    world::{Seen, Without, World, dir, look, open, open_on, options, read, small, stored, write},
};
use bytes::Bytes;
use cairn_store::{
    Cid, StoreError,
    blockstore::KvBlocks,
    fetch::{Fetch, Offline},
    kv::{Fault, FaultyKv, MemoryKv},
    mfs::{MetaCell, Mfs, MfsError, New, Options, ROOT_INO, RenameMode, RootCell},
    unixfs::profile::Profile,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

#[tokio::test]
async fn what_was_synced_survives_a_power_cut_and_the_rest_does_not() {
    // Small changes go through the log, large ones are flushed; with a small budget leaves are written back before.
    for (size, dirty_max) in [(1000, 1 << 20), (9_000_000, 64 << 20), (9_000_000, 100_000)] {
        let options = Options { dirty_max, ..options(Profile::unixfs_v0_2015()) };
        let mut world = World::new(options).await;
        let content: Vec<u8> = (0..size).map(|i: usize| (i / 251) as u8).collect();
        let d = dir(&world.mfs, ROOT_INO, "d").await;
        let file = write(&world.mfs, d, "f", b"").await;
        for (i, piece) in content.chunks(65_536).enumerate() {
            world.mfs.write(file.ino, i as u64 * 65_536, Bytes::copy_from_slice(piece)).await.expect("writes");
            assert!(world.mfs.stats().dirty_bytes <= dirty_max + 65_536);
        }
        world.mfs.sync().await.expect("syncs");
        assert_eq!(world.mfs.stats().dirty_bytes, 0);
        world.mfs.write(file.ino, 0, Bytes::from_static(b"not synced")).await.expect("writes");
        write(&world.mfs, ROOT_INO, "new", b"not synced").await;
        world.mfs.flush(ROOT_INO).await.expect("flushes");
        world = world.after_power_cut(options).await;
        assert_eq!(read(&world.mfs, "/d/f").await.expect("reads"), content);
        assert!(matches!(read(&world.mfs, "/new").await, Err(MfsError::NotFound(_))));
    }
}

/// Some work with three syncs, counted as they are done.
async fn work(mfs: &Mfs, synced: &mut Vec<Cid>) -> Result<(), MfsError> {
    for round in 0..3u8 {
        let name = format!("d{round}");
        let d = mfs.mkdir(ROOT_INO, name.as_bytes(), New::default()).await?;
        for i in 0..12u8 {
            let file = mfs.create(d.ino, format!("f{i}").as_bytes(), New::default(), true).await?;
            mfs.write(file.ino, 0, Bytes::from(vec![i + round; 40])).await?;
            mfs.forget(file.ino, 1);
        }
        if round > 0 {
            let before = format!("d{}", round - 1);
            mfs.rename(ROOT_INO, before.as_bytes(), d.ino, b"moved", RenameMode::Replace).await?;
            mfs.unlink(d.ino, b"f3").await?;
        }
        synced.push(mfs.sync().await?);
    }
    Ok(())
}

#[tokio::test]
async fn a_fault_at_any_point_leaves_what_was_synced_last() {
    let mut expected = Vec::new();
    {
        let (blocks, mfs) = open_on(Arc::new(Shared::default()), options(small())).await;
        let mut roots = Vec::new();
        work(&mfs, &mut roots).await.expect("works");
        for root in roots {
            expected.push(stored(&blocks, &root).await);
        }
    }
    let mut points = 0;
    for sticky in [true, false] {
        for after in (0..).step_by(if sticky { 1 } else { 3 }) {
            let tables = Shared::default();
            let kv = if sticky {
                FaultyKv::from_then_on(tables.clone(), Fault::NoSpace, after)
            } else {
                FaultyKv::once(tables.clone(), Fault::Io, after)
            };
            let kv = Arc::new(kv);
            let mut synced = Vec::new();
            let mut failed = true;
            // Opening may fail as well.
            if let Ok(blocks) = cairn_store::blockstore::KvBlocks::open(kv.clone()) {
                let blocks = Arc::new(blocks);
                if let Ok(mfs) = open(&blocks, options(small())).await {
                    failed = work(&mfs, &mut synced).await.is_err();
                    if failed && !sticky {
                        // Nothing in memory is lost: what the failed sync was to make durable, the next one does.
                        let seen = look(&mfs).await;
                        let root = mfs.sync().await.expect("syncs");
                        assert_eq!(stored(&blocks, &root).await, seen);
                    }
                }
            }
            points += 1;
            let (_, mfs) = open_on(Arc::new(tables), options(small())).await;
            let left = look(&mfs).await;
            let empty = Seen::Dir(BTreeMap::new());
            let last = synced.len().checked_sub(1).map_or(&empty, |last| &expected[last]);
            if !failed || sticky {
                // A commit of which nobody was told may be there.
                let next = expected.get(synced.len());
                assert!(left == *last || Some(&left) == next, "point {after}, {} syncs", synced.len());
            }
            if !kv.fired() {
                assert!(!failed);
                break;
            }
        }
    }
    assert!(points > 50, "{points}");
}

/// A cell that can be held back, and counts.
struct Slow {
    cell: MetaCell,
    held: Mutex<bool>,
    freed: Condvar,
    commits: AtomicUsize,
    reached: Notify,
}

impl Slow {
    fn hold(&self, held: bool) {
        *self.held.lock().expect("lock") = held;
        self.freed.notify_all();
    }
}

impl RootCell for Slow {
    fn load(&self) -> Result<Option<Cid>, StoreError> {
        self.cell.load()
    }

    fn commit(&self, root: &Cid) -> Result<(), StoreError> {
        self.reached.notify_one();
        let mut held = self.held.lock().expect("lock");
        while *held {
            held = self.freed.wait(held).expect("lock");
        }
        self.cell.commit(root)?;
        self.commits.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

async fn slow(options: Options) -> (World, Arc<Slow>) {
    let world = World::new(options).await;
    let cell = Arc::new(Slow {
        cell: MetaCell::new(world.blocks.clone()),
        held: Mutex::new(false),
        freed: Condvar::new(),
        commits: AtomicUsize::new(0),
        reached: Notify::new(),
    });
    let fetch: Arc<dyn Fetch> = Arc::new(Offline::new(world.blocks.clone()));
    let mfs = Mfs::open(world.blocks.clone(), fetch, cell.clone(), options).await.expect("opens");
    (World { mfs, ..world }, cell)
}

#[tokio::test]
async fn those_who_sync_at_the_same_time_share_a_commit() {
    let (world, cell) = slow(options(small())).await;
    let mfs = &world.mfs;
    write(mfs, ROOT_INO, "0", b"x").await;
    cell.hold(true);
    let other = mfs.clone();
    let first = tokio::spawn(async move { other.sync().await });
    cell.reached.notified().await;
    // While it waits for the disk everybody reads and writes.
    let syncs: Vec<_> = (1..=50)
        .map(|i| {
            let mfs = mfs.clone();
            tokio::spawn(async move {
                write(&mfs, ROOT_INO, &format!("{i}"), b"x").await;
                assert_eq!(read(&mfs, "/0").await.expect("reads"), b"x");
                mfs.sync().await.expect("syncs")
            })
        })
        .collect();
    while !(1..=50).all(|i| mfs.stats().inodes > i) {
        tokio::task::yield_now().await;
    }
    cell.hold(false);
    first.await.expect("runs").expect("syncs");
    for sync in syncs {
        sync.await.expect("syncs");
    }
    let commits = cell.commits.load(Ordering::SeqCst);
    assert!((2..=10).contains(&commits), "{commits}");
    let world = world.after_power_cut(options(small())).await;
    let Seen::Dir(entries) = look(&world.mfs).await else { panic!("a directory") };
    assert_eq!(entries.len(), 51);
}

#[tokio::test]
async fn a_sync_that_is_given_up_goes_on() {
    let (world, cell) = slow(options(small())).await;
    write(&world.mfs, ROOT_INO, "f", b"x").await;
    cell.hold(true);
    let sync = world.mfs.sync();
    tokio::select! {
        _ = sync => panic!("it is held back"),
        () = cell.reached.notified() => {}
    }
    cell.hold(false);
    // Nothing has changed since: this one waits for that.
    world.mfs.sync().await.expect("syncs");
    assert_eq!(cell.commits.load(Ordering::SeqCst), 1);
    let world = world.after_power_cut(options(small())).await;
    assert_eq!(read(&world.mfs, "/f").await.expect("reads"), b"x");
}

#[tokio::test]
async fn changes_are_committed_without_being_asked() {
    let options = Options { commit_after: Some(Duration::from_millis(1)), ..options(small()) };
    let (world, cell) = slow(options).await;
    for i in 0..3 {
        write(&world.mfs, ROOT_INO, &format!("{i}"), b"x").await;
        cell.reached.notified().await;
    }
    while world.mfs.stats().dirty_inodes > 0 || cell.commits.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    // Nobody keeps the tree: its task lets go of it too.
    let blocks = Arc::downgrade(&world.blocks);
    drop((world, cell));
    while blocks.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_commit_that_failed_is_made_up_for() {
    struct Failing(MetaCell, AtomicUsize);
    impl RootCell for Failing {
        fn load(&self) -> Result<Option<Cid>, StoreError> {
            self.0.load()
        }
        fn commit(&self, root: &Cid) -> Result<(), StoreError> {
            match self.1.fetch_add(1, Ordering::SeqCst) {
                0 => Err(StoreError::NoSpace { detail: "injected".into() }),
                _ => self.0.commit(root),
            }
        }
    }
    let world = World::new(options(small())).await;
    let cell = Arc::new(Failing(MetaCell::new(world.blocks.clone()), AtomicUsize::new(0)));
    let fetch: Arc<dyn Fetch> = Arc::new(Offline::new(world.blocks.clone()));
    let mfs = Mfs::open(world.blocks.clone(), fetch, cell, options(small())).await.expect("opens");
    write(&mfs, ROOT_INO, "f", b"x").await;
    assert!(matches!(mfs.sync().await, Err(MfsError::Store(StoreError::NoSpace { .. }))));
    assert_eq!(read(&mfs, "/f").await.expect("reads"), b"x");
    // Nothing was changed since, and it is committed all the same.
    mfs.sync().await.expect("syncs");
    let world = World { mfs, ..world }.after_power_cut(options(small())).await;
    assert_eq!(read(&world.mfs, "/f").await.expect("reads"), b"x");
}

#[tokio::test]
async fn the_content_of_a_file_that_nobody_has_open_is_let_go_of_once_it_is_stored() {
    // Such a file is all in its root.
    let world = World::new(options(Profile::unixfs_v0_2015())).await;
    let source = Without::new(&world.blocks);
    let mfs = world.mfs.through(source.clone());
    let file = write(&mfs, ROOT_INO, "f", b"").await;
    mfs.open_file(file.ino).expect("opens");
    let written = async |content: &str| {
        mfs.write(file.ino, 0, content.to_owned().into()).await.expect("writes");
        mfs.sync().await.expect("syncs");
    };
    let fetches = async |content: &str| {
        let before = source.fetched.lock().expect("lock").len();
        assert_eq!(mfs.read(file.ino, 0, 100).await.expect("reads"), content);
        source.fetched.lock().expect("lock").len() - before
    };
    written("a").await;
    assert_eq!(fetches("a").await, 0);
    mfs.release(file.ino);
    assert_eq!(fetches("a").await, 1);
    written("b").await;
    assert_eq!(fetches("b").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_committed_is_the_tree_at_one_moment() {
    let World { mfs, blocks, disk: _disk } = World::new(options(small())).await;
    let (a, b) = (dir(&mfs, ROOT_INO, "a").await, dir(&mfs, ROOT_INO, "b").await);
    write(&mfs, a, "f", b"0").await;
    let other = mfs.clone();
    let mover = tokio::spawn(async move {
        for i in 0..400u32 {
            let (from, to) = if i % 2 == 0 { (a, b) } else { (b, a) };
            // A new version beside the old one, moved over it, and then to the other directory.
            write(&other, from, "new", format!("{i}").as_bytes()).await;
            other.rename(from, b"new", from, b"f", RenameMode::Replace).await.expect("replaces");
            other.rename(from, b"f", to, b"f", RenameMode::NoReplace).await.expect("moves");
        }
    });
    let mut last = 0;
    while !mover.is_finished() {
        let root = mfs.sync().await.expect("syncs");
        let Seen::Dir(top) = stored(&blocks, &root).await else { panic!("a directory") };
        let mut found = Vec::new();
        for below in top.values() {
            let Seen::Dir(entries) = below else { panic!("a directory") };
            found.extend(entries.get(&b"f"[..]).cloned());
        }
        let [Seen::File(content)] = &found[..] else { panic!("the file is there once: {found:?}") };
        let number: u32 = String::from_utf8_lossy(content).parse().expect("whole");
        assert!(number >= last, "{number} after {last}");
        last = number;
    }
    mover.await.expect("moves");
}

#[tokio::test]
async fn a_repository_that_is_full_refuses_bytes_and_goes_on() {
    const MAX: usize = 4 << 20;
    let blocks = Arc::new(KvBlocks::open(Arc::new(MemoryKv::new())).expect("opens").storage_max(MAX as u64));
    let mfs = open(&blocks, options(Profile::cid_v1())).await.expect("opens");
    let file = write(&mfs, ROOT_INO, "f", b"small").await;
    let piece = |i: usize| Bytes::from(format!("{i:08}").repeat(1 << 16));
    let mut at = 0;
    let error = loop {
        match mfs.write(file.ino, at as u64, piece(at)).await {
            Ok(()) => at += 1 << 19,
            Err(error) => break error,
        }
        mfs.sync().await.expect("what was taken is kept");
        assert!(at < 8 * MAX, "it must end");
    };
    assert!(matches!(error, MfsError::Store(StoreError::Full { .. })), "{error}");
    assert!(at >= MAX, "{at}");
    mfs.unlink(ROOT_INO, b"f").await.expect("can be removed");
    mfs.sync().await.expect("syncs");
}
