//! Which writes are not durable yet: those that skipped the log and wait for a flush, and those that are in the log
//! and wait for a sync.
//!
//! A block that a bulk import wrote without the log is found by everybody at once, but a power cut would take it.
//! Whoever relies on such a block instead of writing it again has to see it flushed before acknowledging anything,
//! and must not log a new index row for it before that: after a crash the row would be there without its bytes.

use crate::{
    StoreError,
    kv::{Batch, Durability, Kv},
    sync::{Mutex, RwLock, RwLockReadGuard},
};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts writes without the log, and flushes.
///
/// Writes to the log are ordered, so whoever goes on to a synced write need not ask after them; whoever does not, and
/// acknowledges all the same, has to.
#[derive(Debug, Default)]
pub(crate) struct Unflushed {
    /// Held shared over each write without the log, so that no write is counted before a flush and done after it.
    gate: RwLock<()>,
    written: AtomicU64,
    flushed: AtomicU64,
    /// Whoever needs a flush while one is running waits for it.
    flushing: Mutex<()>,
    /// Unsynced writes to the log that have begun, that have ended, and those that had ended before the last sync.
    /// When the first and the last agree, all that can be found is synced.
    logged: [AtomicU64; 2],
    synced: AtomicU64,
}

impl Unflushed {
    /// Held over a write without the log.
    pub(crate) fn enter(&self) -> RwLockReadGuard<'_, ()> {
        let guard = self.gate.read();
        self.written.fetch_add(1, Ordering::SeqCst);
        guard
    }

    /// Whether a flush would make anything durable.
    pub(crate) fn any(&self) -> bool {
        self.flushed.load(Ordering::SeqCst) < self.written.load(Ordering::SeqCst)
    }

    /// Makes every write without the log that has ended durable; cheap when there is none.
    pub(crate) fn settle(&self, kv: &dyn Kv) -> Result<(), StoreError> {
        let _one = self.flushing.lock();
        let upto = {
            let _nobody_writes = self.gate.write();
            self.written.load(Ordering::SeqCst)
        };
        if self.flushed.load(Ordering::SeqCst) < upto {
            kv.flush()?;
            self.flushed.store(upto, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Does a write to the log, and keeps count of what it leaves unsynced.
    pub(crate) fn log(&self, kv: &dyn Kv, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        let [begun, ended] = &self.logged;
        if durability == Durability::Synced {
            let upto = ended.load(Ordering::SeqCst);
            kv.write(batch, durability)?;
            self.synced.fetch_max(upto, Ordering::SeqCst);
            return Ok(());
        }
        begun.fetch_add(1, Ordering::SeqCst);
        let written = kv.write(batch, durability);
        ended.fetch_add(1, Ordering::SeqCst);
        written
    }

    /// Makes every write to the log that can be seen durable; cheap when all of them are.
    pub(crate) fn sync(&self, kv: &dyn Kv) -> Result<(), StoreError> {
        let [begun, ended] = &self.logged;
        if self.synced.load(Ordering::SeqCst) < begun.load(Ordering::SeqCst) {
            let upto = ended.load(Ordering::SeqCst);
            kv.sync()?;
            self.synced.fetch_max(upto, Ordering::SeqCst);
        }
        Ok(())
    }
}
