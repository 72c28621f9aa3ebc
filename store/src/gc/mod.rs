//! Garbage collection: what no pin keeps is deleted, while imports, pins and reads go on.
//!
//! 1. The epoch grows, and the floor is taken: see [`crate::session`] for why nothing live is deleted.
//! 2. The pins are read, and everything below them is marked in a table.
//! 3. The index is read beside the marks, in the order of both; what has no mark and a stamp below the floor goes.
//! 4. The marks are dropped, and the space is given back to the disk.
//!
//! A collection can be stopped at any point, by its caller or by a power cut: nothing that is kept is ever at
//! stake, and the next one goes on from the marks that are there, unless a pin was removed meanwhile.
//!
//! Rejected: a set of live blocks in memory (what Kubo does: gigabytes for 16 million blocks), and a Bloom filter
//! (keeps some garbage for ever). Marks in depth-first order, children first, would resume as well, but keep a
//! stack as long as the deepest DAG; work rows are on the disk.

mod mark;
mod marks;
mod remove;
mod sweep;

pub use marks::stage_forget;
pub(crate) use marks::{leftover, stage_clear};
pub use remove::{Removal, remove};

use crate::{
    Cid, StoreError,
    blockstore::{Blockstore as _, KvBlocks},
    dag::NodeError,
    hash::sha256,
    kv::{Batch, Durability},
    pin::Pins,
};
use mark::Marker;
use marks::Run;
use std::sync::atomic::{AtomicBool, Ordering};
use thiserror::Error;

/// Steps of work between two reports of progress.
const REPORT_EVERY: u64 = 1024;

/// Why a collection did not come to its end. Nothing that is kept was deleted.
#[derive(Debug, Clone, Error)]
pub enum GcError {
    /// Blocks below pins can't be read, each of which was told as [`Event::Unreadable`]: nothing was deleted.
    #[error("garbage collection aborted: could not retrieve some links")]
    Incomplete,
    /// The caller stopped it.
    #[error("garbage collection stopped; the next one goes on from here")]
    Stopped,
    /// Another one is running.
    #[error("another garbage collection is running")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

/// What a collection tells while it runs.
#[derive(Debug, Clone)]
pub enum Event {
    /// How far it is.
    Progress(Progress),
    /// A block was deleted. The store knows multihashes only: the CID is version 1, raw.
    Removed(Cid),
    /// The links of a block that a pin keeps can't be read.
    Unreadable {
        /// The block.
        cid: Cid,
        /// Why.
        error: NodeError,
    },
}

/// How far a collection is; at its end, what it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Blocks marked, some perhaps twice.
    pub marked: u64,
    /// Blocks deleted.
    pub removed: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Who watches a collection, and may stop it.
pub(crate) struct Watch<'a> {
    tell: &'a mut dyn FnMut(Event),
    stop: &'a AtomicBool,
    progress: Progress,
    steps: u64,
}

impl Watch<'_> {
    fn tell(&mut self, event: Event) {
        (self.tell)(event);
    }

    fn check(&mut self) -> Result<(), GcError> {
        self.steps += 1;
        if self.steps.is_multiple_of(REPORT_EVERY) {
            self.tell(Event::Progress(self.progress));
        }
        if self.stop.load(Ordering::Relaxed) { Err(GcError::Stopped) } else { Ok(()) }
    }

    fn marked(&mut self) {
        self.progress.marked += 1;
    }

    fn removed(&mut self, bytes: u64) {
        self.progress.removed += 1;
        self.progress.bytes += bytes;
    }
}

/// Deletes the blocks that neither a pin nor one of `roots` keeps, and gives their space back.
///
/// `roots` is asked once, after the collection has begun; before that an answer could be out of date. What is
/// below them is kept as far as it is here: nothing need be complete there. `tell` is called from this
/// thread; setting `stop` ends the work with [`GcError::Stopped`]. Blocks on the disk.
///
/// Memory is bounded whatever the number of blocks: about 20 MiB, and the blocks that are being read.
///
/// # Errors
/// See [`GcError`].
pub fn collect(
    blocks: &KvBlocks,
    pins: &Pins,
    roots: &dyn Fn() -> Result<Vec<Cid>, StoreError>,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Event),
) -> Result<Progress, GcError> {
    let _only_one = blocks.epochs().collector().ok_or(GcError::Busy)?;
    let mut watch = Watch { tell, stop, progress: Progress::default(), steps: 0 };
    // IMPORTANT: before the pins and the roots are read (rule 4 of `session`).
    let advance = blocks.epochs().advance();
    let roots = roots()?;
    let run = begin(blocks, advance.epoch, &roots)?;
    match Marker::new(blocks, &run, &mut watch).run(pins, &roots) {
        Ok(true) => {}
        Ok(false) => {
            end(blocks)?;
            return Err(GcError::Incomplete);
        }
        Err(GcError::Stopped) => {
            // So that the next process finds the marks.
            blocks.kv().flush()?;
            return Err(GcError::Stopped);
        }
        Err(error) => return Err(error),
    }
    sweep::sweep(blocks, &run, advance.floor, &mut watch)?;
    end(blocks)?;
    blocks.kv().reclaim()?;
    Ok(watch.progress)
}

/// Goes on with an interrupted run, or begins a new one.
fn begin(blocks: &KvBlocks, epoch: u64, roots: &[Cid]) -> Result<Run, GcError> {
    let listed: Vec<u8> = roots.iter().flat_map(Cid::to_bytes).collect();
    let digest = sha256(&listed);
    let mut batch = Batch::new();
    KvBlocks::stage_epoch(&mut batch, epoch);
    let run = match Run::read(blocks.kv().as_ref())? {
        Some(run) if run.roots == digest => run,
        _ => {
            let run = Run { id: epoch, roots: digest };
            run.stage_begin(&mut batch);
            run
        }
    };
    blocks.kv().write(batch, Durability::Synced)?;
    Ok(run)
}

/// Drops the marks. Being synced, it makes all that was deleted before durable.
fn end(blocks: &KvBlocks) -> Result<(), GcError> {
    let mut batch = Batch::new();
    stage_clear(&mut batch);
    Ok(blocks.kv().write(batch, Durability::Synced)?)
}
