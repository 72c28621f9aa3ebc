//! Collections beside writers, in thousands of schedules that a model checker chooses.
//!
//! The collection, the pins and the block store are the real ones; only their locks are the checker's (feature
//! `shuttle`), and every operation on the tables is a point where another thread may go first. A failing schedule
//! is printed, and `shuttle::replay` runs it again.

mod support;

use bytes::Bytes;
use cairn_store::{
    Block, Cid, StoreError,
    blockstore::{Blockstore as _, KvBlocks},
    gc::{self, GcError, Removal},
    kv::{Batch, Durability, Kv, MemoryKv, Scan, Table, Usage},
    pin::{PinError, PinMode, Pins},
};
use shuttle::{
    scheduler::{PctScheduler, RandomScheduler},
    thread,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use support::{leaf, missing, named, store, tree};

/// Schedules of each kind and scenario. `CAIRN_SCHEDULES` asks for more.
const SCHEDULES: usize = 1500;
/// Preemptions that the second scheduler looks for.
const DEPTH: usize = 4;

/// Tables that let another thread go first at every operation.
struct Yielding(MemoryKv);

impl Kv for Yielding {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        thread::yield_now();
        self.0.get(table, key)
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        thread::yield_now();
        self.0.write(batch, durability)
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>) -> Scan<'_> {
        thread::yield_now();
        self.0.scan(table, from, to)
    }

    fn flush(&self) -> Result<(), StoreError> {
        thread::yield_now();
        self.0.flush()
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.0.usage()
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.0.reclaim()
    }
}

/// A store in which a collection has run before, so that what is in it has an old stamp.
fn old_store(junk: &[&[Block]]) -> (Arc<KvBlocks>, Pins) {
    let kv = Arc::new(Yielding(MemoryKv::new()));
    let first = store(kv.clone());
    for blocks in junk {
        first.put_many(blocks, Durability::Synced).expect("puts");
    }
    drop(first);
    let mut batch = Batch::new();
    KvBlocks::stage_epoch(&mut batch, 5);
    kv.write(batch, Durability::Synced).expect("writes");
    let blocks = store(kv);
    let pins = Pins::new(Arc::clone(&blocks));
    (blocks, pins)
}

fn collect(blocks: &KvBlocks, pins: &Pins) {
    match gc::collect(blocks, pins, &|| Ok(Vec::new()), &AtomicBool::new(false), &mut |_| ()) {
        Ok(_) | Err(GcError::Busy) => {}
        Err(error) => panic!("{error}"),
    }
}

/// What an import does: its blocks, and its pin in one step with the last of them.
fn import(blocks: &Arc<KvBlocks>, pins: &Pins, all: &[Block]) -> Cid {
    let root = *all.last().expect("has a root").cid();
    let mut bulk = blocks.bulk();
    for part in all.chunks(4) {
        bulk.put_many(part.to_vec()).expect("puts");
    }
    let mut batch = Batch::new();
    pins.stage(&mut batch, &root, PinMode::Recursive, "");
    bulk.commit(batch).expect("commits");
    root
}

/// The same in steps, each written at once, as a large import spills.
fn import_slowly(blocks: &Arc<KvBlocks>, pins: &Pins, all: &[Block]) -> Cid {
    let root = *all.last().expect("has a root").cid();
    let session = blocks.session();
    for part in all.chunks(5) {
        blocks.put_many(part, Durability::Buffered).expect("puts");
    }
    blocks.settle().expect("flushes");
    let mut batch = Batch::new();
    pins.stage(&mut batch, &root, PinMode::Recursive, "");
    blocks.kv().write(batch, Durability::Synced).expect("pins");
    drop(session);
    root
}

/// IMPORTANT: every pin that was acknowledged and not removed is complete.
fn assert_whole(blocks: &KvBlocks, pins: &Pins) {
    for pin in pins.iter() {
        let cid = pin.expect("reads").cid;
        assert_eq!(missing(blocks, &cid), None, "below {cid}");
    }
}

