//! Provider records that this node keeps for others: in memory, nearest keys first, with limits.
//!
//! Popular providers announce many keys, so a record is a number into a table of peers: 10 bytes, and the key once.
//! Keys are ordered by their distance from this node; when the table is full, the farthest key goes, as that is the
//! one for which 20 others are nearer. To push a key out, an attacker has to find keys nearer to this node.
//!
//! Times are Unix seconds that the caller passes in.

use super::key::Id;
use libp2p::{Multiaddr, PeerId};
use std::collections::{BTreeMap, HashMap};

/// How long a provider record lives: 48 h.
pub(crate) const RECORD_TTL: u64 = 48 * 3600;
/// How long a provider's addresses live: 24 h. Older ones are more often wrong than right.
pub(crate) const ADDRS_TTL: u64 = 24 * 3600;
/// Records in the table, over all keys; about 30 MB when full. The farthest key goes first.
pub(crate) const MAX_RECORDS: usize = 262_144;
/// Providers of one key. The one that expires first goes first. An answer names 20.
pub(crate) const MAX_PER_KEY: usize = 64;
/// Addresses of a provider; the rest is dropped.
pub(crate) const MAX_ADDRS: usize = 8;
/// Longest key in bytes (specs.md: a multihash of 80 bytes at most).
pub(crate) const MAX_KEY: usize = 80;

/// A record as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// The multihash.
    pub(crate) key: Vec<u8>,
    /// Who has it.
    pub(crate) peer: PeerId,
    /// Where the peer is.
    pub(crate) addrs: Vec<Multiaddr>,
    /// When the announcement came.
    pub(crate) since: u64,
}

#[derive(Debug)]
struct Peer {
    id: PeerId,
    addrs: Vec<Multiaddr>,
    since: u64,
    records: usize,
}

#[derive(Debug)]
struct Entry {
    key: Box<[u8]>,
    /// Number of the peer and when it announced.
    providers: Vec<(u32, u64)>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Providers {
    local: Id,
    keys: BTreeMap<Id, Entry>,
    peers: Vec<Option<Peer>>,
    numbers: HashMap<PeerId, u32>,
    free: Vec<u32>,
    records: usize,
    max_records: usize,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is kept; these rows went for it.
    Kept(Vec<(Vec<u8>, PeerId)>),
    /// It is farther than everything kept, and there is no room.
    Full,
    /// The key is no key.
    BadKey,
}

impl Providers {
    /// An empty table of the node at `local`.
    pub(crate) fn new(local: Id, max_records: usize) -> Self {
        Self {
            local,
            keys: BTreeMap::new(),
            peers: Vec::new(),
            numbers: HashMap::new(),
            free: Vec::new(),
            records: 0,
            max_records: max_records.max(1),
        }
    }

    /// Records kept.
    pub(crate) fn len(&self) -> usize {
        self.records
    }

    /// Takes a record; a newer one of the same peer replaces the older.
    pub(crate) fn add(&mut self, mut row: Row) -> Added {
        if row.key.is_empty() || row.key.len() > MAX_KEY {
            return Added::BadKey;
        }
        row.addrs.truncate(MAX_ADDRS);
        let distance = self.local.distance(&Id::of(&row.key));
        let known = self.numbers.get(&row.peer).copied();
        if let (Some(entry), Some(number)) = (self.keys.get_mut(&distance), known)
            && let Some(record) = entry.providers.iter_mut().find(|(n, _)| *n == number)
        {
            record.1 = record.1.max(row.since);
            self.refresh(number, row);
            return Added::Kept(Vec::new());
        }
        let mut gone = Vec::new();
        while self.records >= self.max_records {
            match self.keys.last_key_value() {
                Some((farthest, _)) if *farthest > distance => gone.extend(self.remove_farthest()),
                _ => return Added::Full,
            }
        }
        let number = self.number(&row);
        let since = row.since;
        let entry = self
            .keys
            .entry(distance)
            .or_insert_with(|| Entry { key: row.key.clone().into(), providers: Vec::new() });
        let mut pushed_out = None;
        if entry.providers.len() >= MAX_PER_KEY
            && let Some(at) = (0..entry.providers.len()).min_by_key(|at| entry.providers[*at].1)
        {
            pushed_out = Some(entry.providers.swap_remove(at).0);
        }
        entry.providers.push((number, since));
        self.records += 1;
        self.refresh(number, Row { key: Vec::new(), ..row.clone() });
        if let Some(out) = pushed_out {
            self.records -= 1;
            gone.extend(self.release(out).map(|peer| (row.key, peer)));
        }
        Added::Kept(gone)
    }

