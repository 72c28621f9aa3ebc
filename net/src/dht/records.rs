//! What a DHT server keeps for others: provider records and values.
//!
//! [`super::Behaviour`] reads and writes them inside of the swarm's poll, so everything is in memory, changes go to the
//! disk later ([`super::disk`]), and nothing is hashed or validated here: whoever brings a record ([`super::serve`] for
//! others, [`super::Dht`] for this node) has done that.

use super::{
    Clock, Net, Validator,
    disk::{Journal, Restored},
    key::Id,
    providers::{self, Added, Providers, Row},
};
use libp2p::{Multiaddr, PeerId};
use std::{collections::BTreeMap, sync::Arc};

/// Largest value in bytes: that of an IPNS record.
pub(crate) const MAX_VALUE: usize = 10 * 1024;
/// Longest key of a value: `/ipns/` and a multihash, or `/pk/` and one.
pub(crate) const MAX_VALUE_KEY: usize = 6 + providers::MAX_KEY;
/// Bytes of values and their keys. The farthest key goes first.
const MAX_VALUE_BYTES: usize = 32 << 20;
/// Counted for each value beside its bytes.
const VALUE_OVERHEAD: usize = 128;
/// How long a value is kept: 48 h, as for providers.
pub(crate) const VALUE_TTL: u64 = 48 * 3600;
/// Keys of each kind that one [`Records::expire`] looks through, and about as many rows that it removes: together a
/// millisecond. What is left waits for the next.
const MAX_EXPIRED: usize = 4096;

#[derive(Debug, Clone)]
struct Value {
    key: Box<[u8]>,
    bytes: Vec<u8>,
    since: u64,
    /// When it stops being valid.
    end: u64,
}

impl Value {
    fn cost(&self) -> usize {
        self.bytes.len() + self.key.len() + VALUE_OVERHEAD
    }

    fn is_live(&self, now: u64) -> bool {
        self.since + VALUE_TTL > now && self.end >= now
    }
}

/// Providers and values.
pub(crate) struct Records {
    net: Net,
    local: Id,
    providers: Providers,
    values: BTreeMap<Id, Value>,
    value_bytes: usize,
    /// Where [`Records::expire`] goes on among the values.
    expired_to: Option<Id>,
    validator: Arc<dyn Validator>,
    clock: Arc<dyn Clock>,
    journal: Journal,
}

/// Why a record was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// Its key or value break a rule.
    #[error("record refused: {0}")]
    Invalid(String),
    /// A better value is kept already.
    #[error("record refused: a newer one is known")]
    Old,
    /// No room, and farther than what is kept.
    #[error("record refused: the table is full of nearer keys")]
    Full,
}

/// Checks a value before it is put; its end.
pub(crate) fn check_value(validator: &dyn Validator, key: &[u8], value: &[u8], now: u64) -> Result<u64, RecordError> {
    if key.len() > MAX_VALUE_KEY || value.len() > MAX_VALUE {
        return Err(RecordError::Invalid("the key or the value is too long".into()));
    }
    validator.validate(key, value, now).map_err(RecordError::Invalid)?;
    Ok(validator.end(key, value))
}

impl Records {
    /// An empty store. The seed decides what chance decides.
    pub(crate) fn new(
        net: Net,
        local: &PeerId,
        max_providers: usize,
        seed: u64,
        validator: Arc<dyn Validator>,
        clock: Arc<dyn Clock>,
        journal: Journal,
    ) -> Self {
        let local = Id::of_peer(local);
        let providers = Providers::new(local, max_providers, seed);
        let (values, expired_to) = (BTreeMap::new(), None);
        Self { net, local, providers, values, value_bytes: 0, expired_to, validator, clock, journal }
    }

    /// Takes an announcement of the peer itself. `id` is the point of the key.
    pub(crate) fn provide(
        &mut self,
        id: &Id,
        key: &[u8],
        peer: PeerId,
        addrs: Vec<Multiaddr>,
    ) -> Result<(), RecordError> {
        let row = Row { key: key.to_vec(), peer, addrs, since: self.clock.now() };
        match self.providers.add(id, row.clone()) {
            Added::Kept(gone) => {
                self.journal.add_provider(self.net, &row);
                for (key, peer) in gone {
                    self.journal.remove_provider(self.net, &key, &peer);
                }
                Ok(())
            }
            Added::Full => Err(RecordError::Full),
            Added::BadKey => Err(RecordError::Invalid("the key is empty or longer than 80 bytes".into())),
        }
    }

