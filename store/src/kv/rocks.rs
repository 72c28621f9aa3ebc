//! Tables in RocksDB: one database, one column family for each table.
//!
//! Large values of `Blocks` live in append-only blob files, so that a block is written once and never moved by
//! compaction. All column families are flushed together (atomic flush): a bulk import skips the write-ahead
//! log, and a crash in the middle of it must not leave index rows without their bytes.

mod log;
mod options;
mod reserve;

use super::{Batch, Durability, Kv, Op, Row, Scan, Table, Usage};
use crate::StoreError;
use bytes::Bytes;
use log::SyncedLog;
use options::BLOCKS_BUFFER;
use reserve::Reserve;
use rocksdb::{
    BottommostLevelCompaction, ColumnFamily, CompactOptions, DB, DBRawIterator, DBRecoveryMode, ErrorKind,
    FlushOptions, ReadOptions, WriteBatch, WriteOptions,
};
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// A write is refused when it would leave less than this on the disk, in bytes: room for the log, a flush and
/// a collection's tombstones.
const RESERVE: u64 = 16 << 20;
/// Bytes that RocksDB adds to a row of a batch: type, table and lengths.
const ROW_OVERHEAD: usize = 16;
/// Share of dead bytes in blob files from which [`Kv::reclaim`] rewrites the live ones.
const REWRITE_FROM: f64 = 0.25;
/// Steps in which live bytes are rewritten when the disk has no room for all of them at once.
const REWRITE_STEPS: usize = 32;

/// Tables in RocksDB.
pub struct RocksKv {
    db: DB,
    path: PathBuf,
    synced: SyncedLog,
    /// Bytes handed over since the last flush: an upper bound of what the next one will write.
    unflushed: AtomicU64,
    /// IMPORTANT: after `db`, whose end frees space that this takes.
    reserve: Reserve,
}

