//! What decides how a node behaves.

mod auto;
mod read;
#[cfg(test)]
mod tests;

pub use auto::expand;
pub use read::ConfigError;

use super::{addr::Mask, announce::Announce, limits::Limits};
use crate::{bitswap, dnslink::DnsConfig, ipns::NamesConfig};
use libp2p::{Multiaddr, PeerId, pnet::PreSharedKey};
use std::time::Duration;

/// What the node calls itself to others.
pub const AGENT: &str = concat!("cairn/", env!("CARGO_PKG_VERSION"));
/// Relays that a node behind a NAT holds a place at.
pub const WANTED_RELAYS: usize = 2;

/// How a node behaves. [`Config::default`] is a node that listens nowhere and looks for nobody.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the node calls itself in `identify`.
    pub agent: String,
    /// Where it listens. An address that begins with `/memory/` turns the memory transport on.
    pub listen: Vec<Multiaddr>,
    /// What it says of its addresses.
    pub announce: Announce,
    /// Networks that it has nothing to do with, either way.
    pub filters: Vec<Mask>,
    /// What it speaks.
    pub transports: Transports,
    /// The key of its private swarm.
    pub swarm_key: Option<PreSharedKey>,
    /// What it shows to those who come by secure WebSocket.
    pub websocket_tls: Option<WebSocketTls>,
    /// Whether the process's limit on open files is raised as far as it may be.
    pub raise_open_files: bool,
    /// How many connections it takes.
    pub limits: Limits,
    /// How many connections it keeps.
    pub connections: ConnMgr,
    /// Peers that it stays connected with.
    pub peering: Vec<(PeerId, Vec<Multiaddr>)>,
    /// Peers that it begins with.
    pub bootstrap: Vec<Multiaddr>,
    /// Whether it looks for others on the LAN by multicast DNS.
    pub mdns: bool,
    /// What it does about NATs.
    pub nat: Nat,
    /// Where it looks for content and peers.
    pub routing: RoutingConfig,
    /// How blocks are asked for and given.
    pub bitswap: bitswap::Config,
    /// How names are resolved and published.
    pub names: NamesConfig,
    /// Who is asked for domains.
    pub dns: DnsConfig,
    /// Whether names are published and followed on PubSub too (`Ipns.UsePubsub`).
    pub ipns_pubsub: bool,
    /// Topics and messages; `None`: none.
    pub pubsub: Option<PubSubConfig>,
    /// Whether bytes are counted by protocol and by peer (`Swarm.DisableBandwidthMetrics`).
    pub bandwidth: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            agent: AGENT.to_owned(),
            listen: Vec::new(),
            announce: Announce::default(),
            filters: Vec::new(),
            transports: Transports::default(),
            swarm_key: None,
            websocket_tls: None,
            raise_open_files: true,
            limits: Limits::default(),
            connections: ConnMgr::default(),
            peering: Vec::new(),
            bootstrap: Vec::new(),
            mdns: false,
            nat: Nat::default(),
            routing: RoutingConfig::default(),
            bitswap: bitswap::Config::default(),
            names: NamesConfig::default(),
            dns: DnsConfig::default(),
            ipns_pubsub: false,
            pubsub: None,
            bandwidth: true,
        }
    }
}

impl Config {
    /// Listens there, and is all else as [`Config::default`].
    pub fn listening(addrs: impl IntoIterator<Item = Multiaddr>) -> Self {
        Self { listen: addrs.into_iter().collect(), ..Self::default() }
    }

    /// Whether the memory transport is on.
    pub(super) fn has_memory(&self) -> bool {
        self.listen.iter().any(|addr| matches!(addr.iter().next(), Some(libp2p::multiaddr::Protocol::Memory(_))))
    }
}

/// A way to secure a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS 1.3 with the node's key in the certificate.
    Tls,
    /// Noise XX.
    Noise,
}

/// What a node speaks (`Swarm.Transports`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transports {
    /// TCP.
    pub tcp: bool,
    /// WebSocket, plain and secure.
    pub websocket: bool,
    /// QUIC v1.
    pub quic: bool,
    /// Connections through relays.
    pub relay: bool,
    /// What secures connections that do not secure themselves, best first.
    pub security: Vec<Security>,
}

