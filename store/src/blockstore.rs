//! Blocks by multihash, on ordered tables.
//!
//! Two rows stand for a block: its bytes in `Blocks`, and in `Index` its length, flags and stamp (see
//! [`crate::session`]). `has`, `size`, scans and the sweep of a collection read only the index.

mod bulk;
mod entry;

pub use bulk::Bulk;
pub use entry::Entry;

use crate::{
    Block, Cid, Multihash, StoreError, hash,
    kv::{Batch, Durability, Kv, Table},
    session::{Epochs, Session},
    unflushed::Unflushed,
};
use bulk::Quota;
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// First byte of every key: the version of the key layouts (`docs/FORMAT.md`).
pub const KEY_VERSION: u8 = 1;
/// Key in `Meta` of the last epoch that a collection began, as 8 bytes big-endian.
const EPOCH_KEY: &[u8] = b"\x01epoch";
/// Key of a block in `Blocks` and in `Index`.
pub fn key(hash: &Multihash) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + 2 + usize::from(hash.size()));
    key.push(KEY_VERSION);
    // Writing to a Vec does not fail.
    let _ = hash.write(&mut key);
    key
}

/// The multihash of a key of `Blocks` or `Index`.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is none.
pub fn parse_key(key: &[u8]) -> Result<Multihash, StoreError> {
    match key.split_first() {
        Some((&KEY_VERSION, hash)) => {
            Multihash::from_bytes(hash).map_err(|e| StoreError::Corrupt(format!("key {key:02x?}: {e}")))
        }
        _ => Err(StoreError::Corrupt(format!("key {key:02x?} has no known version"))),
    }
}

/// A block's name and index entry, from a scan.
pub type Listed = (Multihash, Entry);

/// Blocks by multihash. All methods may block on the disk.
pub trait Blockstore: Send + Sync {
    /// The block of that name, or `None` when it is not here. A block whose bytes fail their check counts as
    /// missing: it is reported once, and the next put of it writes it anew. Identity CIDs are always here.
    ///
    /// # Errors
    /// When the disk fails for another reason.
    fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError>;

    /// Many blocks, in order.
    fn get_many(&self, cids: &[Cid]) -> Vec<Result<Option<Block>, StoreError>> {
        cids.iter().map(|c| self.get(c)).collect()
    }

    /// What the index says of a block; `None` when it is missing or known to be bad.
    ///
    /// # Errors
    /// When the disk fails.
    fn entry(&self, hash: &Multihash) -> Result<Option<Entry>, StoreError>;

    /// What the index says of many blocks, in order.
    fn entries(&self, hashes: &[Multihash]) -> Vec<Result<Option<Entry>, StoreError>> {
        hashes.iter().map(|h| self.entry(h)).collect()
    }

    /// Whether a block is here, without reading it. Identity hashes are always here.
    ///
    /// # Errors
    /// When the disk fails.
    fn has(&self, hash: &Multihash) -> Result<bool, StoreError> {
        Ok(hash.code() == 0 || self.entry(hash)?.is_some())
    }

    /// Length in bytes of a block, without reading it.
    ///
    /// # Errors
    /// When the disk fails.
    fn size(&self, hash: &Multihash) -> Result<Option<u64>, StoreError> {
        if hash.code() == 0 {
            return Ok(Some(u64::from(hash.size())));
        }
        Ok(self.entry(hash)?.map(|e| e.size))
    }

    /// Stores blocks, all or none; on return they are as durable as asked. Identity blocks are not stored.
    ///
    /// # Errors
    /// When the disk refuses; nothing was stored then.
    fn put_many(&self, blocks: &[Block], durability: Durability) -> Result<(), StoreError>;

    /// Stores one block durably.
    ///
    /// # Errors
    /// As [`Blockstore::put_many`].
    fn put(&self, block: &Block) -> Result<(), StoreError> {
        self.put_many(std::slice::from_ref(block), Durability::Synced)
    }

    /// Stamps blocks that are here as needed now, so that a running collection leaves them to the caller's
    /// open [`Session`]. Answers which of them are here, in order.
    ///
    /// # Errors
    /// When the disk fails.
    fn touch(&self, hashes: &[Multihash]) -> Result<Vec<bool>, StoreError>;

