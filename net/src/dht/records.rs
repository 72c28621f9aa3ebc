//! What a DHT server keeps for others: provider records and values, behind libp2p-kad's `RecordStore`.
//!
//! libp2p-kad asks its store from inside of the swarm, so everything is in memory and changes go to the disk later
//! ([`super::disk`]). Inbound records reach [`Records::put_from_peer`] and [`Records::provide_from_peer`] only, which
//! validate; the `RecordStore` methods that libp2p-kad could write by refuse.

use super::{
    Clock, Net, Validator,
    disk::Journal,
    key::Id,
    providers::{self, Added, Providers, Row},
};
use libp2p::{
    Multiaddr, PeerId,
    kad::{
        ProviderRecord, Record, RecordKey,
        store::{Error, RecordStore, Result as StoreResult},
    },
};
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// Largest value in bytes: that of an IPNS record.
pub(crate) const MAX_VALUE: usize = 10 * 1024;
/// Longest key of a value: `/ipns/` and a multihash, or `/pk/` and one.
pub(crate) const MAX_VALUE_KEY: usize = 6 + providers::MAX_KEY;
/// Bytes of values and their keys. The farthest key goes first.
const MAX_VALUE_BYTES: usize = 32 << 20;
/// Counted for each value beside its bytes.
const VALUE_OVERHEAD: usize = 128;
/// How long a value is kept: 48 h, as for providers. IPNS records carry their own end, which the validator sees.
pub(crate) const VALUE_TTL: u64 = 48 * 3600;

#[derive(Debug, Clone)]
struct Value {
    record: Record,
    since: u64,
}

impl Value {
    fn cost(&self) -> usize {
        self.record.value.len() + self.record.key.as_ref().len() + VALUE_OVERHEAD
    }
}

/// Providers and values.
pub struct Records {
    net: Net,
    local: Id,
    providers: Providers,
    values: BTreeMap<Id, Value>,
    value_bytes: usize,
    validator: Arc<dyn Validator>,
    clock: Arc<dyn Clock>,
    journal: Journal,
    refused: u64,
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

impl Records {
    /// An empty store.
    pub(crate) fn new(
        net: Net,
        local: &PeerId,
        max_providers: usize,
        validator: Arc<dyn Validator>,
        clock: Arc<dyn Clock>,
        journal: Journal,
    ) -> Self {
        let local = Id::of_peer(local);
        let providers = Providers::new(local, max_providers);
        Self { net, local, providers, values: BTreeMap::new(), value_bytes: 0, validator, clock, journal, refused: 0 }
    }

    /// Takes an announcement that arrived with the right sender.
    pub(crate) fn provide_from_peer(
        &mut self,
        key: &[u8],
        peer: PeerId,
        addrs: Vec<Multiaddr>,
    ) -> Result<(), RecordError> {
        let row = Row { key: key.to_vec(), peer, addrs, since: self.clock.now() };
        match self.providers.add(row.clone()) {
            Added::Kept(gone) => {
                self.journal.add_provider(self.net, &row);
                for (key, peer) in gone {
                    self.journal.remove_provider(self.net, &key, &peer);
                }
                Ok(())
            }
            Added::Full => self.refuse(RecordError::Full),
            Added::BadKey => self.refuse(RecordError::Invalid("the key is empty or longer than 80 bytes".into())),
        }
    }

    /// Takes a value if it is valid and better than the one that is kept.
    pub(crate) fn put_from_peer(&mut self, key: &[u8], value: &[u8]) -> Result<(), RecordError> {
        let now = self.clock.now();
        if key.len() > MAX_VALUE_KEY || value.len() > MAX_VALUE {
            return self.refuse(RecordError::Invalid("the key or the value is too long".into()));
        }
        if let Err(reason) = self.validator.validate(key, value, now) {
            return self.refuse(RecordError::Invalid(reason));
        }
        if let Some(kept) = self.value(key)
            && self.validator.is_better(key, &kept, value)
        {
            return self.refuse(RecordError::Old);
        }
        if !self.insert_value(key, value, now) {
            return self.refuse(RecordError::Full);
        }
        self.journal.put_value(self.net, key, value, now);
        Ok(())
    }

    fn refuse(&mut self, error: RecordError) -> Result<(), RecordError> {
        self.refused += 1;
        tracing::debug!(net = ?self.net, %error, "inbound record");
        Err(error)
    }

    fn insert_value(&mut self, key: &[u8], value: &[u8], since: u64) -> bool {
        let distance = self.local.distance(&Id::of(key));
        let record = Record::new(RecordKey::new(&key), value.to_vec());
        let value = Value { record, since };
        self.value_bytes += value.cost();
        if let Some(old) = self.values.insert(distance, value) {
            self.value_bytes -= old.cost();
        }
        while self.value_bytes > MAX_VALUE_BYTES {
            let Some((_, out)) = self.values.pop_last() else { break };
            self.value_bytes -= out.cost();
            self.journal.remove_value(self.net, out.record.key.as_ref());
        }
        self.values.contains_key(&distance)
    }

