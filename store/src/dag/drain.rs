//! Reading nodes of the local store in bulk, on all cores, for walks that care about every node and no order.

use super::{DagError, links};
use crate::{Block, Cid, StoreError, blockstore::Blockstore};
use crossbeam_channel::bounded;
use std::thread;
use thiserror::Error;

/// Nodes that one read asks for. Of the largest blocks, [`THREADS`] × 3 such reads in flight hold 192 MiB; of
/// 256 KiB blocks 24 MiB.
const BATCH: usize = 16;
/// From this many waiting nodes on, threads are worth starting.
const PARALLEL_FROM: usize = 4 * BATCH;
/// Threads that read, at most: reading many small blocks is bound by the CPU, and two keep a disk busy.
const THREADS: usize = 2;

/// What reading a node gave.
pub(crate) type Read = Result<Option<Block>, StoreError>;

/// Why the links of a node can't be known.
#[derive(Debug, Clone, Error)]
pub enum NodeError {
    /// It is not in the local store, or its bytes failed their check.
    #[error("block was not found locally (offline): ipld: could not find {0}")]
    Missing(Box<Cid>),
    /// Its bytes are not what its codec says.
    #[error(transparent)]
    Dag(#[from] DagError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The links of a node that was read.
///
/// # Errors
/// When it is missing or can't be read.
pub(crate) fn links_of(cid: &Cid, read: Read) -> Result<Vec<Cid>, NodeError> {
    let block = read?.ok_or_else(|| NodeError::Missing(Box::new(*cid)))?;
    Ok(links(cid, block.data())?)
}

/// Takes nodes from the end of `stack`, reads them, and hands each to `on`, which may push more; until the stack
/// is empty.
///
/// # Errors
/// The first error of `on`.
pub(crate) fn drain<E>(
    blocks: &dyn Blockstore,
    stack: &mut Vec<Cid>,
    mut on: impl FnMut(Cid, Read, &mut Vec<Cid>) -> Result<(), E>,
) -> Result<(), E> {
    while !stack.is_empty() && stack.len() < PARALLEL_FROM {
        let batch = take(stack);
        let read = blocks.get_many(&batch);
        for (cid, block) in batch.into_iter().zip(read) {
            on(cid, block, stack)?;
        }
    }
    if stack.is_empty() {
        return Ok(());
    }
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let in_flight = threads * 2;
    thread::scope(|scope| {
        // Neither channel ever holds more than what is in flight, so that no send waits.
        let (ask, asked) = bounded::<Vec<Cid>>(in_flight);
        let (answer, answers) = bounded(in_flight);
        for _ in 0..threads {
            let (asked, answer) = (asked.clone(), answer.clone());
            scope.spawn(move || {
                for batch in asked {
                    let read = blocks.get_many(&batch);
                    if answer.send((batch, read)).is_err() {
                        break;
                    }
                }
            });
        }
        drop((asked, answer));
        let mut waiting = 0;
        loop {
            while waiting < in_flight && !stack.is_empty() && ask.send(take(stack)).is_ok() {
                waiting += 1;
            }
            if waiting == 0 {
                return Ok(());
            }
            // The threads end only when `ask` is dropped, below.
            let Ok((batch, read)) = answers.recv() else { return Ok(()) };
            waiting -= 1;
            for (cid, block) in batch.into_iter().zip(read) {
                on(cid, block, stack)?;
            }
        }
    })
}

fn take(stack: &mut Vec<Cid>) -> Vec<Cid> {
    stack.split_off(stack.len().saturating_sub(BATCH))
}
