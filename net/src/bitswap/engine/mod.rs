//! The tasks that join the state machines to handlers, store and routing.
//!
//! | Task | Does |
//! |---|---|
//! | `client` | owns the [`Client`](super::client::Client): wants, who is asked; looks for what was stored meanwhile |
//! | `ingest` | hashes the blocks of incoming messages, many of them on the blocking pool; wantlists go to `server` past it |
//! | `writer` | a thread: stores what was wanted, and only then hands it over |
//! | `server` | owns the [`Server`](super::server::Server); reads blocks on the blocking pool |
//! | `accounts` | loads and saves the ledger |

mod accounts;
mod client;
mod ingest;
mod server;
mod writer;

pub(super) use accounts::flush;
pub(super) use client::{Command, Event as ClientEvent};
pub(super) use server::Event as ServerEvent;
pub(super) use writer::Waiter;

use super::{
    Config,
    behaviour::Dial,
    gateway::Gateways,
    ledger::Ledger,
    link::{Inbound, Links},
    message::Version,
};
use crate::{addr::is_near, routing::Routing};
use cairn_store::{blockstore::Blockstore, kv::Kv};
use libp2p::{Multiaddr, PeerId};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::{Notify, mpsc};

/// Events that wait for a task; whoever sends more waits.
pub(super) const EVENTS: usize = 256;
/// Peers that are refused at a time; at the limit the one refused first is let in again.
const MAX_REFUSED: usize = 1024;
/// Time for which a peer that sent garbage is refused.
const REFUSED_FOR: Duration = Duration::from_secs(600);

/// What the behaviour says of peers.
#[derive(Debug)]
pub enum PeerEvent {
    /// The first connection to a peer.
    Connected {
        /// The peer.
        peer: PeerId,
        /// Where it is.
        addr: Multiaddr,
    },
    /// A further connection to a peer.
    AnotherConnection(PeerId),
    /// A connection to a peer ended, and others are left.
    ConnectionLost(PeerId),
    /// The last connection to a peer ended.
    Disconnected(PeerId),
    /// A peer can't be reached.
    DialFailed(PeerId),
    /// What a peer speaks.
    Speaks(PeerId, Version),
    /// A peer does not speak Bitswap.
    Unsupported(PeerId),
}

/// Numbers for `bitswap stat`.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) blocks_received: AtomicU64,
    pub(super) data_received: AtomicU64,
    pub(super) dup_blocks: AtomicU64,
    pub(super) dup_data: AtomicU64,
    pub(super) messages: AtomicU64,
    pub(super) blocks_sent: AtomicU64,
    pub(super) data_sent: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// Told whose connections are of use from now on (`true`), and whose are not any more.
pub type Keep = Arc<dyn Fn(PeerId, bool) + Send + Sync>;

/// Whom this node deals with.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// If there is one, nobody else.
    pub allow: Option<HashSet<PeerId>>,
    /// Not with these.
    pub deny: HashSet<PeerId>,
}

/// What the tasks share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) links: Arc<Links>,
    pub(super) store: Arc<dyn Blockstore>,
    pub(super) kv: Option<Arc<dyn Kv>>,
    pub(super) keep: Option<Keep>,
    pub(super) ledger: Mutex<Ledger<PeerId>>,
    pub(super) counters: Counters,
    pub(super) routing: RwLock<Option<Arc<dyn Routing>>>,
    pub(super) filter: RwLock<Filter>,
    pub(super) refused: Mutex<BTreeMap<PeerId, Instant>>,
    pub(super) friends: RwLock<HashSet<PeerId>>,
    /// Who is connected, and whether it is exempt from limits.
    pub(super) connected: Mutex<HashMap<PeerId, bool>>,
    pub(super) client: mpsc::Sender<ClientEvent>,
    pub(super) server: mpsc::Sender<ServerEvent>,
    pub(super) dials: mpsc::Sender<Dial>,
    /// Rung when messages were sent.
    pub(super) sent: Arc<Notify>,
    /// Providers that are reached over HTTP.
    pub(super) gateways: Option<Gateways>,
}

impl Shared {
    /// Whether this node deals with a peer now.
    pub(super) fn admits(&self, peer: &PeerId) -> bool {
        let filter = self.filter.read();
        if filter.deny.contains(peer) || filter.allow.as_ref().is_some_and(|allow| !allow.contains(peer)) {
            return false;
        }
        let mut refused = self.refused.lock();
        match refused.get(peer) {
            Some(until) if *until > Instant::now() => false,
            Some(_) => {
                refused.remove(peer);
                true
            }
            None => true,
        }
    }

    pub(super) fn refuse(&self, peer: PeerId) {
        tracing::info!(%peer, "a peer sends blocks that nobody asked for: it is refused for ten minutes");
        let mut refused = self.refused.lock();
        if refused.len() >= MAX_REFUSED
            && let Some(first) = refused.iter().min_by_key(|(_, until)| **until).map(|(peer, _)| *peer)
        {
            refused.remove(&first);
        }
        refused.insert(peer, Instant::now() + REFUSED_FOR);
    }

    /// Whether a peer is asked who has a block, however many others are.
    pub(super) fn is_always_asked(&self, peer: &PeerId, addr: &Multiaddr) -> bool {
        let (local, peered) = self.config.always_ask;
        (local && is_near(addr)) || (peered && self.friends.read().contains(peer))
    }

    /// Whether a peer is exempt from limits: peered with, or on the local network.
    pub(super) fn is_friend(&self, peer: &PeerId, addr: &Multiaddr) -> bool {
        self.friends.read().contains(peer) || is_near(addr)
    }
}

/// Seconds since 1970.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Channels whose ends the tasks hold.
pub(super) struct Channels {
    pub(super) ingress: mpsc::Receiver<Inbound>,
    pub(super) peers: mpsc::Receiver<PeerEvent>,
    pub(super) client: mpsc::Receiver<ClientEvent>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) server: mpsc::Receiver<ServerEvent>,
    pub(super) wants: mpsc::Receiver<Inbound>,
}

/// Starts the tasks on the current runtime. They end when the behaviour and all handles are gone.
pub(super) fn spawn(shared: &Arc<Shared>, channels: Channels) {
    let (to_writer, written) = mpsc::channel(writer::BATCHES);
    tokio::spawn(ingest::run(Arc::clone(shared), channels.ingress));
    let writing = Arc::clone(shared);
    tokio::task::spawn_blocking(move || writer::run(&writing, written));
    tokio::spawn(server::run(Arc::clone(shared), channels.server, channels.wants));
    tokio::spawn(accounts::run(Arc::downgrade(shared)));
    tokio::spawn(client::run(Arc::clone(shared), channels.client, channels.commands, channels.peers, to_writer));
}
