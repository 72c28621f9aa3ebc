//! The keys to announce, on the disk, in the order of the keyspace.
//!
//! | Key (`Table::Net`) | Value |
//! |---|---|
//! | `1 's' 'k' sha256(multihash)` | generation (u32 BE), multihash |
//! | `1 's' 'n' net sha256(multihash)` | multihash: new, and not yet announced in that DHT |
//! | `1 's' 'c' net` | cycle start (u64 BE), first 64 bits of what was served (u64 BE) |
//! | `1 's' 'g'` | generation (u32 BE) |
//!
//! Every read of the key source is a generation; rows of older ones are removed after it. All methods block.

use super::{
    super::{Net, key::{Id, Prefix}},
    CHUNK,
    schedule::Position,
};
use cairn_store::{
    Multihash, StoreError,
    kv::{Batch, Durability, Kv, Row, Table, after_prefix},
};
use std::sync::{Arc, atomic::{AtomicU64, Ordering}};

/// Rows changed in one batch.
const BATCH: usize = 4096;

/// Which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// All keys.
    All,
    /// New ones.
    New(Net),
}

impl Rows {
    fn prefix(self) -> Vec<u8> {
        match self {
            Self::All => vec![1, b's', b'k'],
            Self::New(net) => vec![1, b's', b'n', net.byte()],
        }
    }

    fn key(self, id: &Id) -> Vec<u8> {
        let mut key = self.prefix();
        key.extend_from_slice(&id.0);
        key
    }

    fn multihash(self, value: &[u8]) -> Option<&[u8]> {
        match self {
            Self::All => value.get(4..),
            Self::New(_) => Some(value),
        }
    }
}

/// A key and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredKey {
    pub(crate) id: Id,
    pub(crate) multihash: Vec<u8>,
}

/// The keys.
pub(crate) struct Keystore {
    kv: Arc<dyn Kv>,
    count: AtomicU64,
}

impl Keystore {
    pub(crate) fn new(kv: Arc<dyn Kv>) -> Self {
        Self { kv, count: AtomicU64::new(0) }
    }

