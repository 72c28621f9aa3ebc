//! A source of blocks that refuses what is on a denylist, and remembers which block is being waited for, so that a time-out
//! can name it.

use crate::deny::{Denylists, Status};
use async_trait::async_trait;
use cairn_store::{
    Block, Cid,
    fetch::{Deadline, Fetch, FetchError},
};
use futures::{StreamExt as _, stream::BoxStream};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};

/// A source of blocks for one request.
pub struct Watched {
    inner: Arc<dyn Fetch>,
    denied: Arc<Denylists>,
    waiting: Mutex<Option<Cid>>,
}

impl Watched {
    /// Watches over a source.
    pub fn new(inner: Arc<dyn Fetch>, denied: Arc<Denylists>) -> Self {
        Self { inner, denied, waiting: Mutex::default() }
    }

    /// The block that was asked for last and has not come.
    pub fn waiting_for(&self) -> Option<Cid> {
        *self.waiting.lock()
    }

    fn check(&self, cid: &Cid) -> Result<(), FetchError> {
        match self.denied.check_cid(cid) {
            None => Ok(()),
            Some(blocked) => Err(FetchError::Denied { cid: Box::new(*cid), legal: blocked.status == Status::Legal }),
        }
    }
}

#[async_trait]
impl Fetch for Watched {
    async fn fetch(&self, cid: &Cid, deadline: Deadline) -> Result<Block, FetchError> {
        self.check(cid)?;
        *self.waiting.lock() = Some(*cid);
        let answer = self.inner.fetch(cid, deadline).await;
        *self.waiting.lock() = None;
        answer
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        // A denied block ends the stream where its turn would be.
        let denied = cids.iter().enumerate().find_map(|(at, cid)| self.check(cid).err().map(|error| (at, error)));
        let (mut cids, refusal) = match denied {
            None => (cids, None),
            Some((at, error)) => (cids[..at].to_vec(), Some(error)),
        };
        cids.shrink_to_fit();
        let mut expected: VecDeque<Cid> = cids.iter().copied().collect();
        *self.waiting.lock() = expected.front().copied();
        let answers = self.inner.fetch_many(cids, deadline).inspect(move |_| {
            expected.pop_front();
            *self.waiting.lock() = expected.front().copied();
        });
        answers.chain(futures::stream::iter(refusal.map(Err))).boxed()
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        self.inner.has_local(cid).await
    }

    async fn has_local_many(&self, cids: &[Cid]) -> Result<Vec<bool>, FetchError> {
        self.inner.has_local_many(cids).await
    }
}