    /// Takes a value that was [checked](check_value), and is valid until `end`, if none is kept that is better.
    pub(crate) fn put(&mut self, id: &Id, key: &[u8], value: &[u8], end: u64) -> Result<(), RecordError> {
        let now = self.clock.now();
        if let Some(kept) = self.live_value(id)
            && kept.bytes != value
            && self.validator.is_better(key, &kept.bytes, value)
        {
            return Err(RecordError::Old);
        }
        if !self.insert_value(id, Value { key: key.into(), bytes: value.to_vec(), since: now, end }) {
            return Err(RecordError::Full);
        }
        self.journal.put_value(self.net, key, value, now);
        Ok(())
    }

    fn insert_value(&mut self, id: &Id, value: Value) -> bool {
        let distance = self.local.distance(id);
        self.value_bytes += value.cost();
        if let Some(old) = self.values.insert(distance, value) {
            self.value_bytes -= old.cost();
        }
        while self.value_bytes > MAX_VALUE_BYTES {
            let Some((_, out)) = self.values.pop_last() else { break };
            self.value_bytes -= out.cost();
            self.journal.remove_value(self.net, &out.key);
        }
        self.values.contains_key(&distance)
    }

    /// The live value of a key.
    pub(crate) fn value(&self, id: &Id) -> Option<Vec<u8>> {
        self.live_value(id).map(|value| value.bytes.clone())
    }

    fn live_value(&self, id: &Id) -> Option<&Value> {
        self.values.get(&self.local.distance(id)).filter(|value| value.is_live(self.clock.now()))
    }

    /// Live providers of a key, in random order.
    pub(crate) fn providers_of(&mut self, id: &Id) -> Vec<Row> {
        self.providers.get(id, self.clock.now())
    }

    /// Where a peer that announced something said it is.
    pub(crate) fn addresses_of(&self, peer: &PeerId) -> Vec<Multiaddr> {
        self.providers.addresses_of(peer, self.clock.now())
    }

    /// Takes rows that an earlier run wrote. What came from the network since then wins; what is dead is deleted.
    pub(crate) fn restore(&mut self, restored: Restored) {
        let now = self.clock.now();
        for (id, row) in restored.providers {
            if self.providers.has(&id, &row) {
                continue;
            }
            let live = row.since + providers::RECORD_TTL > now;
            match if live { self.providers.add(&id, row.clone()) } else { Added::Full } {
                Added::Kept(gone) => {
                    for (key, peer) in gone {
                        self.journal.remove_provider(self.net, &key, &peer);
                    }
                }
                Added::Full | Added::BadKey => self.journal.remove_provider(self.net, &row.key, &row.peer),
            }
        }
        for row in restored.values {
            if self.live_value(&row.id).is_some() {
                continue;
            }
            let fits = row.key.len() <= MAX_VALUE_KEY && row.value.len() <= MAX_VALUE;
            let value = row.end.filter(|_| fits).map(|end| Value {
                key: row.key.as_slice().into(),
                bytes: row.value,
                since: row.since,
                end,
            });
            match value.filter(|value| value.is_live(now)) {
                Some(value) => drop(self.insert_value(&row.id, value)),
                None => self.journal.remove_value(self.net, &row.key),
            }
        }
    }

    /// Looks through a part of what is kept and drops what has expired; whether all was looked through.
    pub(crate) fn expire(&mut self) -> bool {
        let now = self.clock.now();
        // Deletions that did not fit in the queue would leave their rows on the disk.
        let rows = MAX_EXPIRED.min(self.journal.room() / 2);
        if rows == 0 {
            return false;
        }
        let (gone, providers_done) = self.providers.expire(now, MAX_EXPIRED, rows);
        for (key, peer) in gone {
            self.journal.remove_provider(self.net, &key, &peer);
        }
        let from = self.expired_to.take().unwrap_or(Id([0; 32]));
        let mut dead: Vec<Id> = Vec::new();
        for (seen, (distance, value)) in self.values.range(from..).enumerate() {
            if seen >= MAX_EXPIRED || dead.len() >= rows {
                self.expired_to = Some(*distance);
                break;
            }
            if !value.is_live(now) {
                dead.push(*distance);
            }
        }
        for distance in dead {
            if let Some(value) = self.values.remove(&distance) {
                self.value_bytes -= value.cost();
                self.journal.remove_value(self.net, &value.key);
            }
        }
        providers_done && self.expired_to.is_none()
    }

