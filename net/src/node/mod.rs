//! A libp2p node.
//!
//! [`Node`] is the handle that others hold. It talks over bounded channels to the event loop, the one task that owns
//! the swarm, never blocks and never touches the disk. Protocols come as a pair: a behaviour, which sits in the
//! swarm, and a handle; what the two say to each other is theirs, and the event loop knows nothing of it.

mod announce;
mod autonat;
mod bandwidth;
mod behaviour;
mod bootstrap;
mod buffered;
pub mod config;
pub mod connman;
mod event_loop;
mod identify;
mod info;
mod limits;
mod metrics;
mod names_pubsub;
mod peering;
mod peerstore;
mod pinger;
mod pnet;
pub mod pubsub;
mod punch;
mod record_fetch;
mod relays;
mod security;
mod services;
mod transport;

#[cfg(test)]
mod tests;

pub use crate::addr::{BadMask, Mask, Scope, is_relayed, scope, split_peer};
pub use announce::{Announce, Never};
pub use bandwidth::Bandwidth;
pub use config::{Config, ConfigError, RoutingKind};
pub use connman::Protection;
pub use info::{ConnectionInfo, Direction, PeerInfo, Reachability};
pub use limits::{Filters, Limits, Refused};
pub use pinger::PingError;
pub use pnet::{PnetError, is_private};
pub use pubsub::PubSub;
pub use transport::TransportError;

use crate::{
    addr,
    bitswap::{Bitswap, Order},
    dht::{
        Dht, SystemClock,
        sweep::{self, Sweep},
    },
    ipns::Names,
    routing::Routing,
};
use bandwidth::Meters;
use behaviour::{Behaviour, Parts};
use cairn_store::{
    StoreError,
    blockstore::KvBlocks,
    fetch::{Deadline, Fetch},
    kv::Kv,
};
use event_loop::{Command, EventLoop, Setup};
use libp2p::{
    Multiaddr, PeerId, Swarm,
    identity::{Keypair, PublicKey},
    metrics::{Metrics, Registry},
};
use parking_lot::Mutex;
use services::Services;
use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot, watch};

/// Commands that wait for the event loop; the caller waits beyond.
const QUEUE: usize = 256;
/// A connection that nobody uses stays open until the connection manager closes it, as in Kubo: being connected is
/// what makes a node quick to answer. This is longer than any node runs without it being trimmed.
const IDLE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Streams of one connection whose protocol is being negotiated; a further one is closed.
const NEGOTIATING: usize = 256;
/// Events of one connection that wait for the swarm; its task waits beyond.
const CONNECTION_EVENTS: usize = 16;
/// Events for a connection's task that wait; the swarm keeps further ones and waits with that connection.
const HANDLER_EVENTS: NonZeroUsize = NonZeroUsize::new(32).expect("32 is above 0");
/// How long a shutdown may take.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Transports can't be made.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A protocol refuses its settings.
    #[error("cannot set the node up: {0}")]
    Setup(String),
    /// There is nowhere to listen.
    #[error("cannot listen on any of the addresses in Addresses.Swarm: {0}")]
    Listen(String),
    /// What is known of peers can't be read.
    #[error("cannot read the addresses of known peers: {0}")]
    Store(#[from] StoreError),
}

/// Why a node did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The peer can't be reached.
    #[error("failed to dial {peer}: {why}")]
    Dial {
        /// The peer.
        peer: PeerId,
        /// What happened at which address.
        why: String,
    },
    /// There was no connection before the deadline.
    #[error("failed to dial {0}: no connection before the deadline")]
    TimedOut(PeerId),
    /// There is no connection with the peer.
    #[error("not connected to {0}")]
    NotConnected(PeerId),
    /// As many as may be are there or under way.
    #[error("too many {0}: try again when some are done")]
    TooMany(&'static str),
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Closed,
}

struct Inner {
    local: PublicKey,
    commands: mpsc::Sender<Command>,
    meters: Meters,
    filters: Filters,
    protection: Protection,
    pinger: pinger::Pinger,
    pubsub: PubSub,
    registry: Arc<Mutex<Registry>>,
    reachability: watch::Receiver<Reachability>,
    finished: watch::Receiver<bool>,
    blocks: Arc<KvBlocks>,
    services: Services,
    agent: String,
    protocols: Vec<&'static str>,
    routing: RoutingKind,
    /// Whether it relays for others when they can reach it.
    relays: bool,
    /// Whether the configuration says where they can.
    announces: bool,
}

