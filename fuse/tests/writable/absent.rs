//! What is in `files` and not here.

use crate::{
    core::{Cell, Ground},
    support::{Folder, World, can_mount, noise, settings},
};
use cairn_fuse::core::{Errno, Filesystem, Found, Layout, ROOT, Room, Settings, Writable};
use cairn_store::{
    Cid,
    fetch::Fetch,
    mfs::{self, Mfs},
    unixfs::{meta::FileMeta, profile::Profile},
};
use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const LONG: Duration = Duration::from_secs(600);

/// A mount without a kernel whose `files` is that root.
async fn files(world: &Arc<World>, root: Cid, settings: Settings) -> Arc<Filesystem> {
    let ground = Ground::new(4096);
    let options = mfs::Options { commit_after: None, deadline: LONG, ..mfs::Options::new(ground.profile) };
    let cell = Arc::new(Cell(parking_lot::Mutex::new(Some(root))));
    let fetch = Arc::clone(world) as Arc<dyn Fetch>;
    let tree = Mfs::open(Arc::clone(&ground.blocks), fetch, cell, options).await.expect("opens");
    Filesystem::new(world.sources(), Writable { files: Some(tree), own: None }, settings)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), work).await.expect("nobody waits") })
}

#[test]
fn raw_leaves_are_known_from_their_links() {
    let world = World::new();
    let raw = world.raw(&noise(5000, 1));
    let root = world.dir(&[(b"a", raw, 5000), (b"b", raw, 5000)]);
    world.stall(&raw);
    run(async {
        let fs = files(&world, root, settings(Layout::Files, LONG)).await;
        let opened = fs.opendir(ROOT).await.expect("opens");
        let page = fs.readdir(opened.handle, 0, Room { bytes: 4096, line: 152, plus: true }).await.expect("lists");
        let sizes: Vec<u64> = page.iter().filter_map(|line| Some(line.entry?.attr.size)).collect();
        assert_eq!(sizes, [5000, 5000]);
        assert!(matches!(fs.lookup(ROOT, b"a").await, Ok(Found::Entry(entry)) if entry.attr.size == 5000));
        fs.rename((ROOT, b"a"), (ROOT, b"c"), mfs::RenameMode::Replace).await.expect("moves");
        fs.unlink(ROOT, b"b").await.expect("removes");
        assert!(matches!(fs.lookup(ROOT, b"b").await, Ok(Found::Nothing(_))));
    });
}

#[test]
fn a_length_that_was_a_lie_is_corrected_at_opening() {
    let world = World::new();
    let bytes = noise(5000, 2);
    let raw = world.raw(&bytes);
    let root = world.dir(&[(b"long", raw, 1_000_000), (b"short", raw, 10)]);
    run(async {
        let fs = files(&world, root, settings(Layout::Files, LONG)).await;
        for (name, lie) in [("long", 1_000_000), ("short", 10)] {
            let Ok(Found::Entry(entry)) = fs.lookup(ROOT, name.as_bytes()).await else { panic!("{name} is not there") };
            assert_eq!(entry.attr.size, lie, "{name}: nothing was fetched to know better");
            let opened = fs.open(entry.attr.ino, false).await.expect("opens");
            assert_eq!(fs.getattr(entry.attr.ino).await.expect("stat").0.size, 5000, "{name}");
            let read = fs.admit(opened.handle, 0, 1 << 20).expect("admits");
            assert!(fs.read(read).await.expect("reads").concat() == bytes, "{name}");
        }
    });
}

#[test]
fn a_file_that_is_there_is_made_with_its_true_length() {
    let world = World::new();
    let raw = world.raw(&noise(5000, 6));
    let root = world.dir(&[(b"file", raw, 10)]);
    run(async {
        let fs = files(&world, root, settings(Layout::Files, LONG)).await;
        let (entry, _) = fs.create(ROOT, b"file", 0o644, false).await.expect("opens");
        assert_eq!(entry.attr.size, 5000);
    });
}

