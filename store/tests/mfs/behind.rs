//! What is stored in the background while somebody writes on.

use crate::{
    collections::{all, collect, reachable},
    support::{Shared, missing},
    world::{World, open_on, options, read, small, write},
};
use bytes::Bytes;
use cairn_store::{
    StoreError,
    blockstore::KvBlocks,
    kv::{Batch, Durability, Kv, Op, Scan, Table, Usage},
    mfs::{Ino, Mfs, MfsError, Options, ROOT_INO},
    unixfs::profile::Profile,
};
use std::sync::{Arc, Condvar, Mutex};

/// Four leaves at once, and two leaves between them and the writer.
const LOT: u64 = 64;
const MARGIN: u64 = 32;
/// What one write writes.
const PIECE: usize = 10;
/// Lots that are on their way at once, and what is in memory when the writer has to wait for them: these, what is behind
/// the writer and no whole lot, the margin, and the last write.
const LOTS: u64 = 4;
const MOST: u64 = LOTS * LOT + LOT + MARGIN + PIECE as u64;

fn behind() -> Options {
    Options { lot: LOT, margin: MARGIN, ..options(small()) }
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i / 4) as u32).to_le_bytes()[i % 4]).collect()
}

/// Writes from front to end.
async fn stream(mfs: &Mfs, ino: Ino, content: &[u8]) -> Result<(), MfsError> {
    for (number, piece) in content.chunks(PIECE).enumerate() {
        mfs.write(ino, (number * PIECE) as u64, Bytes::copy_from_slice(piece)).await?;
    }
    Ok(())
}

/// Tables that store blocks when they are told to.
#[derive(Default)]
struct Gate {
    inner: Shared,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    held: bool,
    waiting: u64,
    refuse: bool,
}

impl Gate {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect("lock"));
        self.changed.notify_all();
    }

    fn waiting(&self) -> u64 {
        self.state.lock().expect("lock").waiting
    }
}

impl Kv for Gate {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(table, key)
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        if batch.ops().iter().any(|op| matches!(op, Op::Put(Table::Blocks, ..))) {
            let mut state = self.state.lock().expect("lock");
            state.waiting += 1;
            while state.held {
                state = self.changed.wait(state).expect("lock");
            }
            state.waiting -= 1;
            if state.refuse {
                return Err(StoreError::NoSpace { detail: "injected".into() });
            }
        }
        self.inner.write(batch, durability)
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>) -> Scan<'_> {
        self.inner.scan(table, from, to)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush()
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.inner.usage()
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.inner.reclaim()
    }
}

async fn gated() -> (Arc<Gate>, Arc<KvBlocks>, Mfs) {
    let gate = Arc::new(Gate::default());
    let (blocks, mfs) = open_on(gate.clone(), behind()).await;
    (gate, blocks, mfs)
}

async fn all_of(mfs: &Mfs, ino: Ino) -> Vec<u8> {
    mfs.read(ino, 0, usize::MAX).await.expect("reads").to_vec()
}

#[tokio::test]
async fn what_lies_behind_a_writer_is_stored_and_survives_collections() {
    let world = World::new(behind()).await;
    let (mfs, content) = (&world.mfs, content(3000));
    let file = write(mfs, ROOT_INO, "f", b"").await;
    for (number, piece) in content.chunks(1000).enumerate() {
        for (at, some) in piece.chunks(PIECE).enumerate() {
            let at = (number * 1000 + at * PIECE) as u64;
            mfs.write(file.ino, at, Bytes::copy_from_slice(some)).await.expect("writes");
        }
        mfs.caught_up().await;
        let in_memory = mfs.stats().dirty_bytes;
        assert!(in_memory <= LOT + MARGIN + PIECE as u64, "{in_memory}");
        assert!(all(&world.blocks).len() >= (number + 1) * 1000 / 16 - 8);
        // Twice: stamps are older than the second one.
        for _ in 0..2 {
            assert_eq!(collect(&world).await, 0);
        }
        assert_eq!(all_of(mfs, file.ino).await, content[..(number + 1) * 1000]);
        if number == 1 {
            // The session of what comes is another one.
            mfs.sync().await.expect("syncs");
        }
    }
    let root = mfs.sync().await.expect("syncs");
    assert_eq!(missing(&world.blocks, &root), None);
    collect(&world).await;
    assert_eq!(all(&world.blocks), reachable(&world.blocks, &root));
    let world = world.after_power_cut(behind()).await;
    assert_eq!(read(&world.mfs, "/f").await.expect("reads"), content);
}

