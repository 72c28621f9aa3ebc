//! Bitswap: asks peers for blocks, and gives them blocks (specification: specs.ipfs.tech/bitswap-protocol).
//!
//! [`client`], [`session`], [`server`] and [`ledger`] are state machines without I/O; [`engine`] runs them as tasks;
//! [`behaviour`] and [`handler`] join them to a swarm; [`message`] and [`codec`] are what goes over the wire. [`gateway`]
//! lets servers of HTTP take part.
//! [`new`] makes a behaviour for a swarm and a handle for everybody else.

pub mod behaviour;
pub mod client;
pub mod codec;
pub mod engine;
pub mod gateway;
pub mod handler;
pub mod inbox;
pub mod ledger;
pub mod link;
pub mod message;
pub mod server;
pub mod session;
#[cfg(test)]
pub(crate) mod tests;

pub use behaviour::Behaviour;
pub use client::Urgency;
pub use engine::{Filter, Keep};
pub use session::Order;

use crate::routing::Routing;
use cairn_store::{Block, Cid, Multihash, StoreError, blockstore::Blockstore, kv::Kv};
use engine::{Channels, ClientEvent, Command, Counters, ServerEvent, Shared, Waiter};
use gateway::Gateways;
use handler::Lanes;
use libp2p::PeerId;
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashSet,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::Span;

/// Messages that were read from connections and wait for the engine.
const INGRESS: usize = 64;
/// Bytes of all messages with blocks or presences between being read and being dealt with, over all connections.
const INGRESS_BYTES: usize = 8 << 20;
/// The same of wantlists.
const WANTS_BYTES: usize = 8 << 20;
/// Commands of callers that wait; further callers wait with them.
const COMMANDS: usize = 256;

/// What Bitswap is set up with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The asking side.
    pub client: client::ClientConfig,
    /// The giving side.
    pub server: server::ServerConfig,
    /// Whether others are given blocks (`Bitswap.ServerEnabled`).
    pub server_enabled: bool,
    /// Providers that one search looks for (`Internal.Bitswap.ProviderSearchMaxResults`).
    pub max_providers: usize,
    /// Whom this node deals with.
    pub filter: Filter,
    /// Peers that are exempt from limits (`Peering.Peers`).
    pub friends: HashSet<PeerId>,
    /// Whether peers of the local network are always asked who has a block, and those of `Peering.Peers`, whatever the
    /// limits are (not if `…BroadcastControl.LocalPeers` or `….PeeredPeers` is set).
    pub always_ask: (bool, bool),
    /// How gateways are asked over HTTP; `None`: not at all.
    pub gateways: Option<gateway::GatewayConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            client: client::ClientConfig::default(),
            server: server::ServerConfig::default(),
            server_enabled: true,
            max_providers: 10,
            filter: Filter::default(),
            friends: HashSet::new(),
            always_ask: (true, true),
            gateways: None,
        }
    }
}

/// What `bitswap stat` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stat {
    /// What this node wants.
    pub wantlist: Vec<Cid>,
    /// Peers.
    pub peers: Vec<PeerId>,
    /// Blocks received, wanted or not.
    pub blocks_received: u64,
    /// Their bytes.
    pub data_received: u64,
    /// Blocks among them that were not wanted any more.
    pub dup_blks_received: u64,
    /// Their bytes.
    pub dup_data_received: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Blocks sent.
    pub blocks_sent: u64,
    /// Their bytes.
    pub data_sent: u64,
}

/// A handle on Bitswap. When the last one is dropped, its tasks end.
#[derive(Clone)]
pub struct Bitswap {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    sessions: Arc<AtomicU64>,
    local: PeerId,
}

/// Makes Bitswap's two halves, and starts its tasks on the current tokio runtime. With `kv` the ledger is kept there;
/// `keep` is told whose connections are of use.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn new(
    config: Config,
    local: PeerId,
    store: Arc<dyn Blockstore>,
    kv: Option<Arc<dyn Kv>>,
    keep: Option<Keep>,
) -> (Behaviour, Bitswap) {
    let links = Arc::new(link::Links::default());
    let (answers, ingress) = link::Lane::new(INGRESS, INGRESS_BYTES);
    let (wants, wantlists) = link::Lane::new(INGRESS, WANTS_BYTES);
    let (to_peers, peers) = mpsc::channel(behaviour::PEER_EVENTS);
    let (to_dials, dials) = mpsc::channel(behaviour::DIALS);
    let (to_client, client) = mpsc::channel::<ClientEvent>(engine::EVENTS);
    let (to_server, server) = mpsc::channel::<ServerEvent>(engine::EVENTS);
    let (to_commands, commands) = mpsc::channel(COMMANDS);
    let gateways = config.gateways.as_ref();
    let gateways = gateways.and_then(|g| Gateways::new(g, Arc::clone(&links), &answers, &to_peers));
    let shared = Arc::new(Shared {
        links: Arc::clone(&links),
        store,
        kv,
        keep,
        ledger: Mutex::default(),
        counters: Counters::default(),
        routing: RwLock::new(None),
        filter: RwLock::new(config.filter.clone()),
        refused: Mutex::default(),
        friends: RwLock::new(config.friends.clone()),
        connected: Mutex::default(),
        client: to_client,
        server: to_server,
        dials: to_dials,
        sent: Arc::new(Notify::new()),
        gateways,
        config,
    });
    engine::spawn(&shared, Channels { ingress, wants: wantlists, peers, client, commands, server });
    let behaviour = Behaviour::new(links, Lanes { wants, answers }, dials, to_peers);
    let handle = Bitswap { shared, commands: to_commands, sessions: Arc::default(), local };
    (behaviour, handle)
}

