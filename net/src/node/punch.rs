//! Holes punched once more. libp2p's DCUtR proposes the addresses that the node knew when a relayed connection opened,
//! and tries three times within moments. When that was before anybody had told the node its address, or the machine was
//! too busy to dial in step, the peers would stay on the relay. So the node that dialed through it dials there again a
//! while later: each new connection through the relay brings a new attempt, with what is known by then.

use super::addr::is_relayed;
use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm,
        dial_opts::{DialOpts, PeerCondition},
        dummy,
    },
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How long after the last attempt the next one is made. After these the peers stay on the relay, until the connection
/// there has ended and one of them dials again.
const WAITS: [Duration; 3] = [Duration::from_secs(3), Duration::from_secs(15), Duration::from_secs(45)];
/// How often it is looked who is due.
const CHECK: Duration = Duration::from_secs(1);

/// Who is reached how: at most as much as there are connections.
#[derive(Debug, Default)]
struct Links {
    peers: HashMap<PeerId, Link>,
}

#[derive(Debug, Default)]
struct Link {
    direct: HashSet<ConnectionId>,
    /// Those that this node dialed through a relay, and where.
    relayed: HashMap<ConnectionId, Multiaddr>,
    /// Further attempts that were made, and when the next one is due.
    attempts: usize,
    due: Option<Instant>,
}

impl Links {
    fn opened(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint, now: Instant) {
        let link = self.peers.entry(peer).or_default();
        match endpoint {
            ConnectedPoint::Dialer { address, .. } if is_relayed(address) => {
                link.relayed.insert(id, address.clone());
                if link.due.is_none() {
                    link.due = WAITS.get(link.attempts).map(|wait| now + *wait);
                }
            }
            _ if endpoint.is_relayed() => {}
            _ => {
                link.direct.insert(id);
            }
        }
    }

    fn closed(&mut self, peer: PeerId, id: ConnectionId, remaining: usize) {
        if let Some(link) = self.peers.get_mut(&peer) {
            link.direct.remove(&id);
            link.relayed.remove(&id);
        }
        if remaining == 0 {
            self.peers.remove(&peer);
        }
    }

    /// The relayed address of a peer whose time has come.
    fn due(&mut self, now: Instant) -> Option<(PeerId, Multiaddr)> {
        self.peers.iter_mut().find_map(|(peer, link)| {
            link.due.filter(|due| *due <= now)?;
            link.due = None;
            if !link.direct.is_empty() {
                return None;
            }
            let address = link.relayed.values().next()?.clone();
            link.attempts += 1;
            link.due = WAITS.get(link.attempts).map(|wait| now + *wait);
            Some((*peer, address))
        })
    }
}

/// Dials through a relay again as long as that is the only way to a peer.
pub struct Behaviour {
    links: Links,
    timer: Interval,
    /// As many as there are connected peers.
    dials: VecDeque<(PeerId, Multiaddr)>,
}

impl Behaviour {
    /// Inside of a tokio runtime.
    pub fn new() -> Self {
        let mut timer = interval(CHECK);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { links: Links::default(), timer, dials: VecDeque::new() }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                self.links.opened(event.peer_id, event.connection_id, event.endpoint, Instant::now());
            }
            FromSwarm::ConnectionClosed(event) => {
                self.links.closed(event.peer_id, event.connection_id, event.remaining_established);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        while self.timer.poll_tick(cx).is_ready() {
            let now = Instant::now();
            self.dials.extend(std::iter::from_fn(|| self.links.due(now)));
        }
        if let Some((peer, address)) = self.dials.pop_front() {
            tracing::debug!(%peer, %address, "still on a relay, a hole is punched once more");
            let opts = DialOpts::peer_id(peer).addresses(vec![address]).condition(PeerCondition::Always).build();
            return Poll::Ready(ToSwarm::Dial { opts });
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialed(address: &Multiaddr) -> ConnectedPoint {
        ConnectedPoint::Dialer { address: address.clone(), role_override: Endpoint::Dialer, port_use: PortUse::Reuse }
    }

    fn relayed() -> Multiaddr {
        let way = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWEWsAUqaTJxyEMBtAyzjdZUrJ7Vi2xh6v2jg1Ppkoi3hB/p2p-circuit";
        way.parse().expect("an address")
    }

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    #[test]
    fn a_peer_on_a_relay_is_dialed_again_a_few_times() {
        let (mut links, peer, start) = (Links::default(), PeerId::random(), Instant::now());
        links.opened(peer, id(1), &dialed(&relayed()), start);
        assert_eq!(links.due(start), None, "DCUtR's own attempt comes first");
        let mut now = start;
        for (number, wait) in WAITS.into_iter().enumerate() {
            now += wait;
            assert_eq!(links.due(now), Some((peer, relayed())));
            assert_eq!(links.due(now), None);
            links.opened(peer, id(2 + number), &dialed(&relayed()), now);
        }
        assert_eq!(links.due(now + Duration::from_secs(3600)), None, "not for ever");
    }

    #[test]
    fn a_direct_connection_ends_it() {
        let (mut links, peer, now) = (Links::default(), PeerId::random(), Instant::now());
        links.opened(peer, id(1), &dialed(&relayed()), now);
        links.opened(peer, id(2), &dialed(&"/ip4/127.0.0.1/tcp/1".parse().expect("an address")), now);
        assert_eq!(links.due(now + WAITS[0]), None);
        links.closed(peer, id(2), 1);
        links.closed(peer, id(1), 0);
        assert!(links.peers.is_empty(), "nothing stays behind");
    }
}
