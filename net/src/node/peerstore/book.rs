//! The address book.

use crate::node::addr::{scope, split_peer};
use libp2p::{Multiaddr, PeerId};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Peers in the book. Beyond, [`EVICTED`] that were heard of longest ago are forgotten at once, hearsay before what was
/// reached; connected ones stay. If all are connected, new ones are not taken.
pub const MAX_PEERS: usize = 4096;
/// A look through the whole book makes room for so many.
const EVICTED: usize = MAX_PEERS / 16;
/// Addresses of a peer. Beyond, the one that failed most, then the one heard of longest ago, is forgotten.
pub const MAX_ADDRS: usize = 16;
/// Longest address, in bytes: a relayed one with two peer IDs of RSA keys and a name has half of this.
const MAX_ADDR: usize = 512;
/// An address that failed this often in a row is forgotten.
const MAX_FAILURES: u8 = 3;
/// How long an address is known that nobody confirmed, in seconds.
const HEARSAY: u64 = 24 * 3600;
/// How long a peer is remembered that was connected once, in seconds.
const REMEMBERED: u64 = 14 * 24 * 3600;

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The address, without `/p2p/…` at its end.
    pub addr: Multiaddr,
    /// When it was heard of last, or dialed with success (seconds since 1970).
    pub heard: u64,
    /// Dials in a row that failed.
    pub failures: u8,
    /// Whether a dial to it succeeded once, or a peer that was dialed says that it is there too.
    pub proven: bool,
}

/// A peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its addresses.
    pub addrs: Vec<Known>,
    /// When it was connected last (seconds since 1970); 0: never.
    pub connected: u64,
}

impl Entry {
    fn heard(&self) -> u64 {
        self.addrs.iter().map(|known| known.heard).max().unwrap_or(0).max(self.connected)
    }

    /// Whether it is worth a row on disk.
    fn lasts(&self) -> bool {
        self.connected > 0 && self.addrs.iter().any(|known| known.proven)
    }
}

/// Addresses of peers.
#[derive(Debug, Default)]
pub struct Book {
    peers: HashMap<PeerId, Entry>,
    online: HashSet<PeerId>,
    changed: BTreeSet<PeerId>,
    /// When there was no room left (seconds since 1970).
    full: u64,
}

impl Book {
    /// From what was on disk; what is too old is left out.
    pub fn new(rows: impl IntoIterator<Item = (PeerId, Entry)>, now: u64) -> Self {
        let fresh = rows.into_iter().filter(|(_, entry)| now.saturating_sub(entry.connected) < REMEMBERED);
        Self { peers: fresh.take(MAX_PEERS).collect(), ..Self::default() }
    }

    /// Takes an address that somebody told. Answers whether it was taken.
    pub fn add(&mut self, peer: PeerId, addr: &Multiaddr, proven: bool, now: u64) -> bool {
        let (addr, named) = split_peer(addr);
        if addr.is_empty() || addr.len() > MAX_ADDR || named.is_some_and(|named| named != peer) {
            return false;
        }
        if !self.has_room(&peer, now) {
            return false;
        }
        let entry = self.peers.entry(peer).or_default();
        if let Some(known) = entry.addrs.iter_mut().find(|known| known.addr == addr) {
            known.heard = now;
            if proven && !known.proven {
                known.proven = true;
                self.changed.insert(peer);
            }
            return true;
        }
        if entry.addrs.len() >= MAX_ADDRS {
            // Hearsay does not push out what is known to work.
            let worst = (0..entry.addrs.len())
                .filter(|i| proven || !entry.addrs[*i].proven)
                .min_by_key(|i| (entry.addrs[*i].proven, u8::MAX - entry.addrs[*i].failures, entry.addrs[*i].heard));
            let Some(worst) = worst else { return false };
            entry.addrs.remove(worst);
        }
        entry.addrs.push(Known { addr, heard: now, failures: 0, proven });
        if proven {
            self.changed.insert(peer);
        }
        true
    }

    /// Takes what a connected peer says of itself. `seen` is where it is connected from: a peer elsewhere can't be
    /// reached at a loopback address, and one in the internet not at a private one. `chosen`: this node dialed it; what a
    /// stranger says of itself is hearsay.
    pub fn identified(&mut self, peer: PeerId, addrs: &[Multiaddr], seen: &Multiaddr, chosen: bool, now: u64) {
        let floor = scope(seen);
        for addr in addrs.iter().filter(|addr| scope(addr) >= floor).take(MAX_ADDRS) {
            self.add(peer, addr, chosen, now);
        }
    }

