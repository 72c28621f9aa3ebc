//! Real swarms over the memory transport.

mod delay;
mod gateway;

use super::{
    Behaviour, Bitswap, Config,
    link::Outgoing,
    message::{Entry, Message, Payload, Presence, WantType},
    server::ServerConfig,
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
        Self::with(config, delay, None).await
    }

    async fn with(config: Config, delay: Duration, keep: Option<super::Keep>) -> Self {
        let key = Keypair::generate_ed25519();
        let peer = key.public().to_peer_id();
        let kv: Arc<dyn Kv> = Arc::new(MemoryKv::new());
        let store = Arc::new(KvBlocks::open(Arc::clone(&kv)).expect("opens"));
        let (behaviour, bitswap) =
            super::new(config, peer, Arc::clone(&store) as Arc<dyn Blockstore>, Some(Arc::clone(&kv)), keep);
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
    // The first 50 only the one has that leaves, the last 50 only the one that stays.
    for (node, held) in nodes.iter().zip([&blocks[50..], &blocks[..350]]) {
        node.store.put_many(held, cairn_store::kv::Durability::Buffered).expect("puts");
        reader.connect(node).await;
    }
    let cids: Vec<Cid> = blocks.iter().map(|b| *b.cid()).collect();
    let session = reader.exchange.session();
    let [stays, leaves] = nodes;
    let mut got = Vec::new();
    let mut stream = session.fetch_many(cids, None);
    while let Some(block) = within(stream.next()).await {
        got.push(block.expect("comes"));
        if got.len() == 50 {
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
    let (_, again) = super::new(Config::default(), b.peer, blocks, Some(Arc::clone(&b.kv)), None);
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

/// What a node was told of whose connections are of use.
type Told = Arc<parking_lot::Mutex<std::collections::HashMap<PeerId, bool>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_of_use_while_something_is_wanted_of_their_peers() {
    let told = Told::default();
    let a = TestNode::new(Config::default()).await;
    let (to, keep) = (Arc::clone(&told), Arc::clone(&told));
    let b = TestNode::with(
        Config::default(),
        Duration::ZERO,
        Some(Arc::new(move |peer, of_use| _ = to.lock().insert(peer, of_use))),
    )
    .await;
    b.connect(&a).await;
    let (here, missing) = (raw(1, 5000), raw(2, 5000));
    a.store.put(&here).expect("puts");
    let session = b.exchange.session();
    within(session.fetch(here.cid(), None)).await.expect("comes");
    assert!(keep.lock().get(&a.peer).is_none_or(|of_use| *of_use));
    let waits = {
        let (session, cid) = (Arc::clone(&session), *missing.cid());
        tokio::spawn(async move { session.fetch(&cid, None).await })
    };
    let until = async |of_use: bool| {
        while told.lock().get(&a.peer) != Some(&of_use) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(until(true)).await;
    waits.abort();
    drop(session);
    within(until(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_here_ends_a_wait_for_it() {
    let node = TestNode::new(Config::default()).await;
    for (n, told) in [(1, true), (2, false)] {
        let block = raw(n, 5000);
        let session = node.exchange.session();
        let waits = tokio::spawn({
            let cid = *block.cid();
            async move { session.fetch(&cid, None).await }
        });
        within(async {
            while node.bitswap.wantlist(None).await != [*block.cid()] {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        node.store.put(&block).expect("puts");
        if told {
            node.bitswap.notify_new_blocks(vec![(*block.cid().hash(), 5000)]).await;
        }
        assert_eq!(within(waits).await.expect("runs").expect("comes"), block, "told: {told}");
        assert!(node.bitswap.wantlist(None).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_and_never_reads_takes_a_bounded_number_of_messages() {
    let local = PeerId::random();
    let store = Arc::new(KvBlocks::open(Arc::new(MemoryKv::new())).expect("opens"));
    let (behaviour, bitswap) = super::new(Config::default(), local, store as Arc<dyn Blockstore>, None, None);
    let peer = PeerId::random();
    let (_link, mut unread) = bitswap.shared.links.open(peer, libp2p::swarm::ConnectionId::new_unchecked(1), false);
    let mut lane = behaviour.lanes.wants.clone();
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut most = 0;
    for n in 0..4000 {
        let permit = within(std::future::poll_fn(|cx| lane.poll_room(100, cx))).await.expect("the engine runs");
        let wants = vec![Entry::want(*raw(n, 8).cid(), WantType::Have, 1)];
        let message = Message { wants, ..Message::default() };
        lane.send(super::link::Inbound { peer, message, len: 100, permit });
        most = most.max(tokio::runtime::Handle::current().metrics().num_alive_tasks());
    }
    assert!(most < before + 500, "{most} tasks for one peer");
    // It is answered once it reads.
    assert!(within(unread.recv()).await.is_some());
    // An end of an earlier connection that is told late does not take back what it wants by now.
    bitswap.shared.server.send(super::ServerEvent::Disconnected(peer)).await.expect("runs");
    assert!(!bitswap.wantlist(Some(peer)).await.is_empty());
    bitswap.shared.refuse(peer);
    bitswap.shared.server.send(super::ServerEvent::Refused(peer)).await.expect("runs");
    assert!(bitswap.wantlist(Some(peer)).await.is_empty());
}

/// Reciprocity weighs while the uplink is what everybody waits for. Peers on one machine are friends and exempt, so they
/// are said not to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_free_rider_gets_a_quarter_among_contributors_and_alone_everything() {
    const LIMIT: u64 = 8 << 20;
    const SIZE: u64 = 64 << 10;
    const WANTED: u64 = 8 << 20;
    let server = ServerConfig { upload_limit: Some(LIMIT), ..ServerConfig::default() };
    let seed = TestNode::new(Config { server, ..Config::default() }).await;
    let blocks: Vec<Block> = (0..WANTED / SIZE).map(|n| raw(n, SIZE as usize)).collect();
    seed.store.put_many(&blocks, cairn_store::kv::Durability::Buffered).expect("puts");
    let cids: Vec<Cid> = blocks.iter().map(|b| *b.cid()).collect();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let node = TestNode::new(Config::default()).await;
        node.connect(&seed).await;
        nodes.push(node);
    }
    let shared = &seed.bitswap.shared;
    within(async {
        while shared.connected.lock().len() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    shared.connected.lock().values_mut().for_each(|friend| *friend = false);
    let rider = nodes.pop().expect("three");
    for contributor in &nodes {
        shared.ledger.lock().on_received(contributor.peer, 1 << 30, super::engine::unix_now());
    }
    let fetch = |node: &TestNode| {
        let (session, cids) = (node.exchange.session(), cids.clone());
        tokio::spawn(async move { session.fetch_many(cids, None).map(|b| b.expect("comes")).count().await })
    };
    let (first, second, riding) = (fetch(&nodes[0]), fetch(&nodes[1]), fetch(&rider));
    within(futures::future::select(first, second)).await;
    let got = |node: &TestNode| seed.bitswap.ledger(&node.peer).sent;
    let (taken, given) = (got(&rider), nodes.iter().map(got).max().expect("two"));
    println!("{taken} bytes to the free rider, {given} to a contributor");
    assert!(taken > 0 && taken <= given / 4, "{taken} of {given}");
    within(async {
        while nodes.iter().any(|node| got(node) < WANTED) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let (begun, left) = (std::time::Instant::now(), WANTED - got(&rider));
    within(riding).await.expect("runs");
    let rate = left as f64 / begun.elapsed().as_secs_f64();
    assert!(rate > LIMIT as f64 / 2.0, "alone it gets {rate:.0} bytes per second of {LIMIT}");
}
