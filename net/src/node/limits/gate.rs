//! The behaviour that admits connections before any other sees them.

use super::{Backoff, Filters, Limits};
use crate::node::addr::{Origin, Scope, ip_of, is_relayed, scope, split_peer};
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, DialError, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};
use std::{
    collections::HashMap,
    convert::Infallible,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Why a connection was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The address is filtered.
    #[error("the address is filtered (Swarm.AddrFilters)")]
    Address,
    /// The peer is blocked.
    #[error("the peer is blocked")]
    Peer,
    /// That address has as many connections as it may have.
    #[error("too many connections from this address")]
    PerAddress,
    /// The last dial failed a moment ago.
    #[error("the last dial failed: not dialed again for {0:?}")]
    Backoff(Duration),
}

/// Admits connections.
pub struct Behaviour {
    limits: Limits,
    filters: Filters,
    backoff: Backoff,
    /// Where each inbound connection, open or being opened, comes from.
    from: HashMap<ConnectionId, Origin>,
    counts: HashMap<Origin, u32>,
    connected: HashMap<PeerId, usize>,
}

impl Behaviour {
    /// With these limits and filters.
    pub fn new(limits: Limits, filters: Filters) -> Self {
        Self {
            limits,
            filters,
            backoff: Backoff::default(),
            from: HashMap::new(),
            counts: HashMap::new(),
            connected: HashMap::new(),
        }
    }

    /// Lets the next dial to a peer through whatever happened to the last.
    pub fn insist(&mut self, peer: &PeerId) {
        self.backoff.clear(peer);
    }

    fn counts_by_address(&self, addr: &Multiaddr) -> Option<Origin> {
        // All that comes through a relay has the relay's address.
        let exempt = is_relayed(addr) || (scope(addr) == Scope::Loopback && !self.limits.count_loopback);
        let ip = ip_of(addr).filter(|_| !exempt)?;
        (!self.limits.trusted_networks.iter().any(|mask| mask.contains(ip))).then(|| Origin::of(ip))
    }

    fn enter(&mut self, id: ConnectionId, addr: &Multiaddr) -> Result<(), Refused> {
        if !self.filters.admits(addr) {
            return Err(Refused::Address);
        }
        let Some(origin) = self.counts_by_address(addr) else { return Ok(()) };
        let count = self.counts.entry(origin).or_default();
        if *count >= self.limits.per_ip {
            return Err(Refused::PerAddress);
        }
        *count += 1;
        self.from.insert(id, origin);
        Ok(())
    }

    fn leave(&mut self, id: ConnectionId) {
        let Some(origin) = self.from.remove(&id) else { return };
        match self.counts.get_mut(&origin) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.counts.remove(&origin)),
        }
    }

    fn admits(&self, peer: &PeerId, addr: &Multiaddr) -> Result<(), ConnectionDenied> {
        match () {
            () if !self.filters.admits_peer(peer) => Err(ConnectionDenied::new(Refused::Peer)),
            () if !self.filters.admits(addr) => Err(ConnectionDenied::new(Refused::Address)),
            () => Ok(()),
        }
    }

    fn dial_failed(&mut self, peer: Option<PeerId>, error: &DialError) {
        let Some(peer) = peer.filter(|peer| !self.connected.contains_key(peer)) else { return };
        match error {
            DialError::Transport(tried) => {
                let tried = tried.iter().map(|(addr, _)| split_peer(addr).0);
                self.backoff.failed(peer, tried, Instant::now());
            }
            DialError::WrongPeerId { address, .. } => {
                self.backoff.failed(peer, [split_peer(address).0], Instant::now());
            }
            // Nobody was dialed.
            _ => {}
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.enter(id, remote).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admits(&peer, remote).map(|()| dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        addrs: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let Some(peer) = peer else { return Ok(Vec::new()) };
        if !self.filters.admits_peer(&peer) {
            return Err(ConnectionDenied::new(Refused::Peer));
        }
        // Whoever is connected is dialed to better the connection, and whoever punches a hole was told to.
        if self.connected.contains_key(&peer) || role.is_listener() {
            return Ok(Vec::new());
        }
        let addrs: Vec<Multiaddr> = addrs.iter().map(|addr| split_peer(addr).0).collect();
        match self.backoff.wait(&peer, &addrs, Instant::now()) {
            Some(wait) => Err(ConnectionDenied::new(Refused::Backoff(wait))),
            None => Ok(Vec::new()),
        }
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admits(&peer, addr).map(|()| dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                self.backoff.clear(&event.peer_id);
                *self.connected.entry(event.peer_id).or_default() += 1;
            }
            FromSwarm::ConnectionClosed(event) => {
                self.leave(event.connection_id);
                if event.remaining_established == 0 {
                    self.connected.remove(&event.peer_id);
                }
            }
            FromSwarm::ListenFailure(event) => self.leave(event.connection_id),
            FromSwarm::DialFailure(event) => self.dial_failed(event.peer_id, event.error),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
