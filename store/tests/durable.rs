//! What a put promises, on tables that lose what was not made durable.

mod support;

use cairn_store::{
    Block,
    blockstore::{Blockstore as _, KvBlocks},
    kv::{Batch, Durability},
};
use std::sync::Arc;
use support::{leaf, store, volatile::Volatile};

fn world() -> (Arc<Volatile>, Arc<KvBlocks>, Vec<Block>) {
    let kv = Arc::new(Volatile::default());
    let blocks = store(kv.clone());
    (kv, blocks, (0..10).map(|i| leaf(&format!("block {i}"))).collect())
}

fn assert_kept(kv: &Volatile, all: &[Block]) {
    let left = kv.after_power_cut();
    for block in all {
        assert_eq!(left.get(block.cid()).expect("reads").as_ref(), Some(block));
    }
}

#[test]
fn a_synced_put_of_blocks_that_are_only_logged_or_buffered_syncs_them() {
    for before in [Durability::Logged, Durability::Buffered, Durability::Synced] {
        let (kv, blocks, all) = world();
        blocks.put_many(&all, before).expect("puts");
        blocks.put_many(&all, Durability::Synced).expect("puts");
        assert_kept(&kv, &all);
    }
}

#[test]
fn a_second_synced_put_costs_nothing_more() {
    let (kv, blocks, all) = world();
    blocks.put_many(&all, Durability::Synced).expect("puts");
    kv.log.lock().expect("no test panicked").push(Batch::new());
    blocks.put_many(&all, Durability::Synced).expect("puts");
    assert_eq!(kv.log.lock().expect("no test panicked").len(), 1, "nothing was synced again");
}

#[test]
fn an_import_of_blocks_that_are_only_logged_syncs_them() {
    for spills in [false, true] {
        let (kv, blocks, mut all) = world();
        if spills {
            all.extend((0..20).map(|i| leaf(&format!("{i}").repeat(300_000))));
        }
        blocks.put_many(&all, Durability::Logged).expect("puts");
        let mut bulk = blocks.bulk();
        all.iter().for_each(|block| bulk.put_many(vec![block.clone()]).expect("puts"));
        bulk.commit(Batch::new()).expect("commits");
        assert_kept(&kv, &all);
    }
}

#[test]
fn stamps_that_were_logged_do_not_hide_blocks_that_were_not() {
    let (kv, blocks, all) = world();
    blocks.put_many(&all, Durability::Buffered).expect("puts");
    let hashes: Vec<_> = all.iter().map(|b| *b.cid().hash()).collect();
    blocks.epochs().advance();
    blocks.touch(&hashes).expect("touches");
    blocks.put_many(&all, Durability::Synced).expect("puts");
    assert_kept(&kv, &all);
}
