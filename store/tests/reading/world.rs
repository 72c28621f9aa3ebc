//! A source of blocks in memory that counts and can stall, and ways to fill it.

use async_trait::async_trait;
use bytes::Bytes;
use cairn_store::{
    Block, Cid,
    block::Prefix,
    chunker::ChunkerSpec,
    cid::codec,
    dag::pb::{PbLink, PbNode},
    fetch::{Deadline, Fetch, FetchError},
    unixfs::{
        Root,
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
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// Blocks in memory.
#[derive(Default)]
pub struct World {
    blocks: Mutex<HashMap<Cid, Block>>,
    /// Blocks that never come.
    pub stalled: Mutex<HashSet<Cid>>,
    /// Told when one of those is asked for.
    pub reached: Notify,
    /// Blocks given out.
    pub fetched: AtomicUsize,
}

#[async_trait]
impl Fetch for World {
    async fn fetch(&self, cid: &Cid, _: Deadline) -> Result<Block, FetchError> {
        if self.stalled.lock().expect("lock").contains(cid) {
            self.reached.notify_one();
            std::future::pending::<()>().await;
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
        Ok(self.blocks.lock().expect("lock").contains_key(cid))
    }
}

impl World {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn keep(&self, blocks: impl IntoIterator<Item = Block>) {
        self.blocks.lock().expect("lock").extend(blocks.into_iter().map(|b| (*b.cid(), b)));
    }

    pub fn forget(&self, cid: &Cid) {
        self.blocks.lock().expect("lock").remove(cid);
    }

    /// Blocks given out since the last time.
    pub fn count(&self) -> usize {
        self.fetched.swap(0, Ordering::Relaxed)
    }

    /// Stores a raw block.
    pub fn raw(&self, bytes: &[u8]) -> Cid {
        self.block(codec::RAW, Bytes::copy_from_slice(bytes))
    }

    pub fn block(&self, codec: u64, bytes: Bytes) -> Cid {
        let block = Block::seal(Prefix::v1(codec), bytes).expect("seals");
        let cid = *block.cid();
        self.keep([block]);
        cid
    }

    /// Stores a UnixFS node.
    pub fn node(&self, data: &Data, links: Vec<PbLink>) -> Cid {
        self.block(codec::DAG_PB, PbNode { links, data: Some(data.encode().into()) }.encode())
    }

    /// Stores a file node with those parts, whatever is true of them.
    pub fn parts(&self, parts: &[(Cid, u64)]) -> Cid {
        let mut data = Data::new(Kind::File);
        data.blocksizes = parts.iter().map(|p| p.1).collect();
        data.filesize = Some(parts.iter().fold(0, |sum, p| sum.wrapping_add(p.1)));
        self.node(&data, parts.iter().map(|p| PbLink::new(p.0, "", 0)).collect())
    }

    /// Stores a directory with those entries, in that order.
    pub fn dir(&self, entries: &[(&[u8], Cid)]) -> Cid {
        let links = entries.iter().map(|(name, cid)| PbLink::new(*cid, Bytes::copy_from_slice(name), 0)).collect();
        self.node(&Data::new(Kind::Directory), links)
    }

    pub fn symlink(&self, target: &[u8]) -> Cid {
        let mut data = Data::new(Kind::Symlink);
        data.data = Some(Bytes::copy_from_slice(target));
        self.node(&data, Vec::new())
    }

    /// Imports a file in chunks of that size.
    pub fn file(&self, profile: &Profile, chunk: usize, bytes: &[u8], meta: FileMeta) -> Root {
        let profile = Profile { chunker: ChunkerSpec::Size(chunk), ..*profile };
        let mut out = Vec::new();
        let mut layout = LayoutBuilder::new(&profile);
        for chunk in bytes.chunks(chunk) {
            let block = profile.seal_leaf(leaf::encode(&profile, Bytes::copy_from_slice(chunk))).expect("seals");
            layout.push(Leaf { block, file_size: chunk.len() as u64 }, &mut out).expect("a node");
        }
        let root = layout.finish(meta, &mut out).expect("a root");
        self.keep(out);
        root
    }

    /// Imports a directory.
    pub fn directory(&self, profile: &Profile, entries: &[(String, Cid)], meta: FileMeta) -> Cid {
        let mut dir = DirBuilder::new(profile, meta);
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