    /// Keys to announce, as of the last complete read.
    pub(crate) fn len(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Reads the source: keys that are new wait to be announced in `nets`, those that are gone are removed. Returns how
    /// many keys there are.
    pub(crate) fn refresh(
        &self,
        keys: super::Keys<'_>,
        nets: &[Net],
        announce_new: bool,
    ) -> Result<u64, String> {
        let generation = self.generation().map_err(|e| e.to_string())?.wrapping_add(1);
        let mut chunk = Vec::with_capacity(BATCH);
        for key in keys {
            chunk.push(key?);
            if chunk.len() == BATCH {
                self.write_chunk(&mut chunk, generation, nets, announce_new).map_err(|e| e.to_string())?;
            }
        }
        self.write_chunk(&mut chunk, generation, nets, announce_new).map_err(|e| e.to_string())?;
        let count = self.finish(generation).map_err(|e| e.to_string())?;
        self.count.store(count, Ordering::Relaxed);
        Ok(count)
    }

    fn generation(&self) -> Result<u32, StoreError> {
        let row = self.kv.get(Table::Net, &[1, b's', b'g'])?;
        Ok(row.and_then(|r| Some(u32::from_be_bytes(*r.first_chunk()?))).unwrap_or(0))
    }

    fn write_chunk(
        &self,
        chunk: &mut Vec<Multihash>,
        generation: u32,
        nets: &[Net],
        announce_new: bool,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        let rows: Vec<(Id, Vec<u8>)> = chunk
            .drain(..)
            .map(|multihash| multihash.to_bytes())
            .filter(|bytes| bytes.len() <= super::super::providers::MAX_KEY)
            .map(|bytes| (Id::of(&bytes), bytes))
            .collect();
        let known = if announce_new {
            let keys: Vec<Vec<u8>> = rows.iter().map(|(id, _)| Rows::All.key(id)).collect();
            self.kv.get_many(Table::Net, &keys)
        } else {
            Vec::new()
        };
        for (n, (id, bytes)) in rows.into_iter().enumerate() {
            if matches!(known.get(n), Some(Ok(None))) {
                for net in nets {
                    batch.put(Table::Net, Rows::New(*net).key(&id), bytes.clone());
                }
            }
            let mut value = generation.to_be_bytes().to_vec();
            value.extend_from_slice(&bytes);
            batch.put(Table::Net, Rows::All.key(&id), value);
        }
        self.kv.write(batch, Durability::Logged)
    }

    /// Removes older generations.
    fn finish(&self, generation: u32) -> Result<u64, StoreError> {
        let prefix = Rows::All.prefix();
        let mut batch = Batch::new();
        let (mut count, mut dead) = (0, 0);
        for row in self.kv.scan(Table::Net, &prefix, after_prefix(&prefix).as_deref()) {
            let (key, value) = row?;
            if value.first_chunk() == Some(&generation.to_be_bytes()) {
                count += 1;
            } else {
                batch.delete(Table::Net, key);
                dead += 1;
                if dead % BATCH == 0 {
                    self.kv.write(std::mem::take(&mut batch), Durability::Logged)?;
                }
            }
        }
        batch.put(Table::Net, vec![1, b's', b'g'], generation.to_be_bytes().to_vec());
        self.kv.write(batch, Durability::Logged)?;
        Ok(count)
    }

    /// Adds keys that came up since the last read; they wait to be announced in `nets`.
    pub(crate) fn add(&self, keys: &[Multihash], nets: &[Net]) -> Result<(), StoreError> {
        let generation = self.generation()?;
        for chunk in keys.chunks(BATCH) {
            let mut batch = Batch::new();
            for key in chunk {
                let bytes = key.to_bytes();
                if bytes.len() > super::super::providers::MAX_KEY {
                    continue;
                }
                let id = Id::of(&bytes);
                for net in nets {
                    batch.put(Table::Net, Rows::New(*net).key(&id), bytes.clone());
                }
                let mut value = generation.to_be_bytes().to_vec();
                value.extend_from_slice(&bytes);
                batch.put(Table::Net, Rows::All.key(&id), value);
            }
            self.kv.write(batch, Durability::Logged)?;
        }
        self.count.fetch_add(keys.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Up to [`CHUNK`] keys of a region, from a point on.
    pub(crate) fn chunk(&self, rows: Rows, region: Prefix, from: Id) -> Result<Vec<StoredKey>, StoreError> {
        let start = rows.key(&from.max(region.start()));
        let end = region.end().map_or_else(|| after_prefix(&rows.prefix()), |end| Some(rows.key(&end)));
        let scan = self.kv.scan(Table::Net, &start, end.as_deref());
        scan.take(CHUNK).filter_map(|row| row.map(|row| stored(rows, &row)).transpose()).collect()
    }

    /// The first key from a point on.
    pub(crate) fn first(&self, rows: Rows, from: Id) -> Result<Option<Id>, StoreError> {
        let end = after_prefix(&rows.prefix());
        let mut scan = self.kv.scan(Table::Net, &rows.key(&from), end.as_deref());
        let row = scan.next().transpose()?;
        Ok(row.and_then(|row| stored(rows, &row)).map(|key| key.id))
    }

    /// New keys that wait, counted up to a bound.
    pub(crate) fn waiting(&self, net: Net, bound: usize) -> usize {
        let rows = Rows::New(net);
        let prefix = rows.prefix();
        self.kv.scan(Table::Net, &prefix, after_prefix(&prefix).as_deref()).take(bound).count()
    }

    /// These keys are announced.
    pub(crate) fn remove_new(&self, net: Net, keys: &[StoredKey]) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        for key in keys {
            batch.delete(Table::Net, Rows::New(net).key(&key.id));
        }
        self.kv.write(batch, Durability::Logged)
    }

    /// Forgets all new keys of a DHT (`provide clear`); how many there were.
    pub(crate) fn clear_new(&self, net: Net) -> Result<u64, StoreError> {
        let prefix = Rows::New(net).prefix();
        let count = self.waiting(net, usize::MAX) as u64;
        let mut batch = Batch::new();
        if let Some(end) = after_prefix(&prefix) {
            batch.delete_range(Table::Net, prefix, end);
        }
        self.kv.write(batch, Durability::Logged)?;
        Ok(count)
    }

    pub(crate) fn position(&self, net: Net) -> Result<Option<Position>, StoreError> {
        let row = self.kv.get(Table::Net, &[1, b's', b'c', net.byte()])?;
        Ok(row.and_then(|row| {
            let (cycle_start, rest) = row.split_first_chunk::<8>()?;
            let served = rest.first_chunk::<8>()?;
            Some(Position { cycle_start: u64::from_be_bytes(*cycle_start), served: u64::from_be_bytes(*served) })
        }))
    }

    pub(crate) fn set_position(&self, net: Net, position: Position) -> Result<(), StoreError> {
        let mut value = position.cycle_start.to_be_bytes().to_vec();
        value.extend_from_slice(&position.served.to_be_bytes());
        let mut batch = Batch::new();
        batch.put(Table::Net, vec![1, b's', b'c', net.byte()], value);
        self.kv.write(batch, Durability::Logged)
    }
}

fn stored(rows: Rows, (key, value): &Row) -> Option<StoredKey> {
    let id = Id(*key.get(rows.prefix().len()..)?.first_chunk::<32>()?);
    Some(StoredKey { id, multihash: rows.multihash(value)?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_store::kv::MemoryKv;

    fn key(n: u32) -> Multihash {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&n.to_be_bytes());
        Multihash::wrap(0x12, &digest).expect("a multihash")
    }

    fn all() -> Prefix {
        Prefix::new(&Id([0; 32]), 0)
    }

    fn read(store: &Keystore, keys: std::ops::Range<u32>, announce: bool) -> u64 {
        store.refresh(Box::new(keys.map(|n| Ok(key(n)))), &[Net::Wan], announce).expect("reads")
    }

    #[test]
    fn a_read_of_the_source_adds_and_removes() {
        let store = Keystore::new(Arc::new(MemoryKv::default()));
        assert_eq!(read(&store, 0..100, false), 100);
        assert_eq!(store.waiting(Net::Wan, 1000), 0);
        assert_eq!(read(&store, 50..120, true), 70);
        let kept = store.chunk(Rows::All, all(), Id([0; 32])).expect("reads");
        assert_eq!(kept.len(), 70);
        assert!(kept.is_sorted_by_key(|k| k.id));
        assert_eq!(store.waiting(Net::Wan, 1000), 20, "those that are new wait for their first announcement");
        let failed = store.refresh(Box::new([Ok(key(1)), Err("disk".to_owned())].into_iter()), &[], false);
        assert!(failed.is_err());
        assert_eq!(store.chunk(Rows::All, all(), Id([0; 32])).expect("reads").len(), 71, "a broken read removes nothing");
    }

    #[test]
    fn regions_are_ranges() {
        let store = Keystore::new(Arc::new(MemoryKv::default()));
        read(&store, 0..1000, false);
        let mut count = 0;
        let mut start = Id([0; 32]);
        loop {
            let region = Prefix::new(&start, 3);
            let keys = store.chunk(Rows::All, region, Id([0; 32])).expect("reads");
            assert!(keys.iter().all(|k| region.contains(&k.id) && Id::of(&k.multihash) == k.id));
            count += keys.len();
            let Some(end) = region.end() else { break };
            start = end;
        }
        assert_eq!(count, 1000);
    }

    #[test]
    fn new_keys_wait_until_they_are_announced() {
        let store = Keystore::new(Arc::new(MemoryKv::default()));
        store.add(&[key(1), key(2)], &[Net::Wan, Net::Lan]).expect("adds");
        let first = store.first(Rows::New(Net::Wan), Id([0; 32])).expect("reads").expect("one");
        let keys = store.chunk(Rows::New(Net::Wan), all(), first).expect("reads");
        assert_eq!(keys.len(), 2);
        store.remove_new(Net::Wan, &keys).expect("removes");
        assert_eq!(store.first(Rows::New(Net::Wan), Id([0; 32])).expect("reads"), None);
        assert_eq!(store.clear_new(Net::Lan).expect("clears"), 2);
        assert_eq!(store.waiting(Net::Lan, 10), 0);
        let position = Position { cycle_start: 7, served: 9 };
        store.set_position(Net::Lan, position).expect("writes");
        assert_eq!(store.position(Net::Lan).expect("reads"), Some(position));
        assert_eq!(store.position(Net::Wan).expect("reads"), None);
    }
}
