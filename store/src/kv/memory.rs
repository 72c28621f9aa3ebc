//! Tables in memory: for tests, fuzzers and short-lived nodes.

use super::{Batch, Durability, Kv, Op, Row, Scan, Table, Usage};
use crate::StoreError;
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};

/// Tables in memory. Nothing is durable, whatever is asked.
#[derive(Debug, Default)]
pub struct MemoryKv {
    tables: RwLock<HashMap<Table, BTreeMap<Vec<u8>, Bytes>>>,
}

impl MemoryKv {
    /// Empty tables.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Kv for MemoryKv {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.tables.read().get(&table).and_then(|t| t.get(key)).cloned())
    }

    fn write(&self, batch: Batch, _: Durability) -> Result<(), StoreError> {
        let mut tables = self.tables.write();
        for op in batch.ops {
            match op {
                Op::Put(table, key, value) => {
                    tables.entry(table).or_default().insert(key, value);
                }
                Op::Delete(table, key) => {
                    tables.entry(table).or_default().remove(&key);
                }
                Op::DeleteRange(table, from, to) => {
                    tables.entry(table).or_default().retain(|k, _| *k < from || *k >= to);
                }
            }
        }
        Ok(())
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>) -> Scan<'_> {
        let tables = self.tables.read();
        let rows: Vec<Row> = tables.get(&table).map_or_else(Vec::new, |t| {
            t.range(from.to_vec()..)
                .take_while(|(k, _)| to.is_none_or(|to| k.as_slice() < to))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect()
        });
        Box::new(rows.into_iter().map(Ok))
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        let tables = self.tables.read();
        let total = tables.values().flatten().map(|(k, v)| (k.len() + v.len()) as u64).sum();
        Ok(Usage { total })
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
