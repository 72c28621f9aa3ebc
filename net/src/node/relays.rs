//! Places at relays, for a node that can't be reached from outside.

use super::config::WANTED_RELAYS;
use libp2p::{Multiaddr, PeerId, core::transport::ListenerId, multiaddr::Protocol};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

/// Relays that are known and not used; the oldest is forgotten.
const MAX_CANDIDATES: usize = 64;
/// Time to find out whether the node can be reached before a relay is asked, as in go-libp2p (where it is longer).
const PATIENCE: Duration = Duration::from_secs(15);
/// Tag under which relays that are used are protected.
pub const TAG: &str = "relay";
/// Pause before a relay that refused or was lost is asked again.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
struct Candidate {
    relay: PeerId,
    addr: Multiaddr,
    not_before: Instant,
}

impl Candidate {
    /// What is listened on for a place.
    fn listener(&self) -> Multiaddr {
        self.addr.clone().with(Protocol::P2pCircuit)
    }
}

/// Decides at which relays to ask for a place.
#[derive(Debug)]
pub struct Relays {
    /// From the configuration: then no others are used.
    fixed: bool,
    candidates: VecDeque<Candidate>,
    used: HashMap<ListenerId, Candidate>,
    start: Instant,
}

impl Relays {
    /// With these relays, or, when there are none, with those that turn up.
    pub fn new(fixed: &[Multiaddr], now: Instant) -> Self {
        let candidates: VecDeque<_> = fixed
            .iter()
            .filter_map(|addr| {
                let (_, relay) = super::addr::split_peer(addr);
                Some(Candidate { relay: relay?, addr: addr.clone(), not_before: now })
            })
            .collect();
        Self { fixed: !candidates.is_empty(), candidates, used: HashMap::new(), start: now }
    }

    /// A connected peer relays for others; `addr` is where it is connected.
    pub fn found(&mut self, relay: PeerId, addr: &Multiaddr, now: Instant) {
        let known = self.candidates.iter().chain(self.used.values()).any(|c| c.relay == relay);
        if self.fixed || known || super::addr::is_relayed(addr) {
            return;
        }
        if self.candidates.len() >= MAX_CANDIDATES {
            self.candidates.pop_front();
        }
        let addr = super::addr::split_peer(addr).0.with(Protocol::P2p(relay));
        self.candidates.push_back(Candidate { relay, addr, not_before: now });
    }

    /// Addresses to listen on now. For each, [`Relays::listening`] or [`Relays::refused`] is to be called.
    pub fn due(&mut self, reachable: bool, now: Instant) -> Vec<(PeerId, Multiaddr)> {
        // Relays of the configuration were chosen by somebody who knows; others are not bothered without need.
        let wait = !self.fixed && (reachable || now.duration_since(self.start) < PATIENCE);
        let missing = WANTED_RELAYS.saturating_sub(self.used.len());
        if wait || missing == 0 {
            return Vec::new();
        }
        // One place at each relay, however many addresses it has.
        let mut relays: HashSet<PeerId> = self.used.values().map(|c| c.relay).collect();
        let ready = self.candidates.iter().filter(|c| c.not_before <= now && relays.insert(c.relay)).take(missing);
        ready.map(|c| (c.relay, c.listener())).collect()
    }

    /// A listener was opened at an address out of [`Relays::due`].
    pub fn listening(&mut self, addr: &Multiaddr, id: ListenerId) {
        if let Some(at) = self.candidates.iter().position(|c| c.listener() == *addr)
            && let Some(candidate) = self.candidates.remove(at)
        {
            self.used.insert(id, candidate);
        }
    }

    /// No listener could be opened there.
    pub fn refused(&mut self, addr: &Multiaddr, now: Instant) {
        for candidate in self.candidates.iter_mut().filter(|c| c.listener() == *addr) {
            candidate.not_before = now + PAUSE;
        }
    }

    /// A listener was closed. Answers which relay it was at, if at one.
    pub fn closed(&mut self, id: ListenerId, now: Instant) -> Option<PeerId> {
        let mut candidate = self.used.remove(&id)?;
        let relay = candidate.relay;
        candidate.not_before = now + PAUSE;
        self.candidates.push_back(candidate);
        Some(relay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_node_that_cannot_be_reached_takes_two_places_and_replaces_lost_ones() {
        let start = Instant::now();
        let mut relays = Relays::new(&[], start);
        let peers: Vec<PeerId> = (0..3).map(|_| PeerId::random()).collect();
        for peer in &peers {
            relays.found(*peer, &addr("/ip4/8.8.8.8/tcp/1"), start);
            relays.found(*peer, &addr("/ip4/8.8.8.8/tcp/1"), start);
        }
        assert!(relays.due(false, start).is_empty(), "it may yet turn out to be reachable");
        let now = start + PATIENCE;
        assert!(relays.due(true, now).is_empty(), "reachable");
        let due = relays.due(false, now);
        assert_eq!(due.len(), WANTED_RELAYS);
        assert_eq!(due[0].1, addr(&format!("/ip4/8.8.8.8/tcp/1/p2p/{}/p2p-circuit", due[0].0)));
        let ids: Vec<ListenerId> = due.iter().map(|_| ListenerId::next()).collect();
        due.iter().zip(&ids).for_each(|((_, addr), id)| relays.listening(addr, *id));
        assert!(relays.due(false, now).is_empty());
        assert_eq!(relays.closed(ids[0], now), Some(due[0].0));
        assert_eq!(relays.closed(ids[0], now), None);
        let next = relays.due(false, now);
        assert_eq!(
            next.iter().map(|(relay, _)| *relay).collect::<Vec<_>>(),
            [peers[2]],
            "not the lost one, for a while"
        );
        relays.refused(&next[0].1, now);
        assert!(relays.due(false, now).is_empty());
        assert_eq!(relays.due(false, now + PAUSE).len(), 1);
    }

    #[test]
    fn the_addresses_of_one_relay_take_one_place() {
        let (start, two, one) = (Instant::now(), PeerId::random(), PeerId::random());
        let at = |port: u16, relay| addr(&format!("/ip4/8.8.8.8/tcp/{port}/p2p/{relay}"));
        let mut relays = Relays::new(&[at(1, two), at(2, two), at(3, one)], start);
        let due = relays.due(false, start);
        assert_eq!(due.iter().map(|(relay, _)| *relay).collect::<Vec<_>>(), [two, one]);
        let id = ListenerId::next();
        relays.listening(&due[0].1, id);
        assert_eq!(relays.due(false, start).len(), 1, "the other address waits");
        relays.closed(id, start);
        assert_eq!(relays.due(false, start)[0].1, at(2, two).with(Protocol::P2pCircuit), "until the first is lost");
    }

    #[test]
    fn relays_of_the_configuration_are_used_at_once_and_alone() {
        let (start, relay) = (Instant::now(), PeerId::random());
        let mut relays = Relays::new(&[addr(&format!("/ip4/8.8.8.8/tcp/1/p2p/{relay}"))], start);
        relays.found(PeerId::random(), &addr("/ip4/8.8.8.8/tcp/1"), start);
        assert_eq!(relays.due(true, start).len(), 1);
    }
}