fn explore(scenario: impl Fn() + Send + Sync + Clone + 'static) {
    let count = std::env::var("CAIRN_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(SCHEDULES);
    let seed = std::env::var("CAIRN_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or_else(rand::random);
    println!("CAIRN_SEED={seed} CAIRN_SCHEDULES={count}");
    let config = || {
        let mut config = shuttle::Config::new();
        config.stack_size = 512 << 10;
        config
    };
    shuttle::Runner::new(RandomScheduler::new_from_seed(seed, count), config()).run(scenario.clone());
    shuttle::Runner::new(PctScheduler::new_from_seed(seed, DEPTH, count), config()).run(scenario);
}

fn spawn(work: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(work)
}

fn join(all: Vec<thread::JoinHandle<()>>) {
    for one in all {
        one.join().expect("ends");
    }
}

#[test]
fn imports_beside_two_collections() {
    explore(|| {
        let (fresh, again) = (tree("fresh"), tree("again"));
        let (blocks, pins) = old_store(&[&again]);
        let mut all = Vec::new();
        for (slow, dag) in [(false, fresh), (true, again)] {
            let (blocks, pins) = (Arc::clone(&blocks), pins.clone());
            all.push(spawn(move || {
                let import = if slow { import_slowly } else { import };
                let root = import(&blocks, &pins, &dag);
                assert!(pins.get(&root).expect("reads").is_some());
            }));
        }
        {
            let (blocks, pins) = (Arc::clone(&blocks), pins.clone());
            all.push(spawn(move || {
                collect(&blocks, &pins);
                collect(&blocks, &pins);
            }));
        }
        join(all);
        assert_whole(&blocks, &pins);
        assert_eq!(pins.iter().count(), 2);
    });
}

#[test]
fn an_existing_dag_is_pinned_beside_a_collection() {
    let pinned = Arc::new(AtomicBool::new(false));
    let refused = Arc::new(AtomicBool::new(false));
    let (saw, lost) = (Arc::clone(&pinned), Arc::clone(&refused));
    explore(move || {
        let dag = tree("unpinned");
        let root = *dag.last().expect("has a root").cid();
        let (blocks, pins) = old_store(&[&dag]);
        let (pinned, refused) = (Arc::clone(&saw), Arc::clone(&lost));
        let adder = {
            let pins = pins.clone();
            spawn(move || match pins.add_local(&root, PinMode::Recursive, "") {
                Ok(_) => pinned.store(true, Ordering::Relaxed),
                // The collection was first.
                Err(PinError::Missing(_)) => refused.store(true, Ordering::Relaxed),
                Err(error) => panic!("{error}"),
            })
        };
        let (b, p) = (Arc::clone(&blocks), pins.clone());
        let collector = spawn(move || {
            collect(&b, &p);
            collect(&b, &p);
        });
        join(vec![adder, collector]);
        assert_whole(&blocks, &pins);
    });
    // Otherwise the schedules explored nothing.
    assert!(pinned.load(Ordering::Relaxed) && refused.load(Ordering::Relaxed));
}

#[test]
fn a_shared_dag_changes_hands_beside_a_collection() {
    explore(|| {
        let shared = tree("shared");
        let inner = shared.last().expect("has a root").clone();
        let outer = named("outer", &[&inner]);
        let (blocks, pins) = old_store(&[&shared]);
        pins.add_local(inner.cid(), PinMode::Recursive, "").expect("pins");
        let mut all = Vec::new();
        {
            // Puts a new root over what only another pin keeps.
            let (blocks, pins) = (Arc::clone(&blocks), pins.clone());
            let outer = outer.clone();
            all.push(spawn(move || {
                let _session = blocks.session();
                blocks.put(&outer).expect("puts");
                match pins.add_local(outer.cid(), PinMode::Recursive, "") {
                    Ok(_) | Err(PinError::Missing(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }));
        }
        {
            let pins = pins.clone();
            all.push(spawn(move || pins.remove(inner.cid(), true).expect("unpins")));
        }
        {
            let (blocks, pins) = (Arc::clone(&blocks), pins.clone());
            all.push(spawn(move || {
                collect(&blocks, &pins);
                collect(&blocks, &pins);
            }));
        }
        join(all);
        assert_whole(&blocks, &pins);
    });
}

#[test]
fn two_writers_of_one_block_beside_collections() {
    explore(|| {
        let block = leaf("both want it");
        let (blocks, pins) = old_store(&[std::slice::from_ref(&block)]);
        let mut all = Vec::new();
        {
            // Somebody who needs no pin, as a cache of the network does: no session.
            let (blocks, block) = (Arc::clone(&blocks), block.clone());
            all.push(spawn(move || blocks.put_many(&[block], Durability::Logged).expect("puts")));
        }
        {
            let (blocks, pins) = (Arc::clone(&blocks), pins.clone());
            all.push(spawn(move || {
                import_slowly(&blocks, &pins, &[block]);
            }));
        }
        let (b, p) = (Arc::clone(&blocks), pins.clone());
        all.push(spawn(move || {
            collect(&b, &p);
            collect(&b, &p);
        }));
        join(all);
        assert_whole(&blocks, &pins);
    });
}

#[test]
fn blocks_are_removed_beside_imports_and_pins_of_them() {
    let removed = Arc::new(AtomicBool::new(false));
    let kept = Arc::new(AtomicBool::new(false));
    let (saw, left) = (Arc::clone(&removed), Arc::clone(&kept));
    explore(move || {
        let (added, pinned) = (tree("added"), tree("pinned"));
        let root = *pinned.last().expect("has a root").cid();
        let (blocks, pins) = old_store(&[&added, &pinned]);
        let hashes: Vec<_> = [&added[0], &added[9], &pinned[4]].map(|block| *block.cid().hash()).to_vec();
        let mut all = Vec::new();
        {
            let (blocks, pins) = (Arc::clone(&blocks), pins.clone());
            all.push(spawn(move || {
                import_slowly(&blocks, &pins, &added);
            }));
        }
        {
            let pins = pins.clone();
            all.push(spawn(move || match pins.add_local(&root, PinMode::Recursive, "") {
                Ok(_) | Err(PinError::Missing(_)) => {}
                Err(error) => panic!("{error}"),
            }));
        }
        let (b, p, removed, kept) = (Arc::clone(&blocks), pins.clone(), Arc::clone(&saw), Arc::clone(&left));
        all.push(spawn(move || {
            for removal in gc::remove(&b, &p, &hashes, &AtomicBool::new(false)).expect("removes") {
                match removal {
                    Removal::Removed => removed.store(true, Ordering::Relaxed),
                    Removal::Pinned(_) | Removal::InUse => kept.store(true, Ordering::Relaxed),
                    Removal::Missing => panic!("it was here"),
                }
            }
        }));
        join(all);
        assert_whole(&blocks, &pins);
    });
    // Otherwise the schedules explored nothing.
    assert!(removed.load(Ordering::Relaxed) && kept.load(Ordering::Relaxed));
}
