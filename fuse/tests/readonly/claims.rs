//! What is claimed, and who waits, without a kernel.

use crate::support::{World, noise, settings};
use async_trait::async_trait;
use cairn_fuse::core::{Errno, Filesystem, Found, Layout, OwnName, OwnNames, ROOT, Writable};
use cairn_store::{
    Cid,
    mfs::Mfs,
    unixfs::{meta::FileMeta, profile::Profile},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

fn mount(world: &Arc<World>, patience: Duration) -> Arc<Filesystem> {
    Filesystem::new(world.sources(), Writable::default(), settings(Layout::Ipfs, patience))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), work).await.expect("nobody waits") })
}

async fn entry(fs: &Filesystem, parent: u64, name: &str) -> (u64, u64) {
    match fs.lookup(parent, name.as_bytes()).await {
        Ok(Found::Entry(entry)) => (entry.attr.ino, entry.attr.size),
        other => panic!("{name}: {other:?}"),
    }
}

async fn size_in(fs: &Filesystem, dir: &Cid) -> u64 {
    let (dir, _) = entry(fs, ROOT, &dir.to_string()).await;
    entry(fs, dir, "x").await.1
}

#[test]
fn a_false_length_in_one_directory_is_not_believed_of_others() {
    let world = World::new();
    let (here, away) = (world.raw(&noise(5000, 1)), world.raw(&noise(6000, 2)));
    world.stall(&away);
    let dirs = [(1, here), (5000, here), (7, here), (1, away), (6000, away)];
    let [hostile, honest, again, of_away, honest_away] = dirs.map(|(size, cid)| world.dir(&[(b"x", cid, size)]));
    run(async {
        let fs = mount(&world, Duration::from_secs(600));
        assert_eq!(size_in(&fs, &hostile).await, 1, "nobody knows better");
        assert_eq!(size_in(&fs, &honest).await, 5000);
        assert_eq!(size_in(&fs, &again).await, 5000, "by now it is known");
        assert_eq!(size_in(&fs, &of_away).await, 1);
        assert_eq!(size_in(&fs, &honest_away).await, 6000);
        let fs = mount(&world, Duration::from_secs(600));
        assert_eq!(size_in(&fs, &hostile).await, 1);
        assert_eq!(entry(&fs, ROOT, &here.to_string()).await.1, 5000);
    });
}

/// A file of leaves of 1 MiB, of which some never come; open.
async fn open(world: &Arc<World>, patience: Duration, lost: &[usize]) -> (Arc<Filesystem>, u64) {
    const LEAF: usize = 1 << 20;
    let bytes = noise(24 * LEAF, 3);
    let cid = world.file(&Profile::cid_v1(), LEAF, &bytes, FileMeta::NONE);
    for &at in lost {
        world.stall(&world.raw(&bytes[at * LEAF..][..LEAF]));
    }
    let fs = mount(world, patience);
    let (ino, _) = entry(&fs, ROOT, &cid.to_string()).await;
    let opened = fs.open(ino, false).await.expect("opens");
    (fs, opened.handle)
}

async fn read(fs: &Filesystem, handle: u64, leaf: u64) -> Result<usize, Errno> {
    let read = fs.admit(handle, leaf << 20, 1000)?;
    Ok(fs.read(read).await?.concat().len())
}

#[test]
fn reads_elsewhere_in_a_file_do_not_prolong_the_wait_for_what_does_not_come() {
    const PATIENCE: Duration = Duration::from_millis(400);
    let world = World::new();
    run(async {
        let (fs, handle) = open(&world, PATIENCE, &[20]).await;
        let waiting = tokio::spawn({
            let fs = Arc::clone(&fs);
            async move {
                // As much as is asked for ahead of time.
                let read = fs.admit(handle, 20 << 20, 1 << 20)?;
                fs.read(read).await.map(|pieces| pieces.concat().len())
            }
        });
        world.reached.notified().await;
        let begin = Instant::now();
        let mut leaf = 0;
        while !waiting.is_finished() {
            assert!(begin.elapsed() < 50 * PATIENCE, "it still waits");
            assert_eq!(read(&fs, handle, leaf % 10).await, Ok(1000));
            leaf += 3;
            tokio::time::sleep(PATIENCE / 10).await;
        }
        assert_eq!(waiting.await.expect("ends"), Err(Errno::ETIMEDOUT));
    });
}

#[test]
fn a_read_of_what_is_here_does_not_wait_for_others() {
    let world = World::new();
    run(async {
        let lost: Vec<usize> = (0..10).map(|at| 2 * at).collect();
        let (fs, handle) = open(&world, Duration::from_secs(600), &lost).await;
        for &at in &lost {
            let fs = Arc::clone(&fs);
            tokio::spawn(async move { read(&fs, handle, at as u64).await });
            world.reached.notified().await;
        }
        assert_eq!(read(&fs, handle, 23).await, Ok(1000));
    });
}

/// No names so far.
struct NoneYet;

#[async_trait]
impl OwnNames for NoneYet {
    fn list(&self) -> Vec<OwnName> {
        Vec::new()
    }

    fn find(&self, _: &str) -> Option<OwnName> {
        None
    }

    async fn tree(&self, _: &OwnName) -> Result<Mfs, Errno> {
        Err(Errno::ENOENT)
    }
}

#[test]
fn a_key_may_get_any_name_soon() {
    let world = World::new();
    let writable = Writable { files: None, own: Some(Arc::new(NoneYet)) };
    let fs = Filesystem::new(world.sources(), writable, settings(Layout::Ipns, Duration::from_secs(60)));
    run(async {
        for name in ["blog", "autorun.inf"] {
            match fs.lookup(ROOT, name.as_bytes()).await {
                Ok(Found::Nothing(ttl)) => assert!(ttl <= Duration::from_secs(10), "{name}: {ttl:?}"),
                other => panic!("{other:?}"),
            }
        }
    });
}
