//! Real swarms over the memory transport.

mod delay;

use super::{
    Behaviour, Bitswap, Config,
    link::Outgoing,
    message::{Entry, Message, Payload, Presence, WantType},
};
use crate::exchange::Exchange;
use bytes::Bytes;
use cairn_store::{
    Block, Cid,
    block::Prefix,
    blockstore::{Blockstore, KvBlocks},
    cid::codec,
    kv::{Kv, MemoryKv},
};
use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm, Transport as _, core::transport::MemoryTransport, core::upgrade, identity::Keypair,
    noise, swarm, yamux,
};
use std::{sync::Arc, time::Duration};

/// A node with its own store; its swarm runs as a task.
pub(crate) struct TestNode {
    pub(crate) peer: PeerId,
    pub(crate) addr: Multiaddr,
    pub(crate) store: Arc<KvBlocks>,
    pub(crate) kv: Arc<dyn Kv>,
    pub(crate) bitswap: Bitswap,
    pub(crate) exchange: Exchange,
    dials: tokio::sync::mpsc::Sender<Multiaddr>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Transport = libp2p::core::transport::Boxed<(PeerId, libp2p::core::muxing::StreamMuxerBox)>;

/// The memory transport with that delay each way.
pub(crate) fn transport(key: &Keypair, delay: Duration) -> Transport {
    MemoryTransport::default()
        .map(move |io, _| delay::Delayed::new(io, delay))
        .upgrade(upgrade::Version::V1)
        .authenticate(noise::Config::new(key).expect("a key"))
        .multiplex(yamux::Config::default())
        .boxed()
}

async fn drive(mut swarm: Swarm<Behaviour>, mut dials: tokio::sync::mpsc::Receiver<Multiaddr>) {
    loop {
        tokio::select! {
            _ = swarm.select_next_some() => {}
            Some(addr) = dials.recv() => swarm.dial(addr).expect("a known address"),
        }
    }
}

impl TestNode {
    pub(crate) async fn new(config: Config) -> Self {
        Self::with_delay(config, Duration::ZERO).await
    }

    /// What reaches the node reaches it that much later.
    pub(crate) async fn with_delay(config: Config, delay: Duration) -> Self {
        let key = Keypair::generate_ed25519();
        let peer = key.public().to_peer_id();
        let kv: Arc<dyn Kv> = Arc::new(MemoryKv::new());
        let store = Arc::new(KvBlocks::open(Arc::clone(&kv)).expect("opens"));
        let (behaviour, bitswap) =
            super::new(config, peer, Arc::clone(&store) as Arc<dyn Blockstore>, Some(Arc::clone(&kv)));
        let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(60));
        let mut swarm = Swarm::new(transport(&key, delay), behaviour, peer, config);
        swarm.listen_on("/memory/0".parse().expect("an address")).expect("listens");
        let addr = loop {
            if let swarm::SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        let (dials, receiver) = tokio::sync::mpsc::channel(8);
        let task = tokio::spawn(drive(swarm, receiver));
        let exchange = Exchange::new(Arc::clone(&store) as Arc<dyn Blockstore>, bitswap.clone(), None);
        Self { peer, addr, store, kv, bitswap, exchange, dials, task }
    }

