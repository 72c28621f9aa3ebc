//! A source of blocks in memory that counts and can stall, and mounts that never stay behind.

#![allow(dead_code)]

use async_trait::async_trait;
use bytes::Bytes;
use cairn_fuse::{
    core::{Filesystem, Layout, Settings, Sources, Space, TreeOptions, Writable},
    mount::{Mount, Options},
};
use cairn_store::{
    Block, Cid,
    block::Prefix,
    chunker::ChunkerSpec,
    cid::codec,
    dag::pb::{PbLink, PbNode},
    fetch::{Deadline, Fetch, FetchError, OneBlock},
    names::{NameError, Names, SignedRecord, Target},
    path::Path as ContentPath,
    unixfs::{
        directory::DirBuilder,
        layout::LayoutBuilder,
        leaf::{self, Leaf},
        meta::FileMeta,
        node::{Data, Kind},
        profile::Profile,
    },
};
use futures::{StreamExt as _, stream, stream::BoxStream};
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::Notify;

/// Blocks and names in memory. Some blocks are elsewhere: local questions do not find them.
#[derive(Default)]
pub struct World {
    blocks: Mutex<HashMap<Cid, Block>>,
    names: Mutex<HashMap<String, (String, Duration)>>,
    /// Blocks that never come.
    pub stalled: Mutex<HashSet<Cid>>,
    /// What is known of blocks without reading them.
    pub known: Mutex<HashMap<Cid, OneBlock>>,
    /// Blocks that come, but are not here.
    pub remote: Mutex<HashSet<Cid>>,
    /// Told when a block is asked for that never comes.
    pub reached: Notify,
    /// Told when blocks that never came may come.
    released: Notify,
    /// Blocks given out.
    pub fetched: AtomicUsize,
}

/// What is here of a world.
struct Local(Arc<World>);

#[async_trait]
impl Fetch for World {
    async fn fetch(&self, cid: &Cid, deadline: Deadline) -> Result<Block, FetchError> {
        if self.stalled.lock().expect("lock").contains(cid) {
            let released = self.released.notified();
            self.reached.notify_one();
            let too_late = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending::<()>().await,
                }
            };
            tokio::select! {
                () = released => {}
                () = too_late => return Err(FetchError::TimedOut(Box::new(*cid))),
            }
        }
        self.fetched.fetch_add(1, Ordering::Relaxed);
        let identity = Block::from_identity(cid);
        let found = identity.or_else(|| self.blocks.lock().expect("lock").get(cid).cloned());
        found.ok_or_else(|| FetchError::NotFound(Box::new(*cid)))
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        stream::iter(cids).then(move |cid| async move { self.fetch(&cid, deadline).await }).boxed()
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        Ok(self.is_here(cid))
    }
}

#[async_trait]
impl Fetch for Local {
    async fn fetch(&self, cid: &Cid, deadline: Deadline) -> Result<Block, FetchError> {
        if self.0.is_here(cid) { self.0.fetch(cid, deadline).await } else { Err(FetchError::NotFound(Box::new(*cid))) }
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        stream::iter(cids).then(move |cid| async move { self.fetch(&cid, deadline).await }).boxed()
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        Ok(self.0.is_here(cid))
    }

    async fn files_here(&self, cids: &[Cid]) -> Result<Vec<Option<OneBlock>>, FetchError> {
        let known = self.0.known.lock().expect("lock");
        Ok(cids.iter().map(|cid| known.get(cid).copied()).collect())
    }
}

#[async_trait]
impl Names for World {
    async fn lookup(&self, name: &str, _: Deadline) -> Result<Target, NameError> {
        let found = self.names.lock().expect("lock").get(name).cloned();
        let (path, ttl) = found.ok_or_else(|| NameError::NotFound(name.to_owned()))?;
        Ok(Target { path: ContentPath::parse(&path).expect("a path"), ttl })
    }

    async fn record(&self, name: &str, _: Deadline) -> Result<SignedRecord, NameError> {
        Err(NameError::NotFound(name.to_owned()))
    }
}

impl World {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn is_here(&self, cid: &Cid) -> bool {
        let elsewhere =
            self.remote.lock().expect("lock").contains(cid) || self.stalled.lock().expect("lock").contains(cid);
        !elsewhere && self.blocks.lock().expect("lock").contains_key(cid)
    }

    pub fn sources(self: &Arc<Self>) -> Sources {
        let world = Arc::clone(self);
        Sources {
            session: Arc::new(move || Arc::clone(&world) as Arc<dyn Fetch>),
            local: Arc::new(Local(Arc::clone(self))),
            names: Arc::clone(self) as Arc<dyn Names>,
        }
    }

    pub fn publish(&self, name: &str, path: &str, ttl: Duration) {
        self.names.lock().expect("lock").insert(name.to_owned(), (path.to_owned(), ttl));
    }

