//! Blocks that are fetched in the background, in the order in which they will be wanted.

use crate::{
    Block, Cid, StoreError,
    fetch::{Deadline, Fetch, FetchError},
};
use futures::StreamExt as _;
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::mpsc;
use tracing::Instrument as _;

/// Blocks that one batch asks for at most: 4 MiB of 256 KiB leaves; 32 MiB when a stranger lies about sizes.
pub(super) const BATCH_BLOCKS: usize = 16;

/// Answers of a batch, and how many of them are still to be taken: never zero.
struct Batch {
    answers: mpsc::Receiver<Result<Block, FetchError>>,
    left: usize,
}

/// Batches of blocks under way. Dropping it gives up all of them.
pub(super) struct Ahead {
    fetch: Arc<dyn Fetch>,
    deadline: Deadline,
    batches: VecDeque<Batch>,
}

impl Ahead {
    pub(super) fn new(fetch: Arc<dyn Fetch>, deadline: Deadline) -> Self {
        Self { fetch, deadline, batches: VecDeque::new() }
    }

    /// Batches not yet used up.
    pub(super) fn batches(&self) -> usize {
        self.batches.len()
    }

    /// Asks for a batch, to come after those asked for before.
    pub(super) fn ask(&mut self, cids: Vec<Cid>) {
        if cids.is_empty() {
            return;
        }
        let left = cids.len();
        // Room for the whole batch: the source is never held up by the reader.
        let (sender, answers) = mpsc::channel(left);
        let (fetch, deadline) = (Arc::clone(&self.fetch), self.deadline);
        let answering = async move {
            let mut blocks = fetch.fetch_many(cids, deadline);
            loop {
                let answer = tokio::select! {
                    answer = blocks.next() => answer,
                    () = sender.closed() => None,
                };
                let Some(answer) = answer else { return };
                if sender.send(answer).await.is_err() {
                    return;
                }
            }
        };
        tokio::spawn(answering.in_current_span());
        self.batches.push_back(Batch { answers, left });
    }

    /// The next block in the order asked; `None` when nothing was asked for.
    pub(super) async fn next(&mut self) -> Option<Result<Block, FetchError>> {
        let answer = self.batches.front_mut()?.answers.recv().await;
        self.taken();
        Some(answer.unwrap_or_else(|| Err(ended())))
    }

    /// The next block if it has come already.
    pub(super) fn try_next(&mut self) -> Option<Result<Block, FetchError>> {
        let answer = self.batches.front_mut()?.answers.try_recv().ok()?;
        self.taken();
        Some(answer)
    }

    fn taken(&mut self) {
        if let Some(batch) = self.batches.front_mut() {
            batch.left -= 1;
            if batch.left == 0 {
                self.batches.pop_front();
            }
        }
    }

    /// Gives up everything that was asked for.
    pub(super) fn clear(&mut self) {
        self.batches.clear();
    }
}

fn ended() -> FetchError {
    FetchError::Store(StoreError::Backend("the source of blocks ended before it had answered".into()))
}
