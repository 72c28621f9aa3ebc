//! All peers of a region of the keyspace, with few lookups.
//!
//! A lookup of a point finds the 20 nearest. If the farthest of them shares c bits with the point, then everybody who
//! shares more than c bits is among the 20: that part of the keyspace is known. What remains of the region are the
//! other halves on the way up, and each of them is looked up in turn.

use super::{
    super::{key::{Id, Prefix}, message::{Kind, Message}},
    Network, Walk,
    lookup::K,
};
use crate::routing::Provider;
use rand::{RngCore, SeedableRng as _};
use std::{collections::BTreeMap, sync::Arc};

/// Peers that a region is expected to have. Regions of twice a bucket have at least a bucket, nearly always.
const REGION_PEERS: f64 = 40.0;
/// Bits beyond the region's own that are looked at. A part that deep has one or two peers by chance; one that still has
/// 20 is a crowd that somebody made.
const MAX_DEEPER: usize = 5;
/// Lookups in one region. At the limit the region is served with the peers found.
const MAX_LOOKUPS: usize = 48;
/// Peers of one region. At the limit the rest is left out.
pub(crate) const MAX_PEERS: usize = 1024;
/// Attempts to find a key that hashes into a prefix: enough for prefixes of 19 bits, thus networks of 500,000 peers
/// with [`MAX_DEEPER`] to spare.
const MAX_TRIES: usize = 1 << 22;

/// The length of the prefixes of regions in a network of that many peers.
pub(crate) fn prefix_len(network: f64) -> usize {
    let len = (network / REGION_PEERS).log2().floor();
    if len.is_finite() && len > 0.0 { (len as usize).min(32) } else { 0 }
}

/// The exploration of one region. No I/O.
#[derive(Debug)]
pub(crate) struct Explorer {
    prefix: Prefix,
    unknown: Vec<Prefix>,
    peers: BTreeMap<Id, Provider>,
    lookups: usize,
}

impl Explorer {
    /// Of a region of which nothing is known.
    pub(crate) fn new(prefix: Prefix) -> Self {
        Self { prefix, unknown: vec![prefix], peers: BTreeMap::new(), lookups: 0 }
    }

    /// Where to look next; `None` when all is known, or the bound is reached.
    pub(crate) fn next(&mut self) -> Option<Prefix> {
        loop {
            let next = self.unknown.pop()?;
            if self.lookups >= MAX_LOOKUPS {
                return None;
            }
            if next.len() <= self.prefix.len() + MAX_DEEPER {
                self.lookups += 1;
                return Some(next);
            }
        }
    }

    /// What a lookup of `target`, inside of `part`, found: nearest first.
    pub(crate) fn found(&mut self, part: Prefix, target: &Id, closest: &[Provider]) {
        for peer in closest {
            if self.peers.len() < MAX_PEERS {
                self.peers.insert(Id::of_peer(&peer.peer), peer.clone());
            }
        }
        // Fewer than asked for: there are no others.
        let Some(farthest) = closest.get(K - 1) else { return };
        let known = target.common_bits(&Id::of_peer(&farthest.peer)) + 1;
        for len in part.len() + 1..=known {
            self.unknown.push(Prefix::new(target, len).sibling());
        }
    }

    /// Whether too few peers are inside to be sure that the 20 nearest of every key of it are known. Then the region is
    /// doubled.
    pub(crate) fn widen(&mut self) -> bool {
        let inside = self.peers.keys().filter(|id| self.prefix.contains(id)).count();
        if inside >= K || self.prefix.len() == 0 {
            return false;
        }
        self.unknown.push(self.prefix.sibling());
        self.prefix = self.prefix.parent();
        true
    }

    /// The region, as wide as it has become.
    pub(crate) fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// Everybody found, also outside.
    pub(crate) fn into_peers(self) -> Vec<(Id, Provider)> {
        self.peers.into_iter().collect()
    }
}

