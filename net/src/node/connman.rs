//! The connection manager: closes connections when there are too many (`Swarm.ConnMgr`).
//!
//! [`Core`] decides and knows no I/O; [`Behaviour`] sits in the swarm and does what it says.

mod behaviour;
mod protection;

pub use behaviour::Behaviour;
pub use protection::Protection;

use super::config::ConnMgr;
use libp2p::{PeerId, swarm::ConnectionId};
use std::{
    cmp::Reverse,
    collections::HashMap,
    time::{Duration, Instant},
};

#[derive(Debug)]
struct Connection {
    peer: PeerId,
    since: Instant,
    inbound: bool,
}

/// What is known of a peer when connections are to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worth {
    /// Its connections stay.
    pub protected: bool,
    /// The lower, the sooner they go.
    pub value: i64,
}

/// Decides what to close.
#[derive(Debug)]
pub struct Core {
    config: ConnMgr,
    open: HashMap<ConnectionId, Connection>,
    trimmed: Option<Instant>,
}

/// How a peer stands in line: protected peers do not.
#[derive(Debug)]
struct Candidate {
    peer: PeerId,
    value: i64,
    /// We opened one of its connections: such peers cannot crowd in by themselves.
    chosen: bool,
    since: Instant,
    connections: usize,
}

impl Core {
    /// With these bounds.
    pub fn new(config: ConnMgr) -> Self {
        Self { config, open: HashMap::new(), trimmed: None }
    }

    /// A connection was opened.
    pub fn opened(&mut self, id: ConnectionId, peer: PeerId, inbound: bool, now: Instant) {
        self.open.insert(id, Connection { peer, since: now, inbound });
    }

    /// A connection was closed.
    pub fn closed(&mut self, id: ConnectionId) {
        self.open.remove(&id);
    }

    /// When there are more connections than the high water mark: peers to close all connections with, so that no more
    /// than the low water mark are left. Those in their grace period and protected ones stay, however many they are.
    /// Peers of the least worth go first; among equals those that came to us, and the youngest.
    pub fn trim(&mut self, now: Instant, worth: impl Fn(&PeerId) -> Worth) -> Vec<PeerId> {
        let resting = self.trimmed.is_some_and(|at| now.duration_since(at) < self.config.silence);
        if self.open.len() <= self.config.high || resting {
            return Vec::new();
        }
        self.trimmed = Some(now);
        let mut candidates = self.candidates(now, worth);
        candidates.sort_by_key(|c| (c.value, c.chosen, Reverse(c.since)));
        let mut surplus = self.open.len() - self.config.low;
        let mut closing = Vec::new();
        for candidate in candidates {
            if surplus == 0 {
                break;
            }
            surplus = surplus.saturating_sub(candidate.connections);
            closing.push(candidate.peer);
        }
        closing
    }

    fn candidates(&self, now: Instant, worth: impl Fn(&PeerId) -> Worth) -> Vec<Candidate> {
        let mut peers: HashMap<PeerId, Candidate> = HashMap::new();
        for connection in self.open.values() {
            let candidate = peers.entry(connection.peer).or_insert_with(|| Candidate {
                peer: connection.peer,
                value: 0,
                chosen: false,
                since: connection.since,
                connections: 0,
            });
            candidate.chosen |= !connection.inbound;
            candidate.since = candidate.since.max(connection.since);
            candidate.connections += 1;
        }
        let old = |c: &Candidate| now.saturating_duration_since(c.since) >= self.config.grace;
        peers.retain(|peer, candidate| {
            let worth = worth(peer);
            candidate.value = worth.value;
            !worth.protected && old(candidate)
        });
        peers.into_values().collect()
    }

    /// Open connections.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

/// How often it is looked whether there are too many connections.
const CHECK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(20);

    fn config(low: usize, high: usize) -> ConnMgr {
        ConnMgr { low, high, grace: GRACE, silence: Duration::from_secs(10) }
    }

    fn plain(_: &PeerId) -> Worth {
        Worth { protected: false, value: 0 }
    }

    /// Peers with one inbound connection each.
    fn fill(core: &mut Core, first: usize, count: usize, now: Instant) -> Vec<PeerId> {
        let peers: Vec<PeerId> = (0..count).map(|_| PeerId::random()).collect();
        for (i, peer) in peers.iter().enumerate() {
            core.opened(ConnectionId::new_unchecked(first + i), *peer, true, now);
        }
        peers
    }

    #[test]
    fn above_the_high_water_mark_it_trims_to_the_low_one() {
        let start = Instant::now();
        let mut core = Core::new(config(32, 96));
        fill(&mut core, 0, 96, start);
        assert!(core.trim(start + GRACE, plain).is_empty(), "as many as allowed");
        fill(&mut core, 96, 1, start);
        assert!(core.trim(start + GRACE - Duration::from_millis(1), plain).is_empty(), "all in their grace period");
        let later = start + GRACE * 2;
        assert_eq!(core.trim(later, plain).len(), 97 - 32);
        assert!(core.trim(later + Duration::from_secs(9), plain).is_empty(), "silence between two trims");
        assert_eq!(core.trim(later + Duration::from_secs(10), plain).len(), 97 - 32);
    }

    #[test]
    fn protected_and_young_ones_stay_and_the_worthless_go_first() {
        let start = Instant::now();
        let mut core = Core::new(config(2, 4));
        let old = fill(&mut core, 0, 6, start);
        let young = fill(&mut core, 6, 1, start + GRACE);
        let worth = |peer: &PeerId| Worth {
            protected: *peer == old[0] || *peer == old[1],
            value: if *peer == old[2] { 5 } else { 0 },
        };
        let closing = core.trim(start + GRACE, worth);
        assert_eq!(closing.len(), 4, "two protected and a young one stay: all others go");
        assert!(!closing.contains(&old[0]) && !closing.contains(&old[1]) && !closing.contains(&young[0]));
        assert_eq!(closing.last(), Some(&old[2]), "the most worth goes last");
    }

    #[test]
    fn a_peer_with_many_connections_is_closed_whole() {
        let start = Instant::now();
        let mut core = Core::new(config(1, 3));
        let hoarder = PeerId::random();
        for i in 0..5 {
            core.opened(ConnectionId::new_unchecked(i), hoarder, true, start);
        }
        let ours = PeerId::random();
        core.opened(ConnectionId::new_unchecked(9), ours, false, start);
        assert_eq!(core.trim(start + GRACE, plain), [hoarder]);
        (0..5).for_each(|i| core.closed(ConnectionId::new_unchecked(i)));
        assert_eq!(core.open(), 1);
    }
}
