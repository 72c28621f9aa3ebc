//! Whether the tables agree with each other.

use crate::{
    Block, Cid, StoreError,
    blockstore::{Blockstore as _, Entry, KEY_VERSION, KvBlocks, parse_key},
    cid::codec,
    gc,
    kv::{Batch, Durability, Row, Table},
    mfs::stored_root,
    pin::Pins,
};
use bytes::Bytes;
use std::{
    cmp::Ordering,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering as Atomic},
    },
};

/// Repairs that are written together.
const BATCH: usize = 256;

/// What is wrong.
#[derive(Debug, Clone)]
pub enum Problem {
    /// The index names a block whose bytes are not there.
    NoBytes(Cid),
    /// The bytes of a block are there, and the index does not name it.
    NotIndexed(Cid),
    /// The index gives a wrong length, or can't be read.
    WrongEntry(Cid),
    /// The bytes of a block are not what its name says.
    Corrupt(Cid),
    /// A key of blocks or index is no multihash.
    BadKey(Table, Vec<u8>),
    /// A pin can't be read.
    BadPin(String),
    /// The root of a pin is not here.
    PinnedMissing(Cid),
    /// The root of the mutable tree can't be read.
    BadTree(String),
    /// The root of the mutable tree is not here.
    TreeMissing(Cid),
    /// Marks of a collection that nobody will go on with.
    Leftover,
}

impl Problem {
    /// Whether it can be put right without losing anything.
    pub fn repairable(&self) -> bool {
        !matches!(
            self,
            Self::BadKey(..) | Self::BadPin(_) | Self::PinnedMissing(_) | Self::BadTree(_) | Self::TreeMissing(_)
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBytes(cid) => write!(f, "block {cid} is in the index, but its bytes are missing"),
            Self::NotIndexed(cid) => write!(f, "block {cid} is not in the index"),
            Self::WrongEntry(cid) => write!(f, "the index entry of block {cid} is wrong"),
            Self::Corrupt(cid) => write!(f, "block {cid} is corrupt"),
            Self::BadKey(table, key) => write!(f, "table {} has a key that is no multihash: {key:02x?}", table.name()),
            Self::BadPin(why) => f.write_str(why),
            Self::PinnedMissing(cid) => write!(f, "{cid} is pinned and not here"),
            Self::BadTree(why) => f.write_str(why),
            Self::TreeMissing(cid) => {
                write!(f, "{cid} is the root of MFS and not here: fetch it, or set another with `cairn files chroot`")
            }
            Self::Leftover => f.write_str("there are marks of a collection that will not go on"),
        }
    }
}

/// A check that runs.
struct Fsck<'a> {
    blocks: &'a KvBlocks,
    repair: bool,
    batch: Batch,
    emit: &'a mut dyn FnMut(Problem),
}

/// Compares the index with the blocks in both directions, reads the pins and the root of the mutable tree, and looks for
/// leftover marks; every
/// problem is told to `emit`. With `repair` those that can be put right are: index rows are made to agree with
/// the blocks, blocks that are corrupt count as missing, leftover marks are dropped. Nothing else may write
/// meanwhile. Setting `stop` ends the work; the answer is then `false`.
///
/// Reads all bytes of all blocks, but hashes only those that the index disagrees with.
///
/// # Errors
/// When the store fails.
pub fn fsck(
    blocks: &KvBlocks,
    pins: &Pins,
    repair: bool,
    stop: &AtomicBool,
    emit: &mut dyn FnMut(Problem),
) -> Result<bool, StoreError> {
    let mut run = Fsck { blocks, repair, batch: Batch::new(), emit };
    let whole = run.tables(stop)?;
    for pin in pins.iter() {
        match pin {
            Ok(pin) if !blocks.has(pin.cid.hash())? => (run.emit)(Problem::PinnedMissing(pin.cid)),
            Ok(_) => {}
            Err(StoreError::Corrupt(why)) => (run.emit)(Problem::BadPin(why)),
            Err(error) => return Err(error),
        }
    }
    match stored_root(blocks.kv().as_ref()) {
        Ok(Some(root)) if !blocks.has(root.hash())? => (run.emit)(Problem::TreeMissing(root)),
        Ok(_) => {}
        Err(StoreError::Corrupt(why)) => (run.emit)(Problem::BadTree(why)),
        Err(error) => return Err(error),
    }
    if gc::leftover(blocks.kv().as_ref())? {
        (run.emit)(Problem::Leftover);
        gc::stage_clear(&mut run.batch);
    }
    run.write()?;
    Ok(whole)
}