#[tokio::test]
async fn what_is_written_at_random_stays_in_memory() {
    let options = Options { dirty_max: 64 << 20, lot: 1, margin: 0, ..options(Profile::cid_v1()) };
    let world = World::new(options).await;
    let file = write(&world.mfs, ROOT_INO, "f", b"").await;
    for i in 0..200u64 {
        let at = i * 37 % 64 * (8 << 20);
        world.mfs.write(file.ino, at, Bytes::from(vec![i as u8; PIECE])).await.expect("writes");
    }
    world.mfs.caught_up().await;
    assert_eq!(all(&world.blocks).len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_waits_for_what_is_on_its_way() {
    let (gate, blocks, mfs) = gated().await;
    let file = write(&mfs, ROOT_INO, "f", b"").await;
    gate.set(|state| state.held = true);
    let (content, mut at) = (content(5000), 0);
    // As long as nothing is stored.
    loop {
        let end = (at + PIECE).min(content.len());
        let write = mfs.write(file.ino, at as u64, Bytes::copy_from_slice(&content[at..end]));
        let mut write = Box::pin(write);
        let mut waits = futures::poll!(&mut write).is_pending();
        // What waits for anything else comes on.
        while waits && gate.waiting() < LOTS {
            tokio::task::yield_now().await;
            waits = futures::poll!(&mut write).is_pending();
        }
        at = end;
        let in_memory = mfs.stats().dirty_bytes;
        if in_memory > MOST || !waits && at == content.len() {
            // The runtime waits for its threads.
            gate.set(|state| state.held = false);
            panic!("{in_memory} bytes are in memory after {at}");
        }
        if waits {
            // It is read, and changed, as if nothing were on its way.
            assert_eq!(all_of(&mfs, file.ino).await, content[..at]);
            gate.set(|state| state.held = false);
            write.await.expect("writes");
            break;
        }
    }
    assert!(at as u64 > LOTS * LOT, "{at}");
    for (number, piece) in content[at..].chunks(PIECE).enumerate() {
        mfs.write(file.ino, (at + number * PIECE) as u64, Bytes::copy_from_slice(piece)).await.expect("writes");
    }
    let root = mfs.sync().await.expect("syncs");
    assert_eq!(missing(&blocks, &root), None);
    assert_eq!(read(&mfs, "/f").await.expect("reads"), content);
}

/// Changes what is being stored: the bytes of before become blocks, those of now are the file's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_while_it_is_stored_is_stored_again() {
    let (gate, blocks, mfs) = gated().await;
    let file = write(&mfs, ROOT_INO, "f", b"").await;
    gate.set(|state| state.held = true);
    let mut model = content(LOT as usize * 2 + MARGIN as usize);
    stream(&mfs, file.ino, &model).await.expect("writes");
    while gate.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    for (at, len) in [(3, 5), (16, 16), (LOT as usize, 20)] {
        model[at..at + len].fill(9);
        mfs.write(file.ino, at as u64, Bytes::from(vec![9; len])).await.expect("writes");
        assert_eq!(all_of(&mfs, file.ino).await, model);
    }
    gate.set(|state| state.held = false);
    mfs.caught_up().await;
    assert_eq!(all_of(&mfs, file.ino).await, model);
    let root = mfs.sync().await.expect("syncs");
    assert_eq!(missing(&blocks, &root), None);
    let other = World::new(options(small())).await;
    write(&other.mfs, ROOT_INO, "f", &model).await;
    assert_eq!(root, other.mfs.sync().await.expect("syncs"));
}

#[tokio::test]
async fn an_error_in_the_background_is_told_to_the_next_writer_and_costs_no_byte() {
    let (gate, _blocks, mfs) = gated().await;
    let (file, other) = (write(&mfs, ROOT_INO, "f", b"").await, write(&mfs, ROOT_INO, "other", b"").await);
    gate.set(|state| state.refuse = true);
    let content = content(LOT as usize + MARGIN as usize + 3);
    // One lot, which is given out by the last of these writes.
    stream(&mfs, file.ino, &content).await.expect("writes");
    mfs.caught_up().await;
    mfs.write(other.ino, 0, Bytes::from_static(b"x")).await.expect("it is not about this file");
    let told = mfs.write(file.ino, 0, Bytes::from_static(b"not taken")).await;
    assert!(matches!(told, Err(MfsError::Store(StoreError::NoSpace { .. }))), "{told:?}");
    assert_eq!(all_of(&mfs, file.ino).await, content);
    // Once.
    mfs.write(file.ino, 0, Bytes::copy_from_slice(&content[..4])).await.expect("writes");
    // Whoever syncs is told as well, as long as it is so.
    let synced = mfs.sync_below(file.ino).await;
    assert!(matches!(synced, Err(MfsError::Store(StoreError::NoSpace { .. }))), "{synced:?}");
    gate.set(|state| state.refuse = false);
    mfs.sync_below(file.ino).await.expect("syncs");
    assert_eq!(read(&mfs, "/f").await.expect("reads"), content);
    let (_, again) = open_on(Arc::new(gate.inner.clone()), behind()).await;
    assert_eq!(read(&again, "/f").await.expect("reads"), content);
}

#[tokio::test]
async fn an_error_is_forgotten_once_the_bytes_are_stored() {
    let (gate, _blocks, mfs) = gated().await;
    let file = write(&mfs, ROOT_INO, "f", b"").await;
    gate.set(|state| state.refuse = true);
    stream(&mfs, file.ino, &content(LOT as usize + MARGIN as usize + 3)).await.expect("writes");
    mfs.caught_up().await;
    gate.set(|state| state.refuse = false);
    mfs.sync().await.expect("syncs");
    mfs.write(file.ino, 0, Bytes::from_static(b"x")).await.expect("nothing is wrong any more");
}

#[tokio::test]
async fn a_file_that_is_gone_meanwhile_is_let_go_of() {
    let (gate, _blocks, mfs) = gated().await;
    let file = write(&mfs, ROOT_INO, "f", b"").await;
    let before = mfs.stats().inodes;
    gate.set(|state| state.held = true);
    stream(&mfs, file.ino, &content(LOT as usize * 2)).await.expect("writes");
    mfs.unlink(ROOT_INO, b"f").await.expect("unlinks");
    mfs.forget(file.ino, 1);
    assert_eq!(mfs.stats().inodes, before - 1);
    assert_eq!(mfs.stats().dirty_bytes, 0);
    gate.set(|state| state.held = false);
    mfs.caught_up().await;
    mfs.sync().await.expect("syncs");
}