    fn number(&mut self, row: &Row) -> u32 {
        if let Some(number) = self.numbers.get(&row.peer).copied() {
            if let Some(peer) = self.peers.get_mut(number as usize).and_then(Option::as_mut) {
                peer.records += 1;
            }
            return number;
        }
        let peer = Peer { id: row.peer, addrs: Vec::new(), since: 0, records: 1 };
        let number = match self.free.pop() {
            Some(number) => {
                self.peers[number as usize] = Some(peer);
                number
            }
            None => {
                self.peers.push(Some(peer));
                u32::try_from(self.peers.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.numbers.insert(row.peer, number);
        number
    }

    fn refresh(&mut self, number: u32, row: Row) {
        if let Some(peer) = self.peers.get_mut(number as usize).and_then(Option::as_mut)
            && row.since >= peer.since
            && !row.addrs.is_empty()
        {
            peer.addrs = row.addrs;
            peer.since = row.since;
        }
    }

    /// One record less of a peer; its id.
    fn release(&mut self, number: u32) -> Option<PeerId> {
        let slot = self.peers.get_mut(number as usize)?;
        let peer = slot.as_mut()?;
        let id = peer.id;
        peer.records = peer.records.saturating_sub(1);
        if peer.records == 0 {
            *slot = None;
            self.numbers.remove(&id);
            self.free.push(number);
        }
        Some(id)
    }

    fn remove_farthest(&mut self) -> Vec<(Vec<u8>, PeerId)> {
        let Some((_, entry)) = self.keys.pop_last() else { return Vec::new() };
        self.records -= entry.providers.len();
        let released: Vec<_> = entry.providers.iter().filter_map(|(n, _)| self.release(*n)).collect();
        released.into_iter().map(|peer| (entry.key.to_vec(), peer)).collect()
    }

    /// Live providers of a key, newest first; their addresses only while those live.
    pub(crate) fn get(&self, key: &[u8], now: u64) -> Vec<Row> {
        let Some(entry) = self.keys.get(&self.local.distance(&Id::of(key))) else { return Vec::new() };
        let mut live: Vec<_> = entry.providers.iter().filter(|(_, since)| since + RECORD_TTL > now).collect();
        live.sort_by_key(|(_, since)| std::cmp::Reverse(*since));
        live.into_iter()
            .filter_map(|(number, since)| {
                let peer = self.peers.get(*number as usize)?.as_ref()?;
                let addrs = if peer.since + ADDRS_TTL > now { peer.addrs.clone() } else { Vec::new() };
                Some(Row { key: key.to_vec(), peer: peer.id, addrs, since: *since })
            })
            .collect()
    }

    /// Drops what has expired; the rows that went.
    pub(crate) fn expire(&mut self, now: u64) -> Vec<(Vec<u8>, PeerId)> {
        let mut gone = Vec::new();
        for entry in self.keys.values_mut() {
            entry.providers.retain(|(number, since)| {
                let live = since + RECORD_TTL > now;
                if !live {
                    gone.push((entry.key.to_vec(), *number));
                }
                live
            });
        }
        self.keys.retain(|_, entry| !entry.providers.is_empty());
        self.records -= gone.len();
        gone.into_iter().filter_map(|(key, number)| self.release(number).map(|peer| (key, peer))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &[u8], peer: PeerId, since: u64) -> Row {
        let addrs = vec!["/ip4/1.2.3.4/tcp/1".parse().expect("an address")];
        Row { key: key.to_vec(), peer, addrs, since }
    }

    #[test]
    fn records_live_48_hours_and_addresses_24() {
        let (mut table, peer) = (Providers::new(Id::of(b"me"), 10), PeerId::random());
        assert_eq!(table.add(row(b"k", peer, 1000)), Added::Kept(Vec::new()));
        assert_eq!(table.get(b"k", 1000 + ADDRS_TTL - 1)[0].addrs.len(), 1);
        assert_eq!(table.get(b"k", 1000 + ADDRS_TTL)[0].addrs.len(), 0, "the address is too old");
        assert_eq!(table.get(b"k", 1000 + RECORD_TTL).len(), 0);
        assert!(table.expire(1000 + RECORD_TTL - 1).is_empty());
        assert_eq!(table.expire(1000 + RECORD_TTL), [(b"k".to_vec(), peer)]);
        assert_eq!((table.len(), table.numbers.len()), (0, 0));
    }

    #[test]
    fn a_full_table_keeps_the_nearest_keys() {
        let local = Id::of(b"me");
        let mut table = Providers::new(local, 8);
        let mut keys: Vec<[u8; 4]> = (0u32..100).map(u32::to_be_bytes).collect();
        for key in &keys {
            table.add(row(key, PeerId::random(), 0));
        }
        keys.sort_by_key(|key| local.distance(&Id::of(key)));
        assert_eq!(table.len(), 8);
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(table.get(key, 1).len(), usize::from(n < 8), "key {n} by distance");
        }
        assert_eq!(table.numbers.len(), 8, "peers without records are forgotten");
        assert_eq!(table.add(row(&keys[99], PeerId::random(), 0)), Added::Full);
    }

    #[test]
    fn a_key_has_a_bounded_number_of_providers_and_a_bounded_length() {
        let mut table = Providers::new(Id::of(b"me"), 1000);
        let peers: Vec<PeerId> = (0..MAX_PER_KEY + 5).map(|_| PeerId::random()).collect();
        for (n, peer) in peers.iter().enumerate() {
            table.add(row(b"k", *peer, n as u64));
        }
        let kept = table.get(b"k", 100);
        assert_eq!((kept.len(), table.len()), (MAX_PER_KEY, MAX_PER_KEY));
        assert_eq!(kept[0].peer, peers[MAX_PER_KEY + 4], "newest first");
        assert!(kept.iter().all(|r| !peers[..5].contains(&r.peer)), "the oldest went");
        assert_eq!(table.add(row(&[1; MAX_KEY + 1], peers[0], 0)), Added::BadKey);
        assert_eq!(table.add(row(b"", peers[0], 0)), Added::BadKey);
        // The same again is one record, with a later end.
        table.add(row(b"k", peers[10], 5000));
        assert_eq!(table.len(), MAX_PER_KEY);
        assert_eq!(table.get(b"k", 5000)[0].since, 5000);
    }
}
