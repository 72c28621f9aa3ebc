//! Pauses between dials to a peer that could not be reached.

use libp2p::{Multiaddr, PeerId};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Peers that are remembered; beyond, the one whose pause ends first is forgotten.
const MAX_PEERS: usize = 4096;
/// Addresses of a peer that are remembered as tried.
const MAX_TRIED: usize = 16;
/// First pause. With every further failure in a row it grows by the square of their number, in seconds: go-libp2p's.
const BASE: Duration = Duration::from_secs(5);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(300);

#[derive(Debug)]
struct Entry {
    failures: u32,
    until: Instant,
    tried: Vec<Multiaddr>,
}

/// Who is not dialed for now.
#[derive(Debug, Default)]
pub struct Backoff {
    peers: HashMap<PeerId, Entry>,
}

impl Backoff {
    /// A dial failed at these addresses.
    pub fn failed(&mut self, peer: PeerId, addrs: impl IntoIterator<Item = Multiaddr>, now: Instant) {
        if !self.peers.contains_key(&peer) && self.peers.len() >= MAX_PEERS {
            self.make_room(now);
        }
        let entry = self.peers.entry(peer).or_insert(Entry { failures: 0, until: now, tried: Vec::new() });
        let pause = BASE + Duration::from_secs(u64::from(entry.failures).pow(2));
        entry.failures = entry.failures.saturating_add(1);
        entry.until = now + pause.min(LONGEST);
        for addr in addrs {
            if entry.tried.len() < MAX_TRIED && !entry.tried.contains(&addr) {
                entry.tried.push(addr);
            }
        }
    }

    fn make_room(&mut self, now: Instant) {
        self.peers.retain(|_, entry| entry.until > now);
        if self.peers.len() >= MAX_PEERS {
            let first = self.peers.iter().min_by_key(|(_, entry)| entry.until).map(|(peer, _)| *peer);
            first.map(|peer| self.peers.remove(&peer));
        }
    }

    /// The peer was reached, or somebody insists.
    pub fn clear(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }

    /// How long a dial to the peer must wait yet; `None` when it need not. An address that was not tried yet may be
    /// tried at once.
    pub fn wait(&self, peer: &PeerId, addrs: &[Multiaddr], now: Instant) -> Option<Duration> {
        let entry = self.peers.get(peer)?;
        let untried = entry.tried.len() < MAX_TRIED && addrs.iter().any(|addr| !entry.tried.contains(addr));
        let wait = entry.until.saturating_duration_since(now);
        (!untried && wait > Duration::ZERO).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> Multiaddr {
        format!("/ip4/1.2.3.4/tcp/{port}").parse().expect("an address")
    }

    #[test]
    fn pauses_grow_to_a_bound_and_end() {
        let (mut backoff, peer, mut now) = (Backoff::default(), PeerId::random(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..20 {
            backoff.failed(peer, [addr(1)], now);
            let wait = backoff.wait(&peer, &[addr(1)], now).expect("a pause");
            now += wait;
            assert_eq!(backoff.wait(&peer, &[addr(1)], now), None, "it is over");
            pauses.push(wait.as_secs());
        }
        assert_eq!(pauses[..4], [5, 6, 9, 14]);
        assert_eq!(*pauses.last().expect("some"), LONGEST.as_secs());
        backoff.failed(peer, [], now);
        backoff.clear(&peer);
        assert_eq!(backoff.wait(&peer, &[], now), None);
    }

    #[test]
    fn an_address_not_tried_yet_may_be_tried_until_many_were() {
        let (mut backoff, peer, now) = (Backoff::default(), PeerId::random(), Instant::now());
        backoff.failed(peer, [addr(1)], now);
        assert!(backoff.wait(&peer, &[addr(1)], now).is_some());
        assert!(backoff.wait(&peer, &[], now).is_some());
        assert!(backoff.wait(&peer, &[addr(1), addr(2)], now).is_none());
        backoff.failed(peer, (0..100).map(addr), now);
        assert!(backoff.wait(&peer, &[addr(200)], now).is_some(), "endless new addresses do not get round it");
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for _ in 0..MAX_PEERS + 100 {
            backoff.failed(PeerId::random(), [addr(1)], now);
        }
        assert_eq!(backoff.peers.len(), MAX_PEERS);
    }
}
