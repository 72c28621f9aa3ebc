//! The walk before a pin: every block of the DAG is stamped, or fetched, so that it is there when the pin is
//! written and no running collection takes it (see [`crate::session`]).
//!
//! A block is stamped *before* it is read. The other way round, a collection could delete it in between.

use super::{PinError, PinMode};
use crate::{
    Block, Cid, Multihash, StoreError,
    blockstore::{Blockstore as _, KvBlocks},
    dag::{
        self, NodeError,
        drain::{Links, drain},
        pile::Pile,
        seen::Seen,
    },
    fetch::Fetch,
    kv::Durability,
    task::in_context,
};
use futures::{StreamExt as _, TryStreamExt as _};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Missing blocks that are asked for at once.
const FETCH_BATCH: usize = 256;
/// Bytes of fetched blocks that are taken together; the source may hold back the others meanwhile.
const FETCH_BYTES: usize = 16 << 20;
/// Links of one node that are looked up and stamped at once.
const ADOPT_BATCH: usize = 4096;
/// Time between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// How far a walk is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Blocks found or fetched.
    pub nodes: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a walk shares with whoever watches it.
#[derive(Debug, Default)]
struct Watch {
    nodes: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
}

impl Watch {
    fn count(&self, bytes: u64) {
        self.nodes.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn progress(&self) -> Progress {
        Progress { nodes: self.nodes.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

/// Stamps everything below a root, as far as it is here and can be read. For whoever holds a session and names the root
/// durably before it ends.
///
/// # Errors
/// When the store fails.
pub(crate) fn stamp_below(blocks: &KvBlocks, root: Cid) -> Result<(), PinError> {
    let mut walk = Adoption::new(root, PinMode::Recursive);
    walk.lenient = true;
    walk.begin(blocks)
}

/// A walk. Its memory: a byte for each node that is no raw leaf, besides 18 MiB, and up to 40 MiB of nodes that wait, and the blocks
/// that were fetched together.
pub(super) struct Adoption {
    root: Cid,
    recursive: bool,
    /// Whether nothing is fetched, so that the first missing node ends the walk.
    local: bool,
    /// Whether what can't be read is passed over.
    lenient: bool,
    /// Stamped nodes that are to be read.
    stack: Pile,
    /// Nodes that are not here.
    missing: Pile,
    visited: Seen,
    watch: Arc<Watch>,
}

impl Adoption {
    /// A walk from that root.
    pub(super) fn new(root: Cid, mode: PinMode) -> Self {
        Self {
            root,
            recursive: mode == PinMode::Recursive,
            local: false,
            lenient: false,
            stack: Pile::new(),
            missing: Pile::new(),
            visited: Seen::new(),
            watch: Arc::default(),
        }
    }

    /// Walks the whole DAG in the local store.
    pub(super) fn local(mut self, blocks: &KvBlocks) -> Result<Progress, PinError> {
        self.local = true;
        self.begin(blocks)?;
        match self.missing.take(1)?.first() {
            None => Ok(self.watch.progress()),
            Some(cid) => Err(PinError::Missing(Box::new(*cid))),
        }
    }

    /// Walks from the root as far as it is here.
    fn begin(&mut self, blocks: &KvBlocks) -> Result<(), PinError> {
        self.visited.insert(&self.root)?;
        self.adopt(blocks, &[self.root])?;
        self.run(blocks)
    }

    /// Stamps nodes; those that are here and may have links are to be read.
    fn adopt(&mut self, blocks: &KvBlocks, cids: &[Cid]) -> Result<(), StoreError> {
        let hashes: Vec<Multihash> = cids.iter().map(|c| *c.hash()).collect();
        for (cid, size) in cids.iter().zip(blocks.adopt(&hashes)?) {
            match size {
                None => self.missing.push(*cid)?,
                Some(size) => {
                    self.watch.count(size);
                    if self.recursive && !dag::is_leaf(cid) {
                        self.stack.push(*cid)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads what is to be read, as far as it is here.
    fn run(&mut self, blocks: &KvBlocks) -> Result<(), PinError> {
        let mut stack = std::mem::take(&mut self.stack);
        drain(blocks, &mut stack, |cid, links, stack| {
            if self.watch.stop.load(Ordering::Relaxed) {
                return Err(PinError::Stopped);
            }
            // What a node leads to goes where the rest waits.
            std::mem::swap(&mut self.stack, stack);
            let walked = self.node(blocks, &cid, links);
            std::mem::swap(&mut self.stack, stack);
            walked?;
            if self.local
                && let Some(missing) = self.missing.take(1)?.first()
            {
                return Err(PinError::Missing(Box::new(*missing)));
            }
            Ok(())
        })
    }

    fn node(&mut self, blocks: &KvBlocks, cid: &Cid, links: Links) -> Result<(), PinError> {
        let links = match links {
            // Its index says that it is here, its bytes are not usable.
            Err(NodeError::Missing(_)) => {
                return Ok(self.missing.push(*cid)?);
            }
            Err(NodeError::Store(error)) => return Err(error.into()),
            Err(_) if self.lenient => return Ok(()),
            links => links?,
        };
        // Raw leaves are not remembered: stamping one twice costs less than the memory. Nor are identity CIDs: they
        // can't be nested deeply, and a block can hold more of them than this could remember.
        let is_small = |link: &Cid| dag::is_leaf(link) || link.hash().code() == 0;
        let mut fresh = Vec::with_capacity(links.len());
        for link in links {
            if is_small(&link) || self.visited.insert(&link)? {
                fresh.push(link);
            }
        }
        for some in fresh.chunks(ADOPT_BATCH) {
            self.adopt(blocks, some)?;
            if self.local && !self.missing.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Takes blocks that were fetched.
    fn fetched(&mut self, blocks: &KvBlocks, fetched: Vec<Block>) -> Result<(), PinError> {
        // Whoever fetched a block from elsewhere has stored it, but maybe before this session began.
        // IMPORTANT: not logged: each time that would have to flush first what was stored without the log. The blocks are
        // flushed once, before the pin is written.
        blocks.put_many(&fetched, Durability::Buffered)?;
        for block in fetched {
            self.watch.count(block.data().len() as u64);
            let cid = *block.cid();
            if self.recursive && !dag::is_leaf(&cid) {
                self.node(blocks, &cid, dag::links(&cid, block.data()).map_err(NodeError::from))?;
            }
        }
        Ok(())
    }
}

/// Stops the thread of a walk whose future was dropped.
struct StopOnDrop(Arc<Watch>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Walks the whole DAG, fetching what is not here.
pub(super) async fn fetch_all(
    blocks: &Arc<KvBlocks>,
    fetch: Arc<dyn Fetch>,
    mut walk: Adoption,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(), PinError> {
    let watch = StopOnDrop(Arc::clone(&walk.watch));
    walk = blocking(blocks, walk, progress, Adoption::begin).await?;
    while !walk.missing.is_empty() {
        let some = walk.missing.take(FETCH_BATCH)?;
        let mut answers = fetch.fetch_many(some, None).fuse();
        loop {
            let (mut fetched, mut bytes) = (Vec::new(), 0);
            while bytes < FETCH_BYTES
                && let Some(block) = answers.try_next().await?
            {
                bytes += block.data().len();
                fetched.push(block);
            }
            if fetched.is_empty() {
                break;
            }
            walk = blocking(blocks, walk, progress, move |walk, blocks| {
                walk.fetched(blocks, fetched)?;
                walk.run(blocks)
            })
            .await?;
        }
    }
    progress(watch.0.progress());
    Ok(())
}

/// Runs a part of the walk on a thread that may block.
async fn blocking(
    blocks: &Arc<KvBlocks>,
    mut walk: Adoption,
    progress: &(dyn Fn(Progress) + Sync),
    work: impl FnOnce(&mut Adoption, &KvBlocks) -> Result<(), PinError> + Send + 'static,
) -> Result<Adoption, PinError> {
    let (blocks, watch) = (Arc::clone(blocks), Arc::clone(&walk.watch));
    let mut job = tokio::task::spawn_blocking(in_context(move || work(&mut walk, &blocks).map(|()| walk)));
    loop {
        match tokio::time::timeout(REPORT_EVERY, &mut job).await {
            Ok(ended) => {
                return ended.map_err(|e| StoreError::Backend(format!("a walking thread died: {e}")))?;
            }
            Err(_) => progress(watch.progress()),
        }
    }
}
