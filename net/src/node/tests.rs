//! Nodes in one process, on the memory transport and on loopback.

mod hostile;
mod limits;
mod links;
mod nat;
mod pubsub;

use super::*;
use cairn_store::kv::MemoryKv;
use std::time::Instant;

/// Longer than anything here takes; a test that meets it has failed.
const LIMIT: Duration = Duration::from_secs(30);

fn deadline() -> Deadline {
    Some(Instant::now() + LIMIT)
}

fn addr(text: &str) -> Multiaddr {
    text.parse().expect("an address")
}

fn kv() -> Arc<dyn Kv> {
    Arc::new(MemoryKv::new())
}

/// A memory address that no other test has.
fn memory() -> Multiaddr {
    addr(&format!("/memory/{}", rand::random::<u64>() | 1))
}

async fn start_with(config: Config, keys: Keypair, kv: Arc<dyn Kv>) -> Node {
    let blocks = Arc::new(KvBlocks::open(Arc::clone(&kv)).expect("tables open"));
    Node::start(config, keys, blocks, kv).await.expect("the node starts")
}

async fn start(config: Config) -> Node {
    start_with(config, Keypair::generate_ed25519(), kv()).await
}

async fn start_at(listen: &str) -> Node {
    start(Config::listening([addr(listen)])).await
}

async fn connect(from: &Node, to: &Node) {
    from.connect(to.peer_id(), to.listeners().await, deadline()).await.expect("a connection");
}

/// Waits for a condition that nothing announces.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let end = Instant::now() + LIMIT;
    while !holds().await {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_connected(node: &Node, count: usize) {
    until(&format!("{count} peers"), || async { node.peers().await.len() == count }).await;
}

/// The one peer of a node, once it said who it is.
async fn identified(node: &Node) -> PeerInfo {
    until("identified", || async { node.peers().await.first().is_some_and(|peer| !peer.agent.is_empty()) }).await;
    node.peers().await.remove(0)
}
