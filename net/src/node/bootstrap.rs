//! Finding a way into the network: bootstrap peers, and peers of earlier days.

use super::addr::split_peer;
use libp2p::{Multiaddr, PeerId};
use rand::{Rng, seq::SliceRandom as _};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// With fewer peers than this, some are dialed: Kubo's numbers, as is the time between two rounds.
pub const ENOUGH: usize = 4;
const ROUND: Duration = Duration::from_secs(30);
/// Peers of earlier days that are dialed in one round.
pub const FRIENDS: usize = 8;

/// Decides when to dial whom.
#[derive(Debug, Default)]
pub struct Bootstrap {
    peers: BTreeMap<PeerId, Vec<Multiaddr>>,
    last: Option<Instant>,
}

impl Bootstrap {
    /// With these addresses, each of which ends with a peer.
    pub fn new(addrs: impl IntoIterator<Item = Multiaddr>) -> Self {
        let mut peers: BTreeMap<PeerId, Vec<Multiaddr>> = BTreeMap::new();
        for addr in addrs {
            if let (addr, Some(peer)) = split_peer(&addr) {
                peers.entry(peer).or_default().push(addr);
            }
        }
        Self { peers, last: None }
    }

    /// Whether it is time for a round.
    pub fn is_due(&self, connected: usize, now: Instant) -> bool {
        connected < ENOUGH && self.last.is_none_or(|last| now.duration_since(last) >= ROUND)
    }

    /// Begins a round: as many bootstrap peers as are missing, chosen by chance, out of those that are not connected.
    pub fn round(
        &mut self,
        connected: usize,
        is_connected: impl Fn(&PeerId) -> bool,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.last = Some(now);
        let mut peers: Vec<_> = self.peers.iter().filter(|(peer, _)| !is_connected(peer)).collect();
        peers.shuffle(rng);
        let missing = ENOUGH.saturating_sub(connected);
        peers.into_iter().take(missing).map(|(peer, addrs)| (*peer, addrs.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng as _, rngs::StdRng};

    #[test]
    fn rounds_come_while_peers_are_missing() {
        let mut rng = StdRng::seed_from_u64(3);
        let addrs =
            (0..6).map(|i| format!("/ip4/1.2.3.4/tcp/{i}/p2p/{}", PeerId::random()).parse().expect("an address"));
        let (mut bootstrap, start) = (Bootstrap::new(addrs), Instant::now());
        assert!(!bootstrap.is_due(ENOUGH, start));
        assert!(bootstrap.is_due(1, start));
        let first = bootstrap.round(1, |_| false, start, &mut rng);
        assert_eq!(first.len(), 3);
        assert!(!bootstrap.is_due(1, start + ROUND / 2));
        assert!(bootstrap.is_due(1, start + ROUND));
        let taken = first[0].0;
        let second = bootstrap.round(0, |peer| *peer == taken, start + ROUND, &mut rng);
        assert!(second.len() == 4 && second.iter().all(|(peer, _)| *peer != taken));
    }
}