    pub(crate) async fn connect(&self, other: &Self) {
        self.dials.send(other.addr.clone()).await.expect("the node runs");
        while !self.bitswap.shared.links.contains(&other.peer) || !other.bitswap.shared.links.contains(&self.peer) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

pub(crate) fn raw(n: u64, size: usize) -> Block {
    let mut data = vec![0u8; size.max(8)];
    data[..8].copy_from_slice(&n.to_be_bytes());
    Block::seal(Prefix::v1(codec::RAW), Bytes::from(data)).expect("seals")
}

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn within<T>(work: impl std::future::Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("done in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_come_from_a_peer_in_order() {
    let (a, b) = (TestNode::new(Config::default()).await, TestNode::new(Config::default()).await);
    let blocks: Vec<Block> = (0..300).map(|n| raw(n, 50_000)).collect();
    a.store.put_many(&blocks, cairn_store::kv::Durability::Buffered).expect("puts");
    b.connect(&a).await;
    let cids: Vec<Cid> = blocks.iter().map(|b| *b.cid()).collect();
    let session = b.exchange.session();
    let got: Vec<Block> = within(session.fetch_many(cids, None).map(|b| b.expect("comes")).collect()).await;
    assert_eq!(got, blocks);
    for block in &blocks {
        assert!(b.store.has(block.cid().hash()).expect("reads"));
    }
    let stat = b.bitswap.stat().await;
    assert_eq!((stat.blocks_received, stat.dup_blks_received), (300, 0));
    assert!(stat.wantlist.is_empty());
    assert_eq!(b.bitswap.ledger(&a.peer).recv, 300 * 50_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_share_a_file_and_one_of_them_leaves() {
    let nodes = [TestNode::new(Config::default()).await, TestNode::new(Config::default()).await];
    let reader = TestNode::new(Config::default()).await;
    let blocks: Vec<Block> = (0..400).map(|n| raw(n, 100_000)).collect();
    for node in &nodes {
        node.store.put_many(&blocks, cairn_store::kv::Durability::Buffered).expect("puts");
        reader.connect(node).await;
    }
    let cids: Vec<Cid> = blocks.iter().map(|b| *b.cid()).collect();
    let session = reader.exchange.session();
    let mut stream = session.fetch_many(cids, None);
    let [stays, leaves] = nodes;
    let mut got = Vec::new();
    while let Some(block) = within(stream.next()).await {
        got.push(block.expect("comes"));
        if got.len() == 100 {
            leaves.task.abort();
        }
    }
    assert_eq!(got, blocks);
    assert!(reader.bitswap.ledger(&stays.peer).recv > 0 && reader.bitswap.ledger(&leaves.peer).recv > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_block_is_sent_to_whoever_waits_and_a_dropped_want_is_taken_back() {
    let (a, b) = (TestNode::new(Config::default()).await, TestNode::new(Config::default()).await);
    b.connect(&a).await;
    let (late, never) = (raw(1, 5000), raw(2, 5000));
    let session = b.exchange.session();
    let soon = Some(std::time::Instant::now() + Duration::from_millis(50));
    let error = session.fetch(never.cid(), soon).await.expect_err("nobody has it");
    assert!(matches!(error, cairn_store::fetch::FetchError::TimedOut(_)));
    let waits = tokio::spawn({
        let (session, cid) = (Arc::clone(&session), *late.cid());
        async move { session.fetch(&cid, None).await }
    });
    // Both wants reach the other node, and the one that was given up goes away again.
    within(async {
        while a.bitswap.wantlist(Some(b.peer)).await != [*late.cid()] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    a.store.put(&late).expect("puts");
    a.bitswap.notify_new_blocks(vec![(*late.cid().hash(), 5000)]).await;
    assert_eq!(within(waits).await.expect("runs").expect("comes"), late);
    // What was given up is looked after every now and then.
    within(async {
        while !b.bitswap.wantlist(None).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_block_is_fetched_again_and_healed() {
    let (a, b) = (TestNode::new(Config::default()).await, TestNode::new(Config::default()).await);
    b.connect(&a).await;
    let block = raw(7, 9000);
    a.store.put(&block).expect("puts");
    b.store.put(&block).expect("puts");
    b.kv.write(
        {
            let mut batch = cairn_store::kv::Batch::new();
            batch.delete(cairn_store::kv::Table::Blocks, cairn_store::blockstore::key(block.cid().hash()));
            batch
        },
        cairn_store::kv::Durability::Logged,
    )
    .expect("writes");
    assert!(b.store.condemn(block.cid().hash()).expect("condemns"));
    assert_eq!(within(b.exchange.session().fetch(block.cid(), None)).await.expect("comes"), block);
    assert!(b.store.has(block.cid().hash()).expect("reads"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_peers_are_refused_and_an_honest_one_serves_meanwhile() {
    let (honest, victim) = (TestNode::new(Config::default()).await, TestNode::new(Config::default()).await);
    let hostile = TestNode::new(Config { server_enabled: false, ..Config::default() }).await;
    let blocks: Vec<Block> = (0..64).map(|n| raw(n, 200_000)).collect();
    honest.store.put_many(&blocks, cairn_store::kv::Durability::Buffered).expect("puts");
    victim.connect(&hostile).await;
    victim.connect(&honest).await;
    let cids: Vec<Cid> = blocks.iter().map(|b| *b.cid()).collect();
    let send = |message: Message| {
        let _ = hostile.bitswap.shared.links.send(&victim.peer, Outgoing { message, receipt: None });
    };
    let payload = |n: u64, size| Payload { prefix: Prefix::v1(codec::RAW), data: raw(1_000_000 + n, size).into_data() };
    // A message of 6 MiB, a flood of wants, HAVEs for everything, and blocks that nobody asked for.
    send(Message { blocks: (0..3).map(|n| payload(n, 2 << 20)).collect(), ..Message::default() });
    for n in 0..8u64 {
        let wants = (0..4096u64).map(|i| Entry::want(*raw(n << 32 | i, 8).cid(), WantType::Block, 1)).collect();
        send(Message { wants, ..Message::default() });
    }
    send(Message { presences: cids.iter().map(|c| (*c, Presence::Have)).collect(), ..Message::default() });
    for n in 0..4u64 {
        send(Message { blocks: (0..50).map(|i| payload(100 * n + i, 20_000)).collect(), ..Message::default() });
    }
    let session = victim.exchange.session();
    let got: Vec<Block> = within(session.fetch_many(cids, None).map(|b| b.expect("comes")).collect()).await;
    assert_eq!(got, blocks);
    assert!(victim.bitswap.wantlist(Some(hostile.peer)).await.len() <= 1024);
    within(async {
        while victim.bitswap.shared.admits(&hostile.peer) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(victim.bitswap.shared.admits(&honest.peer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_peer_gets_nothing() {
    let (a, b) = (TestNode::new(Config::default()).await, TestNode::new(Config::default()).await);
    let block = raw(1, 100);
    a.store.put(&block).expect("puts");
    a.bitswap.set_filter(super::Filter { allow: None, deny: [b.peer].into() });
    b.connect(&a).await;
    let soon = || Some(std::time::Instant::now() + Duration::from_millis(300));
    b.exchange.session().fetch(block.cid(), soon()).await.expect_err("denied");
    a.bitswap.set_filter(super::Filter::default());
    within(b.exchange.session().fetch(block.cid(), None)).await.expect("comes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ledgers_survive_the_node() {
    let (a, b) = (TestNode::new(Config::default()).await, TestNode::new(Config::default()).await);
    let block = raw(1, 70_000);
    a.store.put(&block).expect("puts");
    b.connect(&a).await;
    within(b.exchange.session().fetch(block.cid(), None)).await.expect("comes");
    b.bitswap.flush().await;
    let blocks: Arc<dyn Blockstore> = Arc::clone(&b.store) as Arc<dyn Blockstore>;
    let (_, again) = super::new(Config::default(), b.peer, blocks, Some(Arc::clone(&b.kv)));
    let receipt = within(async {
        loop {
            let receipt = again.ledger(&a.peer);
            if receipt.recv > 0 {
                break receipt;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!((receipt.recv, receipt.sent, receipt.exchanged), (70_000, 0, 1));
}