    /// Removes blocks at once, whoever needs them. Not for collections: those check stamps first.
    ///
    /// # Errors
    /// When the disk refuses.
    fn delete_many(&self, hashes: &[Multihash]) -> Result<(), StoreError>;

    /// Marks a block whose bytes were found to be wrong: it counts as missing from now on. They are looked at once more,
    /// since whoever found them wrong may have read them a while ago; `false`: by now they are right, or the block was
    /// deleted, and nothing was changed.
    ///
    /// # Errors
    /// When the disk fails or refuses.
    fn condemn(&self, hash: &Multihash) -> Result<bool, StoreError>;

    /// All blocks by ascending multihash, bad ones included, over a snapshot.
    fn list(&self) -> Box<dyn Iterator<Item = Result<Listed, StoreError>> + Send + '_>;

    /// Sessions and epochs of this store.
    fn epochs(&self) -> &Arc<Epochs>;

    /// Opens a session: see [`crate::session`].
    fn session(&self) -> Session {
        self.epochs().session()
    }
}

/// A damaged entry, and that of a bad block, are those of a missing block.
fn usable(entry: Result<Option<Entry>, StoreError>) -> Result<Option<Entry>, StoreError> {
    match entry {
        Ok(entry) => Ok(entry.filter(|e| !e.bad)),
        Err(StoreError::Corrupt(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Called with blocks that were just stored, those that were here already among them. It must be quick.
pub type OnStored = Box<dyn Fn(&[Block]) + Send + Sync>;

/// Blocks on ordered tables.
pub struct KvBlocks {
    kv: Arc<dyn Kv>,
    epochs: Arc<Epochs>,
    unflushed: Unflushed,
    on_stored: OnceLock<OnStored>,
    hash_on_read: bool,
    quota: Quota,
}

impl KvBlocks {
    /// Opens the blocks of these tables.
    ///
    /// # Errors
    /// When the epoch can't be read.
    pub fn open(kv: Arc<dyn Kv>) -> Result<Self, StoreError> {
        let last = match kv.get(Table::Meta, EPOCH_KEY)? {
            None => 0,
            Some(bytes) => u64::from_be_bytes(
                bytes.as_ref().try_into().map_err(|_| StoreError::Corrupt("the epoch in table meta".into()))?,
            ),
        };
        Ok(Self {
            kv,
            // Sessions of an earlier process are gone; what they stamped is at most this.
            epochs: Epochs::new(last + 1),
            unflushed: Unflushed::default(),
            on_stored: OnceLock::new(),
            hash_on_read: false,
            quota: Quota::default(),
        })
    }

    /// Hashes every block that is read, besides the checksum that is verified anyway (`Datastore.HashOnRead`).
    #[must_use]
    pub fn hash_on_read(mut self, on: bool) -> Self {
        self.hash_on_read = on;
        self
    }

    /// Ends imports that find more than `max` bytes in the tables while they write (`Datastore.StorageMax`). They may
    /// pass it by what the tables hold in memory and by [`Bulk::CHECK_EVERY`].
    #[must_use]
    pub fn storage_max(mut self, max: u64) -> Self {
        self.quota = Quota::new(max);
        self
    }

    /// Looks how large the tables are, under the same rule.
    ///
    /// # Errors
    /// [`StoreError::Full`] when they have no room for more.
    pub fn check_quota(&self) -> Result<(), StoreError> {
        self.quota.look(self.kv.as_ref())
    }

    /// Notes that somebody who is no [`Bulk`] is about to write so many bytes; whether [`KvBlocks::check_quota`] is to be
    /// asked first, which may take a while.
    pub fn is_near_quota(&self, bytes: u64) -> bool {
        !self.quota.take(bytes)
    }

    /// Says, once, who is told of blocks that were stored.
    pub fn on_stored(&self, tell: OnStored) {
        // A second one is not told.
        let _ = self.on_stored.set(tell);
    }

    fn tell_stored(&self, blocks: &[Block]) {
        if let Some(tell) = self.on_stored.get().filter(|_| !blocks.is_empty()) {
            tell(blocks);
        }
    }

    /// The tables below.
    pub fn kv(&self) -> &Arc<dyn Kv> {
        &self.kv
    }

    /// Stages the row that makes an epoch survive a restart. A collection writes it, synced, before it marks.
    pub fn stage_epoch(batch: &mut Batch, epoch: u64) {
        batch.put(Table::Meta, EPOCH_KEY.to_vec(), epoch.to_be_bytes().to_vec());
    }

    fn raw_entry(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.kv.get(Table::Index, key)?.map(|bytes| Entry::decode(&bytes)).transpose()
    }

    /// Makes every block that can be found durable, given that a synced write follows: before something that names
    /// them is written so, and acknowledged.
    ///
    /// # Errors
    /// When the disk refuses; nothing may be acknowledged then.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.unflushed.settle(self.kv.as_ref())
    }

    /// Stages what a put of these blocks changes. The caller holds the sweep lock shared until it is written.
    /// Answers whether some of them were here already.
    fn stage(&self, blocks: &[Block], batch: &mut Batch) -> Result<bool, StoreError> {
        let stamp = self.epochs.current();
        // In the order of keys: look-ups and insertions of neighbours share the cache lines of the tables.
        let mut rows: Vec<_> =
            blocks.iter().filter(|b| b.cid().hash().code() != 0).map(|b| (key(b.cid().hash()), b)).collect();
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        // A file of zeros is one block many times over.
        rows.dedup_by(|a, b| a.0 == b.0);
        let (keys, blocks): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let found = self.kv.get_many(Table::Index, &keys);
        let mut relies = false;
        for ((key, block), found) in keys.into_iter().zip(blocks).zip(found) {
            let entry = match found.and_then(|bytes| bytes.map(|b| Entry::decode(&b)).transpose()) {
                // A corrupt index entry is written anew with its block.
                Ok(Some(Entry { bad: true, .. }) | None) | Err(StoreError::Corrupt(_)) => None,
                Ok(Some(entry)) => Some(entry),
                Err(error) => return Err(error),
            };
            relies |= entry.is_some();
            match entry {
                Some(entry) if entry.stamp >= stamp => {}
                Some(entry) => batch.put(Table::Index, key, Entry { stamp, ..entry }.encode()),
                None => {
                    batch.put(Table::Index, key.clone(), Entry::of(block, stamp).encode());
                    batch.put(Table::Blocks, key, block.data().clone());
                }
            }
        }
        Ok(relies)
    }

    /// Writes what [`KvBlocks::stage`] staged.
    fn write_staged(&self, batch: Batch, relies: bool, durability: Durability) -> Result<(), StoreError> {
        if durability == Durability::Buffered {
            if batch.is_empty() {
                return Ok(());
            }
            let _unlogged = self.unflushed.enter();
            return self.kv.write(batch, durability);
        }
        // IMPORTANT: before the batch, which may log a new stamp for a block that nobody has flushed yet.
        if relies {
            self.settle()?;
        }
        if !batch.is_empty() {
            return self.unflushed.log(self.kv.as_ref(), batch, durability);
        }
        // Whoever stored them before may have asked for less.
        if relies && durability == Durability::Synced { self.unflushed.sync(self.kv.as_ref()) } else { Ok(()) }
    }

    /// What a read of bytes means: bytes that fail a check are reported, and missing from then on.
    fn checked(&self, cid: &Cid, read: Result<Option<Bytes>, StoreError>) -> Result<Option<Block>, StoreError> {
        let why = match read {
            Ok(None) => return Ok(None),
            Ok(Some(data)) if !self.hash_on_read => return Ok(Some(Block::from_store(*cid, data))),
            Ok(Some(data)) => match Block::verify(*cid, data) {
                Ok(block) => return Ok(Some(block)),
                Err(error) => error.to_string(),
            },
            Err(StoreError::Corrupt(why)) => why,
            Err(error) => return Err(error),
        };
        // A block that is known to be bad is neither reported again nor locked for.
        if matches!(self.raw_entry(&key(cid.hash())), Ok(Some(Entry { bad: true, .. }))) {
            return Ok(None);
        }
        if self.condemn(cid.hash())? {
            tracing::error!(%cid, why, "a stored block is corrupt");
            return Ok(None);
        }
        // Since it was read it was stored anew, or deleted.
        let data = self.kv.get(Table::Blocks, &key(cid.hash()))?;
        Ok(data.and_then(|data| Block::verify(*cid, data).ok()))
    }

    /// As [`Blockstore::condemn`]; with `forget` the block is deleted instead of marked. Marking leaves its bytes where they
    /// are: a deletion among damaged rows would have the tables merge them soon, which they can't.
    ///
    /// # Errors
    /// When the disk fails or refuses.
    pub fn condemn_or(&self, hash: &Multihash, forget: bool) -> Result<bool, StoreError> {
        let key = key(hash);
        // A put in progress either comes first, or finds the block bad and writes it anew.
        let _nobody_adopts = self.epochs.sweep();
        let (entry, damaged) = match self.raw_entry(&key) {
            Ok(entry) => (entry, false),
            Err(StoreError::Corrupt(_)) => (Some(Entry::BAD), true),
            Err(error) => return Err(error),
        };
        match self.kv.get(Table::Blocks, &key) {
            Ok(Some(bytes)) if hash::matches(hash, &bytes) == Some(true) => return Ok(false),
            Ok(None) if entry.is_none() => return Ok(false),
            Ok(_) | Err(StoreError::Corrupt(_)) => {}
            Err(error) => return Err(error),
        }
        let mut batch = Batch::new();
        match entry {
            _ if forget => {
                batch.delete(Table::Index, key.clone());
                batch.delete(Table::Blocks, key);
            }
            Some(Entry { bad: true, .. }) if !damaged => return Ok(true),
            entry => {
                let entry = entry.unwrap_or(Entry::BAD);
                batch.put(Table::Index, key, Entry { bad: true, ..entry }.encode());
            }
        }
        self.kv.write(batch, Durability::Logged)?;
        Ok(true)
    }

    /// As [`Blockstore::touch`], with the length in bytes of each block that is here.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn adopt(&self, hashes: &[Multihash]) -> Result<Vec<Option<u64>>, StoreError> {
        let _adopting = self.epochs.adopt();
        let stamp = self.epochs.current();
        let mut batch = Batch::new();
        let mut sizes = Vec::with_capacity(hashes.len());
        for hash in hashes {
            if hash.code() == 0 {
                sizes.push(Some(u64::from(hash.size())));
                continue;
            }
            let entry = self.entry(hash)?;
            sizes.push(entry.map(|e| e.size));
            if let Some(entry) = entry.filter(|e| e.stamp < stamp) {
                batch.put(Table::Index, key(hash), Entry { stamp, ..entry }.encode());
            }
        }
        // The stamp matters only to a collection in this process: it need not outlive it, and it must not if the
        // block itself might not.
        if !batch.is_empty() {
            let durability = if self.unflushed.any() { Durability::Buffered } else { Durability::Logged };
            self.write_staged(batch, false, durability)?;
        }
        Ok(sizes)
    }

    /// A writer for an import: see [`Bulk`].
    pub fn bulk(self: &Arc<Self>) -> Bulk {
        Bulk::new(self)
    }
}

impl Blockstore for KvBlocks {
    fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        if let Some(block) = Block::from_identity(cid) {
            return Ok(Some(block));
        }
        self.checked(cid, self.kv.get(Table::Blocks, &key(cid.hash())))
    }

    fn get_many(&self, cids: &[Cid]) -> Vec<Result<Option<Block>, StoreError>> {
        let stored = |cid: &&Cid| cid.hash().code() != 0;
        let keys: Vec<Vec<u8>> = cids.iter().filter(stored).map(|c| key(c.hash())).collect();
        let mut read = self.kv.get_many(Table::Blocks, &keys).into_iter();
        cids.iter()
            .map(|cid| match Block::from_identity(cid) {
                Some(block) => Ok(Some(block)),
                None => self.checked(cid, read.next().unwrap_or(Ok(None))),
            })
            .collect()
    }

    fn entry(&self, hash: &Multihash) -> Result<Option<Entry>, StoreError> {
        usable(self.raw_entry(&key(hash)))
    }

    fn entries(&self, hashes: &[Multihash]) -> Vec<Result<Option<Entry>, StoreError>> {
        let keys: Vec<Vec<u8>> = hashes.iter().map(key).collect();
        let rows = self.kv.get_many(Table::Index, &keys);
        rows.into_iter().map(|row| usable(row.and_then(|r| r.map(|bytes| Entry::decode(&bytes)).transpose()))).collect()
    }

    fn put_many(&self, blocks: &[Block], durability: Durability) -> Result<(), StoreError> {
        let _adopting = self.epochs.adopt();
        let mut batch = Batch::new();
        let relies = self.stage(blocks, &mut batch)?;
        self.write_staged(batch, relies, durability)?;
        self.tell_stored(blocks);
        Ok(())
    }

    fn touch(&self, hashes: &[Multihash]) -> Result<Vec<bool>, StoreError> {
        Ok(self.adopt(hashes)?.iter().map(Option::is_some).collect())
    }

    fn delete_many(&self, hashes: &[Multihash]) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        for hash in hashes {
            let key = key(hash);
            batch.delete(Table::Index, key.clone());
            batch.delete(Table::Blocks, key);
        }
        // Nobody may be between finding one of them and stamping it: that would leave a row without bytes.
        let _nobody_adopts = self.epochs.sweep();
        self.kv.write(batch, Durability::Synced)
    }

    fn condemn(&self, hash: &Multihash) -> Result<bool, StoreError> {
        self.condemn_or(hash, false)
    }

    fn list(&self) -> Box<dyn Iterator<Item = Result<Listed, StoreError>> + Send + '_> {
        let rows = self.kv.scan(Table::Index, &[KEY_VERSION], Some(&[KEY_VERSION + 1]));
        Box::new(rows.map(|row| {
            let (key, value) = row?;
            Ok((parse_key(&key)?, Entry::decode(&value)?))
        }))
    }

    fn epochs(&self) -> &Arc<Epochs> {
        &self.epochs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{block::Prefix, cid::codec, kv::MemoryKv};

    fn store() -> Arc<KvBlocks> {
        Arc::new(KvBlocks::open(Arc::new(MemoryKv::new())).expect("opens"))
    }

    fn block(text: &str) -> Block {
        Block::seal(Prefix::v1(codec::RAW), Bytes::copy_from_slice(text.as_bytes())).expect("seals")
    }

    #[test]
    fn a_block_is_found_under_every_name_of_its_multihash() {
        let store = store();
        let raw = block("hello");
        store.put(&raw).expect("puts");
        let other = Cid::new_v1(codec::DAG_CBOR, *raw.cid().hash());
        let got = store.get(&other).expect("reads").expect("is here");
        assert_eq!((got.cid(), got.data()), (&other, raw.data()));
        assert_eq!(store.size(raw.cid().hash()).expect("reads"), Some(5));
    }

    /// Writes other bytes in the place of a block's.
    fn rot(store: &KvBlocks, block: &Block) {
        let mut batch = Batch::new();
        batch.put(Table::Blocks, key(block.cid().hash()), Bytes::from_static(b"rotten"));
        store.kv().write(batch, Durability::Synced).expect("writes");
    }

    #[test]
    fn a_condemned_block_is_missing_until_it_is_put_again() {
        let store = store();
        let b = block("x");
        store.put(&b).expect("puts");
        rot(&store, &b);
        assert!(store.condemn(b.cid().hash()).expect("condemns"));
        assert!(!store.has(b.cid().hash()).expect("reads"));
        store.put(&b).expect("puts");
        assert!(store.has(b.cid().hash()).expect("reads"));
    }

    #[test]
    fn an_old_finding_condemns_nothing_that_is_right_by_now() {
        let store = store();
        let b = block("x");
        for forget in [false, true] {
            assert!(!store.condemn_or(b.cid().hash(), forget).expect("reads"), "it is not here");
            assert_eq!(store.list().count(), 0);
        }
        store.put(&b).expect("puts");
        for forget in [false, true] {
            assert!(!store.condemn_or(b.cid().hash(), forget).expect("reads"), "it is good");
            assert_eq!(store.get(b.cid()).expect("reads").as_ref(), Some(&b));
        }
        // A read that found it corrupt, before it was put anew.
        let read = store.checked(b.cid(), Err(StoreError::Corrupt("a while ago".into())));
        assert_eq!(read.expect("reads").as_ref(), Some(&b));
        rot(&store, &b);
        assert!(store.condemn_or(b.cid().hash(), true).expect("drops"));
        assert_eq!(store.list().count(), 0);
    }

    #[test]
    fn identity_blocks_are_never_stored() {
        let store = store();
        let prefix = Prefix { version: cid::Version::V1, codec: codec::RAW, hash: crate::hash::HashFn::IDENTITY };
        let b = Block::seal(prefix, Bytes::from_static(b"tiny")).expect("seals");
        store.put(&b).expect("puts");
        assert_eq!(store.list().count(), 0);
        assert_eq!(store.get(b.cid()).expect("reads").expect("is here").data().as_ref(), b"tiny");
    }
}
