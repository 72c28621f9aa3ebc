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
    collections::{HashMap, HashSet},
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
    /// That peer has as many connections as it may have.
    #[error("too many connections with this peer")]
    PerPeer,
    /// As many connections are being opened as may be.
    #[error("too many connections are being opened")]
    Pending,
    /// As many connections are open as may be.
    #[error("too many connections are open (Swarm.ResourceMgr)")]
    Total,
    /// The last dial failed a moment ago.
    #[error("the last dial failed: not dialed again for {0:?}")]
    Backoff(Duration),
}

/// Connections that are open or being opened: nothing here outlives its connection.
#[derive(Debug, Default)]
struct Open {
    /// Where each inbound connection, open or being opened, comes from.
    from: HashMap<ConnectionId, Origin>,
    per_origin: HashMap<Origin, u32>,
    per_peer: HashMap<PeerId, u32>,
    pending_inbound: HashSet<ConnectionId>,
    pending_outbound: HashSet<ConnectionId>,
    inbound: u32,
    total: u32,
}

fn add<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: K) {
    *counts.entry(key).or_default() += 1;
}

fn subtract<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => drop(counts.remove(key)),
    }
}

impl Open {
    fn settled(&mut self, id: ConnectionId) {
        self.pending_inbound.remove(&id);
        self.pending_outbound.remove(&id);
    }

    fn left(&mut self, id: ConnectionId) {
        self.settled(id);
        if let Some(origin) = self.from.remove(&id) {
            subtract(&mut self.per_origin, &origin);
        }
    }

    fn of_peer(&self, peer: &PeerId) -> u32 {
        self.per_peer.get(peer).copied().unwrap_or_default()
    }
}

/// Admits connections.
pub struct Behaviour {
    limits: Limits,
    trusted: HashSet<PeerId>,
    filters: Filters,
    backoff: Backoff,
    open: Open,
}

impl Behaviour {
    /// With these limits and filters.
    pub fn new(limits: Limits, filters: Filters) -> Self {
        let trusted = limits.trusted_peers.iter().copied().collect();
        Self { limits, trusted, filters, backoff: Backoff::default(), open: Open::default() }
    }

    /// Lets a peer past the limits by peer and in total from now on.
    pub fn trust(&mut self, peer: PeerId) {
        self.trusted.insert(peer);
    }

    /// Takes back [`Behaviour::trust`].
    pub fn distrust(&mut self, peer: &PeerId) {
        if !self.limits.trusted_peers.contains(peer) {
            self.trusted.remove(peer);
        }
    }

    /// Lets the next dial to a peer through whatever happened to the last.
    pub fn insist(&mut self, peer: &PeerId) {
        self.backoff.clear(peer);
    }

    fn counted_with(&self, addr: &Multiaddr) -> Option<Origin> {
        // All that comes through a relay has the relay's address.
        let exempt = is_relayed(addr) || (scope(addr) == Scope::Loopback && !self.limits.count_loopback);
        let ip = ip_of(addr).filter(|_| !exempt)?;
        (!self.limits.trusted_networks.iter().any(|mask| mask.contains(ip))).then(|| Origin::of(ip))
    }

    fn enter(&mut self, id: ConnectionId, addr: &Multiaddr) -> Result<(), Refused> {
        if !self.filters.admits(addr) {
            return Err(Refused::Address);
        }
        let pending = self.open.pending_inbound.len();
        if u32::try_from(pending).is_ok_and(|pending| pending >= self.limits.pending_inbound) {
            return Err(Refused::Pending);
        }
        if let Some(origin) = self.counted_with(addr) {
            if self.open.per_origin.get(&origin).is_some_and(|count| *count >= self.limits.per_ip) {
                return Err(Refused::PerAddress);
            }
            add(&mut self.open.per_origin, origin);
            self.open.from.insert(id, origin);
        }
        self.open.pending_inbound.insert(id);
        Ok(())
    }

    fn leave_for(
        &mut self,
        id: ConnectionId,
        peer: &PeerId,
        addrs: &[Multiaddr],
        role: Endpoint,
    ) -> Result<(), Refused> {
        if !self.filters.admits_peer(peer) {
            return Err(Refused::Peer);
        }
        // Whoever is connected is dialed to better the connection, and whoever punches a hole was told to.
        if self.open.of_peer(peer) == 0 && role.is_dialer() {
            let addrs: Vec<Multiaddr> = addrs.iter().map(|addr| split_peer(addr).0).collect();
            if let Some(wait) = self.backoff.wait(peer, &addrs, Instant::now()) {
                return Err(Refused::Backoff(wait));
            }
        }
        let pending = self.open.pending_outbound.len();
        let full = u32::try_from(pending).is_ok_and(|pending| pending >= self.limits.pending_outbound);
        if full && !self.trusted.contains(peer) {
            return Err(Refused::Pending);
        }
        self.open.pending_outbound.insert(id);
        Ok(())
    }

    /// Whether a connection that passed its handshake is taken.
    fn admits(&mut self, id: ConnectionId, peer: &PeerId, addr: &Multiaddr, inbound: bool) -> Result<(), Refused> {
        self.open.settled(id);
        let trusted = self.trusted.contains(peer);
        match () {
            () if !self.filters.admits_peer(peer) => Err(Refused::Peer),
            () if !self.filters.admits(addr) => Err(Refused::Address),
            () if trusted => Ok(()),
            () if self.open.of_peer(peer) >= self.limits.per_peer => Err(Refused::PerPeer),
            () if inbound && self.open.inbound >= self.limits.inbound => Err(Refused::Total),
            () if self.open.total >= self.limits.total => Err(Refused::Total),
            () => Ok(()),
        }
    }