/// Random bytes whose SHA-256 begins with a prefix; `None` when chance did not give any.
pub(crate) fn key_in(prefix: Prefix, rng: &mut dyn RngCore) -> Option<Vec<u8>> {
    let mut bytes = [0; 32];
    for _ in 0..MAX_TRIES {
        rng.fill_bytes(&mut bytes);
        if prefix.contains(&Id::of(&bytes)) {
            return Some(bytes.to_vec());
        }
    }
    None
}

/// A region and its peers.
pub(crate) struct Region {
    /// Where it is; at least as wide as asked for.
    pub(crate) prefix: Prefix,
    /// Its peers, and some from outside.
    pub(crate) peers: Vec<(Id, Provider)>,
}

/// Finds the peers of a region. The seed decides which points are looked up.
pub(crate) async fn explore(network: &Arc<dyn Network>, prefix: Prefix, seed: u64) -> Region {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let mut explorer = Explorer::new(prefix);
    loop {
        while let Some(part) = explorer.next() {
            // Up to 4 million hashes: not on a thread that others wait for.
            let tried = tokio::task::spawn_blocking(move || (key_in(part, &mut rng), rng)).await;
            let Ok((key, back)) = tried else { return Region { prefix, peers: explorer.into_peers() } };
            rng = back;
            let Some(key) = key else { continue };
            let target = Id::of(&key);
            let walk = Walk::start(Arc::clone(network), Message::ask(Kind::FindNode, key)).await;
            explorer.found(part, &target, &walk.closest().await);
        }
        if !explorer.widen() {
            return Region { prefix: explorer.prefix(), peers: explorer.into_peers() };
        }
    }
}

/// The region to which a key belongs, for when the nearest peers of the key can't be trusted.
pub(crate) async fn around(network: &Arc<dyn Network>, key: &[u8], seed: u64) -> Vec<Provider> {
    let len = prefix_len(network.size().unwrap_or(0.0));
    let region = explore(network, Prefix::new(&Id::of(key), len), seed).await;
    region.peers.into_iter().map(|(_, peer)| peer).collect()
}

/// The `K` of `peers` nearest to a point, as indices.
pub(crate) fn nearest(peers: &[(Id, Provider)], point: &Id) -> Vec<usize> {
    let mut order: Vec<usize> = (0..peers.len()).collect();
    let distance = |n: &usize| peers[*n].0.distance(point);
    if order.len() > K {
        order.select_nth_unstable_by_key(K - 1, distance);
        order.truncate(K);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::PeerId;
    use rand::rngs::StdRng;

    #[test]
    fn a_region_is_known_when_every_half_was_looked_at() {
        let peers: Vec<(Id, Provider)> = (0..2000)
            .map(|_| PeerId::random())
            .map(|peer| (Id::of_peer(&peer), Provider { peer, addrs: Vec::new() }))
            .collect();
        let mut rng = StdRng::seed_from_u64(1);
        let prefix = Prefix::new(&Id::of(b"somewhere"), prefix_len(2000.0));
        assert_eq!(prefix.len(), 5);
        let mut explorer = Explorer::new(prefix);
        while let Some(part) = explorer.next() {
            let target = Id::of(&key_in(part, &mut rng).expect("a short prefix"));
            let mut closest: Vec<_> = nearest(&peers, &target).into_iter().map(|n| peers[n].clone()).collect();
            closest.sort_by_key(|(id, _)| id.distance(&target));
            let closest: Vec<_> = closest.into_iter().map(|(_, p)| p).collect();
            explorer.found(part, &target, &closest);
        }
        assert!(!explorer.widen(), "63 peers are expected in 1/32 of 2000");
        let lookups = explorer.lookups;
        let found: std::collections::HashSet<Id> = explorer.into_peers().into_iter().map(|(id, _)| id).collect();
        let inside: Vec<&Id> = peers.iter().map(|(id, _)| id).filter(|id| prefix.contains(id)).collect();
        assert!(inside.len() > 30 && inside.iter().all(|id| found.contains(id)), "{} inside", inside.len());
        assert!(lookups <= 16, "{lookups} lookups for {} peers", inside.len());
    }
}
