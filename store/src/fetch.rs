//! `trait Fetch`: a block from wherever it can be had.
//!
//! Readers, walks, the gateway and the mount ask a `Fetch` and never learn whether the answer came from the
//! local store or from the network. [`Offline`] is the local one.

use crate::{Block, Cid, StoreError, blockstore::Blockstore};
use async_trait::async_trait;
use futures::{StreamExt as _, stream, stream::BoxStream};
use std::{sync::Arc, time::Instant};

/// Why a block can't be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// It is not in the local store, and there is nowhere else to ask.
    #[error("block was not found locally (offline): ipld: could not find {0}")]
    NotFound(Box<Cid>),
    /// The deadline passed first.
    #[error("block {0}: not delivered before the deadline")]
    TimedOut(Box<Cid>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How long a caller is willing to wait. `None`: as long as it takes.
pub type Deadline = Option<Instant>;

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
}

/// The local store and nothing else.
#[derive(Clone)]
pub struct Offline {
    store: Arc<dyn Blockstore>,
}

/// Blocks that one trip to the blocking pool reads: enough to make its cost vanish, few enough that a stream
/// holds at most 2 × 8 MiB of 256 KiB blocks.
const READ_BATCH: usize = 32;

impl Offline {
    /// Reads from that store.
    pub fn new(store: Arc<dyn Blockstore>) -> Self {
        Self { store }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Blockstore) -> T + Send + 'static,
    ) -> Result<T, FetchError> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || work(store.as_ref()))
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
        let batches: Vec<Vec<Cid>> = cids.chunks(READ_BATCH).map(<[Cid]>::to_vec).collect();
        stream::iter(batches)
            .map(move |batch| async move {
                let read = self
                    .blocking(move |store| {
                        let blocks = store.get_many(&batch);
                        batch.iter().zip(blocks).map(|(c, b)| found(c, b)).collect::<Vec<_>>()
                    })
                    .await;
                stream::iter(read.unwrap_or_else(|error| vec![Err(error)]))
            })
            // One batch is being read while the one before it is used.
            .buffered(2)
            .flatten()
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
}
