//! A tree on a disk with a volatile cache, and ways to look at it.

use crate::support::{store, volatile::Volatile};
use async_trait::async_trait;
use bytes::Bytes;
use cairn_store::{
    Block, Cid,
    blockstore::KvBlocks,
    chunker::ChunkerSpec,
    fetch::{Deadline, Fetch, FetchError, Offline},
    kv::Kv,
    mfs::{Attr, Cursor, Ino, Kind, MetaCell, Mfs, MfsError, New, Options, ROOT_INO},
    unixfs::{
        Dir, FileReader,
        entity::{self, Entity},
        node::Mtime,
        profile::Profile,
    },
};
use futures::{StreamExt as _, stream::BoxStream};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

/// Small leaves, narrow nodes and small directories: everything happens soon.
pub fn small() -> Profile {
    Profile {
        chunker: ChunkerSpec::Size(16),
        max_file_links: 3,
        max_hamt_fanout: 8,
        hamt_threshold: 300,
        ..Profile::cid_v1()
    }
}

pub fn options(profile: Profile) -> Options {
    Options {
        dirty_max: 1 << 20,
        deadline: Duration::from_secs(20),
        commit_after: None,
        now: || Mtime { seconds: 1_700_000_000, nanos: 5 },
        ..Options::new(profile)
    }
}

/// A disk, and what is open on it.
pub struct World {
    pub disk: Arc<Volatile>,
    pub blocks: Arc<KvBlocks>,
    pub mfs: Mfs,
}

impl World {
    pub async fn new(options: Options) -> Self {
        Self::on(Arc::new(Volatile::default()), options).await
    }

    pub async fn on(disk: Arc<Volatile>, options: Options) -> Self {
        let blocks = store(disk.clone());
        let mfs = open(&blocks, options).await.expect("opens");
        Self { disk, blocks, mfs }
    }

    /// Cuts the power.
    pub async fn after_power_cut(self, options: Options) -> Self {
        let left = self.disk.left();
        drop(self);
        Self::on(Arc::new(Volatile::from_left(&left)), options).await
    }
}

pub async fn open(blocks: &Arc<KvBlocks>, options: Options) -> Result<Mfs, MfsError> {
    let fetch: Arc<dyn Fetch> = Arc::new(Offline::new(blocks.clone()));
    Mfs::open(blocks.clone(), fetch, Arc::new(MetaCell::new(blocks.clone())), options).await
}

pub async fn open_on(kv: Arc<dyn Kv>, options: Options) -> (Arc<KvBlocks>, Mfs) {
    let blocks = store(kv);
    let mfs = open(&blocks, options).await.expect("opens");
    (blocks, mfs)
}

/// What a tree looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    File(Vec<u8>),
    Link(Vec<u8>),
    Dir(BTreeMap<Vec<u8>, Seen>),
}

/// Writes a whole file; makes it if there is none.
pub async fn write(mfs: &Mfs, parent: Ino, name: &str, content: &[u8]) -> Attr {
    let attr = mfs.create(parent, name.as_bytes(), New::default(), false).await.expect("creates");
    mfs.write(attr.ino, 0, Bytes::copy_from_slice(content)).await.expect("writes");
    mfs.attr(attr.ino).await.expect("is there")
}

/// Makes a directory, or finds it.
pub async fn dir(mfs: &Mfs, parent: Ino, name: &str) -> Ino {
    match mfs.mkdir(parent, name.as_bytes(), New::default()).await {
        Err(MfsError::Exists(_)) => mfs.lookup(parent, name.as_bytes()).await.expect("is there").ino,
        made => made.expect("makes").ino,
    }
}

pub async fn read(mfs: &Mfs, path: &str) -> Result<Vec<u8>, MfsError> {
    let held = mfs.resolve(path.as_bytes()).await?;
    Ok(mfs.read(held.ino(), 0, usize::MAX).await?.to_vec())
}

