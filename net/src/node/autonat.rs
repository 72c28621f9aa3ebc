//! The AutoNAT v2 server within bounds: it dials what strangers name.
//!
//! A client names an address and is dialed there. So that nobody makes this node connect into its own network, an
//! address that is not public is dialed only on the IP address that the client is connected from, and names and relayed
//! addresses are not dialed at all. Rates are go-libp2p's. A request beyond them is answered with an internal error,
//! which says nothing about the client's address; the connection of a dial-back is closed when it has served.

use super::addr::{Scope, ip_of, is_relayed, scope};
use libp2p::{
    Multiaddr, PeerId,
    autonat::v2::server,
    core::{Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, derive_prelude::Either,
    },
};
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Dial-backs that are under way at once; a further request is refused.
const MAX_RUNNING: usize = 16;
/// Dial-backs in one [`WINDOW`], and of them those for one peer.
const PER_WINDOW: usize = 60;
const PER_PEER: usize = 12;
const WINDOW: Duration = Duration::from_secs(60);
/// A dial-back that took so long is over: a client may take the connection and not answer on it.
const LONGEST: Duration = Duration::from_secs(30);

/// The client may not be dialed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("clients of AutoNAT are not dialed at this address")]
struct NotDialed;

/// Dial-backs of the last minute: at most [`PER_WINDOW`].
#[derive(Debug, Default)]
struct Rate(VecDeque<(Instant, PeerId)>);

impl Rate {
    fn admits(&mut self, peer: PeerId, now: Instant) -> bool {
        while self.0.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW) {
            self.0.pop_front();
        }
        let of_peer = self.0.iter().filter(|(_, other)| *other == peer).count();
        let admits = self.0.len() < PER_WINDOW && of_peer < PER_PEER;
        if admits {
            self.0.push_back((now, peer));
        }
        admits
    }
}

/// The server.
pub struct Behaviour {
    inner: server::Behaviour,
    rate: Rate,
    /// Dial-backs that were asked for and not begun.
    asked: usize,
    running: HashMap<ConnectionId, (PeerId, Instant)>,
    /// Where connected peers are: as many as there are connections.
    from: HashMap<ConnectionId, (PeerId, IpAddr)>,
    /// Connections that have served: at most [`MAX_RUNNING`] for each poll.
    served: Vec<(PeerId, ConnectionId)>,
}

impl Behaviour {
    /// Serves nobody yet.
    pub fn new() -> Self {
        Self {
            inner: server::Behaviour::default(),
            rate: Rate::default(),
            asked: 0,
            running: HashMap::new(),
            from: HashMap::new(),
            served: Vec::new(),
        }
    }

    fn admits(&mut self, peer: PeerId, now: Instant) -> bool {
        let over = self.running.extract_if(|_, (_, since)| now.saturating_duration_since(*since) >= LONGEST);
        self.served.extend(over.map(|(id, (peer, _))| (peer, id)));
        self.asked + self.running.len() < MAX_RUNNING && self.rate.admits(peer, now)
    }

