//! Reading nodes of the local store in bulk, on all cores, for walks that care about every node and no order.

use super::{DagError, links, pile::Pile};
use crate::{
    Block, Cid, Multihash, StoreError,
    blockstore::{Blockstore, Entry},
    cid::codec,
};
use crossbeam_channel::bounded;
use std::thread;
use thiserror::Error;

/// Nodes that one read asks for.
const BATCH: usize = 16;
/// Bytes of blocks that one read takes, or a little more: [`THREADS`] × 3 such reads in flight hold 36 MiB.
const BATCH_BYTES: u64 = 4 << 20;
/// Blocks from this many bytes on are decoded one at a time, by whoever wants their links: a block of 2 MiB can have
/// 262,144 links, which take 40 MiB of memory.
const LARGE: usize = 64 << 10;
/// From this many waiting nodes on, threads are worth starting.
const PARALLEL_FROM: usize = 4 * BATCH;
/// Threads that read, at most: reading many small blocks is bound by the CPU, and two keep a disk busy.
const THREADS: usize = 2;

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

/// The links of a node, or why they can't be known.
pub(crate) type Links = Result<Vec<Cid>, NodeError>;

/// What a read finds: links, or a large block that is still to be decoded.
enum Answer {
    Links(Links),
    Large(Block),
}

impl Answer {
    fn links(self, cid: &Cid) -> Links {
        match self {
            Self::Links(links) => links,
            Self::Large(block) => links(cid, block.data()).map_err(NodeError::from),
        }
    }
}

/// Answers for the first of these nodes, in order, and the nodes that were too many. Leaves of files are known
/// from the index, and not read.
fn read(blocks: &dyn Blockstore, mut nodes: Vec<Cid>) -> (Vec<(Cid, Answer)>, Vec<Cid>) {
    let hashes: Vec<Multihash> = nodes.iter().map(|c| *c.hash()).collect();
    let entries = blocks.entries(&hashes);
    let leaf = |(cid, entry): (&Cid, &Result<_, _>)| {
        cid.codec() == codec::DAG_PB && matches!(entry, Ok(Some(Entry { leaf: true, .. })))
    };
    let leaves: Vec<bool> = nodes.iter().zip(&entries).map(leaf).collect();
    let size = |(entry, leaf): (&Result<Option<Entry>, _>, &bool)| match entry {
        Ok(Some(entry)) if !leaf => entry.size,
        _ => 0,
    };
    let mut bytes = 0u64;
    let too_many = entries.iter().zip(&leaves).map(size).position(|size| {
        bytes = bytes.saturating_add(size);
        bytes > BATCH_BYTES
    });
    // One is always read, however large.
    let rest = nodes.split_off(too_many.map_or(nodes.len(), |at| at.max(1)));
    let wanted: Vec<Cid> = nodes.iter().zip(&leaves).filter(|(_, leaf)| !**leaf).map(|(cid, _)| *cid).collect();
    let mut found = blocks.get_many(&wanted).into_iter();
    let answer = |(cid, leaf): (Cid, bool)| {
        let links = match if leaf { None } else { found.next() } {
            None => Ok(Vec::new()),
            Some(Ok(Some(block))) if block.data().len() >= LARGE => return (cid, Answer::Large(block)),
            Some(Ok(Some(block))) => links(&cid, block.data()).map_err(NodeError::from),
            Some(Ok(None)) => Err(NodeError::Missing(Box::new(cid))),
            Some(Err(error)) => Err(error.into()),
        };
        (cid, Answer::Links(links))
    };
    (nodes.into_iter().zip(leaves).map(answer).collect(), rest)
}

/// Takes nodes from the end of `stack`, reads them, and hands each to `on`, which may push more; until the stack
/// is empty.
///
/// # Errors
/// The first error of `on`, or of the pile.
pub(crate) fn drain<E: From<StoreError>>(
    blocks: &dyn Blockstore,
    stack: &mut Pile,
    mut on: impl FnMut(Cid, Links, &mut Pile) -> Result<(), E>,
) -> Result<(), E> {
    while !stack.is_empty() && stack.len() < PARALLEL_FROM {
        let (answers, rest) = read(blocks, stack.take(BATCH)?);
        stack.extend(rest)?;
        for (cid, answer) in answers {
            on(cid, answer.links(&cid), stack)?;
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
                    if answer.send(read(blocks, batch)).is_err() {
                        break;
                    }
                }
            });
        }
        drop((asked, answer));
        let mut waiting = 0;
        loop {
            while waiting < in_flight && !stack.is_empty() && ask.send(stack.take(BATCH)?).is_ok() {
                waiting += 1;
            }
            if waiting == 0 {
                return Ok(());
            }
            // The threads end only when `ask` is dropped, below.
            let Ok((batch, rest)) = answers.recv() else { return Ok(()) };
            waiting -= 1;
            stack.extend(rest)?;
            for (cid, answer) in batch {
                on(cid, answer.links(&cid), stack)?;
            }
        }
    })
}
