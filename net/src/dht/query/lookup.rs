//! An iterative lookup as a state machine: whom to ask next, and when enough were asked. No I/O, no clock.
//!
//! **Disjoint paths.** The peers that a lookup starts from are dealt to β paths; what a peer answers goes to the path
//! that asked it, and a peer is asked once (S/Kademlia). A path whose peers lie about who is near leads nowhere, and the
//! others still arrive.
//!
//! **Crowding.** Peer ids are uniform, so the size of the network says how far away the 20th peer has to be. When 20
//! peers crowd into a quarter of that, somebody made ids round the key (20 by chance: less than one in 10⁶), and those
//! 20 may be all his. An honest peer that knows them all names nobody else when asked for that key, so asking on for the
//! same key does not help: [`super::region`] then looks at the surroundings.

use super::super::{key::Id, message::MAX_ADDRS};
use crate::routing::Provider;
use libp2p::{Multiaddr, PeerId};
use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry};

/// Peers that a key is stored at, and the size of a bucket.
pub(crate) const K: usize = 20;
/// Questions in flight.
pub(crate) const ALPHA: usize = 10;
/// Disjoint paths.
pub(crate) const BETA: usize = 3;
/// Peers that one lookup remembers. More are ignored: an honest network of any size needs a few hundred.
const MAX_KNOWN: usize = 4096;
/// Questions that one lookup asks. At the limit it ends with what it has.
const MAX_ASKED: usize = 300;
/// How much nearer than expected the 20th peer has to be to call it a crowd.
const CROWD: f64 = 4.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Heard,
    Asked,
    Answered,
    Failed,
}

#[derive(Debug)]
struct Known {
    contact: Provider,
    state: State,
    path: usize,
    /// Whether it failed once and came back with other addresses.
    retried: bool,
}

impl Known {
    /// Who named a peer first may have lied about where it is: other addresses are added, and a peer that failed gets a
    /// second try at them.
    fn hear(&mut self, addrs: Vec<Multiaddr>) {
        let known = self.contact.addrs.len();
        for addr in addrs {
            if self.contact.addrs.len() < MAX_ADDRS && !self.contact.addrs.contains(&addr) {
                self.contact.addrs.push(addr);
            }
        }
        if self.contact.addrs.len() > known && self.state == State::Failed && !self.retried {
            self.contact.addrs.drain(..known);
            (self.state, self.retried) = (State::Heard, true);
        }
    }
}

/// A lookup of the peers nearest to a point.
#[derive(Debug)]
pub(crate) struct Lookup {
    target: Id,
    /// Everybody heard of, by distance; two peers at one distance would be a collision of SHA-256.
    known: BTreeMap<Id, Known>,
    distances: HashMap<PeerId, Id>,
    /// Who is known to each path.
    paths: Vec<BTreeSet<Id>>,
    turn: usize,
    in_flight: usize,
    asked: usize,
    /// Peers in the network, when that is known.
    network: Option<f64>,
}

impl Lookup {
    /// Starts from `seeds`, nearest first. `network`: the estimated number of peers.
    pub(crate) fn new(target: Id, seeds: Vec<Provider>, network: Option<f64>) -> Self {
        let mut lookup = Self {
            target,
            known: BTreeMap::new(),
            distances: HashMap::new(),
            paths: vec![BTreeSet::new(); BETA],
            turn: 0,
            in_flight: 0,
            asked: 0,
            network,
        };
        for (n, seed) in seeds.into_iter().enumerate() {
            lookup.hear(n % BETA, seed);
        }
        lookup
    }

    /// The point that is looked up.
    pub(crate) fn target(&self) -> Id {
        self.target
    }

    /// Distance of a peer from the target.
    pub(crate) fn distance(&self, peer: &PeerId) -> Id {
        self.target.distance(&Id::of_peer(peer))
    }

    fn hear(&mut self, path: usize, contact: Provider) {
        if self.known.len() >= MAX_KNOWN && !self.distances.contains_key(&contact.peer) {
            return;
        }
        let distance =
            *self.distances.entry(contact.peer).or_insert_with(|| self.target.distance(&Id::of_peer(&contact.peer)));
        self.paths[path].insert(distance);
        match self.known.entry(distance) {
            Entry::Vacant(entry) => drop(entry.insert(Known { contact, state: State::Heard, path, retried: false })),
            Entry::Occupied(mut entry) => entry.get_mut().hear(contact.addrs),
        }
    }

