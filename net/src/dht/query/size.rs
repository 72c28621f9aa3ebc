//! How many peers there are, from how near the nearest ones are.
//!
//! In a network of n uniform ids the 20th nearest is at 20/n of the keyspace on average, so one lookup says
//! n ≈ 19 / distance of the 20th, give or take 22 %. The median of the last lookups stands against the few that land
//! where somebody made ids.

use super::{super::key::Id, lookup::K};
use std::collections::VecDeque;

/// Lookups that count.
const WINDOW: usize = 64;
/// Lookups before there is an estimate.
const FEWEST: usize = 3;

/// An estimate that follows the lookups.
#[derive(Debug, Default)]
pub(crate) struct NetworkSize {
    samples: VecDeque<f64>,
}

impl NetworkSize {
    /// Takes the distances, nearest first, of the peers that a lookup found.
    pub(crate) fn observe(&mut self, distances: &[Id]) {
        let sample = match distances.get(K - 1) {
            Some(farthest) if farthest.fraction() > 0.0 => (K - 1) as f64 / farthest.fraction(),
            Some(_) => return,
            // Fewer than a bucket answered: that is the network.
            None if !distances.is_empty() => distances.len() as f64,
            None => return,
        };
        if self.samples.len() == WINDOW {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Peers in the network; `None` before enough lookups.
    pub(crate) fn estimate(&self) -> Option<f64> {
        if self.samples.len() < FEWEST {
            return None;
        }
        let mut sorted: Vec<f64> = self.samples.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    #[test]
    fn the_estimate_is_near_the_truth() {
        let mut rng = StdRng::seed_from_u64(7);
        for peers in [100usize, 1000, 10_000] {
            let ids: Vec<Id> = (0..peers).map(|_| Id(rng.random())).collect();
            let mut size = NetworkSize::default();
            assert_eq!(size.estimate(), None);
            for _ in 0..WINDOW {
                let target = Id(rng.random());
                let mut distances: Vec<Id> = ids.iter().map(|id| id.distance(&target)).collect();
                distances.sort();
                size.observe(&distances[..K]);
            }
            let ratio = size.estimate().expect("enough lookups") / peers as f64;
            assert!((0.8..1.25).contains(&ratio), "{peers} peers, estimate off by {ratio}");
        }
    }
}
