//! A wrapper that injects faults at chosen operations, for tests of everything above the tables.

use super::{Batch, Durability, Kv, Scan, Table, Usage};
use crate::StoreError;
use bytes::Bytes;
use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full.
    NoSpace,
    /// The device failed.
    Io,
    /// A checksum does not match.
    Corrupt,
}

impl Fault {
    fn error(self) -> StoreError {
        match self {
            Self::NoSpace => StoreError::NoSpace { detail: "injected".into() },
            Self::Io => StoreError::io("injected", io::Error::other("EIO")),
            Self::Corrupt => StoreError::Corrupt("injected".into()),
        }
    }
}

/// Tables that fail at the `n`-th operation and, if asked, at all later ones.
///
/// Every call counts as one operation, and so does every row of a scan, so a test can run the same work with
/// the fault at each point in turn until the work no longer reaches it.
pub struct FaultyKv<K> {
    inner: K,
    fault: Fault,
    left: AtomicU64,
    sticky: bool,
}

impl<K: Kv> FaultyKv<K> {
    /// Fails once, at operation `after` (0 is the first).
    pub fn once(inner: K, fault: Fault, after: u64) -> Self {
        Self { inner, fault, left: AtomicU64::new(after), sticky: false }
    }

    /// Fails at operation `after` and at every later one.
    pub fn from_then_on(inner: K, fault: Fault, after: u64) -> Self {
        Self { inner, fault, left: AtomicU64::new(after), sticky: true }
    }

    /// Whether the fault has been met.
    pub fn fired(&self) -> bool {
        self.left.load(Ordering::SeqCst) > u64::MAX / 2 || (self.sticky && self.left.load(Ordering::SeqCst) == 0)
    }

    /// The tables inside, without faults.
    pub fn inner(&self) -> &K {
        &self.inner
    }

    fn step(&self) -> Result<(), StoreError> {
        if self.sticky {
            let spent = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_err();
            return if spent { Err(self.fault.error()) } else { Ok(()) };
        }
        // Counting on past zero wraps to huge values: the fault fires exactly once.
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 { Err(self.fault.error()) } else { Ok(()) }
    }
}

impl<K: Kv> Kv for FaultyKv<K> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.step()?;
        self.inner.get(table, key)
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        self.step()?;
        self.inner.write(batch, durability)
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>) -> Scan<'_> {
        Box::new(self.inner.scan(table, from, to).map(|row| self.step().and(row)))
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.step()?;
        self.inner.flush()
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.step()?;
        self.inner.sync()
    }

    fn room(&self) -> Result<u64, StoreError> {
        self.inner.room()
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.step()?;
        self.inner.usage()
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.step()?;
        self.inner.reclaim()
    }
}
