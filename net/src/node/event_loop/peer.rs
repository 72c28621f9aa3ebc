//! What the event loop knows of a connected peer.

use crate::node::{ConnectionInfo, Direction, PeerInfo, addr::split_peer};
use libp2p::{Multiaddr, PeerId, core::ConnectedPoint, identify, swarm::ConnectionId};
use std::time::{Duration, Instant};

/// A connected peer.
#[derive(Debug, Default)]
pub struct Peer {
    /// The oldest first.
    pub connections: Vec<(ConnectionId, ConnectionInfo)>,
    pub latency: Option<Duration>,
    pub identity: Option<identify::Info>,
}

impl Peer {
    pub fn opened(&mut self, id: ConnectionId, endpoint: &ConnectedPoint, now: Instant) {
        let direction = if endpoint.is_dialer() { Direction::Outbound } else { Direction::Inbound };
        let addr = split_peer(endpoint.get_remote_address()).0;
        self.connections.push((id, ConnectionInfo { addr, direction, opened: now }));
    }

    pub fn closed(&mut self, id: ConnectionId) {
        self.connections.retain(|(open, _)| *open != id);
    }

    /// Where a connection leads to.
    pub fn addr(&self, id: ConnectionId) -> Option<&ConnectionInfo> {
        self.connections.iter().find(|(open, _)| *open == id).map(|(_, info)| info)
    }

    pub fn info(&self, peer: PeerId, streams: Vec<(String, usize)>) -> PeerInfo {
        let connections: Vec<ConnectionInfo> = self.connections.iter().map(|(_, info)| info.clone()).collect();
        let oldest = connections.first();
        let said = self.identity.as_ref();
        PeerInfo {
            peer,
            addr: oldest.map_or_else(Multiaddr::empty, |c| c.addr.clone()),
            direction: oldest.map_or(Direction::Inbound, |c| c.direction),
            latency: self.latency,
            streams,
            agent: said.map(|info| info.agent_version.clone()).unwrap_or_default(),
            protocol_version: said.map(|info| info.protocol_version.clone()).unwrap_or_default(),
            protocols: said.map(|i| i.protocols.iter().map(ToString::to_string).collect()).unwrap_or_default(),
            listen_addrs: said.map(|info| info.listen_addrs.clone()).unwrap_or_default(),
            public_key: said.map(|info| info.public_key.clone()),
            connections,
        }
    }
}