    /// The live value of a key.
    pub(crate) fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.live_value(key).map(|record| record.value.clone())
    }

    fn live_value(&self, key: &[u8]) -> Option<&Record> {
        let value = self.values.get(&self.local.distance(&Id::of(key)))?;
        let now = self.clock.now();
        let record = &value.record;
        let live = value.since + VALUE_TTL > now && self.validator.validate(key, &record.value, now).is_ok();
        live.then_some(record)
    }

    /// Live providers of a key.
    pub(crate) fn providers_of(&self, key: &[u8]) -> Vec<Row> {
        self.providers.get(key, self.clock.now())
    }

    /// Takes rows that an earlier run wrote. What came from the network since then wins.
    pub(crate) fn restore(&mut self, providers: Vec<Row>, values: Vec<(Vec<u8>, Vec<u8>, u64)>) {
        for row in providers {
            self.providers.add(row);
        }
        for (key, value, since) in values {
            if self.value(&key).is_none() && key.len() <= MAX_VALUE_KEY && value.len() <= MAX_VALUE {
                self.insert_value(&key, &value, since);
            }
        }
    }

    /// Drops what has expired.
    pub(crate) fn expire(&mut self) {
        let now = self.clock.now();
        for (key, peer) in self.providers.expire(now) {
            self.journal.remove_provider(self.net, &key, &peer);
        }
        let dead: Vec<Id> = self.values.iter().filter(|(_, v)| v.since + VALUE_TTL <= now).map(|(id, _)| *id).collect();
        for id in dead {
            if let Some(value) = self.values.remove(&id) {
                self.value_bytes -= value.cost();
                self.journal.remove_value(self.net, value.record.key.as_ref());
            }
        }
    }

    /// Provider records, values, and inbound records refused so far.
    pub(crate) fn counts(&self) -> (usize, usize, u64) {
        (self.providers.len(), self.values.len(), self.refused)
    }
}

impl RecordStore for Records {
    type RecordsIter<'a> = std::iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> = std::iter::Empty<Cow<'a, ProviderRecord>>;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, Record>> {
        self.live_value(key.as_ref()).map(Cow::Borrowed)
    }

    fn put(&mut self, _: Record) -> StoreResult<()> {
        Err(Error::MaxRecords)
    }

    fn remove(&mut self, _: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        // Only the replication job of libp2p-kad reads them, and that is off: publishers republish.
        std::iter::empty()
    }

    fn add_provider(&mut self, _: ProviderRecord) -> StoreResult<()> {
        Err(Error::MaxProvidedKeys)
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        self.providers_of(key.as_ref())
            .into_iter()
            .map(|row| ProviderRecord {
                key: key.clone(),
                provider: row.peer,
                expires: None,
                addresses: row.addrs,
            })
            .collect()
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        // What this node provides is the sweep's business.
        std::iter::empty()
    }

    fn remove_provider(&mut self, _: &RecordKey, _: &PeerId) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dht::tests::support::{Newest, TestClock};

    fn records(clock: &Arc<TestClock>) -> Records {
        let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
        Records::new(Net::Lan, &PeerId::random(), 100, Arc::new(Newest), clock, Journal::none())
    }

    #[test]
    fn only_valid_and_newer_values_are_kept() {
        let clock = Arc::new(TestClock::at(1000));
        let mut records = records(&clock);
        assert!(matches!(records.put_from_peer(b"/other/x", b"5"), Err(RecordError::Invalid(_))));
        assert!(matches!(records.put_from_peer(b"/ipns/x", b"bad"), Err(RecordError::Invalid(_))));
        assert!(matches!(records.put_from_peer(b"/ipns/x", &[b'1'; MAX_VALUE + 1]), Err(RecordError::Invalid(_))));
        assert_eq!(records.put_from_peer(b"/ipns/x", b"5"), Ok(()));
        assert_eq!(records.put_from_peer(b"/ipns/x", b"4"), Err(RecordError::Old));
        assert_eq!(records.put_from_peer(b"/ipns/x", b"6"), Ok(()));
        assert_eq!(records.value(b"/ipns/x").as_deref(), Some(&b"6"[..]));
        assert_eq!(records.counts(), (0, 1, 4));
        clock.set(1000 + VALUE_TTL);
        assert_eq!(records.value(b"/ipns/x"), None);
        records.expire();
        assert_eq!(records.value_bytes, 0);
    }

    #[test]
    fn values_are_bounded_in_bytes() {
        let clock = Arc::new(TestClock::at(1000));
        let mut records = records(&clock);
        for n in 0..MAX_VALUE_BYTES / MAX_VALUE + 100 {
            let _ = records.put_from_peer(format!("/ipns/{n}").as_bytes(), &[b'1'; MAX_VALUE]);
        }
        assert!(records.value_bytes <= MAX_VALUE_BYTES);
        assert!(records.counts().1 > MAX_VALUE_BYTES / MAX_VALUE - 100);
    }
}