impl RocksKv {
    /// Opens the database in that directory, and makes it if there is none. On a full disk the space that was kept
    /// aside is used.
    ///
    /// # Errors
    /// [`StoreError::DamagedLog`] when something that was acknowledged would be lost, or that of the disk.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        log::check(path)?;
        // After a power cut the log may end in a torn record that nobody was told of.
        Self::recover(path, DBRecoveryMode::PointInTime)
    }

    /// As [`RocksKv::open`], with a damaged log: what can't be read of it is left out.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn salvage(path: &Path) -> Result<Self, StoreError> {
        match Self::recover(path, DBRecoveryMode::SkipAnyCorruptedRecord) {
            // RocksDB sometimes takes what is behind the damage for a part of what is before it. Then what is before
            // it has to do.
            Err(StoreError::Corrupt(_)) => Self::recover(path, DBRecoveryMode::PointInTime),
            other => other,
        }
    }

    fn recover(path: &Path, mode: DBRecoveryMode) -> Result<Self, StoreError> {
        let reserve = Reserve::open(path);
        let open = |mode| {
            DB::open_cf_descriptors(&options::database(mode), path, options::families()).map_err(|e| translate(&e))
        };
        if reserve::free(path).is_ok_and(|free| free < RESERVE) {
            reserve.release();
        }
        let opened = match (open)(mode) {
            // A quota, or somebody who was quicker.
            Err(StoreError::NoSpace { .. }) if reserve.release() => (open)(mode),
            other => other,
        };
        let db = opened?;
        reserve.restore(RESERVE);
        let synced = SyncedLog::start(path);
        Ok(Self { db, path: path.to_owned(), synced, unflushed: AtomicU64::new(0), reserve })
    }

    fn family(&self, table: Table) -> Result<&ColumnFamily, StoreError> {
        self.db
            .cf_handle(table.name())
            .ok_or_else(|| StoreError::Corrupt(format!("the database has no table {}", table.name())))
    }

    /// Refuses a write that the disk has no room for, before RocksDB meets the full disk half-way. What is needed to
    /// make room (deletions, pins, marks) may use the reserve.
    fn check_space(&self, batch: &Batch) -> Result<(), StoreError> {
        let free = reserve::free(&self.path)?;
        let bytes = batch.bytes() as u64;
        if !fills_the_disk(batch) {
            if free < bytes + RESERVE {
                self.reserve.release();
            }
            return Ok(());
        }
        let needed = self.pending() + bytes + RESERVE + self.reserve.missing();
        if free < needed {
            return Err(StoreError::NoSpace { detail: format!("{free} bytes are free, {needed} are needed") });
        }
        Ok(())
    }

    /// Bytes that were written and are to go to the disk once more.
    fn pending(&self) -> u64 {
        self.unflushed.load(Ordering::Relaxed).min(2 * BLOCKS_BUFFER as u64)
    }

    fn property(&self, table: Table, name: &str) -> Result<u64, StoreError> {
        let value = self.db.property_int_value_cf(self.family(table)?, name).map_err(|e| translate(&e))?;
        Ok(value.unwrap_or(0))
    }

    fn blob_garbage(&self) -> Result<(u64, u64), StoreError> {
        Ok((
            self.property(Table::Blocks, "rocksdb.live-blob-file-garbage-size")?,
            self.property(Table::Blocks, "rocksdb.live-blob-file-size")?,
        ))
    }

    fn compact(&self, table: Table) -> Result<(), StoreError> {
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        self.db.compact_range_cf_opt(self.family(table)?, None::<&[u8]>, None::<&[u8]>, &options);
        Ok(())
    }

    /// Rewrites live bytes of blob files that are largely dead, the oldest files first: all of them at once, or in
    /// steps that the disk has room for.
    fn rewrite_blobs(&self) -> Result<(), StoreError> {
        let family = self.family(Table::Blocks)?;
        let set = |name: &str, value: &str| self.db.set_options_cf(family, &[(name, value)]).map_err(|e| translate(&e));
        for _ in 0..REWRITE_STEPS {
            let (garbage, total) = self.blob_garbage()?;
            if garbage as f64 <= REWRITE_FROM * total as f64 {
                return Ok(());
            }
            let room = reserve::free(&self.path)?.saturating_sub(RESERVE / 2);
            let share = (room as f64 / 2.0 / total.saturating_sub(garbage).max(1) as f64).min(1.0);
            if share * (REWRITE_STEPS as f64) < 1.0 {
                tracing::warn!(
                    garbage,
                    room,
                    "there is no room to rewrite files that are partly dead: free some space"
                );
                return Ok(());
            }
            set("blob_garbage_collection_age_cutoff", &share.to_string())?;
            set("enable_blob_garbage_collection", "true")?;
            let compacted = self.compact(Table::Blocks);
            set("enable_blob_garbage_collection", "false")?;
            compacted?;
        }
        Ok(())
    }
}

impl Drop for RocksKv {
    fn drop(&mut self) {
        if self.synced.behind() && self.db.flush_wal(true).is_ok() {
            self.synced.all_synced();
        }
    }
}

/// Whether a batch stores what somebody wants to keep, and not only what is needed to make room.
fn fills_the_disk(batch: &Batch) -> bool {
    batch.ops().iter().any(|op| matches!(op, Op::Put(Table::Blocks | Table::Net, ..)))
}

fn translate(error: &rocksdb::Error) -> StoreError {
    let text = error.to_string();
    if text.contains("No space left") || text.contains("Disk quota exceeded") {
        return StoreError::NoSpace { detail: text };
    }
    match error.kind() {
        ErrorKind::Corruption => StoreError::Corrupt(text),
        _ => StoreError::Backend(text),
    }
}

/// Properties of a table that [`Kv::describe`] tells.
const DESCRIBED: [&str; 8] = [
    "rocksdb.estimate-num-keys",
    "rocksdb.estimate-live-data-size",
    "rocksdb.total-sst-files-size",
    "rocksdb.live-blob-file-size",
    "rocksdb.cur-size-all-mem-tables",
    "rocksdb.estimate-table-readers-mem",
    "rocksdb.block-cache-usage",
    "rocksdb.cfstats-no-file-histogram",
];

