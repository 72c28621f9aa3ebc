//! Trees and files over real swarms, and what is fetched ahead.

use super::prefetch::Prefetch;
use crate::bitswap::{
    Config,
    tests::{TestNode, raw, within},
};
use bytes::Bytes;
use cairn_store::{
    Block, Cid,
    blockstore::Blockstore,
    fetch::{Fetch, Offline},
    kv::Durability,
    unixfs::{
        directory::DirBuilder,
        meta::FileMeta,
        profile::Profile,
        tree::{Step, Tree},
    },
};
use std::{sync::Arc, time::Duration};

/// A sharded directory of so many small files, ten of which are directories with files in them.
fn tree(files: u64) -> (Cid, Vec<Block>) {
    let profile = Profile::cid_v1();
    let mut blocks = Vec::new();
    let mut root = DirBuilder::new(&profile, FileMeta::NONE);
    let leaf = |n: u64, blocks: &mut Vec<Block>| {
        let block = profile.seal_leaf(Bytes::from(format!("file {n} ").repeat(40))).expect("seals");
        let entry = (*block.cid(), block.data().len() as u64);
        blocks.push(block);
        entry
    };
    for n in 0..files {
        if n % (files / 10) == 0 {
            let mut dir = DirBuilder::new(&profile, FileMeta::NONE);
            for i in 0..30 {
                let (cid, size) = leaf(1_000_000 + n * 100 + i, &mut blocks);
                dir.add(format!("inner {i}"), &cid, size).expect("adds");
            }
            let dir = dir.finish(&mut blocks).expect("builds");
            root.add(format!("dir {n}"), &dir.cid, dir.tsize).expect("adds");
        }
        let (cid, size) = leaf(n, &mut blocks);
        root.add(format!("entry number {n}"), &cid, size).expect("adds");
    }
    let root = root.finish(&mut blocks).expect("builds");
    (root.cid, blocks)
}

async fn walk(fetch: Arc<dyn Fetch>, root: &Cid) -> Vec<String> {
    let mut tree = Tree::open(fetch, root, None).await.expect("opens");
    let mut steps = Vec::new();
    while let Some(step) = tree.next().await.expect("goes on") {
        steps.push(match step {
            Step::File { name, cid, node, .. } => format!("{name:?} {cid} {:?}", node.data),
            other => format!("{other:?}"),
        });
    }
    steps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_of_ten_thousand_files_costs_few_round_trips() {
    let rtt = Duration::from_millis(60);
    let a = TestNode::with_delay(Config::default(), rtt / 2).await;
    let b = TestNode::with_delay(Config::default(), rtt / 2).await;
    let (root, blocks) = tree(10_000);
    a.store.put_many(&blocks, Durability::Buffered).expect("puts");
    b.connect(&a).await;
    let got = within(walk(b.exchange.session(), &root)).await;
    let there = walk(Arc::new(Offline::new(Arc::clone(&a.store) as Arc<dyn Blockstore>)), &root).await;
    assert_eq!(got.len(), 10_000 + 10 * (2 + 30) + 2);
    assert_eq!(got, there);
    let stat = b.bitswap.stat().await;
    // Each round trip brings a message at least; asked for one by one, the blocks would come in 11,257 of them.
    assert!(stat.messages_received < 2000, "{stat:?}");
    assert!(stat.dup_blks_received * 50 <= stat.blocks_received, "{stat:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_of_a_connected_peer_takes_two_round_trips() {
    let rtt = Duration::from_millis(200);
    let a = TestNode::with_delay(Config::default(), rtt / 2).await;
    let b = TestNode::with_delay(Config::default(), rtt / 2).await;
    b.connect(&a).await;
    let blocks: Vec<Block> = (0..2).map(|n| raw(n, 5000)).collect();
    a.store.put_many(&blocks, Durability::Buffered).expect("puts");
    let session = b.exchange.session();
    // The first one opens a stream each way as well.
    within(session.fetch(blocks[0].cid(), None)).await.expect("comes");
    let before = b.bitswap.stat().await.messages_received;
    within(session.fetch(blocks[1].cid(), None)).await.expect("comes");
    let answers = b.bitswap.stat().await.messages_received - before;
    assert!(answers <= 2, "{answers} answers to two questions at most");
}

fn node(links: &[Cid]) -> Block {
    let profile = Profile::cid_v1();
    let mut dir = DirBuilder::new(&profile, FileMeta::NONE);
    for (n, cid) in links.iter().enumerate() {
        dir.add(format!("{n:05}"), cid, 1).expect("adds");
    }
    let mut blocks = Vec::new();
    dir.finish(&mut blocks).expect("builds");
    blocks.pop().expect("a root")
}

#[test]
fn a_directory_opened_for_one_name_is_not_fetched_and_a_walk_is() {
    let cids: Vec<Cid> = (0..1000).map(|n| *raw(n, 8).cid()).collect();
    let root = node(&cids);
    let mut prefetch = Prefetch::default();
    assert!(prefetch.on_block(&root, true, 1000).is_none(), "opening it fetches nothing");
    let first = prefetch.on_request(&cids[500], 1000).map_or(0, |run| run.cids().len());
    assert!(first <= 4, "one name is no walk: {first}");
    let mut prefetch = Prefetch::default();
    prefetch.on_block(&root, true, 1000);
    let mut fetched: Vec<Cid> = Vec::new();
    for (n, cid) in cids.iter().enumerate().take(12) {
        fetched.extend(prefetch.on_request(cid, 1000).iter().flat_map(|run| run.cids().to_vec()));
        assert!(prefetch.ahead() <= 2048 && fetched.len() + n < 1100);
    }
    let mut all: Vec<Cid> = cids[1..].to_vec();
    all.truncate(fetched.len());
    assert_eq!(fetched, all, "in order, none twice");
    assert_eq!(fetched.len(), 999, "after a few steps all of it is under way");
}

#[test]
fn large_blocks_are_fetched_ahead_within_a_budget_of_bytes() {
    let cids: Vec<Cid> = (0..4000).map(|n| *raw(n, 8).cid()).collect();
    let root = node(&cids);
    let mut prefetch = Prefetch::default();
    prefetch.on_block(&root, true, 1 << 20);
    for cid in &cids[..100] {
        prefetch.on_request(cid, 1 << 20);
        assert!(prefetch.ahead() <= 64, "{}", prefetch.ahead());
    }
    // An eighth of them is fetched together.
    assert!(prefetch.ahead() > 64 - 8, "{}", prefetch.ahead());
}
