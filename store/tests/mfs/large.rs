//! Many entries: costs are counted in blocks, not in time.

use crate::world::{Without, World, open, options};
use cairn_store::{
    blockstore::Blockstore as _,
    mfs::{Change, Cursor, Ino, Mfs, New, ROOT_INO, RenameMode},
    unixfs::profile::Profile,
};

const NEW: New = New { meta: cairn_store::unixfs::meta::FileMeta::NONE, naming: None, raw_leaves: None };

/// Makes a directory of so many empty files, which are one block.
async fn fill(mfs: &Mfs, name: &str, count: usize) -> Ino {
    let d = mfs.mkdir(ROOT_INO, name.as_bytes(), NEW).await.expect("makes");
    let empty = mfs.create(ROOT_INO, b"empty", NEW, false).await.expect("creates");
    let cid = mfs.flush(empty.ino).await.expect("flushes");
    for i in 0..count {
        mfs.link_cid(d.ino, format!("file-{i}").as_bytes(), &cid).await.expect("links");
    }
    d.ino
}

/// Blocks that are fetched, and blocks that are new in the store, for some operations and a sync each: of those that
/// leave the directory as large as it was, of the first that takes something out of it, of another such.
async fn costs(count: usize) -> Vec<(usize, usize)> {
    let world = World::new(options(Profile::cid_v1())).await;
    let d = fill(&world.mfs, "d", count).await;
    world.mfs.sync().await.expect("syncs");
    world.mfs.forget(d, 1);
    // As somebody finds it who opens it.
    let source = Without::new(&world.blocks);
    let mfs = open(&world.blocks, options(Profile::cid_v1())).await.expect("opens").through(source.clone());
    let mut costs = Vec::new();
    let mut measure = async |work: usize| {
        let before = (source.fetched.lock().expect("lock").len(), world.blocks.list().count());
        let d = mfs.resolve(b"/d").await.expect("is there");
        for i in [3, count / 2, count - 1] {
            let (new, old) = (format!("new-{i}"), format!("file-{}", i - work));
            mfs.resolve(format!("/d/{old}").as_bytes()).await.expect("is there");
            match work {
                0 => {
                    let made = mfs.create(d.ino(), new.as_bytes(), NEW, true).await.expect("creates");
                    mfs.write(made.ino, 0, vec![i as u8; 10].into()).await.expect("writes");
                    let (new, old) = (new.as_bytes(), old.as_bytes());
                    mfs.rename(d.ino(), new, d.ino(), old, RenameMode::Replace).await.expect("renames");
                }
                _ => mfs.unlink(d.ino(), old.as_bytes()).await.expect("unlinks"),
            }
        }
        mfs.sync().await.expect("syncs");
        let fetched = source.fetched.lock().expect("lock").len() - before.0;
        costs.push((fetched, world.blocks.list().count() - before.1));
    };
    for work in 0..3 {
        measure(work).await;
    }
    costs
}

#[tokio::test]
async fn in_a_large_directory_operations_cost_no_more_than_the_logarithm() {
    let (tenth, large) = (costs(10_000).await, costs(100_000).await);
    for work in [0, 2] {
        let ((fetched, new), (fetched_large, new_large)) = (tenth[work], large[work]);
        // One level of shards more, for each of six names.
        assert!(
            fetched_large <= fetched + 6 && fetched_large < 40,
            "{work}: {fetched_large} fetched, before {fetched}"
        );
        assert!(new_large <= new + 6 && new_large < 40, "{work}: {new_large} written, before {new}");
    }
    // Whether it has become small is asked once, and as many shards answer that as a small directory could have.
    assert!(tenth[1].0 < 300 && large[1].0 < 300, "{tenth:?} {large:?}");
}

#[tokio::test]
async fn many_changes_in_place_in_a_large_directory_are_committed() {
    let world = World::new(options(Profile::cid_v1())).await;
    let d = fill(&world.mfs, "d", 100_000).await;
    world.mfs.sync().await.expect("syncs");
    world.mfs.forget(d, 1);
    let mfs = open(&world.blocks, options(Profile::cid_v1())).await.expect("opens");
    let d = mfs.resolve(b"/d").await.expect("is there");
    let change = Change { mode: Some(0o600), ..Change::default() };
    for i in 0..40_000 {
        let file = mfs.lookup(d.ino(), format!("file-{}", 2 * i).as_bytes()).await.expect("is there");
        mfs.set_attr(file.ino, change).await.expect("changes");
        mfs.forget(file.ino, 1);
    }
    let stats = mfs.stats();
    assert!(stats.commits >= 1 && stats.dirty_inodes <= 1 << 15, "{stats:?}");
    mfs.sync().await.expect("syncs");
    let again = open(&world.blocks, options(Profile::cid_v1())).await.expect("opens");
    for (name, mode) in [("file-0", Some(0o600)), ("file-79998", Some(0o600)), ("file-1", None), ("file-80000", None)] {
        let file = again.resolve(format!("/d/{name}").as_bytes()).await.expect("is there");
        assert_eq!(file.attr().meta.mode, mode, "{name}");
    }
}

#[tokio::test]
async fn a_million_entries_cost_what_is_looked_at() {
    let world = World::new(options(Profile::cid_v1())).await;
    let mfs = &world.mfs;
    let d = fill(mfs, "d", 1000).await;
    for i in 0..1000 {
        mfs.copy(d, ROOT_INO, format!("copy-{i}").as_bytes()).await.expect("copies");
    }
    mfs.sync().await.expect("syncs");
    let (blocks, before) = (world.blocks.list().count(), mfs.stats());
    for i in (0..1000).step_by(50) {
        let copy = mfs.resolve(format!("/copy-{i}").as_bytes()).await.expect("is there");
        assert_eq!(mfs.list(copy.ino(), &Cursor::START, usize::MAX).await.expect("lists").len(), 1000);
        let made = mfs.create(copy.ino(), b"new", NEW, true).await.expect("creates");
        mfs.write(made.ino, 0, vec![1; 10].into()).await.expect("writes");
        mfs.forget(made.ino, 1);
        mfs.sync().await.expect("syncs");
    }
    let (written, after) = (world.blocks.list().count() - blocks, mfs.stats());
    // Each time the file, the directory, and the way to the root.
    assert!(written <= 20 * 5, "{written}");
    assert!(after.inodes <= before.inodes + 40, "{after:?}");
    assert_eq!(after.commits - before.commits, 20);
}

#[tokio::test]
async fn what_is_dirty_is_committed_before_it_is_too_much() {
    let world = World::new(options(Profile::cid_v1())).await;
    for i in 0..70_000 {
        let made = world.mfs.create(ROOT_INO, format!("{i}").as_bytes(), NEW, true).await.expect("creates");
        world.mfs.forget(made.ino, 1);
    }
    let stats = world.mfs.stats();
    assert!(stats.commits >= 2 && stats.dirty_inodes <= 1 << 15 && stats.inodes < 50_000, "{stats:?}");
    world.mfs.sync().await.expect("syncs");
    assert!(world.mfs.resolve(b"/69999").await.is_ok());
}
