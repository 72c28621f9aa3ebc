//! What a node says of its peers and of itself.

use libp2p::{Multiaddr, PeerId, identity::PublicKey};
use std::time::{Duration, Instant};

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The peer.
    Inbound,
    /// This node.
    Outbound,
}

/// An open connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Where the peer is, without `/p2p/…` at the end.
    pub addr: Multiaddr,
    /// Who opened it.
    pub direction: Direction,
    /// Since when it is open.
    pub opened: Instant,
}

/// A connected peer.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// Its name.
    pub peer: PeerId,
    /// Where the peer is, by the oldest connection.
    pub addr: Multiaddr,
    /// Who opened the oldest connection.
    pub direction: Direction,
    /// All connections, the oldest first.
    pub connections: Vec<ConnectionInfo>,
    /// The last round-trip time measured.
    pub latency: Option<Duration>,
    /// Open streams by protocol. Empty when bandwidth is not counted.
    pub streams: Vec<(String, usize)>,
    /// What follows is what the peer says of itself, once it did. The program it runs.
    pub agent: String,
    /// The protocol family it speaks.
    pub protocol_version: String,
    /// The protocols it speaks.
    pub protocols: Vec<String>,
    /// Where it listens.
    pub listen_addrs: Vec<Multiaddr>,
    /// Its key.
    pub public_key: Option<PublicKey>,
}

/// Whether a node can be reached from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reachability {
    /// Nobody knows yet.
    #[default]
    Unknown,
    /// Others reached it at a public address.
    Public,
    /// Others tried and failed.
    Private,
}
