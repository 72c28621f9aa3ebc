//! Pinning what is elsewhere: more nodes wait to be fetched than are kept in memory.

mod support;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_store::{
    Block, Cid, StoreError,
    blockstore::{Blockstore as _, KvBlocks},
    fetch::{Deadline, Fetch, FetchError, Offline},
    kv::{Batch, Durability, Kv, MemoryKv, Scan, Table, Usage},
    pin::{PinError, PinMode, Pins},
};
use futures::{StreamExt as _, stream::BoxStream};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use support::{leaf, missing, named, node, store};

/// Leaves of each of the nodes: together more than the 98,304 names that wait in memory.
const LEAVES: usize = 40_000;
const NODES: usize = 3;

#[test]
fn a_wide_dag_is_fetched_whole_or_not_pinned() {
    let (there, here) = (store(Arc::new(MemoryKv::new())), store(Arc::new(MemoryKv::new())));
    let mut nodes = Vec::new();
    for number in 0..NODES {
        let leaves: Vec<Block> = (0..LEAVES).map(|i| leaf(&format!("{number} {i}"))).collect();
        there.put_many(&leaves, Durability::Synced).expect("puts");
        nodes.push(named(&number.to_string(), &leaves.iter().collect::<Vec<_>>()));
    }
    let root = named("root", &nodes.iter().collect::<Vec<_>>());
    there.put_many(&nodes, Durability::Synced).expect("puts");
    there.put(&root).expect("puts");
    let lost = leaf("1 77");
    there.delete_many(&[*lost.cid().hash()]).expect("deletes");

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
    let runtime = runtime.expect("starts");
    let pins = Pins::new(Arc::clone(&here));
    let add = || {
        let fetch: Arc<dyn Fetch> = Arc::new(Offline::new(there.clone()));
        runtime.block_on(pins.add(fetch, root.cid(), PinMode::Recursive, "", &|_| ()))
    };
    let refused = add().expect_err("one is nowhere");
    assert!(matches!(&refused, PinError::Missing(cid) if **cid == *lost.cid()), "{refused}");
    assert_eq!(pins.get(root.cid()).expect("reads"), None);
    there.put(&lost).expect("puts");
    add().expect("pins");
    assert_eq!(missing(&here, root.cid()), None);
    assert_eq!(here.list().count(), NODES * (LEAVES + 1) + 1);
}

/// Tables that count how often they are flushed.
#[derive(Default)]
struct Counting {
    kv: MemoryKv,
    flushes: AtomicUsize,
}

impl Kv for Counting {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.kv.get(table, key)
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        self.kv.write(batch, durability)
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>) -> Scan<'_> {
        self.kv.scan(table, from, to)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.kv.usage()
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.kv.reclaim()
    }
}

/// Stores what it fetches without the log, as an exchange does.
struct Storing {
    there: Offline,
    here: Arc<KvBlocks>,
}

impl Storing {
    fn store(&self, answer: Result<Block, FetchError>) -> Result<Block, FetchError> {
        let block = answer?;
        self.here.put_many(std::slice::from_ref(&block), Durability::Buffered)?;
        Ok(block)
    }
}

#[async_trait]
impl Fetch for Storing {
    async fn fetch(&self, cid: &Cid, deadline: Deadline) -> Result<Block, FetchError> {
        self.store(self.there.fetch(cid, deadline).await)
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        self.there.fetch_many(cids, deadline).map(|answer| self.store(answer)).boxed()
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        Ok(self.here.has(cid.hash())?)
    }
}

#[test]
fn what_is_fetched_for_a_pin_is_flushed_once() {
    let there = store(Arc::new(MemoryKv::new()));
    let kv = Arc::new(Counting::default());
    let here = store(kv.clone());
    let leaves: Vec<Block> = (0..3000).map(|i| leaf(&format!("{i}"))).collect();
    let root = node(&leaves.iter().collect::<Vec<_>>());
    there.put_many(&leaves, Durability::Synced).expect("puts");
    there.put(&root).expect("puts");
    let pins = Pins::new(Arc::clone(&here));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
    let fetch = Arc::new(Storing { there: Offline::new(there), here: Arc::clone(&here) });
    let added = pins.add(fetch, root.cid(), PinMode::Recursive, "", &|_| ());
    runtime.expect("starts").block_on(added).expect("pins");
    assert_eq!(missing(&here, root.cid()), None);
    assert_eq!(kv.flushes.load(Ordering::Relaxed), 1, "flushes of 3,001 blocks before one pin");
}