/// The tree as it is seen through the inodes.
pub async fn look(mfs: &Mfs) -> Seen {
    let mut done = BTreeMap::new();
    let mut todo = vec![(ROOT_INO, Vec::new())];
    let mut dirs = Vec::new();
    while let Some((ino, path)) = todo.pop() {
        dirs.push(path.clone());
        let mut cursor = Cursor::START;
        loop {
            let some = mfs.list(ino, &cursor, 3).await.expect("lists");
            let Some(last) = some.last() else { break };
            cursor = last.cursor.clone();
            for entry in some {
                let attr = mfs.lookup(ino, &entry.name).await.expect("is there");
                let mut path: Vec<Bytes> = path.clone();
                path.push(entry.name.clone());
                match attr.kind {
                    Kind::File => {
                        let content = mfs.read(attr.ino, 0, usize::MAX).await.expect("reads");
                        assert_eq!(content.len() as u64, attr.size);
                        done.insert(path, Seen::File(content.to_vec()));
                    }
                    Kind::Symlink => {
                        let target = mfs.readlink(attr.ino).await.expect("reads");
                        done.insert(path, Seen::Link(target.to_vec()));
                    }
                    Kind::Directory => todo.push((attr.ino, path)),
                }
                if attr.kind != Kind::Directory {
                    mfs.forget(attr.ino, 1);
                }
            }
        }
        if ino != ROOT_INO {
            mfs.forget(ino, 1);
        }
    }
    nested(done, dirs)
}

/// The tree below a root as any reader of UnixFS sees it.
pub async fn stored(blocks: &Arc<KvBlocks>, root: &Cid) -> Seen {
    let fetch: Arc<dyn Fetch> = Arc::new(Offline::new(blocks.clone()));
    let (mut done, mut dirs, mut todo) = (BTreeMap::new(), Vec::new(), vec![(*root, Vec::new())]);
    while let Some((cid, path)) = todo.pop() {
        let block = fetch.fetch(&cid, None).await.expect("is here");
        match entity::decode(&block).expect("is UnixFS").1 {
            Entity::Symlink(target) => drop(done.insert(path, Seen::Link(target.to_vec()))),
            Entity::File(_) => {
                let mut reader = FileReader::open(fetch.clone(), &cid, None).await.expect("opens");
                let mut content = Vec::new();
                while let Some(bytes) = reader.next().await.expect("reads") {
                    content.extend_from_slice(&bytes);
                }
                done.insert(path, Seen::File(content));
            }
            _ => {
                dirs.push(path.clone());
                let mut entries = Dir::open(fetch.clone(), &cid, None).await.expect("opens").entries();
                while let Some(entry) = entries.next().await.expect("lists") {
                    let mut path = path.clone();
                    path.push(entry.name);
                    todo.push((entry.cid, path));
                }
            }
        }
    }
    nested(done, dirs)
}

/// Makes a tree of paths.
fn nested(mut done: BTreeMap<Vec<Bytes>, Seen>, mut dirs: Vec<Vec<Bytes>>) -> Seen {
    dirs.sort_by_key(|path| std::cmp::Reverse(path.len()));
    for dir in dirs {
        let below: Vec<Vec<Bytes>> =
            done.keys().filter(|path| path.len() == dir.len() + 1 && path.starts_with(&dir)).cloned().collect();
        let entries = below.into_iter().map(|path| {
            let seen = done.remove(&path).expect("was listed");
            (path.last().expect("is no root").to_vec(), seen)
        });
        let entries = entries.collect();
        if dir.is_empty() {
            return Seen::Dir(entries);
        }
        done.insert(dir, Seen::Dir(entries));
    }
    panic!("a tree has a root");
}

/// Blocks that can't be had, in front of a source.
pub struct Without {
    inner: Offline,
    missing: Mutex<HashSet<Cid>>,
    pub fetched: Mutex<Vec<Cid>>,
}

impl Without {
    pub fn new(blocks: &Arc<KvBlocks>) -> Arc<Self> {
        let inner = Offline::new(blocks.clone());
        Arc::new(Self { inner, missing: Mutex::default(), fetched: Mutex::default() })
    }

    pub fn lose(&self, cid: Cid) {
        self.missing.lock().expect("lock").insert(cid);
    }

    pub fn find_again(&self) {
        self.missing.lock().expect("lock").clear();
    }
}

#[async_trait]
impl Fetch for Without {
    async fn fetch(&self, cid: &Cid, deadline: Deadline) -> Result<Block, FetchError> {
        self.fetched.lock().expect("lock").push(*cid);
        if self.missing.lock().expect("lock").contains(cid) {
            return Err(FetchError::TimedOut(Box::new(*cid)));
        }
        self.inner.fetch(cid, deadline).await
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        futures::stream::iter(cids).then(move |cid| async move { self.fetch(&cid, deadline).await }).boxed()
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        self.inner.has_local(cid).await
    }
}