/// A running node. Clones are the same node; it runs until [`Node::shutdown`], or until the last of them is dropped.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Node").field(&self.peer_id()).finish()
    }
}

impl Node {
    /// Starts a node inside of a tokio runtime. On return it listens.
    ///
    /// # Errors
    /// When it can't be set up, or can listen on none of its addresses.
    pub async fn start(
        config: Config,
        keys: Keypair,
        blocks: Arc<KvBlocks>,
        kv: Arc<dyn Kv>,
    ) -> Result<Self, StartError> {
        // In a box: all parts of a swarm pass through it, and callers would carry their sizes along.
        Box::pin(Self::assemble(config, keys, blocks, kv)).await
    }

    async fn assemble(
        mut config: Config,
        keys: Keypair,
        blocks: Arc<KvBlocks>,
        kv: Arc<dyn Kv>,
    ) -> Result<Self, StartError> {
        let files = if config.raise_open_files { limits::raise_open_files() } else { limits::open_files() };
        config.limits.total = config.limits.total.min(limits::connections_for(files));
        let (filters, protection) = (Filters::new(config.filters.iter().copied()), Protection::default());
        let meters = Meters::new(config.bandwidth);
        let registry = Arc::new(Mutex::new(Registry::default()));
        metrics::register(&mut registry.lock(), &meters);
        let swarm_metrics = Metrics::new(&mut registry.lock());

        let table = Arc::clone(&kv);
        let rows = tokio::task::spawn_blocking(move || peerstore::disk::load(table.as_ref()))
            .await
            .map_err(|e| StartError::Setup(e.to_string()))??;
        let book = Arc::new(Mutex::new(peerstore::Book::new(rows, peerstore::unix_now())));
        let (writer, writing) = peerstore::disk::writer(Arc::clone(&kv));
        let (dht, dht_handle) = services::dht(&config, &keys, Arc::clone(&kv), &book);
        let (bitswap, bitswap_handle) = services::bitswap(&config, &keys, &blocks, Arc::clone(&kv), protection.clone());

        let (transport, relay_client) = transport::build(&config, &keys, &filters, &meters)?;
        let parts =
            Parts { filters: filters.clone(), protection: protection.clone(), book, relay_client, dht, bitswap };
        let (behaviour, handles) = Behaviour::new(&config, &keys, parts).map_err(StartError::Setup)?;
        let names = (&handles.pubsub, handles.fetcher);
        let services =
            Services::new(&config, (dht_handle, bitswap_handle), names, &blocks, kv).map_err(StartError::Setup)?;
        let swarm = Swarm::new(transport, behaviour, keys.public().to_peer_id(), swarm_config());

        let (commands, receiver) = mpsc::channel(QUEUE);
        let (reachable, reachability) = watch::channel(Reachability::Unknown);
        let (done, finished) = watch::channel(false);
        let setup = Setup {
            swarm,
            bitswap: services.exchange.bitswap().clone(),
            commands: receiver,
            meters: meters.clone(),
            metrics: swarm_metrics,
            protection: protection.clone(),
            writer,
            writing,
            reachability: reachable,
            finished: done,
        };
        let mut event_loop = EventLoop::new(&config, setup);
        event_loop.listen(&config.listen).await.map_err(StartError::Listen)?;
        tokio::spawn(event_loop.run());
        Ok(Self(Arc::new(Inner {
            local: keys.public(),
            commands,
            meters,
            filters,
            protection,
            pinger: handles.pinger,
            pubsub: handles.pubsub,
            registry,
            reachability,
            finished,
            blocks,
            services,
            protocols: services::protocols(&config),
            agent: config.agent,
            routing: config.routing.kind,
            relays: config.nat.relay_service.is_some(),
            announces: config.announce.fixed().next().is_some(),
        })))
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, NodeError> {
        let (reply, answer) = oneshot::channel();
        self.0.commands.send(command(reply)).await.map_err(|_| NodeError::Closed)?;
        answer.await.map_err(|_| NodeError::Closed)
    }

    /// The node's name.
    pub fn peer_id(&self) -> PeerId {
        self.0.local.to_peer_id()
    }

    /// The node's public key.
    pub fn public_key(&self) -> PublicKey {
        self.0.local.clone()
    }

    /// The blocks that the node serves.
    pub fn blocks(&self) -> &Arc<KvBlocks> {
        &self.0.blocks
    }

    /// Addresses that the node listens on, one for each network interface; none once it shuts down.
    pub async fn listeners(&self) -> Vec<Multiaddr> {
        self.ask(Command::Listeners).await.unwrap_or_default()
    }

    /// Addresses that the node announces, each once; none once it shuts down.
    pub async fn addresses(&self) -> Vec<Multiaddr> {
        self.ask(Command::Addresses).await.unwrap_or_default()
    }

    /// Connects with a peer at these addresses and those that are known. It is no error if it is connected.
    ///
    /// # Errors
    /// When it can't be reached before the deadline.
    pub async fn connect(&self, peer: PeerId, addrs: Vec<Multiaddr>, deadline: Deadline) -> Result<(), NodeError> {
        let connect = self.ask(|reply| Command::Connect(peer, addrs, reply));
        match deadline {
            None => connect.await?,
            Some(at) => tokio::time::timeout_at(at.into(), connect).await.unwrap_or(Err(NodeError::TimedOut(peer)))?,
        }
    }

    /// Closes all connections with a peer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn disconnect(&self, peer: PeerId) -> Result<(), NodeError> {
        self.ask(|reply| Command::Disconnect(peer, reply)).await?
    }