impl Default for Transports {
    fn default() -> Self {
        Self { tcp: true, websocket: true, quic: true, relay: true, security: vec![Security::Tls, Security::Noise] }
    }
}

/// Certificate and key of secure WebSocket listeners, in DER.
#[derive(Clone, PartialEq, Eq)]
pub struct WebSocketTls {
    /// The private key (PKCS#8).
    pub key: Vec<u8>,
    /// The certificate, then those that signed it.
    pub chain: Vec<Vec<u8>>,
}

impl std::fmt::Debug for WebSocketTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSocketTls").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// How many connections are kept (`Swarm.ConnMgr`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnMgr {
    /// Connections that are left after trimming.
    pub low: usize,
    /// Connections above which some are closed.
    pub high: usize,
    /// How long a connection is left alone after it was opened.
    pub grace: Duration,
    /// Shortest time between two trims.
    pub silence: Duration,
}

impl Default for ConnMgr {
    fn default() -> Self {
        Self { low: 32, high: 96, grace: Duration::from_secs(20), silence: Duration::from_secs(10) }
    }
}

/// What a node does about NATs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nat {
    /// Ask the router for a port by UPnP.
    pub port_map: bool,
    /// Tell others whether they can be reached (AutoNAT v2).
    pub autonat_server: bool,
    /// Whether and how others' relays are used.
    pub relay_client: Option<RelayClient>,
    /// Whether and how far this node relays for others.
    pub relay_service: Option<RelayService>,
    /// Turn relayed connections into direct ones (DCUtR).
    pub hole_punching: bool,
}

/// How others' relays are used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayClient {
    /// The relays to use; with none, they are found among the peers.
    pub static_relays: Vec<Multiaddr>,
}

/// How far this node relays for others (`Swarm.RelayService`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayService {
    /// How long one relayed connection lasts.
    pub duration: Duration,
    /// Bytes that go through one relayed connection, each way.
    pub bytes: u64,
    /// How long a place is held.
    pub ttl: Duration,
    /// Places.
    pub reservations: usize,
    /// Relayed connections of one peer.
    pub circuits_per_peer: usize,
    /// Places asked for from one IP address in the time that one is held, renewals not counted.
    pub reservations_per_ip: u32,
}

impl Default for RelayService {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(120),
            bytes: 128 << 10,
            ttl: Duration::from_secs(3600),
            reservations: 128,
            circuits_per_peer: 16,
            reservations_per_ip: 8,
        }
    }
}

/// Where content and peers are looked for (`Routing.Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RoutingKind {
    /// DHT and HTTP routers; serves the DHT when it can be reached.
    Auto,
    /// As `Auto`, and never serves the DHT.
    AutoClient,
    /// The DHT; serves it when it can be reached.
    Dht,
    /// The DHT, and never serves it.
    DhtClient,
    /// The DHT, and always serves it.
    DhtServer,
    /// HTTP routers only.
    Delegated,
    /// Nowhere: who is not connected is not found.
    #[default]
    None,
}

impl RoutingKind {
    /// Whether the node takes part in the DHT.
    pub fn has_dht(self) -> bool {
        !matches!(self, Self::Delegated | Self::None)
    }

    /// Whether HTTP routers are asked.
    pub fn has_delegated(self) -> bool {
        matches!(self, Self::Auto | Self::AutoClient | Self::Delegated)
    }
}

/// Where content and peers are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutingConfig {
    /// The kinds of routers.
    pub kind: RoutingKind,
    /// HTTP routers, without `auto`.
    pub delegated: Vec<String>,
    /// Whether `auto` stood among the HTTP routers.
    pub delegated_auto: bool,
    /// Whether loopback addresses go into the LAN's DHT.
    pub loopback_on_lan: bool,
    /// Peers that no blocks are asked of for being providers.
    pub ignore_providers: Vec<PeerId>,
}

/// Topics and messages (`Pubsub`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubSubConfig {
    /// How long a message is remembered as seen.
    pub seen_ttl: Duration,
    /// Whether messages are signed, and unsigned ones refused.
    pub signing: bool,
}

impl Default for PubSubConfig {
    fn default() -> Self {
        Self { seen_ttl: Duration::from_secs(120), signing: true }
    }
}