    /// Whom to ask now; `None`: nobody before another answer, or, when nothing is in flight, nobody any more.
    pub(crate) fn next(&mut self) -> Option<Provider> {
        if self.in_flight >= ALPHA || self.asked >= MAX_ASKED {
            return None;
        }
        for _ in 0..BETA {
            let path = self.turn;
            self.turn = (self.turn + 1) % BETA;
            let Some(distance) = self.candidate(path) else { continue };
            let Some(known) = self.known.get_mut(&distance) else { continue };
            known.state = State::Asked;
            known.path = path;
            self.in_flight += 1;
            self.asked += 1;
            return Some(known.contact.clone());
        }
        None
    }

    /// The nearest that a path has not asked, if it is among those that count.
    fn candidate(&self, path: usize) -> Option<Id> {
        let mut alive = 0;
        for distance in &self.paths[path] {
            match self.known.get(distance).map(|k| k.state) {
                Some(State::Heard) if alive < K => return Some(*distance),
                Some(State::Heard) => return None,
                Some(State::Asked | State::Answered) => alive += 1,
                Some(State::Failed) | None => {}
            }
        }
        None
    }

    /// The distance within which `K` peers are expected.
    fn radius(&self) -> Option<f64> {
        self.network.filter(|n| *n > (2 * K) as f64).map(|n| K as f64 / n)
    }

    /// Whether more peers are near the target than chance puts there.
    pub(crate) fn is_crowded(&self) -> bool {
        let Some(radius) = self.radius() else { return false };
        let farthest = self.known.iter().filter(|(_, k)| k.state == State::Answered).nth(K - 1);
        farthest.is_some_and(|(distance, _)| distance.fraction() * CROWD < radius)
    }

    /// A peer answered with peers nearer to the target.
    pub(crate) fn answered(&mut self, peer: &PeerId, closer: Vec<Provider>) {
        let Some(path) = self.settle(peer, State::Answered) else { return };
        for contact in closer {
            self.hear(path, contact);
        }
    }

    /// A peer did not answer.
    pub(crate) fn failed(&mut self, peer: &PeerId) {
        self.settle(peer, State::Failed);
    }

    fn settle(&mut self, peer: &PeerId, state: State) -> Option<usize> {
        let known = self.known.get_mut(self.distances.get(peer)?)?;
        if known.state != State::Asked {
            return None;
        }
        known.state = state;
        self.in_flight -= 1;
        Some(known.path)
    }

    /// The `K` nearest peers that answered, nearest first.
    pub(crate) fn closest(&self) -> Vec<Provider> {
        self.known.values().filter(|k| k.state == State::Answered).take(K).map(|k| k.contact.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u8) -> Multiaddr {
        format!("/ip4/1.1.1.{n}/tcp/1").parse().expect("an address")
    }

    fn contact(peer: PeerId, n: u8) -> Provider {
        Provider { peer, addrs: vec![addr(n)] }
    }

    #[test]
    fn whoever_names_a_peer_first_does_not_decide_where_it_is() {
        let seeds: Vec<PeerId> = (0..5).map(|_| PeerId::random()).collect();
        let mut lookup = Lookup::new(Id([0; 32]), seeds.iter().map(|p| contact(*p, 1)).collect(), None);
        let named = PeerId::random();
        let asked: Vec<PeerId> = std::iter::from_fn(|| lookup.next()).map(|p| p.peer).collect();
        assert_eq!(asked.len(), 5);
        lookup.answered(&asked[0], vec![contact(named, 2)]);
        lookup.answered(&asked[1], vec![contact(named, 3)]);
        let both = Provider { peer: named, addrs: vec![addr(2), addr(3)] };
        assert_eq!(lookup.next(), Some(both));
        lookup.failed(&named);
        lookup.answered(&asked[2], vec![contact(named, 3)]);
        assert_eq!(lookup.next(), None, "nothing new is known of it");
        lookup.answered(&asked[3], vec![contact(named, 4)]);
        assert_eq!(lookup.next(), Some(contact(named, 4)), "it is tried where it was not");
        lookup.failed(&named);
        lookup.answered(&asked[4], vec![contact(named, 5)]);
        assert_eq!(lookup.next(), None, "and once only");
    }
}