    /// Provider records and values.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.providers.len(), self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dht::{
        disk::RestoredValue,
        tests::support::{Newest, TestClock},
    };

    fn records(clock: &Arc<TestClock>) -> Records {
        let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
        Records::new(Net::Lan, &PeerId::random(), 100, 1, Arc::new(Newest), clock, Journal::none())
    }

    /// As a question of another node is treated.
    fn put(records: &mut Records, key: &[u8], value: &[u8]) -> Result<(), RecordError> {
        let end = check_value(&Newest, key, value, 1000)?;
        records.put(&Id::of(key), key, value, end)
    }

    #[test]
    fn only_valid_and_newer_values_are_kept() {
        let clock = Arc::new(TestClock::at(1000));
        let mut records = records(&clock);
        let x = Id::of(b"/ipns/x");
        assert!(matches!(put(&mut records, b"/other/x", b"5"), Err(RecordError::Invalid(_))));
        assert!(matches!(put(&mut records, b"/ipns/x", b"bad"), Err(RecordError::Invalid(_))));
        assert!(matches!(put(&mut records, b"/ipns/x", &[b'1'; MAX_VALUE + 1]), Err(RecordError::Invalid(_))));
        assert_eq!(put(&mut records, b"/ipns/x", b"5"), Ok(()));
        assert_eq!(put(&mut records, b"/ipns/x", b"4"), Err(RecordError::Old));
        assert_eq!(put(&mut records, b"/ipns/x", b"6"), Ok(()));
        assert_eq!(records.value(&x).as_deref(), Some(&b"6"[..]));
        assert_eq!(records.counts(), (0, 1));
        clock.set(1000 + VALUE_TTL);
        assert_eq!(records.value(&x), None);
        assert!(records.expire());
        assert_eq!((records.value_bytes, records.counts()), (0, (0, 0)));
        // A value whose own end comes first is not given out after it.
        assert_eq!(records.put(&x, b"/ipns/x", b"7", 2000 + VALUE_TTL), Ok(()));
        clock.set(2000 + VALUE_TTL);
        assert!(records.value(&x).is_some());
        clock.set(2001 + VALUE_TTL);
        assert_eq!(records.value(&x), None);
        assert!(records.expire());
        assert_eq!(records.counts(), (0, 0));
    }

    #[test]
    fn values_are_bounded_in_bytes() {
        let clock = Arc::new(TestClock::at(1000));
        let mut records = records(&clock);
        for n in 0..MAX_VALUE_BYTES / MAX_VALUE + 100 {
            let _ = put(&mut records, format!("/ipns/{n}").as_bytes(), &[b'1'; MAX_VALUE]);
        }
        assert!(records.value_bytes <= MAX_VALUE_BYTES);
        assert!(records.counts().1 > MAX_VALUE_BYTES / MAX_VALUE - 100);
    }

    #[test]
    fn of_an_earlier_run_only_what_lives_comes_back() {
        let clock = Arc::new(TestClock::at(VALUE_TTL + 1000));
        let mut records = records(&clock);
        let row = |since| Row { key: b"k".to_vec(), peer: PeerId::random(), addrs: Vec::new(), since };
        let value = |key: &[u8], since, end| RestoredValue {
            id: Id::of(key),
            key: key.to_vec(),
            value: b"1".to_vec(),
            since,
            end,
        };
        records.restore(Restored {
            providers: [row(1000), row(1001)].map(|row| (Id::of(b"k"), row)).into(),
            values: vec![
                value(b"/ipns/a", 1001, Some(u64::MAX)),
                value(b"/ipns/old", 1000, Some(u64::MAX)),
                value(b"/ipns/ended", 1001, Some(VALUE_TTL)),
                value(b"/ipns/bad", 1001, None),
            ],
        });
        assert_eq!(records.counts(), (1, 1));
        assert_eq!(records.value(&Id::of(b"/ipns/a")).as_deref(), Some(&b"1"[..]));
    }
}
