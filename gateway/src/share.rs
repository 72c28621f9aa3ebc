//! What bodies share: a budget of bytes, and parts of it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Bytes that all bodies share.
pub const BUDGET: usize = 32 << 20;
/// A share with far read-ahead.
pub const FAR: usize = 10 << 20;
/// A share with some read-ahead.
pub const NEAR: usize = 2 << 20;
/// A share for one block.
pub const ONE: usize = 512 << 10;
/// Bytes that are read ahead with each share: see `FileReader::set_read_ahead` of the store.
const FAR_AHEAD: u64 = 4 << 20;
const NEAR_AHEAD: u64 = 512 << 10;
/// Bytes of tables that every body may hold: most files and directories have less.
pub const SMALL: usize = 128 << 10;

/// What is left of [`BUDGET`].
#[derive(Debug)]
pub struct Budget(AtomicUsize);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicUsize::new(BUDGET))
    }
}

impl Budget {
    /// Takes so many bytes, if there are as many.
    fn take(&self, bytes: usize) -> bool {
        let take = |free: usize| free.checked_sub(bytes);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::AcqRel);
    }
}

/// A part of what bodies share. Dropping it gives it back.
#[derive(Debug)]
pub struct Share {
    /// Bytes for blocks.
    pub bytes: usize,
    /// Besides these, for tables.
    pub tables: usize,
    /// Whether there was no room for the tables: the body holds as little of them as it can.
    pub lean: bool,
    budget: Arc<Budget>,
}

impl Share {
    /// None of it yet.
    pub fn none(budget: &Arc<Budget>) -> Self {
        Self { bytes: 0, tables: 0, lean: false, budget: Arc::clone(budget) }
    }

    /// Counts so many bytes of tables in place of those before; if there is no room for more, those before count on.
    pub fn cover(&mut self, held: usize) -> bool {
        let wanted = held.saturating_sub(SMALL);
        if wanted > self.tables && !self.budget.take(wanted - self.tables) {
            return false;
        }
        self.budget.give(self.tables.saturating_sub(wanted));
        self.tables = wanted;
        true
    }

    /// Makes it as large as wanted, if there is room for that; else it stays.
    pub fn grow(&mut self, wanted: usize) -> bool {
        let Some(more) = wanted.checked_sub(self.bytes).filter(|&more| more > 0) else { return true };
        let taken = self.budget.take(more);
        if taken {
            self.bytes = wanted;
        }
        taken
    }

    /// Gives back all but so many bytes of those for blocks.
    pub fn shrink(&mut self, left: usize) {
        if let Some(less) = self.bytes.checked_sub(left) {
            self.budget.give(less);
            self.bytes = left;
        }
    }

    /// Bytes that a reader may read ahead in each batch with it.
    pub fn read_ahead(&self) -> u64 {
        match self.bytes {
            _ if self.lean => 0,
            FAR.. => FAR_AHEAD,
            NEAR.. => NEAR_AHEAD,
            _ => 0,
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(0);
        self.cover(0);
    }
}