    /// Blocks a peer and closes all connections with it. `false`: it was blocked.
    pub async fn block(&self, peer: PeerId) -> bool {
        let new = self.0.filters.block(peer);
        // It need not have been connected.
        let _ = self.disconnect(peer).await;
        new
    }

    /// Connected peers, by their names.
    pub async fn peers(&self) -> Vec<PeerInfo> {
        self.ask(Command::Peers).await.unwrap_or_default()
    }

    /// All peers that the node knows addresses of.
    pub async fn known_addresses(&self) -> BTreeMap<PeerId, Vec<Multiaddr>> {
        self.ask(Command::Known).await.unwrap_or_default()
    }

    /// The round-trip time to a connected peer.
    ///
    /// # Errors
    /// When it is not connected or does not answer.
    pub async fn ping(&self, peer: PeerId) -> Result<Duration, PingError> {
        self.0.pinger.ping(peer).await
    }

    /// Bytes of all streams.
    pub fn bandwidth(&self) -> Bandwidth {
        self.0.meters.total()
    }

    /// Bytes of the streams of a protocol, such as `/ipfs/bitswap/1.2.0`.
    pub fn bandwidth_of_protocol(&self, protocol: &str) -> Bandwidth {
        self.0.meters.of_protocol(protocol)
    }

    /// Bytes by protocol.
    pub fn bandwidth_by_protocol(&self) -> BTreeMap<String, Bandwidth> {
        self.0.meters.by_protocol()
    }

    /// Bytes of the streams of a connected peer.
    pub fn bandwidth_of_peer(&self, peer: &PeerId) -> Bandwidth {
        self.0.meters.of_peer(peer)
    }

    /// Networks and peers that the node has nothing to do with.
    pub fn filters(&self) -> &Filters {
        &self.0.filters
    }

    /// Says which peers the connection manager keeps.
    pub fn protection(&self) -> &Protection {
        &self.0.protection
    }

    /// Peers that the node stays connected with, and their addresses.
    pub async fn peering(&self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.ask(Command::Peering).await.unwrap_or_default()
    }

    /// Stays connected with a peer from now on.
    ///
    /// # Errors
    /// When there are too many such peers.
    pub async fn add_peering(&self, peer: PeerId, addrs: Vec<Multiaddr>) -> Result<(), NodeError> {
        self.ask(|reply| Command::AddPeering(peer, addrs, reply)).await?
    }

    /// Stays connected with a peer no more. `false`: it was not listed.
    pub async fn remove_peering(&self, peer: PeerId) -> bool {
        self.ask(|reply| Command::RemovePeering(peer, reply)).await.unwrap_or_default()
    }

    /// Sends and receives messages by topic.
    pub fn pubsub(&self) -> &PubSub {
        &self.0.pubsub
    }

