//! `identify`, with bounds round what strangers say of themselves and of us.
//!
//! A message of identify has at most 4 KiB; a peer may push a new one whenever it likes, and may say of us that it
//! sees us anywhere. So: pushes are counted, lists are cut, and addresses that we are said to have are a bounded set.
//! Signed peer records are verified, and must be those of the connected peer, inside of libp2p; the addresses that
//! identify finds go only to the address book, under the connected peer's ID (CVE-2023-40583, RUSTSEC-2022-0009).

use super::{
    addr::{Origin, ip_of},
    announce::Announce,
    config::Config,
};
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    identify,
    identity::Keypair,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm,
    },
};
use std::{
    collections::HashMap,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// What Kubo's nodes say they speak.
pub const PROTOCOL_VERSION: &str = "ipfs/0.1.0";
/// Addresses of a peer that are heard.
pub const MAX_ADDRS: usize = 32;
/// Protocols of a peer that are heard.
pub const MAX_PROTOCOLS: usize = 128;
/// Characters of a peer's agent and protocol version that are kept.
const MAX_TEXT: usize = 128;
/// Addresses that we may have, by what others say, in one [`WINDOW`], and of them those that one IP address (or one /56
/// of IPv6) makes up: one for each of our transports. Further ones are not heard.
const MAX_CANDIDATES: usize = 128;
const PER_ORIGIN: usize = 4;
/// How often the candidates are forgotten.
const WINDOW: Duration = Duration::from_secs(3600);
/// Messages of a peer that are heard at once, and how long one more takes to be heard.
const BURST: u32 = 8;
const REFILL: Duration = Duration::from_secs(10);

/// Bounds what others may say.
#[derive(Debug)]
struct Bounds {
    /// Each with whoever said it first.
    candidates: HashMap<Multiaddr, Option<Origin>>,
    since: Instant,
    /// Where connections come from: as many as are open.
    from: HashMap<ConnectionId, Origin>,
    /// Messages of each connected peer that may still be heard, and when that was reckoned.
    budgets: HashMap<PeerId, (u32, Instant)>,
}

impl Bounds {
    fn new(now: Instant) -> Self {
        Self { candidates: HashMap::new(), since: now, from: HashMap::new(), budgets: HashMap::new() }
    }

    /// Whether one more message of a peer is heard.
    fn hears(&mut self, peer: PeerId, now: Instant) -> bool {
        let (left, at) = self.budgets.entry(peer).or_insert((BURST, now));
        let refill = u32::try_from(now.saturating_duration_since(*at).as_secs() / REFILL.as_secs()).unwrap_or(BURST);
        if refill > 0 {
            *left = left.saturating_add(refill).min(BURST);
            *at = now;
        }
        let hears = *left > 0;
        *left = left.saturating_sub(1);
        hears
    }

    /// Whether an address may be one of ours, by what was said from there.
    fn believes(&mut self, addr: &Multiaddr, origin: Option<Origin>, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= WINDOW {
            self.since = now;
            self.candidates.clear();
        }
        if self.candidates.contains_key(addr) {
            return true;
        }
        let from_there = self.candidates.values().filter(|other| **other == origin).count();
        let believes = self.candidates.len() < MAX_CANDIDATES && from_there < PER_ORIGIN;
        if believes {
            self.candidates.insert(addr.clone(), origin);
        }
        believes
    }
}

fn cut(text: &mut String) {
    if let Some((at, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(at);
    }
}

/// `identify` within bounds, and saying only what is announced.
pub struct Behaviour {
    inner: identify::Behaviour,
    announce: Announce,
    bounds: Bounds,
    /// The connection whose message was heard last: candidates that follow are from there.
    heard: Option<ConnectionId>,
}

impl Behaviour {
    /// Speaks for the owner of these keys.
    pub fn new(config: &Config, keys: &Keypair) -> Self {
        // Without a signed record of the addresses: libp2p-identify signs it in a form of its own, older than the
        // specification (RFC 0003), and js-libp2p then throws away all that the message says.
        let settings = identify::Config::new(PROTOCOL_VERSION.to_owned(), keys.public())
            .with_agent_version(config.agent.clone())
            .with_push_listen_addr_updates(true)
            // The address book remembers.
            .with_cache_size(0);
        Self {
            inner: identify::Behaviour::new(settings),
            announce: config.announce.clone(),
            bounds: Bounds::new(Instant::now()),
            heard: None,
        }
    }
}

type Inner = identify::Behaviour;

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<Inner>;
    type ToSwarm = identify::Event;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(id, local, remote)
    }

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
        let ours = match &event {
            FromSwarm::NewListenAddr(event) => Some(event.addr),
            FromSwarm::ExternalAddrConfirmed(event) => Some(event.addr),
            _ => None,
        };
        match &event {
            FromSwarm::ConnectionEstablished(event) => {
                if let Some(ip) = ip_of(event.endpoint.get_remote_address()) {
                    self.bounds.from.insert(event.connection_id, Origin::of(ip));
                }
            }
            FromSwarm::ConnectionClosed(event) => {
                self.bounds.from.remove(&event.connection_id);
                if event.remaining_established == 0 {
                    self.bounds.budgets.remove(&event.peer_id);
                }
            }
            _ => {}
        }
        // What identify does not hear of, it can't tell.
        if ours.is_none_or(|addr| self.announce.allows(addr) || self.announce.fixed().any(|fixed| fixed == addr)) {
            self.inner.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, id, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<identify::Event, THandlerInEvent<Self>>> {
        loop {
            match self.inner.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(ToSwarm::NewExternalAddrCandidate(addr)) => {
                    let Some(heard) = &self.heard else { continue };
                    let origin = self.bounds.from.get(heard).copied();
                    if self.bounds.believes(&addr, origin, Instant::now()) {
                        return Poll::Ready(ToSwarm::NewExternalAddrCandidate(addr));
                    }
                }
                Poll::Ready(ToSwarm::GenerateEvent(identify::Event::Received { connection_id, peer_id, mut info })) => {
                    let hears = self.bounds.hears(peer_id, Instant::now());
                    self.heard = hears.then_some(connection_id);
                    if hears {
                        info.listen_addrs.truncate(MAX_ADDRS);
                        info.protocols.truncate(MAX_PROTOCOLS);
                        cut(&mut info.agent_version);
                        cut(&mut info.protocol_version);
                        let event = identify::Event::Received { connection_id, peer_id, info };
                        return Poll::Ready(ToSwarm::GenerateEvent(event));
                    }
                }
                Poll::Ready(other) => return Poll::Ready(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_messages_is_heard_at_a_fixed_rate() {
        let start = Instant::now();
        let (mut bounds, loud, quiet) = (Bounds::new(start), PeerId::random(), PeerId::random());
        let mut heard = 0;
        for millisecond in 0..60_000 {
            heard += u32::from(bounds.hears(loud, start + Duration::from_millis(millisecond)));
        }
        assert_eq!(heard, BURST + 5, "a burst, then one in ten seconds");
        assert!(bounds.hears(quiet, start + Duration::from_secs(60)), "others are heard");
    }

    #[test]
    fn made_up_addresses_of_ours_are_a_bounded_set() {
        let start = Instant::now();
        let mut bounds = Bounds::new(start);
        let addr = |i: usize| -> Multiaddr { format!("/ip4/1.2.3.4/tcp/{i}").parse().expect("an address") };
        let origin = |i: u32| Some(Origin::of(std::net::Ipv4Addr::from_bits(i).into()));
        let believed = (0..10_000).filter(|i| bounds.believes(&addr(*i), origin(1), start)).count();
        assert_eq!(believed, PER_ORIGIN, "one liar does not speak for all");
        assert!(bounds.believes(&addr(0), origin(1), start), "known ones may be said again");
        let believed = (0..10_000).filter(|i| bounds.believes(&addr(*i), origin(*i as u32 + 2), start)).count();
        assert_eq!(believed, MAX_CANDIDATES, "of which some were known");
        assert!(bounds.believes(&addr(9_999), origin(1), start + WINDOW), "and others later");
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let mut text = "ü".repeat(1000);
        cut(&mut text);
        assert_eq!(text.chars().count(), MAX_TEXT);
    }
}