#[test]
fn a_write_to_a_leaf_whose_length_was_a_lie_keeps_the_rest() {
    let world = World::new();
    let mut bytes = noise(5000, 3);
    let raw = world.raw(&bytes);
    let root = world.dir(&[(b"file", raw, 10)]);
    run(async {
        let fs = files(&world, root, settings(Layout::Files, LONG)).await;
        let Ok(Found::Entry(entry)) = fs.lookup(ROOT, b"file").await else { panic!("it is not there") };
        let opened = fs.open(entry.attr.ino, true).await.expect("opens");
        fs.write(opened.handle, 2, bytes::Bytes::from_static(b"new"), false).await.expect("writes");
        bytes[2..5].copy_from_slice(b"new");
        let read = fs.admit(opened.handle, 0, 1 << 20).expect("admits");
        assert!(fs.read(read).await.expect("reads").concat() == bytes);
    });
}

#[test]
fn the_deadline_of_the_mount_is_that_of_its_files() {
    let world = World::new();
    let lost = world.file(&Profile::unixfs_v0_2015(), 1000, &noise(100, 4), FileMeta::NONE);
    let half = world.file(&Profile::unixfs_v0_2015(), 1000, &noise(3000, 5), FileMeta::NONE);
    let leaf = world.file(&Profile::unixfs_v0_2015(), 1000, &noise(3000, 5)[..1000], FileMeta::NONE);
    let root = world.dir(&[(b"half", half, 3000), (b"lost", lost, 100)]);
    world.stall(&lost);
    world.stall(&leaf);
    run(async {
        let fs = files(&world, root, settings(Layout::Files, Duration::from_millis(200))).await;
        let begin = Instant::now();
        assert!(matches!(fs.lookup(ROOT, b"lost").await, Err(Errno::ETIMEDOUT)));
        let Ok(Found::Entry(entry)) = fs.lookup(ROOT, b"half").await else { panic!("it is not there") };
        let opened = fs.open(entry.attr.ino, false).await.expect("opens");
        let read = fs.admit(opened.handle, 0, 10).expect("admits");
        assert!(matches!(fs.read(read).await, Err(Errno::ETIMEDOUT)));
        assert!(begin.elapsed() < Duration::from_secs(50), "{:?}", begin.elapsed());
    });
}

/// A process that writes where a block has to come first, which never does, can be killed; nothing was changed.
#[test]
fn a_write_that_waits_ends_with_its_process() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let bytes = noise(3000, 8);
    let file = world.file(&Profile::cid_v1(), 1000, &bytes, FileMeta::NONE);
    let root = world.dir(&[(b"file", file, 3000)]);
    world.stall(&world.raw(&bytes[1000..2000]));
    let ground = Ground::new(4096);
    let options = mfs::Options { commit_after: None, deadline: LONG, ..mfs::Options::new(ground.profile) };
    let cell = Arc::new(Cell(parking_lot::Mutex::new(Some(root))));
    let fetch = Arc::clone(&world) as Arc<dyn Fetch>;
    let tree = run(Mfs::open(Arc::clone(&ground.blocks), fetch, cell, options)).expect("opens");
    let writable = Writable { files: Some(tree.clone()), own: None };
    let folder = Folder::new(world.sources(), writable, settings(Layout::Files, LONG));
    let target = format!("of={}", folder.path("file").display());
    let mut dd = Command::new("dd");
    dd.args(["if=/dev/zero", &target, "bs=1", "count=1", "seek=1500", "conv=notrunc"]).stderr(Stdio::null());
    let mut child = dd.spawn().expect("starts");
    folder.block_on(world.reached.notified());
    child.kill().expect("kills");
    let begin = Instant::now();
    assert!(!child.wait().expect("ends").success());
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    assert_eq!(tree.stats().dirty_inodes, 0);
    world.stalled.lock().expect("lock").clear();
    assert!(std::fs::read(folder.path("file")).expect("reads") == bytes);
}