    /// Whether the node can be reached from outside, now and as it changes.
    pub fn reachability(&self) -> watch::Receiver<Reachability> {
        self.0.reachability.clone()
    }

    /// What the node calls itself.
    pub fn agent(&self) -> &str {
        &self.0.agent
    }

    /// Protocols that this node answers now.
    pub fn protocols(&self) -> Vec<String> {
        let serves = match self.0.routing {
            RoutingKind::DhtServer => true,
            RoutingKind::Auto | RoutingKind::Dht => *self.0.reachability.borrow() == Reachability::Public,
            RoutingKind::AutoClient | RoutingKind::DhtClient | RoutingKind::Delegated | RoutingKind::None => false,
        };
        let public = *self.0.reachability.borrow() == Reachability::Public;
        let wan = serves.then_some("/ipfs/kad/1.0.0");
        let hop = (self.0.relays && (public || self.0.announces)).then_some("/libp2p/circuit/relay/0.2.0/hop");
        self.0.protocols.iter().copied().chain(wan).chain(hop).map(str::to_owned).collect()
    }

    /// The DHTs.
    pub fn dht(&self) -> &Dht {
        &self.0.services.dht
    }

    /// Whoever can be asked for providers, peers and values.
    pub fn routing(&self) -> Arc<dyn Routing> {
        Arc::clone(&self.0.services.routing)
    }

    /// Bitswap: what is wanted, what was given.
    pub fn bitswap(&self) -> &Bitswap {
        self.0.services.exchange.bitswap()
    }

    /// Blocks from the store, else from the network: each call by itself.
    pub fn fetch(&self) -> Arc<dyn Fetch> {
        Arc::new(self.0.services.exchange.clone())
    }

    /// The same for one piece of work, a command or a request, whose blocks are likely to be at the same peers.
    pub fn session(&self) -> Arc<dyn Fetch> {
        self.0.services.exchange.session()
    }

    /// The same for work that needs its blocks in no particular order.
    pub fn session_in(&self, order: Order) -> Arc<dyn Fetch> {
        self.0.services.exchange.session_in(order)
    }

    /// Mutable names.
    pub fn names(&self) -> &Names {
        &self.0.services.names
    }

    /// Begins to announce what `source` says this node has, and goes on until it stops; what was begun before is
    /// stopped. `None`, when there is no DHT to announce to.
    pub fn provide(&self, config: sweep::Config, source: Arc<dyn sweep::KeySource>) -> Option<Sweep> {
        let targets = self.0.services.dht.provide_targets();
        if targets.is_empty() {
            return None;
        }
        let kv = Arc::clone(self.0.blocks.kv());
        let sweep = Sweep::start(config, targets, source, kv, Arc::new(SystemClock));
        if let Some(old) = self.0.services.sweep.lock().replace(sweep.clone()) {
            old.close();
        }
        Some(sweep)
    }

    /// What announces, once [`Node::provide`] began it.
    pub fn sweep(&self) -> Option<Sweep> {
        self.0.services.sweep.lock().clone()
    }

    /// All metrics as text, in OpenMetrics format.
    pub fn metrics(&self) -> String {
        metrics::text(&self.0.registry.lock())
    }

    /// Where metrics are registered.
    pub fn registry(&self) -> &Arc<Mutex<Registry>> {
        &self.0.registry
    }

    /// Closes all connections, saves what is known of peers, and stops. Takes at most 10 seconds.
    pub async fn shutdown(&self) {
        let mut finished = self.0.finished.clone();
        if let Some(sweep) = self.sweep() {
            sweep.close();
        }
        let stop = async {
            self.bitswap().flush().await;
            let _ = self.0.commands.send(Command::Shutdown).await;
            let _ = finished.wait_for(|done| *done).await;
        };
        if tokio::time::timeout(SHUTDOWN, stop).await.is_err() {
            tracing::warn!("the node did not stop within {SHUTDOWN:?}");
        }
    }
}

fn swarm_config() -> libp2p::swarm::Config {
    libp2p::swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE)
        .with_max_negotiating_inbound_streams(NEGOTIATING)
        .with_per_connection_event_buffer_size(CONNECTION_EVENTS)
        .with_notify_handler_buffer_size(HANDLER_EVENTS)
        .with_smart_dial()
}
