//! Tables in RocksDB: one database, one column family for each table.
//!
//! Large values of `Blocks` live in append-only blob files, so that a block is written once and never moved by
//! compaction. All column families are flushed together (atomic flush): a bulk import skips the write-ahead
//! log, and a crash in the middle of it must not leave index rows without their bytes.

use super::{Batch, Durability, Kv, Op, Row, Scan, Table, Usage};
use crate::StoreError;
use bytes::Bytes;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BottommostLevelCompaction, Cache, ColumnFamily, ColumnFamilyDescriptor,
    CompactOptions, DB, DBRawIterator, DBRecoveryMode, ErrorKind, FlushOptions, LogLevel, Options, ReadOptions,
    WriteBatch, WriteOptions,
};
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Memtable of `Blocks` in bytes; two of them: one fills while the other is written to the disk.
const BLOCKS_BUFFER: usize = 24 << 20;
/// Memtable of the other tables in bytes.
const SMALL_BUFFER: usize = 8 << 20;
/// Cache of index, filter and data blocks of the tree, in bytes. Blob values are never cached here: the page
/// cache of the system does that better.
const BLOCK_CACHE: usize = 24 << 20;
/// Values of `Blocks` from this length on live in blob files. Smaller ones stay in the tree, where a scan of
/// many tiny files reads them in order.
const MIN_BLOB: u64 = 4 << 10;
/// Parts of index and filter, in bytes: a look-up in a large table loads one part, not the whole filter of a file,
/// which a shard of the cache could not even hold.
const METADATA_BLOCK: usize = 4 << 10;
/// Bits of Bloom filter per key: 1 % false positives.
const BLOOM_BITS: f64 = 10.0;
/// Files that the database may keep open.
const MAX_OPEN_FILES: i32 = 512;
/// The write-ahead log is turned over at this size in bytes; it bounds the work of opening after a crash.
const MAX_WAL: u64 = 24 << 20;
/// Dirty pages are handed to the disk in pieces of this many bytes, so that the final sync finds little to do.
const SYNC_PIECE: u64 = 1 << 20;
/// A write is refused when it would leave less than this on the disk, in bytes: room for the log, a flush and
/// a collection's tombstones.
const RESERVE: u64 = 16 << 20;
/// Batches below this many bytes are not refused for the reserve: tombstones must go through on a full disk.
const SMALL_BATCH: usize = 64 << 10;
/// Bytes that RocksDB adds to a row of a batch: type, table and lengths.
const ROW_OVERHEAD: usize = 16;
/// Share of dead bytes in blob files from which [`Kv::reclaim`] rewrites the live ones.
const REWRITE_FROM: f64 = 0.25;

/// Tables in RocksDB.
pub struct RocksKv {
    db: DB,
    path: PathBuf,
    /// Bytes handed over since the last flush: an upper bound of what the next one will write.
    unflushed: AtomicU64,
}

impl RocksKv {
    /// Opens the database in that directory, and makes it if there is none.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE);
        let families = Table::ALL.map(|t| ColumnFamilyDescriptor::new(t.name(), family_options(t, &cache)));
        let db = DB::open_cf_descriptors(&database_options(), path, families).map_err(|e| translate(&e))?;
        Ok(Self { db, path: path.to_owned(), unflushed: AtomicU64::new(0) })
    }

    fn family(&self, table: Table) -> Result<&ColumnFamily, StoreError> {
        self.db
            .cf_handle(table.name())
            .ok_or_else(|| StoreError::Corrupt(format!("the database has no table {}", table.name())))
    }

    /// Refuses a write that the disk has no room for, before RocksDB meets the full disk half-way.
    fn check_space(&self, batch: &Batch) -> Result<(), StoreError> {
        if batch.bytes() < SMALL_BATCH {
            return Ok(());
        }
        let stat = rustix::fs::statvfs(&self.path)
            .map_err(|e| StoreError::io(format!("cannot examine {}", self.path.display()), e.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let pending = self.unflushed.load(Ordering::Relaxed).min(2 * BLOCKS_BUFFER as u64);
        let needed = pending + batch.bytes() as u64 + RESERVE;
        if free < needed {
            return Err(StoreError::NoSpace { detail: format!("{free} bytes are free, {needed} are needed") });
        }
        Ok(())
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

    fn collect_blobs(&self, on: bool) -> Result<(), StoreError> {
        let family = self.family(Table::Blocks)?;
        let on = if on { "true" } else { "false" };
        self.db.set_options_cf(family, &[("enable_blob_garbage_collection", on)]).map_err(|e| translate(&e))
    }
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_atomic_flush(true);
    // After a power cut the log may end in a torn record that nobody was told of.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_total_wal_size(MAX_WAL);
    options.set_max_open_files(MAX_OPEN_FILES);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(SYNC_PIECE);
    options.set_wal_bytes_per_sync(SYNC_PIECE);
    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_keep_log_file_num(2);
    options.set_log_level(LogLevel::Error);
    options
}

fn family_options(table: Table, cache: &Cache) -> Options {
    let mut options = Options::default();
    let mut tree = BlockBasedOptions::default();
    tree.set_block_cache(cache);
    tree.set_bloom_filter(BLOOM_BITS, false);
    tree.set_cache_index_and_filter_blocks(true);
    tree.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    tree.set_partition_filters(true);
    tree.set_metadata_block_size(METADATA_BLOCK);
    tree.set_pin_top_level_index_and_filter(true);
    tree.set_pin_l0_filter_and_index_blocks_in_cache(true);
    tree.set_format_version(5);
    options.set_block_based_table_factory(&tree);
    // Content is hashed, compressed or random more often than not, and its keys always are.
    options.set_compression_type(rocksdb::DBCompressionType::None);
    options.set_write_buffer_size(if table == Table::Blocks { BLOCKS_BUFFER } else { SMALL_BUFFER });
    options.set_max_write_buffer_number(2);
    if table == Table::Blocks {
        options.set_enable_blob_files(true);
        options.set_min_blob_size(MIN_BLOB);
        // Collected on demand only: the default would rewrite live blocks in the middle of an import.
        options.set_enable_blob_gc(false);
        options.set_blob_gc_age_cutoff(1.0);
        options.set_blob_gc_force_threshold(1.0);
    }
    options
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
        self.db.write_opt(rows, &options).map_err(|e| translate(&e))?;
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

    fn usage(&self) -> Result<Usage, StoreError> {
        let context = || format!("cannot examine {}", self.path.display());
        let mut total = 0;
        for entry in std::fs::read_dir(&self.path).map_err(|e| StoreError::io(context(), e))? {
            // A file that vanishes meanwhile takes no space.
            total += entry.and_then(|e| e.metadata()).map_or(0, |m| m.len());
        }
        Ok(Usage { total, garbage: self.blob_garbage()?.0 })
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.flush()?;
        self.compact(Table::Index)?;
        self.compact(Table::Marks)?;
        // Drops the tombstones, and with them every blob file in which nothing is alive.
        self.compact(Table::Blocks)?;
        let (garbage, total) = self.blob_garbage()?;
        if garbage as f64 > REWRITE_FROM * total as f64 {
            self.collect_blobs(true)?;
            let compacted = self.compact(Table::Blocks);
            self.collect_blobs(false)?;
            compacted?;
        }
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