/// A session: wants that are likely to be found at the same peers. It ends when this is dropped.
#[derive(Debug)]
pub struct Session {
    id: session::SessionId,
    commands: mpsc::Sender<Command>,
    span: Span,
    _alive: Arc<()>,
}

/// The answer to a want, an error if Bitswap has ended; dropping it gives the want up.
#[derive(Debug)]
pub struct Answer {
    answer: oneshot::Receiver<Result<Block, StoreError>>,
    span: Span,
}

impl Future for Answer {
    type Output = Result<Result<Block, StoreError>, oneshot::error::RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { answer, span } = &mut *self;
        let _within = span.enter();
        Pin::new(answer).poll(cx)
    }
}

impl Session {
    /// Wants blocks, each until its answer is dropped. A block has been stored by the time it is answered.
    pub async fn want(&self, cids: &[Cid], urgency: Urgency) -> Vec<Answer> {
        let (waiters, answers): (Vec<_>, Vec<_>) = cids
            .iter()
            .map(|cid| {
                let (to, answer) = oneshot::channel();
                let span = tracing::debug_span!(parent: &self.span, "block", %cid);
                (Waiter { cid: *cid, to, span: span.clone() }, Answer { answer, span })
            })
            .unzip();
        // If the engine has ended, the answers are closed.
        let _ = self.commands.send(Command::Want { session: self.id, urgency, blocks: waiters }).await;
        answers
    }
}

impl Bitswap {
    /// Opens a session.
    pub async fn session(&self, order: Order) -> Session {
        let id = self.sessions.fetch_add(1, Ordering::Relaxed);
        let alive = Arc::new(());
        let open = Command::Open { session: id, order, alive: Arc::downgrade(&alive) };
        let _ = self.commands.send(open).await;
        let span = tracing::debug_span!("session", id, ?order);
        Session { id, commands: self.commands.clone(), span, _alive: alive }
    }

    /// Says how providers are found; without it only connected peers are asked.
    pub fn set_routing(&self, routing: Option<Arc<dyn Routing>>) {
        *self.shared.routing.write() = routing;
    }

    /// Blocks were stored by somebody else, an import: whoever waits for them, here or elsewhere, is answered.
    pub async fn notify_new_blocks(&self, blocks: Vec<(Multihash, u64)>) {
        let hashes = blocks.iter().map(|(hash, _)| *hash).collect();
        let _ = self.shared.client.send(ClientEvent::Stored(hashes)).await;
        let _ = self.shared.server.send(ServerEvent::NewBlocks(blocks)).await;
    }

    /// Whom this node deals with, from now on.
    pub fn set_filter(&self, filter: Filter) {
        *self.shared.filter.write() = filter;
    }

    /// Peers that are exempt from limits, from their next connection on.
    pub fn set_friends(&self, friends: HashSet<PeerId>) {
        *self.shared.friends.write() = friends;
    }

    /// What `bitswap stat` shows.
    pub async fn stat(&self) -> Stat {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let c = &self.shared.counters;
        Stat {
            wantlist: self.wantlist(None).await,
            peers: self.shared.links.peers(),
            blocks_received: read(&c.blocks_received),
            data_received: read(&c.data_received),
            dup_blks_received: read(&c.dup_blocks),
            dup_data_received: read(&c.dup_data),
            messages_received: read(&c.messages),
            blocks_sent: read(&c.blocks_sent),
            data_sent: read(&c.data_sent),
        }
    }

    /// What a peer wants, as far as it told; without a peer, or with the own one, what this node wants.
    pub async fn wantlist(&self, peer: Option<PeerId>) -> Vec<Cid> {
        let (reply, answer) = oneshot::channel();
        match peer {
            Some(peer) if peer != self.local => {
                let _ = self.shared.server.send(ServerEvent::WantlistOf(peer, reply)).await;
            }
            _ => {
                let _ = self.commands.send(Command::Wantlist(reply)).await;
            }
        }
        answer.await.unwrap_or_default()
    }

    /// What `bitswap ledger` shows.
    pub fn ledger(&self, peer: &PeerId) -> ledger::Receipt {
        self.shared.ledger.lock().account(peer).receipt(peer.to_string())
    }

    /// Measurements of a peer: smoothed response time, and bytes per second. `None` if it is not connected.
    pub async fn speed(&self, peer: PeerId) -> Option<(Option<Duration>, Option<f64>)> {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(Command::Speed(peer, reply)).await;
        answer.await.ok().flatten()
    }

    /// Saves what the ledger holds: before the node ends.
    pub async fn flush(&self) {
        engine::flush(&self.shared).await;
    }
}