    /// A connection was made; `dialed` is the address that it was dialed at.
    pub fn connected(&mut self, peer: PeerId, dialed: Option<&Multiaddr>, now: u64) {
        if let Some(addr) = dialed {
            self.add(peer, addr, true, now);
            let addr = split_peer(addr).0;
            let known = self.peers.get_mut(&peer).and_then(|e| e.addrs.iter_mut().find(|known| known.addr == addr));
            if let Some(known) = known {
                known.failures = 0;
            }
        }
        self.online.insert(peer);
        if self.has_room(&peer, now) {
            self.peers.entry(peer).or_default().connected = now;
            self.changed.insert(peer);
        }
    }

    /// The last connection was closed.
    pub fn disconnected(&mut self, peer: PeerId, now: u64) {
        self.online.remove(&peer);
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.connected = now;
            self.changed.insert(peer);
        }
    }

    /// A dial failed at that address.
    pub fn failed(&mut self, peer: PeerId, addr: &Multiaddr) {
        let addr = split_peer(addr).0;
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        for known in entry.addrs.iter_mut().filter(|known| known.addr == addr) {
            known.failures = known.failures.saturating_add(1);
        }
        let before = entry.addrs.len();
        entry.addrs.retain(|known| known.failures < MAX_FAILURES);
        if entry.addrs.len() < before {
            self.changed.insert(peer);
        }
    }

    /// Whether there is a row for a peer, or room for one. It looks for room once in a second at most.
    fn has_room(&mut self, peer: &PeerId, now: u64) -> bool {
        if self.peers.len() < MAX_PEERS || self.peers.contains_key(peer) {
            return true;
        }
        if self.full == now {
            return false;
        }
        self.expire(now);
        if self.peers.len() > MAX_PEERS - EVICTED {
            let idle = self.peers.iter().filter(|(peer, _)| !self.online.contains(peer));
            let mut idle: Vec<_> = idle.map(|(peer, entry)| (entry.lasts(), entry.heard(), *peer)).collect();
            if idle.len() > EVICTED {
                idle.select_nth_unstable(EVICTED);
                idle.truncate(EVICTED);
            }
            for (_, _, peer) in idle {
                self.peers.remove(&peer);
                self.changed.insert(peer);
            }
        }
        let room = self.peers.len() < MAX_PEERS;
        if !room {
            self.full = now;
        }
        room
    }

    /// Forgets what is too old.
    pub fn expire(&mut self, now: u64) {
        let (online, changed) = (&self.online, &mut self.changed);
        self.peers.retain(|peer, entry| {
            entry.addrs.retain(|known| known.proven || now.saturating_sub(known.heard) < HEARSAY);
            let old = now.saturating_sub(entry.connected) >= REMEMBERED && entry.addrs.iter().all(|known| known.proven);
            let keep = online.contains(peer) || (!entry.addrs.is_empty() && !old);
            if !keep {
                changed.insert(*peer);
            }
            keep
        });
    }

    /// Addresses to dial a peer at, the likeliest first.
    pub fn addresses(&self, peer: &PeerId) -> Vec<Multiaddr> {
        let Some(entry) = self.peers.get(peer) else { return Vec::new() };
        let mut known: Vec<&Known> = entry.addrs.iter().collect();
        known.sort_by_key(|known| (known.failures, !known.proven, u64::MAX - known.heard));
        known.into_iter().map(|known| known.addr.clone()).collect()
    }

    /// All peers that have addresses.
    pub fn all(&self) -> impl Iterator<Item = (PeerId, Vec<Multiaddr>)> + '_ {
        let known = self.peers.iter().filter(|(_, entry)| !entry.addrs.is_empty());
        known.map(|(peer, _)| (*peer, self.addresses(peer)))
    }

    /// Peers to begin with when there is nobody else: connected once, not now, the latest first.
    pub fn old_friends(&self, count: usize) -> Vec<PeerId> {
        let idle = self.peers.iter().filter(|(peer, entry)| entry.lasts() && !self.online.contains(peer));
        let mut friends: Vec<(u64, PeerId)> = idle.map(|(peer, entry)| (entry.connected, *peer)).collect();
        friends.sort_unstable_by(|a, b| b.cmp(a));
        friends.into_iter().take(count).map(|(_, peer)| peer).collect()
    }

    /// What has to be written since it was last asked: the new row of each peer, or `None` to remove it.
    pub fn take_changes(&mut self) -> Vec<(PeerId, Option<Entry>)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed
            .map(|peer| {
                let row = self.peers.get(&peer).filter(|entry| entry.lasts()).map(|entry| Entry {
                    addrs: entry.addrs.iter().filter(|known| known.proven).cloned().collect(),
                    connected: entry.connected,
                });
                (peer, row)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    fn port(port: usize) -> Multiaddr {
        addr(&format!("/ip4/1.2.3.4/tcp/{port}"))
    }

    #[test]
    fn an_address_of_another_peer_is_refused() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        let foreign = format!("/ip4/1.2.3.4/tcp/1/p2p/{}", PeerId::random());
        assert!(!book.add(peer, &addr(&foreign), true, 1));
        assert!(book.add(peer, &addr(&format!("/ip4/1.2.3.4/tcp/1/p2p/{peer}")), true, 1));
        assert_eq!(book.addresses(&peer), [port(1)]);
    }

    #[test]
    fn a_flood_of_addresses_does_not_push_out_what_works() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        book.connected(peer, Some(&port(1)), 1);
        for i in 2..10_000 {
            book.add(peer, &port(i), false, 2);
        }
        let known = book.addresses(&peer);
        assert_eq!((known.len(), &known[0]), (MAX_ADDRS, &port(1)));
    }

    #[test]
    fn a_flood_of_peers_pushes_out_neither_connected_nor_old_friends() {
        let (mut book, online, friend) = (Book::default(), PeerId::random(), PeerId::random());
        book.connected(online, Some(&port(1)), 1);
        book.connected(friend, Some(&port(2)), 1);
        book.disconnected(friend, 2);
        for _ in 0..2 * MAX_PEERS {
            book.add(PeerId::random(), &port(1), false, 3);
        }
        assert!((MAX_PEERS - EVICTED..=MAX_PEERS).contains(&book.all().count()));
        assert!(!book.addresses(&online).is_empty() && !book.addresses(&friend).is_empty());
    }

    #[test]
    fn strangers_who_come_and_go_push_out_nobody_who_was_reached() {
        let (mut book, friend) = (Book::default(), PeerId::random());
        book.connected(friend, Some(&port(1)), 1);
        book.disconnected(friend, 2);
        for _ in 0..2 * MAX_PEERS {
            let stranger = PeerId::random();
            book.connected(stranger, None, 3);
            book.identified(stranger, &[port(2)], &port(3), false, 3);
            book.disconnected(stranger, 4);
        }
        assert_eq!(book.addresses(&friend), [port(1)]);
        assert_eq!(book.old_friends(9), [friend]);
    }

    #[test]
    fn a_book_of_connected_peers_takes_no_more() {
        let mut book = Book::default();
        for _ in 0..2 * MAX_PEERS {
            book.connected(PeerId::random(), Some(&port(1)), 1);
        }
        assert_eq!(book.all().count(), MAX_PEERS);
        assert!(!book.add(PeerId::random(), &port(1), false, 2));
    }

    #[test]
    fn addresses_that_fail_are_forgotten_and_success_clears_them() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        book.add(peer, &port(1), false, 1);
        book.failed(peer, &port(1));
        book.failed(peer, &port(1));
        book.connected(peer, Some(&port(1)), 2);
        book.failed(peer, &port(1));
        book.failed(peer, &port(1));
        assert_eq!(book.addresses(&peer), [port(1)]);
        book.failed(peer, &port(1));
        assert!(book.addresses(&peer).is_empty());
    }

    #[test]
    fn a_peer_from_the_internet_has_no_address_of_ours() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        let says = [addr("/ip4/127.0.0.1/tcp/1"), addr("/ip4/10.0.0.1/tcp/1"), addr("/ip4/8.8.8.8/tcp/1")];
        book.identified(peer, &says, &addr("/ip4/8.8.8.8/tcp/55"), true, 1);
        assert_eq!(book.addresses(&peer), [says[2].clone()]);
        book.identified(peer, &says, &addr("/ip4/192.168.0.2/tcp/55"), true, 1);
        assert_eq!(book.addresses(&peer).len(), 2);
    }

    #[test]
    fn what_is_written_is_what_the_next_start_needs() {
        let (mut book, friend, heard) = (Book::default(), PeerId::random(), PeerId::random());
        book.connected(friend, Some(&port(1)), 100);
        book.add(friend, &port(2), false, 100);
        book.add(heard, &port(3), false, 100);
        book.disconnected(friend, 200);
        let rows = book.take_changes();
        assert_eq!(rows.len(), 1, "hearsay is not written");
        assert!(book.take_changes().is_empty(), "written once");
        let row = rows.into_iter().next().and_then(|(peer, row)| row.map(|row| (peer, row))).expect("a row");
        assert_eq!(row.1.addrs.len(), 1, "only what is proven");
        let next = Book::new([row.clone()], 300);
        assert_eq!(next.old_friends(5), [friend]);
        assert!(Book::new([row], 200 + REMEMBERED).old_friends(5).is_empty(), "too old");
    }

    #[test]
    fn hearsay_ends_after_a_day() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        book.add(peer, &port(1), false, 0);
        book.expire(HEARSAY - 1);
        assert_eq!(book.addresses(&peer).len(), 1);
        book.expire(HEARSAY);
        assert_eq!(book.all().count(), 0);
    }
}
