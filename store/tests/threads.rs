//! One repository, many threads, as a daemon uses it: imports, pins, reads and collections at once.
//!
//! Each thread has objects of its own, whose state it knows exactly, and all of them share leaves, and pin and unpin one
//! more object together. The choices come from a seed, which is printed; the order of events does not.

mod support;

use cairn_store::{
    Block, Cid,
    blockstore::Blockstore as _,
    fetch::{Fetch, Offline},
    gc::{self, GcError},
    kv::Batch,
    pin::{PinError, PinMode, Which},
    repo::Repo,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};
use support::{leaf, missing, named, tree};

const THREADS: usize = 8;
/// Operations of each thread: some seconds in all.
const STEPS: usize = 200;
/// Objects of each thread. Few, so that they are added, removed and collected many times.
const OBJECTS: usize = 6;
/// Leaves that objects of all threads have.
const COMMON: usize = 5;

/// What the threads have in common.
struct World {
    repo: Repo,
    runtime: tokio::runtime::Runtime,
    /// Pinned and unpinned by all.
    contested: Vec<Block>,
    pinned: AtomicUsize,
    unpinned: AtomicUsize,
    collected: AtomicUsize,
}

fn needs_both<T: Send + Sync>() {}

/// An object: leaves of its own, leaves that others have too, and a root.
fn object(thread: usize, number: usize) -> Vec<Block> {
    let mut all = tree(&format!("{thread} {number}"));
    let common: Vec<Block> = (0..COMMON).map(|i| leaf(&format!("common {i}"))).collect();
    let root = {
        let below: Vec<&Block> = all.last().into_iter().chain(&common).collect();
        named(&format!("object {thread} {number}"), &below)
    };
    all.extend(common);
    all.push(root);
    all
}

fn root(object: &[Block]) -> Cid {
    *object.last().expect("has a root").cid()
}

impl World {
    /// What `add` does: blocks and pin.
    fn import(&self, all: &[Block]) {
        let mut bulk = self.repo.blocks().bulk();
        for part in all.chunks(7) {
            bulk.put_many(part.to_vec()).expect("puts");
        }
        let mut batch = Batch::new();
        self.repo.pins().stage(&mut batch, &root(all), PinMode::Recursive, "");
        bulk.commit(batch).expect("commits");
    }

    /// Pins what may or may not be here.
    fn pin(&self, cid: &Cid, by_fetching: bool) -> Result<(), PinError> {
        let pins = self.repo.pins();
        if !by_fetching {
            return pins.add_local(cid, PinMode::Recursive, "").map(drop);
        }
        let blocks = Arc::clone(self.repo.blocks());
        let fetch: Arc<dyn Fetch> = Arc::new(Offline::new(blocks));
        self.runtime.block_on(pins.add(fetch, cid, PinMode::Recursive, "", &|_| ()))
    }

    fn collect(&self, stopped: bool) {
        let stop = AtomicBool::new(stopped);
        match gc::collect(self.repo.blocks(), self.repo.pins(), &|| Ok(Vec::new()), &stop, &mut |_| ()) {
            Ok(_) => drop(self.collected.fetch_add(1, Ordering::Relaxed)),
            Err(GcError::Busy | GcError::Stopped) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn contest(&self, rng: &mut StdRng) {
        let cid = root(&self.contested);
        if rng.random() {
            self.import(&self.contested);
            self.pinned.fetch_add(1, Ordering::SeqCst);
        } else {
            match self.repo.pins().remove(&cid, true) {
                Ok(()) => drop(self.unpinned.fetch_add(1, Ordering::SeqCst)),
                Err(PinError::NotPinned) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// One thread's work; gives which of its objects are pinned at the end.
    fn work(&self, thread: usize, seed: u64) -> BTreeMap<Cid, bool> {
        let mut rng = StdRng::seed_from_u64(seed + thread as u64);
        let objects: Vec<Vec<Block>> = (0..OBJECTS).map(|number| object(thread, number)).collect();
        let mut pinned: BTreeMap<Cid, bool> = objects.iter().map(|o| (root(o), false)).collect();
        for _ in 0..STEPS {
            let object = &objects[rng.random_range(0..OBJECTS)];
            let cid = root(object);
            let is_pinned = pinned[&cid];
            match rng.random_range(0..100) {
                0..30 => {
                    self.import(object);
                    pinned.insert(cid, true);
                }
                30..50 => match self.pin(&cid, rng.random()) {
                    Ok(()) => drop(pinned.insert(cid, true)),
                    Err(PinError::Missing(_)) => assert!(!is_pinned, "{cid} was pinned and is not whole"),
                    Err(error) => panic!("{error}"),
                },
                50..70 => {
                    let removed = self.repo.pins().remove(&cid, true);
                    assert_eq!(removed.is_ok(), is_pinned, "{removed:?}");
                    pinned.insert(cid, false);
                }
                70..85 if is_pinned => assert_eq!(missing(self.repo.blocks(), &cid), None, "below {cid}"),
                70..85 => assert_eq!(self.repo.pins().get(&cid).expect("reads"), None),
                85..92 => self.contest(&mut rng),
                _ => self.collect(rng.random_ratio(1, 4)),
            }
        }
        pinned
    }
}

#[test]
fn threads_add_pin_unpin_read_and_collect_at_once() {
    needs_both::<Repo>();
    let seed: u64 = std::env::var("CAIRN_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    let seed = seed % (1 << 60);
    eprintln!("seed {seed}: CAIRN_SEED repeats it");
    let dir = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    let world = World {
        repo: Repo::open_or_init(dir.path()).expect("made"),
        runtime: runtime.expect("starts"),
        contested: object(THREADS, 0),
        pinned: AtomicUsize::new(0),
        unpinned: AtomicUsize::new(0),
        collected: AtomicUsize::new(0),
    };
    let pinned: BTreeMap<Cid, bool> = thread::scope(|scope| {
        let world = &world;
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || world.work(thread, seed))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("ends well")).collect()
    });
    assert!(world.collected.load(Ordering::Relaxed) > 0, "collections ran");
    assert!(world.unpinned.load(Ordering::SeqCst) <= world.pinned.load(Ordering::SeqCst));
    verify(&world.repo, &pinned, &world.contested);
    drop(world);
    verify(&Repo::open(dir.path()).expect("opens again"), &pinned, &object(THREADS, 0));
}

/// Exactly what is pinned is there, whole; after a collection nothing else is.
fn verify(repo: &Repo, pinned: &BTreeMap<Cid, bool>, contested: &[Block]) {
    let (blocks, pins) = (repo.blocks(), repo.pins());
    gc::collect(blocks, pins, &|| Ok(Vec::new()), &AtomicBool::new(false), &mut |_| ()).expect("collects");
    let mut wanted: BTreeSet<Cid> = pinned.iter().filter(|(_, pinned)| **pinned).map(|(cid, _)| *cid).collect();
    if pins.get(&root(contested)).expect("reads").is_some() {
        wanted.insert(root(contested));
    }
    let found: BTreeSet<Cid> = pins.iter().map(|pin| pin.expect("reads").cid).collect();
    assert_eq!(found, wanted);
    for cid in &found {
        assert_eq!(missing(blocks, cid), None, "below {cid}");
    }
    let mut live = BTreeSet::new();
    pins.list::<PinError>(Which::All, "", &AtomicBool::new(false), &mut |found| {
        live.insert(found.cid.hash().to_bytes());
        Ok(())
    })
    .expect("lists");
    let left: BTreeSet<Vec<u8>> = blocks.list().map(|row| row.expect("reads").0.to_bytes()).collect();
    assert_eq!(left, live);
}
