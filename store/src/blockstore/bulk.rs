//! Writing many blocks: those of one import.

use super::KvBlocks;
use crate::{
    Block, StoreError,
    blockstore::Blockstore as _,
    kv::{Batch, Durability, Kv},
    session::Session,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A bulk writer keeps this many bytes before it stops hoping to finish in one logged batch, and hands over
/// batches of this size afterwards. One 4 MiB window of an import.
const BULK_WINDOW: usize = 4 << 20;

/// Writes the blocks of one import.
///
/// A small import becomes one logged, synced batch together with its pin. A large one skips the log, half of
/// whose cost it would be, and is flushed and synced as a whole before [`Bulk::commit`] writes the pin. Until
/// then nothing names the blocks: an import that dies leaves only garbage for the next collection.
pub struct Bulk {
    /// IMPORTANT: held until the pin is durable (rule 2 of [`crate::session`]).
    _session: Session,
    blocks: Arc<KvBlocks>,
    pending: Vec<Block>,
    bytes: usize,
    spilled: bool,
}

impl Bulk {
    /// Bytes that imports write between two looks at the size of the repository.
    pub const CHECK_EVERY: u64 = 64 << 20;

    pub(super) fn new(blocks: &Arc<KvBlocks>) -> Self {
        let _session = blocks.session();
        Self { _session, blocks: Arc::clone(blocks), pending: Vec::new(), bytes: 0, spilled: false }
    }

    /// Takes blocks; they may stay in memory up to one window.
    ///
    /// # Errors
    /// When the disk refuses, or [`StoreError::Full`]; the import has failed then.
    pub fn put_many(&mut self, blocks: Vec<Block>) -> Result<(), StoreError> {
        self.bytes += blocks.iter().map(|b| b.data().len() + ROW_COST).sum::<usize>();
        self.pending.extend(blocks);
        if self.bytes < BULK_WINDOW {
            return Ok(());
        }
        let written = self.bytes as u64;
        self.spill()?;
        // IMPORTANT: here and not in `commit`: roots that were whole before the repository was full are kept.
        self.blocks.quota.wrote(written, self.blocks.kv.as_ref())
    }

    fn spill(&mut self) -> Result<(), StoreError> {
        self.spilled = true;
        // IMPORTANT: blocks are let go of only once they are written. A caller may commit what it has after an
        // error, and the pins that it commits then may need them.
        self.blocks.put_many(&self.pending, Durability::Buffered)?;
        self.pending.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Makes all of it durable, and then, or in the same step, `extra`: the pins. More blocks may follow, and
    /// another commit; the session ends when this is dropped.
    ///
    /// # Errors
    /// When the disk refuses; nothing of `extra` was written then.
    pub fn commit(&mut self, extra: Batch) -> Result<(), StoreError> {
        if self.spilled {
            self.spill()?;
            self.blocks.settle()?;
            self.spilled = false;
            if extra.is_empty() {
                // Blocks that were here already may wait for a sync.
                self.blocks.unflushed.sync(self.blocks.kv.as_ref())?;
            } else {
                self.blocks.unflushed.log(self.blocks.kv.as_ref(), extra, Durability::Synced)?;
            }
        } else {
            let _adopting = self.blocks.epochs.adopt();
            let mut batch = Batch::new();
            let relies = self.blocks.stage(&self.pending, &mut batch)?;
            batch.append(extra);
            self.blocks.write_staged(batch, relies, Durability::Synced)?;
            self.blocks.tell_stored(&self.pending);
            self.pending.clear();
            self.bytes = 0;
        }
        Ok(())
    }
}

/// What a block costs besides its bytes, in bytes of memory, for the sake of many tiny blocks.
const ROW_COST: usize = 400;

/// How large the tables may become, and when that was last looked at.
#[derive(Debug)]
pub(super) struct Quota {
    max: u64,
    /// Bytes that all imports may write before they look again.
    left: AtomicU64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { max: u64::MAX, left: AtomicU64::new(Bulk::CHECK_EVERY) }
    }
}

impl Quota {
    pub(super) fn new(max: u64) -> Self {
        // The first import looks at once.
        Self { max, left: AtomicU64::new(0) }
    }

    /// Notes that an import wrote some bytes.
    fn wrote(&self, bytes: u64, kv: &dyn Kv) -> Result<(), StoreError> {
        if self.take(bytes) { Ok(()) } else { self.look(kv) }
    }

    /// Takes bytes of those that may be written before somebody looks; whether there were as many.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        left.is_ok() || self.max == u64::MAX
    }

    /// Looks how large the tables are.
    pub(super) fn look(&self, kv: &dyn Kv) -> Result<(), StoreError> {
        let used = kv.usage()?.total;
        let room = self.max.saturating_sub(used);
        self.left.store(room.min(Bulk::CHECK_EVERY), Ordering::Relaxed);
        if room == 0 { Err(StoreError::Full { used, max: self.max }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Block, StoreError,
        block::Prefix,
        blockstore::{Blockstore as _, KvBlocks},
        cid::codec,
        kv::{Batch, MemoryKv, Table},
    };
    use bytes::Bytes;
    use std::sync::Arc;

    fn store() -> Arc<KvBlocks> {
        Arc::new(KvBlocks::open(Arc::new(MemoryKv::new())).expect("opens"))
    }

    fn block(text: &str) -> Block {
        Block::seal(Prefix::v1(codec::RAW), Bytes::copy_from_slice(text.as_bytes())).expect("seals")
    }

    #[test]
    fn a_bulk_import_shows_nothing_of_its_pin_before_commit() {
        let store = store();
        let mut bulk = store.bulk();
        // Larger than a window, so that it spills.
        let blocks: Vec<Block> = (0..20).map(|i| block(&format!("{i}").repeat(300_000))).collect();
        for b in &blocks {
            bulk.put_many(vec![b.clone()]).expect("puts");
        }
        let mut pin = Batch::new();
        pin.put(Table::Pins, b"p".to_vec(), b"1".to_vec());
        assert_eq!(store.kv().get(Table::Pins, b"p").expect("reads"), None);
        bulk.commit(pin).expect("commits");
        assert!(store.kv().get(Table::Pins, b"p").expect("reads").is_some());
        for b in &blocks {
            assert_eq!(store.get(b.cid()).expect("reads").expect("is here").data(), b.data());
        }
    }

    #[test]
    fn an_import_ends_when_the_repository_is_full() {
        const MAX: u64 = 20 << 20;
        let blocks = KvBlocks::open(Arc::new(MemoryKv::new())).expect("opens").storage_max(MAX);
        let blocks = Arc::new(blocks);
        let mut bulk = blocks.bulk();
        let mib = |i: usize| vec![block(&format!("{i:08}").repeat(1 << 17))];
        let put = (0..100).find(|i| match bulk.put_many(mib(*i)) {
            Ok(()) => false,
            Err(StoreError::Full { used, max }) => {
                assert!(max == MAX && (MAX..MAX + (9 << 20)).contains(&used), "{used} of {max}");
                true
            }
            Err(error) => panic!("{error}"),
        });
        assert!(put.is_some(), "it must end");
        // What was whole before can still be committed.
        let mut pin = Batch::new();
        pin.put(Table::Pins, b"p".to_vec(), b"1".to_vec());
        bulk.commit(pin).expect("commits");
        assert!(blocks.get(mib(0)[0].cid()).expect("reads").is_some());
    }
}
