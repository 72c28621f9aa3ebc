//! The DHTs: `/ipfs/kad/1.0.0` of the public network and `/ipfs/lan/kad/1.0.0` of the local one.
//!
//! [`Behaviour`] sits in the swarm. It holds libp2p-kad once per network, which keeps the routing table and refreshes
//! it; the records kept for others; and [`wire`], which carries this node's own questions and, by [`serve`], those of
//! others, [answered](answer) from table and records. [`Dht`] is what others call: it walks ([`query`]) in the caller's
//! task, so the swarm does no more than look up a table and pass messages on, and a dropped future stops its walk.
//!
//! What this node provides is announced by [`sweep`].

mod answer;
mod behaviour;
mod disk;
pub(crate) mod diversity;
mod handle;
pub(crate) mod key;
pub(crate) mod message;
pub(crate) mod providers;
pub(crate) mod query;
mod records;
pub(crate) mod router;
mod serve;
pub mod sweep;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod validator;
pub(crate) mod wire;

pub use behaviour::Behaviour;
pub use handle::{BucketStats, Dht, Stats};
pub use validator::{Names, Validator};

use cairn_store::kv::Kv;
use libp2p::{Multiaddr, PeerId, StreamProtocol, identity::Keypair};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Net {
    /// The public network.
    Wan,
    /// The local network.
    Lan,
}

impl Net {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Wan, Self::Lan];

    /// What its streams speak.
    pub fn protocol(self) -> StreamProtocol {
        StreamProtocol::new(match self {
            Self::Wan => "/ipfs/kad/1.0.0",
            Self::Lan => "/ipfs/lan/kad/1.0.0",
        })
    }

    /// `wan` or `lan`, as `stats dht` calls them.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wan => "wan",
            Self::Lan => "lan",
        }
    }

    /// In row keys.
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Wan => b'w',
            Self::Lan => b'l',
        }
    }
}

/// Whether others may ask this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It asks and is not asked: it does not advertise the protocol, so it is in nobody's table.
    Client,
    /// It asks and answers.
    Server,
}

/// Seconds since 1970, from wherever the caller says.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> u64;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        // A clock before 1970 makes everything expired, which harms less than a panic.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
    }
}

/// What is known of where peers are.
pub type AddressesOf = Arc<dyn Fn(&PeerId) -> Vec<Multiaddr> + Send + Sync>;

/// How the DHTs run.
#[derive(Clone)]
pub struct Config {
    /// Mode in the public network; `None`: not in it at all. [`Behaviour::set_mode`] changes it by reachability.
    pub wan: Option<Mode>,
    /// Mode in the local network; `None`: not in it at all.
    pub lan: Option<Mode>,
    /// Whether loopback addresses (and, in tests, the memory transport's) count as local ones
    /// (`Routing.LoopbackAddressesOnLanDHT`).
    pub loopback_on_lan: bool,
    /// Provider records kept for others, per DHT. At the limit the keys farthest from this node go.
    pub max_provider_records: usize,
    /// Whether an address that this node listens on, or was seen at, may be told to others.
    pub announces: Arc<dyn Fn(&Multiaddr) -> bool + Send + Sync>,
    /// Addresses of a peer that is neither connected nor in a table, as far as they are known.
    pub addresses: AddressesOf,
    /// How often the routing table is refreshed.
    pub refresh: Duration,
    /// What says whether a value may be kept or returned; tests take others than [`Names`].
    pub validator: Arc<dyn Validator>,
    /// Time for what is kept.
    pub clock: Arc<dyn Clock>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            wan: Some(Mode::Client),
            lan: Some(Mode::Server),
            loopback_on_lan: false,
            max_provider_records: providers::MAX_RECORDS,
            announces: Arc::new(|_| true),
            addresses: Arc::new(|_| Vec::new()),
            refresh: Duration::from_secs(600),
            validator: Arc::new(Names),
            clock: Arc::new(SystemClock),
        }
    }
}

/// The part for the swarm and the part for everybody else. Must be called on a tokio runtime. Records of an earlier run
/// are read in the background.
pub fn new(config: Config, keypair: &Keypair, kv: Arc<dyn Kv>) -> (Behaviour, Dht) {
    let local: PeerId = keypair.public().to_peer_id();
    let (commands, received) = tokio::sync::mpsc::channel(behaviour::MAX_COMMANDS);
    let journal = disk::Journal::new(Arc::clone(&kv));
    let behaviour = Behaviour::new(&config, local, journal, received);
    for net in Net::ALL {
        let (kv, commands) = (Arc::clone(&kv), commands.downgrade());
        let (validator, now) = (Arc::clone(&config.validator), config.clock.now());
        tokio::task::spawn_blocking(move || {
            disk::restore(&*kv, net, &*validator, now, |rows| {
                let Some(commands) = commands.upgrade() else { return false };
                commands.blocking_send(behaviour::Command::Restore { net, rows }).is_ok()
            });
        });
    }
    let dht = Dht::new(&config, keypair, commands);
    (behaviour, dht)
}
