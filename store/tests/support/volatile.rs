//! A disk with a volatile cache.

use super::{Shared, store};
use bytes::Bytes;
use cairn_store::{
    StoreError,
    blockstore::KvBlocks,
    kv::{Batch, Durability, Kv, MemoryKv, Scan, Table, Usage},
};
use std::sync::{Arc, Mutex};

/// Tables on a disk with a volatile cache. What is in the log is durable once anything after it is synced; what
/// skipped it, once it is flushed.
#[derive(Default)]
pub struct Volatile {
    seen: MemoryKv,
    durable: Shared,
    /// Writes to the log that were not synced.
    pub log: Mutex<Vec<Batch>>,
    unlogged: Mutex<Vec<Batch>>,
}

impl Volatile {
    fn settle(&self, which: &Mutex<Vec<Batch>>) {
        for batch in which.lock().expect("no test panicked").drain(..) {
            self.durable.write(batch, Durability::Synced).expect("memory takes all");
        }
    }

    /// What a power cut leaves.
    pub fn after_power_cut(&self) -> Arc<KvBlocks> {
        store(Arc::new(self.left()))
    }

    /// The tables of that.
    pub fn left(&self) -> Shared {
        self.durable.clone()
    }

    /// Tables that a power cut left.
    pub fn from_left(left: &Shared) -> Self {
        let volatile = Self::default();
        for table in Table::ALL {
            for row in left.scan(table, &[], None) {
                let (key, value) = row.expect("memory gives all");
                let mut batch = Batch::new();
                batch.put(table, key, value);
                volatile.write(batch, Durability::Synced).expect("memory takes all");
            }
        }
        volatile
    }
}

impl Kv for Volatile {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.seen.get(table, key)
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        let waiting = if durability == Durability::Buffered { &self.unlogged } else { &self.log };
        waiting.lock().expect("no test panicked").push(batch.clone());
        if durability == Durability::Synced {
            self.settle(&self.log);
        }
        self.seen.write(batch, durability)
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>) -> Scan<'_> {
        self.seen.scan(table, from, to)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.settle(&self.log);
        self.settle(&self.unlogged);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.settle(&self.log);
        Ok(())
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.seen.usage()
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
