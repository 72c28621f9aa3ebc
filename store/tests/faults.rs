//! A fault at every operation on the tables in turn, during collections and changes of pins.
//!
//! Whatever fails, what is pinned stays whole, and the same work succeeds when it is tried again.

mod support;

use cairn_store::{
    Block, Cid,
    blockstore::{Blockstore as _, KvBlocks, key},
    fetch::{Fetch, Offline},
    gc::{self, GcError},
    kv::{Durability, Fault, FaultyKv, Kv as _, Table},
    pin::{PinError, PinMode, Pins},
};
use std::sync::{Arc, atomic::AtomicBool};
use support::{Shared, leaf, missing, store, tree};

/// More operations than any of the works below needs.
const MAX_STEPS: u64 = 5000;

/// What is in the store when the work begins.
struct World {
    tables: Shared,
    pinned: Vec<Block>,
    free: Vec<Block>,
}

impl World {
    fn new() -> Self {
        let tables = Shared::default();
        let (pinned, free) = (tree("pinned"), tree("free"));
        let blocks = store(Arc::new(tables.clone()));
        for all in [&pinned, &free, &vec![leaf("junk 1"), leaf("junk 2")]] {
            blocks.put_many(all, Durability::Synced).expect("puts");
        }
        let world = Self { tables, pinned, free };
        Pins::new(blocks).add_local(&world.root(), PinMode::Recursive, "name").expect("pins");
        world
    }

    fn root(&self) -> Cid {
        *self.pinned.last().expect("has a root").cid()
    }

    fn free_root(&self) -> Cid {
        *self.free.last().expect("has a root").cid()
    }

    fn open(&self) -> (Arc<KvBlocks>, Pins) {
        let blocks = store(Arc::new(self.tables.clone()));
        let pins = Pins::new(Arc::clone(&blocks));
        (blocks, pins)
    }

    /// All that the pins keep is there. A block that a fault made look corrupt counts as missing, as it should,
    /// but its bytes must not be gone.
    fn assert_whole(&self, fault: Fault, at: u64) {
        let (blocks, pins) = self.open();
        for pin in pins.iter() {
            let cid = pin.expect("reads").cid;
            assert_eq!(missing(&blocks, &cid), None, "{fault:?} at {at}: below {cid}");
        }
        for block in &self.pinned {
            if pins.get(&self.root()).expect("reads").is_some() {
                let bytes = self.tables.0.get(Table::Blocks, &key(block.cid().hash())).expect("reads");
                assert_eq!(bytes.as_ref(), Some(block.data()), "{fault:?} at {at}");
            }
        }
    }
}

/// Runs the work with a fault at each operation, until it no longer reaches it; then again without a fault.
fn at_every_step(work: impl Fn(&World, Arc<KvBlocks>, Pins) -> bool) {
    for fault in [Fault::NoSpace, Fault::Io, Fault::Corrupt] {
        for sticky in [false, true] {
            let mut reached = 0;
            for at in 0..MAX_STEPS {
                let world = World::new();
                let faulty = if sticky { FaultyKv::from_then_on } else { FaultyKv::once };
                let kv = Arc::new(faulty(world.tables.clone(), fault, at));
                // Opening reads as well.
                let done = KvBlocks::open(kv.clone()).is_ok_and(|blocks| {
                    let blocks = Arc::new(blocks);
                    let pins = Pins::new(Arc::clone(&blocks));
                    work(&world, blocks, pins)
                });
                world.assert_whole(fault, at);
                if !kv.fired() {
                    assert!(done, "without a fault the work is done");
                    break;
                }
                reached = at;
                // A corrupt block is missing until it is put again.
                let (blocks, pins) = world.open();
                for block in world.pinned.iter().chain(&world.free) {
                    let condemned = blocks.kv().get(Table::Index, &key(block.cid().hash())).expect("reads");
                    if condemned.is_some_and(|entry| entry.first() == Some(&1)) {
                        assert_eq!(fault, Fault::Corrupt);
                        blocks.put(block).expect("puts");
                    }
                }
                assert!(work(&world, blocks, pins) || done, "{fault:?} at {at}: the second attempt");
                world.assert_whole(fault, at);
            }
            assert!((2..MAX_STEPS - 1).contains(&reached), "{fault:?}: {reached} steps");
        }
    }
}

#[test]
fn collections() {
    at_every_step(|world, blocks, pins| {
        let ended = gc::collect(&blocks, &pins, &|| Ok(Vec::new()), &AtomicBool::new(false), &mut |_| ());
        assert!(!matches!(ended, Err(GcError::Busy | GcError::Stopped)), "{ended:?}");
        let done = ended.is_ok();
        if done {
            let (blocks, _) = world.open();
            assert_eq!(blocks.list().count(), world.pinned.len(), "the rest is gone");
        }
        done
    });
}

#[test]
fn pinning_what_is_here() {
    at_every_step(|world, _, pins| {
        let done = pins.add_local(&world.free_root(), PinMode::Recursive, "free");
        let (_, fresh) = world.open();
        match done {
            Ok(_) => {
                assert_eq!(fresh.get(&world.free_root()).expect("reads").expect("is pinned").name, "free");
                true
            }
            Err(PinError::Missing(_) | PinError::Store(_)) => {
                assert_eq!(fresh.get(&world.free_root()).expect("reads"), None);
                false
            }
            Err(error) => panic!("{error}"),
        }
    });
}

#[test]
fn pinning_through_a_fetch_and_updating() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
    let runtime = runtime.expect("starts");
    at_every_step(|world, blocks, pins| {
        let fetch: Arc<dyn Fetch> = Arc::new(Offline::new(blocks));
        let (from, to) = (world.root(), world.free_root());
        let done = runtime.block_on(async {
            pins.add(Arc::clone(&fetch), &from, PinMode::Recursive, "again", &|_| ()).await?;
            match pins.update(fetch, &from, &to, false).await {
                Err(PinError::ToPinned) => Ok(()),
                other => other,
            }
        });
        done.is_ok()
    });
}

#[test]
fn unpinning() {
    at_every_step(|world, _, pins| {
        let done = pins.remove(&world.root(), true);
        let (_, fresh) = world.open();
        let left = fresh.get(&world.root()).expect("reads");
        assert_eq!(done.is_ok() || matches!(done, Err(PinError::NotPinned)), left.is_none());
        left.is_none()
    });
}