    pub fn keep(&self, blocks: impl IntoIterator<Item = Block>) {
        self.blocks.lock().expect("lock").extend(blocks.into_iter().map(|b| (*b.cid(), b)));
    }

    pub fn forget(&self, cid: &Cid) {
        self.blocks.lock().expect("lock").remove(cid);
    }

    pub fn stall(&self, cid: &Cid) {
        self.stalled.lock().expect("lock").insert(*cid);
    }

    /// Lets all come that were stalled.
    pub fn release(&self) {
        self.stalled.lock().expect("lock").clear();
        self.released.notify_waiters();
    }

    /// Blocks given out since the last time.
    pub fn count(&self) -> usize {
        self.fetched.swap(0, Ordering::Relaxed)
    }

    pub fn block(&self, codec: u64, bytes: impl Into<Bytes>) -> Cid {
        let block = Block::seal(Prefix::v1(codec), bytes.into()).expect("seals");
        let cid = *block.cid();
        self.keep([block]);
        cid
    }

    pub fn raw(&self, bytes: &[u8]) -> Cid {
        self.block(codec::RAW, Bytes::copy_from_slice(bytes))
    }

    /// Stores a UnixFS node.
    pub fn node(&self, data: &Data, links: Vec<PbLink>) -> Cid {
        self.block(codec::DAG_PB, PbNode { links, data: Some(data.encode().into()) }.encode())
    }

    /// Stores a directory with those entries and sizes, in that order.
    pub fn dir(&self, entries: &[(&[u8], Cid, u64)]) -> Cid {
        let link = |(name, cid, size): &(&[u8], Cid, u64)| PbLink::new(*cid, Bytes::copy_from_slice(name), *size);
        self.node(&Data::new(Kind::Directory), entries.iter().map(link).collect())
    }

    pub fn symlink(&self, target: &[u8]) -> Cid {
        let mut data = Data::new(Kind::Symlink);
        data.data = Some(Bytes::copy_from_slice(target));
        self.node(&data, Vec::new())
    }

    /// Imports a file in chunks of that size.
    pub fn file(&self, profile: &Profile, chunk: usize, bytes: &[u8], meta: FileMeta) -> Cid {
        let profile = Profile { chunker: ChunkerSpec::Size(chunk), ..*profile };
        let mut out = Vec::new();
        let mut layout = LayoutBuilder::new(&profile);
        for chunk in bytes.chunks(chunk) {
            let block = profile.seal_leaf(leaf::encode(&profile, Bytes::copy_from_slice(chunk))).expect("seals");
            layout.push(Leaf { block, file_size: chunk.len() as u64 }, &mut out).expect("a node");
        }
        let root = layout.finish(meta, &mut out).expect("a root");
        self.keep(out);
        root.cid
    }

    /// Imports a directory.
    pub fn directory(&self, profile: &Profile, entries: &[(String, Cid)]) -> Cid {
        let mut dir = DirBuilder::new(profile, FileMeta::NONE);
        for (name, cid) in entries {
            dir.add(name, cid, 1).expect("a good name");
        }
        let mut out = Vec::new();
        let root = dir.finish(&mut out).expect("a directory");
        self.keep(out);
        root.cid
    }
}

/// A sharded directory whatever its size.
pub fn sharded(fanout: usize) -> Profile {
    Profile { max_dir_links: 1, max_hamt_fanout: fanout, ..Profile::cid_v1() }
}

/// Bytes that look like nothing in particular.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

pub fn settings(layout: Layout, patience: Duration) -> Settings {
    Settings {
        layout,
        patience,
        read_only: false,
        tree: TreeOptions { shared: false, ..TreeOptions::default() },
        space: Arc::new(|| Space { total: 10 << 30, free: 4 << 30 }),
    }
}

/// How many cases a property is tested with: `PROPTEST_CASES`, else that many.
pub fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Whether mounts can be tested here; says why not. A kernel without FUSE is nothing that set-up could mend.
pub fn can_mount() -> bool {
    let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    device.inspect_err(|error| eprintln!("skipped: /dev/fuse can't be opened ({error})")).is_ok()
}

/// A mount in a directory of its own. It is unmounted when this is dropped, by a panic too.
pub struct Folder {
    mount: Option<Mount>,
    pub fs: Arc<Filesystem>,
    pub dir: TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Folder {
    pub fn new(sources: Sources, writable: Writable, settings: Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options {
            dir: dir.path().to_owned(),
            allow_other: false,
            read_only: settings.read_only,
            name: "test".into(),
        };
        let fs = Filesystem::new(sources, writable, settings);
        let mount = Mount::new(Arc::clone(&fs), &options, runtime.handle()).expect("mounts");
        Self { mount: Some(mount), fs, dir, runtime }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub fn unmount(mut self) {
        let mount = self.mount.take().expect("it is mounted");
        self.runtime.block_on(mount.unmount()).expect("unmounts");
    }
}
