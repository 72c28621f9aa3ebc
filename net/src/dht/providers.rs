//! Provider records that this node keeps for others: in memory, nearest keys first, with limits.
//!
//! Popular providers announce many keys, so a record is a number into a table of peers: 16 bytes, and the key once.
//! Keys are ordered by their distance from this node; when the table is full, the farthest key goes, as that is the
//! one for which 20 others are nearer. To push a key out, an attacker has to find keys nearer to this node.
//!
//! Of one key too many providers are forgotten at random, and answers are in random order: whoever announces it with
//! ever new ids makes others rarer, and can't be sure to hide them.
//!
//! Times are Unix seconds that the caller passes in, and so is the seed of chance.

use super::key::Id;
use libp2p::{Multiaddr, PeerId};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use std::collections::{BTreeMap, HashMap};

/// How long a provider record lives: 48 h.
pub(crate) const RECORD_TTL: u64 = 48 * 3600;
/// How long a provider's addresses live: 24 h. Older ones are more often wrong than right.
pub(crate) const ADDRS_TTL: u64 = 24 * 3600;
/// Records in the table, over all keys. The farthest key goes first. A record costs about 230 bytes for a key of its
/// own and 370 for a provider of its own, so a full table has some 20 MB when few providers announce much, and 160 MB
/// when no two records share anything.
pub(crate) const MAX_RECORDS: usize = 262_144;
/// Bytes of all addresses. The farthest key goes first.
const MAX_ADDR_BYTES: usize = 32 << 20;
/// Counted for each address beside its bytes.
const ADDR_OVERHEAD: usize = 64;
/// Providers of one key. Which one goes for the next is chance.
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
    addr_bytes: usize,
    /// Where [`Providers::expire`] goes on.
    expired_to: Option<Id>,
    rng: StdRng,
}

fn cost(addrs: &[Multiaddr]) -> usize {
    addrs.iter().map(|addr| addr.len() + ADDR_OVERHEAD).sum()
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is kept; then these rows went for it. When there is no room for its addresses, it may be among them.
    Kept(Vec<(Vec<u8>, PeerId)>),
    /// It is farther than everything kept, and there is no room.
    Full,
    /// The key is no key.
    BadKey,
}

