//! Peers that the node stays connected with (`Peering.Peers`, `swarm peering`).

use libp2p::{Multiaddr, PeerId};
use rand::Rng;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Peers that may be listed; adding more is refused.
pub const MAX_PEERS: usize = 1024;
/// Tag under which they are protected.
pub const TAG: &str = "peering";
/// First pause before a lost peer is dialed again, and the longest: Kubo's.
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(600);
/// By how much a pause grows with each failure.
const GROWTH: f64 = 1.5;
/// A pause is up to this part longer, so that nodes that lost each other do not dial in step.
const JITTER: f64 = 0.25;

#[derive(Debug)]
struct Peer {
    addrs: Vec<Multiaddr>,
    pause: Duration,
    /// When to dial; `None` while connected.
    next: Option<Instant>,
}

/// Decides whom to dial, and when.
#[derive(Debug, Default)]
pub struct Peering {
    peers: BTreeMap<PeerId, Peer>,
}

impl Peering {
    /// Adds a peer, or replaces its addresses; dials it now unless it is connected. `false`: the list is full.
    pub fn add(&mut self, peer: PeerId, addrs: Vec<Multiaddr>, connected: bool, now: Instant) -> bool {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer) {
            return false;
        }
        let next = (!connected).then_some(now);
        self.peers.insert(peer, Peer { addrs, pause: FIRST, next });
        true
    }

    /// Removes a peer. `false`: it was not there.
    pub fn remove(&mut self, peer: &PeerId) -> bool {
        self.peers.remove(peer).is_some()
    }

    /// The peers and their addresses, in order.
    pub fn list(&self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.peers.iter().map(|(id, peer)| (*id, peer.addrs.clone())).collect()
    }

    /// A connection with a peer was made.
    pub fn connected(&mut self, peer: &PeerId) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.next = None;
            peer.pause = FIRST;
        }
    }

    /// The last connection with a peer was closed.
    pub fn disconnected(&mut self, peer: &PeerId, now: Instant) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.next = Some(now + peer.pause);
        }
    }

    /// Peers to dial now. Until one is connected it comes again, after pauses that grow.
    pub fn due(&mut self, now: Instant, rng: &mut impl Rng) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut due = Vec::new();
        for (id, peer) in &mut self.peers {
            if peer.next.is_some_and(|next| next <= now) {
                peer.next = Some(now + peer.pause.mul_f64(1.0 + rng.random_range(0.0..JITTER)));
                peer.pause = peer.pause.mul_f64(GROWTH).min(LONGEST);
                due.push((*id, peer.addrs.clone()));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng as _, rngs::StdRng};

    #[test]
    fn a_lost_peer_is_dialed_again_after_growing_pauses() {
        let (mut rng, mut peering, start) = (StdRng::seed_from_u64(7), Peering::default(), Instant::now());
        let peer = PeerId::random();
        assert!(peering.add(peer, Vec::new(), false, start));
        let mut dials = Vec::new();
        for second in 0..7200 {
            let now = start + Duration::from_secs(second);
            dials.extend(peering.due(now, &mut rng).iter().map(|_| second));
        }
        let pauses: Vec<u64> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(dials[0], 0);
        assert!((5..=7).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses.iter().all(|p| *p <= 751) && pauses[pauses.len() - 1] >= 600, "{pauses:?}");
        peering.connected(&peer);
        let later = start + Duration::from_secs(100_000);
        assert!(peering.due(later, &mut rng).is_empty(), "connected");
        peering.disconnected(&peer, later);
        assert!(peering.due(later, &mut rng).is_empty(), "not at once");
        assert_eq!(peering.due(later + FIRST, &mut rng).len(), 1);
        assert!(peering.remove(&peer) && !peering.remove(&peer));
    }

    #[test]
    fn the_list_is_bounded() {
        let mut peering = Peering::default();
        let added = (0..MAX_PEERS + 5).filter(|_| peering.add(PeerId::random(), Vec::new(), true, Instant::now()));
        assert_eq!(added.count(), MAX_PEERS);
    }
}
