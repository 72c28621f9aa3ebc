//! How RocksDB is set up. What matters to the bytes on the disk is in `docs/FORMAT.md`.

use crate::kv::Table;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBRecoveryMode, LogLevel, Options,
};

/// Memtable of `Blocks` in bytes; two of them: one fills while the other is written to the disk.
pub(super) const BLOCKS_BUFFER: usize = 24 << 20;
/// Memtable of the other tables in bytes.
const SMALL_BUFFER: usize = 8 << 20;
/// Cache of index, filter and data blocks of the tree, in bytes. Blob values are never cached here: the page
/// cache of the system does that better.
const BLOCK_CACHE: usize = 24 << 20;
/// What is cached of a file goes when the file does, whatever that costs: else the cache fills with what is in no file any
/// more, and a process that only writes and collects grows by all of it.
const UNCACHE: &str = "uncache_aggressiveness=10000";
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

/// All tables, with one cache.
pub(super) fn families() -> [ColumnFamilyDescriptor; Table::ALL.len()] {
    let cache = Cache::new_lru_cache(BLOCK_CACHE);
    Table::ALL.map(|t| ColumnFamilyDescriptor::new(t.name(), family(t, &cache)))
}

/// The database as a whole.
pub(super) fn database(recovery: DBRecoveryMode) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_atomic_flush(true);
    options.set_wal_recovery_mode(recovery);
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

fn family(table: Table, cache: &Cache) -> Options {
    // There is no function for it. Known to this RocksDB: see the test.
    let mut options = Options::default().get_options_from_string(UNCACHE).unwrap_or_default();
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