    fn dial_failed(&mut self, peer: Option<PeerId>, error: &DialError) {
        let Some(peer) = peer.filter(|peer| self.open.of_peer(peer) == 0) else { return };
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
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admits(id, &peer, remote, true).map(|()| dummy::ConnectionHandler).map_err(ConnectionDenied::new)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addrs: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        match peer {
            Some(peer) => self.leave_for(id, &peer, addrs, role).map(|()| Vec::new()).map_err(ConnectionDenied::new),
            None => Ok(Vec::new()),
        }
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admits(id, &peer, addr, false).map(|()| dummy::ConnectionHandler).map_err(ConnectionDenied::new)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                self.backoff.clear(&event.peer_id);
                add(&mut self.open.per_peer, event.peer_id);
                self.open.total += 1;
                self.open.inbound += u32::from(event.endpoint.is_listener());
            }
            FromSwarm::ConnectionClosed(event) => {
                self.open.left(event.connection_id);
                subtract(&mut self.open.per_peer, &event.peer_id);
                self.open.total -= 1;
                self.open.inbound -= u32::from(event.endpoint.is_listener());
            }
            FromSwarm::ListenFailure(event) => self.open.left(event.connection_id),
            FromSwarm::DialFailure(event) => {
                self.open.left(event.connection_id);
                self.dial_failed(event.peer_id, event.error);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    fn gate(change: impl FnOnce(&mut Limits)) -> Behaviour {
        let mut limits = Limits::default();
        change(&mut limits);
        Behaviour::new(limits, Filters::default())
    }

    #[test]
    fn a_flood_from_one_address_is_cut_and_leaves_nothing_behind() {
        let mut gate = gate(|_| {});
        let flood = addr("/ip4/8.8.8.8/tcp/1");
        let results: Vec<_> = (0..10_000).map(|i| gate.enter(ConnectionId::new_unchecked(i), &flood)).collect();
        assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 8);
        assert_eq!(results[9_999], Err(Refused::PerAddress));
        assert_eq!(gate.enter(ConnectionId::new_unchecked(10_000), &addr("/ip4/9.9.9.9/tcp/1")), Ok(()));
        (0..=10_000).for_each(|i| gate.open.left(ConnectionId::new_unchecked(i)));
        assert!(gate.open.from.is_empty() && gate.open.per_origin.is_empty() && gate.open.pending_inbound.is_empty());
    }

    #[test]
    fn a_flood_from_everywhere_meets_the_bound_on_handshakes() {
        let mut gate = gate(|_| {});
        let from = |i: usize| addr(&format!("/ip4/11.{}.{}.1/tcp/1", i / 256 % 256, i % 256));
        let entered = (0..10_000).filter(|i| gate.enter(ConnectionId::new_unchecked(*i), &from(*i)).is_ok());
        assert_eq!(entered.count(), 256);
        assert_eq!(gate.enter(ConnectionId::new_unchecked(99_999), &from(0)), Err(Refused::Pending));
    }

    #[test]
    fn loopback_trusted_networks_and_relays_are_not_counted_by_address() {
        let mut gate = gate(|limits| limits.trusted_networks = vec!["/ip4/8.0.0.0/ipcidr/8".parse().expect("a mask")]);
        for (base, from) in
            ["/ip4/127.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/1", "/ip4/9.9.9.9/tcp/1/p2p-circuit"].iter().enumerate()
        {
            let all = (0..50).all(|i| gate.enter(ConnectionId::new_unchecked(base * 100 + i), &addr(from)).is_ok());
            assert!(all, "{from}");
        }
    }

    #[test]
    fn a_failed_dial_is_not_repeated_at_once() {
        let (mut gate, peer, id) = (gate(|_| {}), PeerId::random(), ConnectionId::new_unchecked(1));
        gate.dial_failed(Some(peer), &DialError::Transport(Vec::new()));
        let again = gate.leave_for(id, &peer, &[], Endpoint::Dialer);
        assert!(matches!(again, Err(Refused::Backoff(wait)) if wait <= Duration::from_secs(5)), "{again:?}");
        assert_eq!(gate.leave_for(id, &peer, &[], Endpoint::Listener), Ok(()), "hole punching goes on");
        gate.insist(&peer);
        assert_eq!(gate.leave_for(id, &peer, &[], Endpoint::Dialer), Ok(()));
        gate.dial_failed(Some(peer), &DialError::NoAddresses);
        assert_eq!(gate.leave_for(id, &peer, &[], Endpoint::Dialer), Ok(()), "nobody was dialed");
    }

    #[test]
    fn dials_under_way_are_bounded_and_trusted_peers_are_not() {
        let friend = PeerId::random();
        let mut gate = gate(|limits| {
            limits.pending_outbound = 5;
            limits.trusted_peers = vec![friend];
        });
        let dial = |gate: &mut Behaviour, i, peer| {
            gate.leave_for(ConnectionId::new_unchecked(i), &peer, &[], Endpoint::Dialer)
        };
        assert!((0..5).all(|i| dial(&mut gate, i, PeerId::random()).is_ok()));
        assert_eq!(dial(&mut gate, 5, PeerId::random()), Err(Refused::Pending));
        assert_eq!(dial(&mut gate, 6, friend), Ok(()));
        gate.open.left(ConnectionId::new_unchecked(0));
        gate.open.left(ConnectionId::new_unchecked(6));
        assert_eq!(dial(&mut gate, 7, PeerId::random()), Ok(()));
    }
}
