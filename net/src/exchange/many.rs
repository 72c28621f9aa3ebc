//! Many blocks in the order asked, with many of them under way.

use super::{prefetch::Run, session::Inner};
use crate::bitswap::{Answer, Order, Urgency};
use cairn_store::{
    Block, Cid, StoreError,
    fetch::{Deadline, FetchError},
};
use futures::{FutureExt as _, future::BoxFuture};
use std::{collections::VecDeque, sync::Arc, vec};

/// Blocks that one stream has under way or ready.
const WINDOW: usize = 1024;
/// Their bytes, going by the mean of those that came; at least one batch in any case.
const WINDOW_BYTES: u64 = 16 << 20;
/// Blocks that one trip to the blocking pool looks for.
const READ_BATCH: usize = 32;

enum Slot {
    Ready(Result<Block, FetchError>),
    Waiting(Cid, Answer),
}

/// What a look into the store brought, for each CID in order.
type Read = Vec<(Cid, Result<Option<Block>, StoreError>)>;

pub(super) struct Many {
    inner: Arc<Inner>,
    deadline: Deadline,
    cids: vec::IntoIter<Cid>,
    slots: VecDeque<Slot>,
    reading: Option<BoxFuture<'static, Read>>,
}

impl Many {
    pub(super) fn new(inner: Arc<Inner>, cids: Vec<Cid>, deadline: Deadline) -> Self {
        if inner.order == Order::Rarest && cids.len() > READ_BATCH {
            // Which blocks are rare shows only among many. They come into the store, whatever their order.
            inner.start(Some(Run::of(&cids)));
        }
        Self { inner, deadline, cids: cids.into_iter(), slots: VecDeque::new(), reading: None }
    }

    /// The next block.
    pub(super) async fn next(&mut self) -> Option<Result<Block, FetchError>> {
        loop {
            self.read_on();
            match (self.slots.pop_front(), self.reading.take()) {
                (None, None) => return None,
                (Some(Slot::Ready(answer)), reading) => {
                    self.reading = reading;
                    return Some(self.give(answer));
                }
                (None, Some(reading)) => {
                    let read = reading.await;
                    self.take(read).await;
                }
                (Some(Slot::Waiting(cid, mut answer)), None) => {
                    let answer = self.inner.wait(&cid, &mut answer, self.deadline).await;
                    return Some(self.give(answer));
                }
                (Some(Slot::Waiting(cid, mut answer)), Some(mut reading)) => {
                    let (mut block, mut read) = (None, None);
                    tokio::select! {
                        given = self.inner.wait(&cid, &mut answer, self.deadline) => block = Some(given),
                        done = &mut reading => read = Some(done),
                    }
                    match (block, read) {
                        (Some(block), _) => {
                            self.reading = Some(reading);
                            return Some(self.give(block));
                        }
                        (None, read) => {
                            self.slots.push_front(Slot::Waiting(cid, answer));
                            self.take(read.unwrap_or_default()).await;
                        }
                    }
                }
            }
        }
    }

    fn give(&self, answer: Result<Block, FetchError>) -> Result<Block, FetchError> {
        if let Ok(block) = &answer {
            self.inner.given(block);
        }
        answer
    }

    /// Begins to look for the next batch in the store, if there is room for it.
    fn read_on(&mut self) {
        let room = (WINDOW_BYTES / self.inner.mean()).clamp(READ_BATCH as u64, WINDOW as u64);
        if self.reading.is_some() || self.slots.len() as u64 + READ_BATCH as u64 > room.max(READ_BATCH as u64 + 1) {
            return;
        }
        let batch: Vec<Cid> = self.cids.by_ref().take(READ_BATCH).collect();
        if batch.is_empty() {
            return;
        }
        for cid in &batch {
            self.inner.asked(cid);
        }
        let read = self.inner.read(batch.clone());
        self.reading = Some(read.map(|found| batch.into_iter().zip(found).collect()).boxed());
    }

    /// What a look into the store brought; the rest is wanted of the network.
    async fn take(&mut self, read: Read) {
        let missing: Vec<Cid> = read.iter().filter(|(_, found)| matches!(found, Ok(None))).map(|(c, _)| *c).collect();
        let mut answers = if missing.is_empty() {
            Vec::new().into_iter()
        } else {
            self.inner.want(&missing, Urgency::Awaited).await.into_iter()
        };
        for (cid, found) in read {
            self.slots.push_back(match found {
                Ok(Some(block)) => Slot::Ready(Ok(block)),
                Err(error) => Slot::Ready(Err(error.into())),
                Ok(None) => match answers.next() {
                    Some(answer) => Slot::Waiting(cid, answer),
                    None => Slot::Ready(Err(FetchError::NotFound(Box::new(cid)))),
                },
            });
        }
    }
}
