//! A write-ahead log that rots: nothing acknowledged is dropped in silence, and a torn end is no news.

use cairn_store::{
    StoreError,
    kv::{Batch, Durability, Kv as _, RocksKv, Table},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};
use tempfile::TempDir;

/// Records of one log. Some are longer than a block of the log, which has 32 KiB.
const RECORDS: usize = 24;

fn key(number: usize) -> Vec<u8> {
    format!("{number:04}").into_bytes()
}

fn value(number: usize) -> Vec<u8> {
    vec![number as u8; 100 + 5000 * (number % 9)]
}

fn write(kv: &RocksKv, number: usize, durability: Durability) {
    let mut batch = Batch::new();
    batch.put(Table::Meta, key(number), value(number));
    kv.write(batch, durability).expect("writes");
}

/// Tables whose log holds all records, synced.
fn written() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let kv = RocksKv::open(dir.path()).expect("opens");
    (0..RECORDS).for_each(|number| write(&kv, number, Durability::Synced));
    dir
}

fn newest_log(dir: &Path) -> PathBuf {
    let names = fs::read_dir(dir).expect("lists").map(|entry| entry.expect("an entry").path());
    names.filter(|path| path.extension().is_some_and(|e| e == "log")).max().expect("there is a log")
}

fn copy(dir: &Path) -> TempDir {
    let to = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(dir).expect("lists") {
        let from = entry.expect("an entry").path();
        fs::copy(&from, to.path().join(from.file_name().expect("a name"))).expect("copies");
    }
    to
}

fn found(kv: &RocksKv) -> Vec<usize> {
    (0..RECORDS).filter(|n| kv.get(Table::Meta, &key(*n)).expect("reads").is_some_and(|v| v == value(*n))).collect()
}

#[test]
fn a_flipped_bit_anywhere_in_the_log_is_said_and_the_rest_can_be_saved() {
    let whole = written();
    let length = fs::metadata(newest_log(whole.path())).expect("is there").len() as usize;
    assert!(length > 10 * (32 << 10), "several blocks, and records across their borders");
    let (mut all, mut tried) = (0, 0);
    // A prime step, so that heads, bodies and borders are all met.
    for at in (0..length).step_by(9973).chain([0, 4, 6, 7, length - 1]) {
        let dir = copy(whole.path());
        let log = newest_log(dir.path());
        let mut bytes = fs::read(&log).expect("reads");
        bytes[at] ^= 1 << (at % 8);
        fs::write(&log, bytes).expect("writes");
        match RocksKv::open(dir.path()) {
            Err(StoreError::DamagedLog { from, to, .. }) => {
                assert!(from <= at as u64 && at < to as usize, "{at}: {from} to {to}");
            }
            // Zeros at the end of a block belong to no record.
            Ok(kv) => assert_eq!(found(&kv).len(), RECORDS, "{at}: lost in silence"),
            Err(error) => panic!("{at}: {error}"),
        }
        let kv = RocksKv::salvage(dir.path()).expect("opens");
        // At least what stands before the damage; the mean record has 20 KiB.
        let saved = found(&kv).len();
        assert!(saved + 1 >= at / (41 << 10), "{at}: only {saved} of {RECORDS} were saved");
        all += saved;
        tried += 1;
        write(&kv, 0, Durability::Synced);
        drop(kv);
        drop(RocksKv::open(dir.path()).expect("is a repository like others again"));
    }
    eprintln!("saved {} of {RECORDS} records on average", all / tried);
}

#[test]
fn a_log_that_was_cut_off_where_it_was_synced_is_said() {
    let whole = written();
    let log = newest_log(whole.path());
    let length = fs::metadata(&log).expect("is there").len();
    fs::File::options().write(true).open(&log).and_then(|f| f.set_len(length - 1)).expect("shortens");
    assert!(matches!(RocksKv::open(whole.path()), Err(StoreError::DamagedLog { .. })));
}

#[test]
fn an_end_that_was_never_synced_may_be_torn() {
    let dir = tempfile::tempdir().expect("a folder");
    let kv = RocksKv::open(dir.path()).expect("opens");
    (0..RECORDS / 2).for_each(|number| write(&kv, number, Durability::Synced));
    let synced = fs::metadata(newest_log(dir.path())).expect("is there").len() as usize;
    (RECORDS / 2..RECORDS).for_each(|number| write(&kv, number, Durability::Logged));
    drop(kv);
    let length = fs::metadata(newest_log(dir.path())).expect("is there").len() as usize;
    for at in (synced..length).step_by(4999) {
        // Lost from there on; or only a page of it, as a cache that writes back in any order leaves it.
        for scattered in [false, true] {
            let dir = copy(dir.path());
            let log = newest_log(dir.path());
            let mut bytes = fs::read(&log).expect("reads");
            if scattered {
                let end = length.min(at + 4096);
                bytes[at..end].fill(0);
            } else {
                bytes.truncate(at);
            }
            fs::write(&log, bytes).expect("writes");
            let kv = RocksKv::open(dir.path()).expect("opens in silence");
            assert!(found(&kv).len() >= RECORDS / 2, "{at}: what was synced is there");
        }
    }
}

#[test]
fn a_note_that_is_missing_old_or_torn_is_no_reason_to_refuse() {
    let whole = written();
    for change in [&|note: &Path| fs::remove_file(note), &|note: &Path| fs::write(note, b"torn")]
        as [&dyn Fn(&Path) -> std::io::Result<()>; 2]
    {
        let dir = copy(whole.path());
        change(&dir.path().join("synced")).expect("changes");
        assert_eq!(found(&RocksKv::open(dir.path()).expect("opens")).len(), RECORDS);
    }
}

#[test]
fn writes_beside_each_other_are_covered_when_the_tables_are_closed() {
    let dir = tempfile::tempdir().expect("a folder");
    let kv = Arc::new(RocksKv::open(dir.path()).expect("opens"));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let kv = Arc::clone(&kv);
            thread::spawn(move || {
                for number in (0..RECORDS).filter(|n| n % 4 == thread) {
                    write(&kv, number, if number % 3 == 0 { Durability::Logged } else { Durability::Synced });
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("ends well"));
    drop(kv);
    let log = newest_log(dir.path());
    let mut bytes = fs::read(&log).expect("reads");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&log, bytes).expect("writes");
    // The last one may have been unsynced; then it may be lost, and nothing else.
    match RocksKv::open(dir.path()) {
        Err(StoreError::DamagedLog { .. }) => {}
        Ok(kv) => assert!(found(&kv).len() >= RECORDS - 1),
        Err(error) => panic!("{error}"),
    }
}
