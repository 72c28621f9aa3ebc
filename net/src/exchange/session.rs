//! One piece of work's source of blocks.

use super::{
    many::Many,
    prefetch::{Prefetch, Run},
};
use crate::bitswap::{Answer, Bitswap, Order, Session, Urgency};
use async_trait::async_trait;
use cairn_store::{
    Block, Cid, StoreError,
    blockstore::Blockstore,
    fetch::{Deadline, Fetch, FetchError, Offline},
    session::Session as Guard,
    task::in_context,
};
use futures::{StreamExt as _, stream::BoxStream};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::OnceCell;
use tracing::{Instrument as _, Span};

/// Size of a block that is assumed before the first one has come.
const FIRST_SIZE: u64 = 64 << 10;

/// A source for one piece of work.
#[derive(Clone)]
pub(super) struct SessionFetch(Arc<Inner>);

pub(super) struct Inner {
    pub(super) store: Arc<dyn Blockstore>,
    bitswap: Bitswap,
    pub(super) order: Order,
    /// IMPORTANT: keeps what is fetched from a collection that runs meanwhile.
    _guard: Guard,
    /// What it was opened for, for the log.
    context: Span,
    /// Opened at the first block that is missing: work on what is here costs nothing.
    session: OnceCell<Session>,
    pub(super) prefetch: Mutex<Prefetch>,
    mean: AtomicU64,
}

impl SessionFetch {
    pub(super) fn new(store: Arc<dyn Blockstore>, bitswap: Bitswap, order: Order) -> Self {
        let guard = store.session();
        Self(Arc::new(Inner {
            store,
            bitswap,
            order,
            _guard: guard,
            context: Span::current(),
            session: OnceCell::new(),
            prefetch: Mutex::default(),
            mean: AtomicU64::new(FIRST_SIZE),
        }))
    }

    pub(super) fn stream(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'static, Result<Block, FetchError>> {
        let many = Many::new(Arc::clone(&self.0), cids, deadline);
        futures::stream::unfold(many, |mut many| async move { Some((many.next().await?, many)) }).boxed()
    }
}

impl Inner {
    /// Reads blocks from the store, on the blocking pool: one answer for each, in order. It begins at once.
    pub(super) fn read(
        &self,
        cids: Vec<Cid>,
    ) -> impl Future<Output = Vec<Result<Option<Block>, StoreError>>> + Send + use<> {
        let (store, count) = (Arc::clone(&self.store), cids.len());
        let reading = tokio::task::spawn_blocking(in_context(move || store.get_many(&cids)));
        async move {
            reading.await.unwrap_or_else(|e| {
                let error = StoreError::Backend(format!("a reading thread died: {e}"));
                vec![Err(error); count]
            })
        }
    }

    /// Wants blocks of the network.
    pub(super) async fn want(&self, cids: &[Cid], urgency: Urgency) -> Vec<Answer> {
        let session =
            self.session.get_or_init(|| self.bitswap.session(self.order).instrument(self.context.clone())).await;
        session.want(cids, urgency).await
    }

    /// Waits for a block.
    pub(super) async fn wait(&self, cid: &Cid, answer: &mut Answer, deadline: Deadline) -> Result<Block, FetchError> {
        let answered = match deadline {
            None => answer.await,
            Some(at) => match tokio::time::timeout_at(at.into(), answer).await {
                Ok(answered) => answered,
                Err(_) => return Err(FetchError::TimedOut(Box::new(*cid))),
            },
        };
        // Without an answer the node has ended: there is nobody to ask any more.
        let block = answered.map_err(|_| FetchError::NotFound(Box::new(*cid)))??;
        let mean = self.mean.load(Ordering::Relaxed);
        self.mean.store((7 * mean + block.data().len() as u64) / 8, Ordering::Relaxed);
        Ok(block)
    }

    /// Expected size of a block.
    pub(super) fn mean(&self) -> u64 {
        self.mean.load(Ordering::Relaxed).max(1)
    }

    /// A block was asked for by whoever uses this: what will probably be asked for next is fetched ahead.
    pub(super) fn asked(self: &Arc<Self>, cid: &Cid) {
        if self.session.initialized() {
            let run = self.prefetch.lock().on_request(cid, self.mean());
            self.start(run);
        }
    }

    /// A block was handed to whoever asked.
    pub(super) fn given(self: &Arc<Self>, block: &Block) {
        let active = self.session.initialized();
        let run = self.prefetch.lock().on_block(block, active, self.mean());
        self.start(run);
    }

    pub(super) fn start(self: &Arc<Self>, run: Option<Run>) {
        if let Some(run) = run {
            // The task ends with the last user of the session, or soon after.
            tokio::spawn(run.go(Arc::downgrade(self)).instrument(self.context.clone()));
        }
    }
}

#[async_trait]
impl Fetch for SessionFetch {
    async fn fetch(&self, cid: &Cid, deadline: Deadline) -> Result<Block, FetchError> {
        if let Some(block) = Block::from_identity(cid) {
            return Ok(block);
        }
        let inner = &self.0;
        inner.asked(cid);
        let found = inner.read(vec![*cid]).await.pop().unwrap_or(Ok(None))?;
        let block = match found {
            Some(block) => block,
            None => {
                let mut answers = inner.want(&[*cid], Urgency::Awaited).await;
                let Some(answer) = answers.first_mut() else { return Err(FetchError::NotFound(Box::new(*cid))) };
                inner.wait(cid, answer, deadline).await?
            }
        };
        inner.given(&block);
        Ok(block)
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        self.stream(cids, deadline)
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        Offline::new(Arc::clone(&self.0.store)).has_local(cid).await
    }

    async fn has_local_many(&self, cids: &[Cid]) -> Result<Vec<bool>, FetchError> {
        Offline::new(Arc::clone(&self.0.store)).has_local_many(cids).await
    }
}
