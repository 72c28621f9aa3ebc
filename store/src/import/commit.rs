//! The end of an import: blocks become durable, then pinned, and only then are they announced.

use super::{Added, ImportError, Progress, Sink};
use crate::{
    Block, Cid, StoreError,
    blockstore::{Bulk, KvBlocks},
    kv::Batch,
};
use std::sync::Arc;

/// Roots that wait for one commit, at the most. Each commit is a sync of the disk.
const ROOTS_PER_COMMIT: usize = 1024;
/// Announcements that wait behind a root that is not durable yet, at the most.
const HELD: usize = 8192;

/// Stages the rows of a root's pin.
pub type StagePin<'a> = &'a dyn Fn(&mut Batch, &Cid) -> Result<(), StoreError>;
/// Told of what was added: roots only once they are durable and pinned.
pub type OnAdded<'a> = &'a mut dyn FnMut(Added) -> Result<(), ImportError>;

/// Commits an import to the store.
///
/// A root is announced after its blocks and its pin are durable, never before; what follows it in the order
/// waits behind it. Several roots share one commit.
pub struct Committer<'a> {
    /// `None` when nothing is to be stored (`--only-hash`).
    /// IMPORTANT: one session guards the whole import, across commits: when a root is committed, blocks of the
    /// next one may be stored already.
    bulk: Option<Bulk>,
    pin: Option<StagePin<'a>>,
    pins: Batch,
    roots: usize,
    held: Vec<Added>,
    on_added: OnAdded<'a>,
    on_progress: &'a mut dyn FnMut(&Progress<'_>),
}

impl<'a> Committer<'a> {
    /// Commits to `blocks`, or nowhere. `pin` is called for every root.
    pub fn new(
        blocks: Option<Arc<KvBlocks>>,
        pin: Option<StagePin<'a>>,
        on_added: OnAdded<'a>,
        on_progress: &'a mut dyn FnMut(&Progress<'_>),
    ) -> Self {
        Self {
            bulk: blocks.map(|b| b.bulk()),
            pin,
            pins: Batch::new(),
            roots: 0,
            held: Vec::new(),
            on_added,
            on_progress,
        }
    }

    /// Makes everything durable, and announces what waited for it.
    ///
    /// # Errors
    /// When the store refuses: nothing that was not yet announced is pinned then.
    pub fn finish(mut self) -> Result<(), ImportError> {
        self.commit()
    }

    /// Ends after an import that failed: roots that were whole before it did are kept, and announced.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn abandon(&mut self) -> Result<(), ImportError> {
        if self.roots > 0 { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), ImportError> {
        if let Some(bulk) = &mut self.bulk {
            bulk.commit(std::mem::take(&mut self.pins))?;
        }
        self.roots = 0;
        self.held.drain(..).try_for_each(&mut self.on_added)
    }
}

impl Sink for Committer<'_> {
    fn put(&mut self, blocks: Vec<Block>) -> Result<(), ImportError> {
        match &mut self.bulk {
            Some(bulk) => Ok(bulk.put_many(blocks)?),
            None => Ok(()),
        }
    }

    fn added(&mut self, added: Added) -> Result<(), ImportError> {
        if added.root {
            self.roots += 1;
            if let Some(pin) = self.pin {
                pin(&mut self.pins, &added.cid)?;
            }
        }
        if self.roots == 0 {
            return (self.on_added)(added);
        }
        self.held.push(added);
        if self.roots >= ROOTS_PER_COMMIT || self.held.len() >= HELD {
            self.commit()?;
        }
        Ok(())
    }

    fn progress(&mut self, progress: &Progress<'_>) {
        (self.on_progress)(progress);
    }
}