impl Fsck<'_> {
    /// Reads index and blocks side by side.
    fn tables(&mut self, stop: &AtomicBool) -> Result<bool, StoreError> {
        let to = [KEY_VERSION + 1];
        let kv = Arc::clone(self.blocks.kv());
        let mut index = kv.scan(Table::Index, &[KEY_VERSION], Some(&to));
        let mut bytes = kv.scan(Table::Blocks, &[KEY_VERSION], Some(&to));
        let (mut entry, mut next) = (index.next().transpose()?, bytes.next().transpose());
        loop {
            if stop.load(Atomic::Relaxed) {
                return Ok(false);
            }
            let mut block = match (next, entry.take()) {
                (Ok(block), same) => {
                    entry = same;
                    block
                }
                // A scan can't pass what is damaged: by the index, row by row, until it can.
                (Err(StoreError::Corrupt(_)), Some((key, value))) => {
                    self.alone(&key, value)?;
                    bytes = kv.scan(Table::Blocks, &[&key[..], &[0]].concat(), Some(&to));
                    (entry, next) = (index.next().transpose()?, bytes.next().transpose());
                    continue;
                }
                (Err(error), _) => return Err(error),
            };
            let order = match (&entry, &block) {
                (None, None) => return Ok(true),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            let here = if order.is_le() { entry.take() } else { None };
            let there = if order.is_ge() { block.take() } else { None };
            self.compare(here, there)?;
            if order.is_le() {
                entry = index.next().transpose()?;
            }
            next = if order.is_ge() { bytes.next().transpose() } else { Ok(block) };
        }
    }

    /// Compares the rows of a key of the index where the blocks can't be scanned.
    fn alone(&mut self, key: &[u8], entry: Bytes) -> Result<(), StoreError> {
        match self.blocks.kv().get(Table::Blocks, key) {
            Ok(data) => self.compare(Some((key.to_vec(), entry)), data.map(|data| (key.to_vec(), data))),
            // Of one that is known to be bad there is nothing to be said.
            Err(StoreError::Corrupt(_)) if Entry::decode(&entry).is_ok_and(|entry| entry.bad) => Ok(()),
            Err(StoreError::Corrupt(_)) => match parse_key(key) {
                Ok(hash) => self.corrupt(key.to_vec(), Cid::new_v1(codec::RAW, hash), 0),
                Err(_) => {
                    (self.emit)(Problem::BadKey(Table::Index, key.to_vec()));
                    Ok(())
                }
            },
            Err(error) => Err(error),
        }
    }

    /// Reports a block whose bytes are wrong; repaired, it is missing.
    fn corrupt(&mut self, key: Vec<u8>, cid: Cid, size: u64) -> Result<(), StoreError> {
        (self.emit)(Problem::Corrupt(cid));
        let stamp = self.blocks.epochs().current();
        self.batch.put(Table::Index, key, Entry { size, stamp, bad: true, leaf: false, file: None }.encode());
        self.write_some()
    }

    /// Compares the rows of one key.
    fn compare(&mut self, entry: Option<Row>, block: Option<Row>) -> Result<(), StoreError> {
        let table = if entry.is_some() { Table::Index } else { Table::Blocks };
        let Some(key) = entry.as_ref().or(block.as_ref()).map(|(key, _)| key.clone()) else { return Ok(()) };
        let Ok(hash) = parse_key(&key) else {
            (self.emit)(Problem::BadKey(table, key));
            return Ok(());
        };
        let cid = Cid::new_v1(codec::RAW, hash);
        let listed = entry.map(|(_, value)| Entry::decode(&value));
        let Some((_, data)) = block else {
            // An entry that says that the block is bad is right: it is missing.
            if !matches!(listed, Some(Ok(Entry { bad: true, .. }))) {
                (self.emit)(Problem::NoBytes(cid));
                self.batch.delete(Table::Index, key);
            }
            return self.write_some();
        };
        let size = data.len() as u64;
        let problem = match listed {
            Some(Ok(entry)) if entry.bad || entry.size == size => return Ok(()),
            Some(_) => Problem::WrongEntry(cid),
            None => Problem::NotIndexed(cid),
        };
        if Block::verify(cid, data).is_err() {
            return self.corrupt(key, cid, size);
        }
        (self.emit)(problem);
        let stamp = self.blocks.epochs().current();
        self.batch.put(Table::Index, key, Entry { size, stamp, bad: false, leaf: false, file: None }.encode());
        self.write_some()
    }

    fn write_some(&mut self) -> Result<(), StoreError> {
        if self.batch.ops().len() >= BATCH { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let batch = std::mem::take(&mut self.batch);
        if self.repair && !batch.is_empty() {
            self.blocks.kv().write(batch, Durability::Synced)?;
        }
        Ok(())
    }
}
