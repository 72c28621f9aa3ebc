//! Stores blocks that were wanted, then hands them to whoever waits, then tells the server.

use super::{super::link::Permit, ServerEvent, Shared};
use cairn_store::{Block, Cid, Multihash, StoreError, kv::Durability};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::{mpsc, oneshot};

/// Batches that wait to be stored; the client waits when there are more.
pub(super) const BATCHES: usize = 32;
/// Bytes that are stored in one batch.
const BATCH_BYTES: usize = 4 << 20;

/// Who waits for a block, and under which name.
#[derive(Debug)]
pub(in super::super) struct Waiter {
    pub(in super::super) cid: Cid,
    pub(in super::super) to: oneshot::Sender<Result<Block, StoreError>>,
    /// What it is wanted for, for the log.
    pub(in super::super) span: tracing::Span,
}

/// Blocks of one message, each with those who wait for it.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) blocks: Vec<(Block, Vec<Waiter>)>,
    pub(super) permit: Permit,
}

/// Runs on a thread of its own: a trip to the blocking pool for each batch costs more than many a batch.
pub(super) fn run(shared: &Shared, mut arrived: mpsc::Receiver<Arrived>) {
    while let Some(first) = arrived.blocking_recv() {
        let mut permits = vec![first.permit];
        let mut waiters = first.blocks;
        let mut bytes: usize = waiters.iter().map(|(b, _)| b.data().len()).sum();
        while bytes < BATCH_BYTES {
            let Ok(next) = arrived.try_recv() else { break };
            bytes += next.blocks.iter().map(|(b, _)| b.data().len()).sum::<usize>();
            waiters.extend(next.blocks);
            permits.push(next.permit);
        }
        let blocks: Vec<Block> = waiters.iter().map(|(block, _)| block.clone()).collect();
        // Rule 2 of the house: what is cached from the network is not acknowledged, and a pin settles it.
        let stored = catch_unwind(AssertUnwindSafe(|| shared.store.put_many(&blocks, Durability::Buffered)));
        let stored = stored.unwrap_or_else(|_| Err(StoreError::Backend("writing blocks panicked".to_owned())));
        let new: Vec<(Multihash, u64)> =
            waiters.iter().map(|(b, _)| (*b.cid().hash(), b.data().len() as u64)).collect();
        for (block, waiters) in waiters {
            deliver(&block, waiters, &stored);
        }
        drop(permits);
        if stored.is_ok() && shared.server.blocking_send(ServerEvent::NewBlocks(new)).is_err() {
            return;
        }
    }
}

/// Answers those who wait for a block, once it was stored.
pub(super) fn deliver(block: &Block, waiters: Vec<Waiter>, stored: &Result<(), StoreError>) {
    for waiter in waiters {
        let answer = match stored {
            Ok(()) if waiter.cid == *block.cid() => Ok(block.clone()),
            // It was asked for under another name of the same bytes.
            Ok(()) => block
                .renamed(waiter.cid)
                .ok_or_else(|| StoreError::Invalid(format!("{} is no name of {}", waiter.cid, block.cid()))),
            Err(error) => Err(error.clone()),
        };
        let _ = waiter.to.send(answer);
    }
}