impl Kv for RocksKv {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let found = self.db.get_pinned_cf(self.family(table)?, key).map_err(|e| translate(&e))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn get_many(&self, table: Table, keys: &[Vec<u8>]) -> Vec<Result<Option<Bytes>, StoreError>> {
        // Large values go one by one: each passes through buffers that are still warm from the one before it,
        // which halves the time of reading a file.
        if table == Table::Blocks {
            return keys.iter().map(|key| self.get(table, key)).collect();
        }
        let family = match self.family(table) {
            Ok(family) => family,
            Err(error) => return keys.iter().map(|_| Err(error.clone())).collect(),
        };
        let found = self.db.batched_multi_get_cf(family, keys, keys.is_sorted());
        found
            .into_iter()
            .map(|value| Ok(value.map_err(|e| translate(&e))?.map(|v| Bytes::copy_from_slice(&v))))
            .collect()
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        self.check_space(&batch)?;
        let bytes = batch.bytes() as u64;
        // Grown step by step it would be copied several times.
        let mut rows = WriteBatch::with_capacity_bytes(batch.bytes() + batch.ops().len() * ROW_OVERHEAD);
        for op in batch.ops() {
            match op {
                Op::Put(table, key, value) => rows.put_cf(self.family(*table)?, key, value),
                Op::Delete(table, key) => rows.delete_cf(self.family(*table)?, key),
                Op::DeleteRange(table, from, to) => rows.delete_range_cf(self.family(*table)?, from, to),
            }
        }
        drop(batch);
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        options.disable_wal(durability == Durability::Buffered);
        if durability == Durability::Buffered {
            self.db.write_opt(rows, &options).map_err(|e| translate(&e))?;
        } else {
            let writing = self.synced.begin();
            let written = self.db.write_opt(rows, &options).map_err(|e| translate(&e));
            self.synced.end(&writing, written.is_ok(), durability == Durability::Synced);
            written?;
        }
        self.unflushed.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>) -> Scan<'_> {
        let family = match self.family(table) {
            Ok(family) => family,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_auto_readahead_size(true);
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        let mut rows = self.db.raw_iterator_cf_opt(family, options);
        rows.seek(from);
        Box::new(Rows { rows, ended: false })
    }

    fn flush(&self) -> Result<(), StoreError> {
        let families = Table::ALL.iter().map(|t| self.family(*t)).collect::<Result<Vec<_>, _>>()?;
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let start = std::time::Instant::now();
        self.db.flush_cfs_opt(&families, &options).map_err(|e| translate(&e))?;
        let bytes = self.unflushed.swap(0, Ordering::Relaxed);
        tracing::debug!(bytes, took = ?start.elapsed(), "flushed the tables");
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.db.flush_wal(true).map_err(|e| translate(&e))
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        let context = || format!("cannot examine {}", self.path.display());
        let mut total = 0;
        for entry in std::fs::read_dir(&self.path).map_err(|e| StoreError::io(context(), e))? {
            // A file that vanishes meanwhile takes no space.
            total += entry.and_then(|e| e.metadata()).map_or(0, |m| m.len());
        }
        Ok(Usage { total })
    }

    fn room(&self) -> Result<u64, StoreError> {
        let kept = self.pending() + RESERVE + self.reserve.missing();
        Ok(reserve::free(&self.path)?.saturating_sub(kept))
    }

    fn describe(&self) -> String {
        let mut out = String::new();
        for table in Table::ALL {
            let Ok(family) = self.family(table) else { continue };
            for name in DESCRIBED {
                if let Ok(Some(value)) = self.db.property_value_cf(family, name) {
                    out.push_str(&format!("{} {name}: {}\n", table.name(), value.trim_end()));
                }
            }
            out.push('\n');
        }
        out
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        if reserve::free(&self.path)? < 2 * RESERVE {
            self.reserve.release();
        }
        self.flush()?;
        self.compact(Table::Index)?;
        self.compact(Table::Marks)?;
        // Drops the tombstones, and with them every blob file in which nothing is alive.
        self.compact(Table::Blocks)?;
        self.rewrite_blobs()?;
        self.reserve.restore(RESERVE);
        Ok(())
    }
}

struct Rows<'a> {
    rows: DBRawIterator<'a>,
    ended: bool,
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let Some((key, value)) = self.rows.item() else {
            self.ended = true;
            return self.rows.status().err().map(|e| Err(translate(&e)));
        };
        let row = (key.to_vec(), Bytes::copy_from_slice(value));
        self.rows.next();
        Some(Ok(row))
    }
}
