//! What the database caches of files is given up with them.

use cairn_store::kv::{Batch, Durability, Kv, RocksKv, Table};

/// Rows of a round, and the length of each: a mebibyte, together with its key.
const ROWS: (usize, usize) = (5_000, 200);
/// Rounds: without an end to what is cached they would come to all of the cache, which has 24 MiB.
const ROUNDS: usize = 16;

fn cached(kv: &RocksKv) -> u64 {
    let told = kv.describe();
    let line = told.lines().find(|line| line.contains("rocksdb.block-cache-usage")).expect("it is told");
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn a_database_that_is_written_and_collected_again_and_again_does_not_fill_its_cache() {
    let dir = tempfile::tempdir().expect("a folder");
    let kv = RocksKv::open(dir.path()).expect("opens");
    let mut most = 0;
    for round in 0..ROUNDS {
        let key = |row: usize| format!("{round:04}{row:08}").into_bytes();
        let mut batch = Batch::new();
        (0..ROWS.0).for_each(|row| batch.put(Table::Index, key(row), vec![round as u8; ROWS.1]));
        kv.write(batch, Durability::Logged).expect("writes");
        kv.flush().expect("flushes");
        let keys: Vec<Vec<u8>> = (0..ROWS.0).map(key).collect();
        assert!(kv.get_many(Table::Index, &keys).into_iter().all(|row| row.is_ok_and(|row| row.is_some())));
        assert!(cached(&kv) > 1 << 20, "what is looked up is cached");
        let mut batch = Batch::new();
        batch.delete_range(Table::Index, key(0), key(ROWS.0));
        kv.write(batch, Durability::Logged).expect("writes");
        kv.reclaim().expect("reclaims");
        most = most.max(cached(&kv));
    }
    assert!(most < 4 << 20, "{most} bytes are cached of files that are gone");
}