impl Providers {
    /// An empty table of the node at `local`. The seed decides what chance decides.
    pub(crate) fn new(local: Id, max_records: usize, seed: u64) -> Self {
        Self {
            local,
            keys: BTreeMap::new(),
            peers: Vec::new(),
            numbers: HashMap::new(),
            free: Vec::new(),
            records: 0,
            max_records: max_records.max(1),
            addr_bytes: 0,
            expired_to: None,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Records kept.
    pub(crate) fn len(&self) -> usize {
        self.records
    }

    /// Takes a record; a newer one of the same peer replaces the older. `id` is the point of its key.
    pub(crate) fn add(&mut self, id: &Id, mut row: Row) -> Added {
        if row.key.is_empty() || row.key.len() > MAX_KEY {
            return Added::BadKey;
        }
        row.addrs.truncate(MAX_ADDRS);
        let distance = self.local.distance(id);
        let known = self.numbers.get(&row.peer).copied();
        if let (Some(entry), Some(number)) = (self.keys.get_mut(&distance), known)
            && let Some(record) = entry.providers.iter_mut().find(|(n, _)| *n == number)
        {
            record.1 = record.1.max(row.since);
            self.refresh(number, row);
            return Added::Kept(self.make_room());
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
        let entry =
            self.keys.entry(distance).or_insert_with(|| Entry { key: row.key.clone().into(), providers: Vec::new() });
        let mut pushed_out = None;
        if entry.providers.len() >= MAX_PER_KEY {
            let at = self.rng.random_range(0..entry.providers.len());
            pushed_out = Some(entry.providers.swap_remove(at).0);
        }
        entry.providers.push((number, since));
        self.records += 1;
        if let Some(out) = pushed_out {
            self.records -= 1;
            gone.extend(self.release(out).map(|peer| (row.key.clone(), peer)));
        }
        self.refresh(number, row);
        gone.extend(self.make_room());
        Added::Kept(gone)
    }

    fn make_room(&mut self) -> Vec<(Vec<u8>, PeerId)> {
        let mut gone = Vec::new();
        while self.addr_bytes > MAX_ADDR_BYTES && !self.keys.is_empty() {
            gone.extend(self.remove_farthest());
        }
        gone
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
            self.addr_bytes += cost(&row.addrs);
            self.addr_bytes -= cost(&peer.addrs);
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
            self.addr_bytes -= cost(&peer.addrs);
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

    /// Live providers of a key in random order; their addresses only while those live.
    pub(crate) fn get(&mut self, id: &Id, now: u64) -> Vec<Row> {
        let Some(entry) = self.keys.get(&self.local.distance(id)) else { return Vec::new() };
        let mut live: Vec<(u32, u64)> =
            entry.providers.iter().filter(|(_, since)| since + RECORD_TTL > now).copied().collect();
        live.shuffle(&mut self.rng);
        live.into_iter()
            .filter_map(|(number, since)| {
                let peer = self.peers.get(number as usize)?.as_ref()?;
                Some(Row { key: entry.key.to_vec(), peer: peer.id, addrs: peer.live_addrs(now), since })
            })
            .collect()
    }

    /// Whether a record is kept that is not older.
    pub(crate) fn has(&self, id: &Id, row: &Row) -> bool {
        let (Some(entry), Some(number)) = (self.keys.get(&self.local.distance(id)), self.numbers.get(&row.peer)) else {
            return false;
        };
        entry.providers.iter().any(|(n, since)| n == number && *since >= row.since)
    }

    /// Addresses that a provider announced, while they live.
    pub(crate) fn addresses_of(&self, peer: &PeerId, now: u64) -> Vec<Multiaddr> {
        let known = self.numbers.get(peer).and_then(|n| self.peers.get(*n as usize)?.as_ref());
        known.map(|peer| peer.live_addrs(now)).unwrap_or_default()
    }

    /// Looks through at most `keys` keys, from where the last call stopped, and drops records that have expired until
    /// `rows` of them are exceeded. The rows that went, and whether the end of the table is reached.
    pub(crate) fn expire(&mut self, now: u64, keys: usize, rows: usize) -> (Vec<(Vec<u8>, PeerId)>, bool) {
        let from = self.expired_to.take().unwrap_or(Id([0; 32]));
        let (mut gone, mut empty) = (Vec::new(), Vec::new());
        for (seen, (distance, entry)) in self.keys.range_mut(from..).enumerate() {
            if seen >= keys || gone.len() > rows {
                self.expired_to = Some(*distance);
                break;
            }
            entry.providers.retain(|(number, since)| {
                let live = since + RECORD_TTL > now;
                if !live {
                    gone.push((entry.key.to_vec(), *number));
                }
                live
            });
            if entry.providers.is_empty() {
                empty.push(*distance);
            }
        }
        for distance in empty {
            self.keys.remove(&distance);
        }
        self.records -= gone.len();
        let gone = gone.into_iter().filter_map(|(key, number)| self.release(number).map(|peer| (key, peer))).collect();
        (gone, self.expired_to.is_none())
    }
}

impl Peer {
    fn live_addrs(&self, now: u64) -> Vec<Multiaddr> {
        if self.since + ADDRS_TTL > now { self.addrs.clone() } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &[u8], peer: PeerId, since: u64) -> Row {
        let addrs = vec!["/ip4/1.2.3.4/tcp/1".parse().expect("an address")];
        Row { key: key.to_vec(), peer, addrs, since }
    }

    fn table(max_records: usize) -> Providers {
        Providers::new(Id::of(b"me"), max_records, 1)
    }

    #[test]
    fn records_live_48_hours_and_addresses_24() {
        let (mut table, peer) = (table(10), PeerId::random());
        let k = Id::of(b"k");
        assert_eq!(table.add(&k, row(b"k", peer, 1000)), Added::Kept(Vec::new()));
        assert_eq!(table.get(&k, 1000 + ADDRS_TTL - 1)[0].addrs.len(), 1);
        assert_eq!(table.addresses_of(&peer, 1000 + ADDRS_TTL - 1).len(), 1);
        assert_eq!(table.get(&k, 1000 + ADDRS_TTL)[0].addrs.len(), 0, "the address is too old");
        assert_eq!(table.get(&k, 1000 + RECORD_TTL).len(), 0);
        assert!(table.expire(1000 + RECORD_TTL - 1, 10, 10).0.is_empty());
        assert_eq!(table.expire(1000 + RECORD_TTL, 10, 10), (vec![(b"k".to_vec(), peer)], true));
        assert_eq!((table.len(), table.numbers.len(), table.addr_bytes), (0, 0, 0));
    }

    #[test]
    fn a_full_table_keeps_the_nearest_keys() {
        let local = Id::of(b"me");
        let mut table = table(8);
        let mut keys: Vec<[u8; 4]> = (0u32..100).map(u32::to_be_bytes).collect();
        for key in &keys {
            table.add(&Id::of(key), row(key, PeerId::random(), 0));
        }
        keys.sort_by_cached_key(|key| local.distance(&Id::of(key)));
        assert_eq!(table.len(), 8);
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(table.get(&Id::of(key), 1).len(), usize::from(n < 8), "key {n} by distance");
        }
        assert_eq!(table.numbers.len(), 8, "peers without records are forgotten");
        assert_eq!(table.add(&Id::of(&keys[99]), row(&keys[99], PeerId::random(), 0)), Added::Full);
    }

    #[test]
    fn addresses_are_bounded_in_bytes() {
        let mut table = table(MAX_RECORDS);
        let long: Multiaddr = format!("/dns4/{}/tcp/1", "a".repeat(480)).parse().expect("an address");
        for n in 0u32..8000 {
            let key = n.to_be_bytes();
            let row = Row { addrs: vec![long.clone(); MAX_ADDRS], ..row(&key, PeerId::random(), 0) };
            table.add(&Id::of(&key), row);
        }
        assert!(table.addr_bytes <= MAX_ADDR_BYTES && table.addr_bytes > MAX_ADDR_BYTES / 2);
        assert!((7000..8000).contains(&table.len()), "{}", table.len());
    }

    #[test]
    fn a_key_has_a_bounded_number_of_providers_and_a_bounded_length() {
        let (mut table, k) = (table(1000), Id::of(b"k"));
        let peers: Vec<PeerId> = (0..MAX_PER_KEY + 5).map(|_| PeerId::random()).collect();
        for (n, peer) in peers.iter().enumerate() {
            table.add(&k, row(b"k", *peer, n as u64));
        }
        let kept = table.get(&k, 100);
        assert_eq!((kept.len(), table.len()), (MAX_PER_KEY, MAX_PER_KEY));
        assert_eq!(table.add(&k, row(&[1; MAX_KEY + 1], peers[0], 0)), Added::BadKey);
        assert_eq!(table.add(&k, row(b"", peers[0], 0)), Added::BadKey);
        // The same again is one record, with a later end.
        table.add(&k, row(b"k", kept[0].peer, 5000));
        assert_eq!(table.len(), MAX_PER_KEY);
        assert!(table.get(&k, 5000).iter().any(|r| (r.peer, r.since) == (kept[0].peer, 5000)));
    }

    #[test]
    fn fresh_ids_do_not_push_out_or_hide_an_older_provider() {
        let (k, old) = (Id::of(b"k"), PeerId::random());
        let (mut kept, mut first) = (0, 0);
        for seed in 0..100 {
            let mut table = Providers::new(Id::of(b"me"), 1000, seed);
            table.add(&k, row(b"k", old, 0));
            for n in 0..MAX_PER_KEY {
                table.add(&k, row(b"k", PeerId::random(), n as u64));
            }
            let at = table.get(&k, 100).iter().position(|r| r.peer == old);
            kept += u32::from(at.is_some());
            first += u32::from(at.is_some_and(|at| at < 20));
        }
        // One push out in 65 goes by chance, and 20 of 64 places are first.
        assert!(kept > 90 && (15..50).contains(&first), "kept {kept}, among the first 20 {first}");
    }

    #[test]
    fn what_expires_goes_in_parts() {
        let mut table = table(1000);
        for n in 0u32..100 {
            let key = n.to_be_bytes();
            table.add(&Id::of(&key), row(&key, PeerId::random(), u64::from(n % 2)));
        }
        let mut parts = Vec::new();
        loop {
            let (gone, done) = table.expire(RECORD_TTL, 30, 1000);
            parts.push(gone.len());
            if done {
                break;
            }
        }
        assert_eq!((parts.len(), parts.iter().sum::<usize>(), table.len()), (4, 50, 50), "{parts:?}");
        assert!(!table.expire(RECORD_TTL + 1, 1000, 9).1, "more than so many rows at once are too many");
    }
}
