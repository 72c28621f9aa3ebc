//! Getting blocks for an operation that is repeated with them.

use crate::{Cid, mfs::MfsError};
use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use std::collections::HashMap;

/// Times that an operation is repeated with more blocks.
const MAX_ROUNDS: usize = 1 << 16;
/// Times that it asks for the same block first: what it was given is forgotten each time before it was used.
const MAX_REPEATS: u8 = 64;

/// Counts the rounds of an operation.
#[derive(Default)]
pub(super) struct Rounds {
    asked: HashMap<Cid, u8>,
    rounds: usize,
}

impl Rounds {
    /// Notes that these blocks are needed, unless there were too many rounds.
    pub(super) fn another(&mut self, cids: &[Cid]) -> Result<(), MfsError> {
        let Some(first) = cids.first() else { return Ok(()) };
        self.rounds += 1;
        let times = self.asked.entry(*first).or_default();
        *times += 1;
        if *times > MAX_REPEATS {
            return Err(MfsError::Invalid(format!("gave up: block {first} was needed {MAX_REPEATS} times in vain")));
        }
        if self.rounds > MAX_ROUNDS {
            return Err(MfsError::Invalid(format!("gave up after fetching blocks {MAX_ROUNDS} times")));
        }
        Ok(())
    }
}

tokio::task_local! {
    static SIGNAL: Shared<BoxFuture<'static, ()>>;
}

/// Carries out operations of a tree that can be given up as long as they wait for blocks: from when `signal` ends on, what
/// would wait for one answers [`MfsError::Interrupted`] and has changed nothing. What has begun to change the tree is done,
/// and so are commits.
pub async fn interruptible<T>(signal: impl Future<Output = ()> + Send + 'static, work: impl Future<Output = T>) -> T {
    SIGNAL.scope(signal.boxed().shared(), work).await
}

/// Waits, unless the signal comes first that [`interruptible`] was given.
pub(super) async fn unless_interrupted<T>(wait: impl Future<Output = T>) -> Result<T, MfsError> {
    let Ok(signal) = SIGNAL.try_with(Clone::clone) else { return Ok(wait.await) };
    tokio::select! {
        biased;
        done = wait => Ok(done),
        () = signal => Err(MfsError::Interrupted),
    }
}
