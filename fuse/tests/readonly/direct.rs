//! Reads of what is here.

use crate::support::{World, noise, settings};
use bytes::Bytes;
use cairn_fuse::core::{Filesystem, Found, Ino, Kernel, Layout, ROOT, Sources, Writable};
use cairn_store::{
    Cid,
    unixfs::{meta::FileMeta, profile::Profile},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// Files in chunks of this size have three levels.
const CHUNK: usize = 16;
const LEN: usize = 700_003;

/// A file system whose blocks here are those of one world, and elsewhere those of another.
struct Two {
    here: Arc<World>,
    elsewhere: Arc<World>,
    fs: Arc<Filesystem>,
    bytes: Vec<u8>,
    root: Cid,
}

impl Two {
    fn new(profile: &Profile, chunk: usize) -> Self {
        let (here, elsewhere, bytes) = (World::new(), World::new(), noise(LEN, 3));
        let [root, _] = [&here, &elsewhere].map(|world| world.file(profile, chunk, &bytes, FileMeta::NONE));
        let sources = Sources { local: here.sources().local, ..elsewhere.sources() };
        let fs = Filesystem::new(sources, Writable::default(), settings(Layout::Ipfs, Duration::from_secs(5)));
        Self { here, elsewhere, fs, bytes, root }
    }

    async fn open(&self) -> u64 {
        let Found::Entry(entry) = self.fs.lookup(ROOT, self.root.to_string().as_bytes()).await.expect("is looked up")
        else {
            panic!("it is there");
        };
        let ino: Ino = entry.attr.ino;
        let handle = self.fs.open(ino, false).await.expect("opens").handle;
        self.elsewhere.count();
        handle
    }

    async fn check(&self, handle: u64, offset: usize, len: usize) {
        let read = self.fs.admit(handle, offset as u64, len).expect("it is open");
        let pieces = self.fs.read(read).await.expect("reads");
        let end = (offset + len).min(LEN);
        assert!(pieces.concat() == self.bytes[offset.min(end)..end], "{len} bytes at {offset}");
    }
}

#[tokio::test]
async fn what_is_here_is_read_from_here() {
    for profile in [Profile::unixfs_v0_2015(), Profile::unixfs_v1_2025()] {
        let two = Two::new(&profile, CHUNK);
        let handle = two.open().await;
        for at in (0..60).map(|n| n * 7_919 * 1_009 % LEN) {
            two.check(handle, at, 1 + at % 5_000).await;
        }
        two.check(handle, 0, 20_000).await;
        two.check(handle, LEN - 5, 4096).await;
        two.check(handle, LEN + 5, 4096).await;
        assert_eq!(two.elsewhere.count(), 0, "nobody else was asked");
        // So many blocks are left to a reader.
        two.check(handle, 0, LEN).await;
    }
}

#[tokio::test]
async fn what_is_missing_here_comes_from_elsewhere() {
    let two = Two::new(&Profile::unixfs_v1_2025(), CHUNK);
    let handle = two.open().await;
    let missing = &two.bytes[300_000 / CHUNK * CHUNK..][..CHUNK];
    two.here.forget(&two.elsewhere.raw(missing));
    two.check(handle, 0, 20_000).await;
    assert_eq!(two.elsewhere.count(), 0);
    two.check(handle, 290_000, 20_000).await;
    assert!(two.elsewhere.count() > 0);
    two.check(handle, 100_000, 2_000).await;
}

/// What a kernel was given without asking for it.
#[derive(Default)]
struct Given(Mutex<Vec<(Ino, u64, Bytes)>>);

impl Kernel for Given {
    fn entry_changed(&self, _: Ino, _: &[u8]) -> bool {
        true
    }

    fn content_changed(&self, _: Ino) {}

    fn attr_changed(&self, _: Ino) {}

    fn content(&self, ino: Ino, offset: u64, bytes: Bytes) {
        self.0.lock().expect("lock").push((ino, offset, bytes));
    }
}

#[tokio::test]
async fn the_kernel_gets_the_blocks_that_jumps_lead_to() {
    let two = Two::new(&Profile::unixfs_v1_2025(), 100_000);
    let given = Arc::new(Given::default());
    two.fs.attach(Arc::clone(&given) as Arc<dyn Kernel>);
    let handle = two.open().await;
    let given = || std::mem::take(&mut *given.0.lock().expect("lock"));
    for (at, len) in [(0, 4096), (4096, 4096), (8192, 131_072)] {
        two.check(handle, at, len).await;
        assert!(given().is_empty(), "they are read in order");
    }
    let handle = two.open().await;
    for (at, from, to) in [(699_000, 602_112, 696_320), (512_000, 503_808, 598_016), (100_000, 102_400, 196_608)] {
        two.check(handle, at, 512).await;
        let given = given();
        let [(_, offset, bytes)] = given.as_slice() else { panic!("one block: {given:?}") };
        assert_eq!((*offset, *offset + bytes.len() as u64), (from, to), "{at}");
        assert!(bytes[..] == two.bytes[from as usize..to as usize]);
    }
}
