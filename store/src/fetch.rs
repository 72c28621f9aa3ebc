//! `trait Fetch`: a block from wherever it can be had.
//!
//! Readers, walks, the gateway and the mount ask a `Fetch` and never learn whether the answer came from the
//! local store or from the network. [`Offline`] is the local one.

use crate::{
    Block, Cid, StoreError,
    blockstore::{Blockstore, Entry},
    cid::codec,
    task::{in_context, may_read},
};
use async_trait::async_trait;
use futures::{
    StreamExt as _,
    future::{self, Either},
    stream,
    stream::BoxStream,
};
use std::{collections::VecDeque, sync::Arc, time::Instant};
use tokio::{sync::Semaphore, task::JoinError};

/// Why a block can't be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// It is not in the local store, and there is nowhere else to ask.
    #[error("block was not found locally (offline): ipld: could not find {0}")]
    NotFound(Box<Cid>),
    /// The deadline passed first.
    #[error("block {0}: not delivered before the deadline")]
    TimedOut(Box<Cid>),
    /// It is on a denylist of this node.
    #[error("{cid} is blocked and cannot be provided")]
    Denied {
        /// The block.
        cid: Box<Cid>,
        /// Whether for legal reasons.
        legal: bool,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How long a caller is willing to wait. `None`: as long as it takes.
pub type Deadline = Option<Instant>;

/// A file that is one dag-pb block without mode and modification time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneBlock {
    /// Length of the file in bytes.
    pub len: u64,
    /// Length of its block.
    pub block: u64,
}

/// A source of blocks.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// One block.
    ///
    /// # Errors
    /// When it can't be had before the deadline.
    async fn fetch(&self, cid: &Cid, deadline: Deadline) -> Result<Block, FetchError>;

    /// Many blocks, answered in the order asked. The source decides how many it looks for at once; dropping
    /// the stream gives up the rest.
    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>>;

    /// Whether a block can be had without asking anybody else.
    ///
    /// # Errors
    /// When the store fails.
    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError>;

    /// The same for many blocks, in order.
    ///
    /// # Errors
    /// When the store fails.
    async fn has_local_many(&self, cids: &[Cid]) -> Result<Vec<bool>, FetchError> {
        let mut here = Vec::with_capacity(cids.len());
        for cid in cids {
            here.push(self.has_local(cid).await?);
        }
        Ok(here)
    }

    /// Which of these dag-pb blocks are known here to be files of one block, without reading them, in order. The others may
    /// be so too.
    ///
    /// # Errors
    /// When the store fails.
    async fn files_here(&self, cids: &[Cid]) -> Result<Vec<Option<OneBlock>>, FetchError> {
        Ok(vec![None; cids.len()])
    }
}

/// The local store and nothing else.
#[derive(Clone)]
pub struct Offline {
    store: Arc<dyn Blockstore>,
}

/// Blocks that one trip to the blocking pool reads: enough to make its cost vanish.
const READ_BATCH: usize = 32;
/// Trips at once, of all sources in the process; others wait. Each holds what it read, twice while the database copies
/// it, and a thousand clients would otherwise make a thousand.
const MAX_TRIPS: usize = 32;
static TRIPS: Semaphore = Semaphore::const_new(MAX_TRIPS);
/// Bytes after which a trip ends, or a piece later.
const READ_BYTES: usize = 8 << 20;
/// Blocks that are read between two looks at the bytes: 8 MiB of the largest.
const READ_PIECE: usize = 4;

type Answers = Vec<Result<Block, FetchError>>;

/// One trip: answers for the first of these, and the others.
fn read(store: &dyn Blockstore, mut cids: VecDeque<Cid>) -> (Answers, VecDeque<Cid>) {
    let (mut answers, mut bytes) = (Vec::new(), 0);
    while answers.len() < READ_BATCH && bytes < READ_BYTES && !cids.is_empty() {
        let piece: Vec<Cid> = cids.drain(..cids.len().min(READ_PIECE)).collect();
        for (cid, block) in piece.iter().zip(store.get_many(&piece)) {
            bytes += block.as_ref().map_or(0, |block| block.as_ref().map_or(0, |block| block.data().len()));
            answers.push(found(cid, block));
        }
    }
    (answers, cids)
}

fn died(error: JoinError) -> (Answers, VecDeque<Cid>) {
    let died = StoreError::Backend(format!("a reading thread died: {error}"));
    (vec![Err(died.into())], VecDeque::new())
}

impl Offline {
    /// Reads from that store.
    pub fn new(store: Arc<dyn Blockstore>) -> Self {
        Self { store }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Blockstore) -> T + Send + 'static,
    ) -> Result<T, FetchError> {
        if may_read() {
            return Ok(work(self.store.as_ref()));
        }
        let store = Arc::clone(&self.store);
        // It is never closed.
        let _permit = TRIPS.acquire().await;
        tokio::task::spawn_blocking(in_context(move || work(store.as_ref())))
            .await
            .map_err(|e| FetchError::Store(StoreError::Backend(format!("a reading thread died: {e}"))))
    }
}

fn found(cid: &Cid, result: Result<Option<Block>, StoreError>) -> Result<Block, FetchError> {
    result?.ok_or_else(|| FetchError::NotFound(Box::new(*cid)))
}

