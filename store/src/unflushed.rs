//! Which writes skipped the log and wait for a flush.
//!
//! A block that a bulk import wrote without the log is found by everybody at once, but a power cut would take it.
//! Whoever relies on such a block instead of writing it again has to see it flushed before acknowledging anything,
//! and must not log a new index row for it before that: after a crash the row would be there without its bytes.

use crate::{
    StoreError,
    kv::Kv,
    sync::{Mutex, RwLock, RwLockReadGuard},
};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts writes without the log, and flushes.
#[derive(Debug, Default)]
pub(crate) struct Unflushed {
    /// Held shared over each write without the log, so that no write is counted before a flush and done after it.
    gate: RwLock<()>,
    written: AtomicU64,
    flushed: AtomicU64,
    /// Whoever needs a flush while one is running waits for it.
    flushing: Mutex<()>,
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
}