    fn dials(&self, peer: Option<PeerId>, addr: &Multiaddr) -> bool {
        let Some(ip) = ip_of(addr).filter(|_| !is_relayed(addr)) else { return false };
        scope(addr) == Scope::Public
            || self.from.values().any(|(client, from)| Some(*client) == peer && *from == ip.to_canonical())
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<server::Behaviour>;
    type ToSwarm = server::Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addrs: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if self.running.contains_key(&id) && !addrs.iter().all(|addr| self.dials(peer, addr)) {
            return Err(ConnectionDenied::new(NotDialed));
        }
        self.inner.handle_pending_outbound_connection(id, peer, addrs, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(id, peer, addr, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::ConnectionEstablished(event) => {
                let remote = event.endpoint.get_remote_address();
                if let Some(ip) = ip_of(remote).filter(|_| !is_relayed(remote)) {
                    self.from.insert(event.connection_id, (event.peer_id, ip.to_canonical()));
                }
            }
            FromSwarm::ConnectionClosed(event) => {
                self.from.remove(&event.connection_id);
                self.running.remove(&event.connection_id);
            }
            FromSwarm::DialFailure(event) => _ = self.running.remove(&event.connection_id),
            _ => {}
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        if event.as_ref().left().is_some() && self.running.remove(&id).is_some() {
            self.served.push((peer, id));
        }
        // A request for a dial-back. Who drops it answers it with an internal error.
        if event.as_ref().right().is_some_and(Either::is_left) {
            if !self.admits(peer, Instant::now()) {
                tracing::debug!(%peer, "not dialed back: too many requests");
                return;
            }
            self.asked += 1;
        }
        self.inner.on_connection_handler_event(peer, id, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<server::Event, THandlerInEvent<Self>>> {
        if let Some((peer_id, id)) = self.served.pop() {
            return Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::One(id) });
        }
        let event = self.inner.poll(cx);
        if let Poll::Ready(ToSwarm::Dial { opts }) = &event {
            self.asked = self.asked.saturating_sub(1);
            if let Some(peer) = opts.get_peer_id() {
                self.running.insert(opts.connection_id(), (peer, Instant::now()));
            }
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    #[test]
    fn nobody_is_dialed_in_a_network_that_it_is_not_in() {
        let (mut server, client, other) = (Behaviour::new(), PeerId::random(), PeerId::random());
        let id = ConnectionId::new_unchecked(7);
        server.running.insert(id, (client, Instant::now()));
        server.from.insert(ConnectionId::new_unchecked(1), (client, "192.168.1.5".parse().expect("an IP")));
        server.from.insert(ConnectionId::new_unchecked(2), (other, "127.0.0.1".parse().expect("an IP")));
        let mut dials = |id, peer, text: &str| {
            server.handle_pending_outbound_connection(id, Some(peer), &[addr(text)], Endpoint::Dialer).is_ok()
        };
        for (good, text) in [
            (true, "/ip4/8.8.8.8/tcp/4001"),
            (true, "/ip4/192.168.1.5/tcp/4001"),
            (false, "/ip4/192.168.1.1/tcp/80"),
            (false, "/ip4/127.0.0.1/tcp/5001"),
            (false, "/ip6/::ffff:127.0.0.1/tcp/5001"),
            (false, "/ip4/169.254.169.254/tcp/80"),
            (false, "/dns4/localhost.example/tcp/5001"),
            (false, "/memory/5"),
            (false, "/ip4/8.8.8.8/tcp/1/p2p/12D3KooWFEXt93LX275oAyAgugXNiFc8pp6cfnoUqZ34vPdhVuFV/p2p-circuit"),
        ] {
            assert_eq!(dials(id, client, text), good, "{text}");
        }
        assert!(dials(id, other, "/ip4/127.0.0.1/tcp/5001"), "it is on this machine itself");
        assert!(dials(ConnectionId::new_unchecked(8), client, "/ip4/127.0.0.1/tcp/1"), "no dial-back: not judged here");
    }

    #[test]
    fn clients_that_do_not_answer_hold_no_place_for_long() {
        let (mut server, start) = (Behaviour::new(), Instant::now());
        for id in 0..MAX_RUNNING {
            server.running.insert(ConnectionId::new_unchecked(id), (PeerId::random(), start));
        }
        assert!(!server.admits(PeerId::random(), start));
        assert!(server.admits(PeerId::random(), start + LONGEST));
        assert_eq!(server.served.len(), MAX_RUNNING, "their connections are closed");
    }

    #[test]
    fn dial_backs_have_go_libp2ps_rates() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let loud = PeerId::random();
        assert_eq!((0..100).filter(|_| rate.admits(loud, start)).count(), PER_PEER);
        assert_eq!((0..100).filter(|_| rate.admits(PeerId::random(), start)).count(), PER_WINDOW - PER_PEER);
        assert!(rate.admits(loud, start + WINDOW));
    }
}
