//! Real swarms over the memory transport.

use super::{Behaviour, Bitswap, Config};
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
    Multiaddr, PeerId, Swarm, Transport as _, core::transport::MemoryTransport, core::upgrade, identity::Keypair, noise,
    swarm, yamux,
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

pub(crate) fn transport(key: &Keypair) -> libp2p::core::transport::Boxed<(PeerId, libp2p::core::muxing::StreamMuxerBox)> {
    MemoryTransport::default()
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
        let key = Keypair::generate_ed25519();
        let peer = key.public().to_peer_id();
        let kv: Arc<dyn Kv> = Arc::new(MemoryKv::new());
        let store = Arc::new(KvBlocks::open(Arc::clone(&kv)).expect("opens"));
        let (behaviour, bitswap) =
            super::new(config, peer, Arc::clone(&store) as Arc<dyn Blockstore>, Some(Arc::clone(&kv)));
        let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(60));
        let mut swarm = Swarm::new(transport(&key), behaviour, peer, config);
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
