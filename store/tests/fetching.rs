//! Pinning what is elsewhere: more nodes wait to be fetched than are kept in memory.

mod support;

use cairn_store::{
    Block,
    blockstore::Blockstore as _,
    fetch::{Fetch, Offline},
    kv::{Durability, MemoryKv},
    pin::{PinError, PinMode, Pins},
};
use std::sync::Arc;
use support::{leaf, missing, named, store};

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
