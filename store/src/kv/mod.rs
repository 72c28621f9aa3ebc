//! Ordered tables with atomic batches: the floor that everything durable stands on.
//!
//! Blocks, pins and metadata are all rows of such tables, so that one batch can change several of them
//! together, and so that each of those modules runs in a test on memory, with or without injected faults.

mod faulty;
mod memory;
#[cfg(feature = "rocks")]
mod rocks;

pub use faulty::{Fault, FaultyKv};
pub use memory::MemoryKv;
#[cfg(feature = "rocks")]
pub use rocks::RocksKv;

use crate::StoreError;
use bytes::Bytes;

/// A table. Key and value layouts are in `docs/FORMAT.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Multihash → block bytes. Large values live in append-only files beside the tree.
    Blocks,
    /// Multihash → length, stamp and flags: answers `has` and `size`, and is scanned, without touching bytes.
    Index,
    /// Pins by CID and by name.
    Pins,
    /// Small facts of the repository: schema version, GC state, roots.
    Meta,
    /// Multihashes that the running garbage collection found alive.
    Marks,
    /// What the node knows of the network: peers, provider records, signed values, ledgers. Losing it costs time,
    /// not data.
    Net,
}

impl Table {
    /// All tables, in the order of their declaration.
    pub const ALL: [Self; 6] = [Self::Blocks, Self::Index, Self::Pins, Self::Meta, Self::Marks, Self::Net];

    /// Name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Index => "index",
            Self::Pins => "pins",
            Self::Meta => "meta",
            Self::Marks => "marks",
            Self::Net => "net",
        }
    }
}

/// When a batch may be called written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On return it survives a power cut. Concurrent callers share one sync (group commit).
    Synced,
    /// On return it survives the death of the process, and a power cut after the next synced write.
    Logged,
    /// It survives nothing before the next [`Kv::flush`]: for bulk writes that skip the log.
    Buffered,
}

/// One change.
#[derive(Debug, Clone)]
pub enum Op {
    /// Sets a key.
    Put(Table, Vec<u8>, Bytes),
    /// Removes a key, present or not.
    Delete(Table, Vec<u8>),
    /// Removes all keys from the first, inclusive, to the second, exclusive.
    DeleteRange(Table, Vec<u8>, Vec<u8>),
}

/// Changes that happen together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    ops: Vec<Op>,
    bytes: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key.
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: impl Into<Bytes>) {
        let value = value.into();
        self.bytes += key.len() + value.len();
        self.ops.push(Op::Put(table, key, value));
    }

    /// Removes a key, present or not.
    pub fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.bytes += key.len();
        self.ops.push(Op::Delete(table, key));
    }

    /// Removes all keys in `from..to`.
    pub fn delete_range(&mut self, table: Table, from: Vec<u8>, to: Vec<u8>) {
        self.bytes += from.len() + to.len();
        self.ops.push(Op::DeleteRange(table, from, to));
    }

    /// Appends all changes of another batch.
    pub fn append(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.ops.extend(other.ops);
    }

    /// The changes in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

/// A row of a scan: key and value.
pub type Row = (Vec<u8>, Bytes);
/// A scan in key order over a snapshot taken when it began.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<Row, StoreError>> + Send + 'a>;

/// Space that the tables take, in bytes on the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// All of it.
    pub total: u64,
}

/// Ordered tables with atomic batches.
///
/// Every method may block on the disk: from async code call it inside `spawn_blocking`.
pub trait Kv: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the bytes on the disk fail their checksum.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// The values of many keys, in order.
    fn get_many(&self, table: Table, keys: &[Vec<u8>]) -> Vec<Result<Option<Bytes>, StoreError>> {
        keys.iter().map(|k| self.get(table, k)).collect()
    }

    /// Applies a batch, all of it or nothing.
    ///
    /// # Errors
    /// On an error nothing of the batch is visible, or the tables refuse further writes until reopened.
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError>;

    /// Rows of a snapshot from `from` (inclusive) to `to` (exclusive; `None`: to the end), in key order.
    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>) -> Scan<'_>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// When the disk refuses; nothing may be acknowledged then.
    fn flush(&self) -> Result<(), StoreError>;

    /// Makes everything that was written with [`Durability::Logged`] durable.
    ///
    /// # Errors
    /// When the disk refuses; nothing may be acknowledged then.
    fn sync(&self) -> Result<(), StoreError> {
        self.flush()
    }

    /// Space in use.
    ///
    /// # Errors
    /// When the files can't be examined.
    fn usage(&self) -> Result<Usage, StoreError>;

    /// Bytes that can still be written, as far as the disk is concerned.
    ///
    /// # Errors
    /// When the disk can't be examined.
    fn room(&self) -> Result<u64, StoreError> {
        Ok(u64::MAX)
    }

    /// Statistics for people; empty where there are none.
    fn describe(&self) -> String {
        String::new()
    }

    /// Gives the space of deleted rows back to the disk. Reads and writes go on meanwhile.
    ///
    /// # Errors
    /// When the disk refuses; nothing is lost then.
    fn reclaim(&self) -> Result<(), StoreError>;
}

/// The smallest key that is greater than every key with that prefix; `None` when there is none.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}