#[async_trait]
impl Fetch for Offline {
    async fn fetch(&self, cid: &Cid, _: Deadline) -> Result<Block, FetchError> {
        let cid = *cid;
        self.blocking(move |store| found(&cid, store.get(&cid))).await?
    }

    fn fetch_many(&self, cids: Vec<Cid>, _: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        let store = Arc::clone(&self.store);
        let trip = move |cids: VecDeque<Cid>| {
            if may_read() {
                return Either::Left(future::ready(read(store.as_ref(), cids)));
            }
            let store = Arc::clone(&store);
            let reading = in_context(move || read(store.as_ref(), cids));
            let trip = tokio::spawn(async move {
                let _permit = TRIPS.acquire().await;
                tokio::task::spawn_blocking(reading).await
            });
            Either::Right(async move { trip.await.and_then(|ended| ended).unwrap_or_else(died) })
        };
        stream::unfold((VecDeque::from(cids), None), move |(waiting, under_way)| {
            let under_way = under_way.or_else(|| (!waiting.is_empty()).then(|| trip(waiting)));
            let trip = trip.clone();
            async move {
                let (answers, rest) = under_way?.await;
                if rest.is_empty() || may_read() {
                    return Some((stream::iter(answers), (rest, None)));
                }
                // The next trip is made while the answers of this one are used.
                Some((stream::iter(answers), (VecDeque::new(), Some(trip(rest)))))
            }
        })
        .flatten()
        .fuse()
        .boxed()
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        let cid = *cid;
        Ok(self.blocking(move |store| store.has(cid.hash())).await??)
    }

    async fn has_local_many(&self, cids: &[Cid]) -> Result<Vec<bool>, FetchError> {
        let hashes: Vec<_> = cids.iter().map(|cid| *cid.hash()).collect();
        let here = self.blocking(move |store| hashes.iter().map(|hash| store.has(hash)).collect::<Result<_, _>>());
        Ok(here.await??)
    }

    async fn files_here(&self, cids: &[Cid]) -> Result<Vec<Option<OneBlock>>, FetchError> {
        let hashes: Vec<_> = cids.iter().map(|cid| *cid.hash()).collect();
        let entries = self.blocking(move |store| store.entries(&hashes)).await?;
        let file = |entry: Option<Entry>| entry.and_then(|e| Some(OneBlock { len: e.file?, block: e.size }));
        cids.iter().zip(entries).map(|(cid, entry)| Ok(file(entry?).filter(|_| cid.codec() == codec::DAG_PB))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        block::Prefix,
        blockstore::KvBlocks,
        kv::{Durability, MemoryKv},
    };
    use futures::FutureExt as _;

    #[tokio::test]
    async fn trips_are_cut_by_bytes_and_by_number() {
        let store = Arc::new(KvBlocks::open(Arc::new(MemoryKv::new())).expect("opens"));
        let seal = |data: Vec<u8>| Block::seal(Prefix::v1(codec::RAW), data.into()).expect("seals");
        let large: Vec<Block> = (0..20).map(|i| seal(vec![i; 2 << 20])).collect();
        let small: Vec<Block> = (20..100).map(|i| seal(vec![i; 1000])).collect();
        for (blocks, first) in [(&large, 4), (&small, READ_BATCH)] {
            store.put_many(blocks, Durability::Buffered).expect("puts");
            let cids: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
            let (answers, rest) = read(store.as_ref(), cids.iter().copied().collect());
            assert_eq!((answers.len(), rest.len()), (first, blocks.len() - first));
            let offline = Offline::new(store.clone());
            let all: Vec<_> = offline.fetch_many(cids, None).map(|answer| answer.expect("is here")).collect().await;
            assert_eq!(all, *blocks);
        }
        assert_eq!(Offline::new(store).fetch_many(Vec::new(), None).count().await, 0);
    }

    #[test]
    fn a_thread_that_may_read_is_answered_at_once() {
        let store = Arc::new(KvBlocks::open(Arc::new(MemoryKv::new())).expect("opens"));
        let seal = |data: Vec<u8>| Block::seal(Prefix::v1(codec::RAW), data.into()).expect("seals");
        let blocks: Vec<Block> = (0..100).map(|i| seal(vec![i; 1000])).collect();
        store.put_many(&blocks[..99], Durability::Buffered).expect("puts");
        let offline = Offline::new(store);
        let cids: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
        // There is no runtime that could do it elsewhere.
        crate::task::reads_here();
        let one = offline.fetch(&cids[5], None).now_or_never().expect("it is answered at once");
        assert_eq!(one.expect("is here"), blocks[5]);
        let here =
            offline.has_local_many(&cids).now_or_never().expect("it is answered at once").expect("the store answers");
        assert_eq!(here.iter().filter(|here| **here).count(), 99);
        let all = offline.fetch_many(cids, None).collect::<Vec<_>>().now_or_never().expect("it is answered at once");
        assert!(matches!(all[99], Err(FetchError::NotFound(_))));
        assert!(all.iter().zip(&blocks).take(99).all(|(answer, block)| answer.as_ref().is_ok_and(|b| b == block)));
    }
}
