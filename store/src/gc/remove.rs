//! Removing single blocks, while imports and pins go on.

use super::sweep;
use crate::{
    Multihash, StoreError,
    blockstore::{Blockstore as _, KvBlocks, key},
    kv::{Batch, Durability, Table},
    pin::{Found, PinError, Pins},
};
use std::{collections::HashSet, sync::atomic::AtomicBool};

/// What became of a block that was to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It was here and is gone.
    Removed,
    /// It was not here.
    Missing,
    /// A pin keeps it.
    Pinned(Box<Found>),
    /// Somebody has stored it, or come upon it, since this began, or is about to pin what they stored before.
    InUse,
}

/// Removes blocks that no pin keeps, durably, and says what became of each, in order. As in a collection, pins that are
/// made meanwhile keep what is below them: see [`crate::session`].
///
/// # Errors
/// As [`Pins::keepers`]; what was removed before stays so.
pub fn remove(
    blocks: &KvBlocks,
    pins: &Pins,
    hashes: &[Multihash],
    stop: &AtomicBool,
) -> Result<Vec<Removal>, PinError> {
    // IMPORTANT: before the pins are read (rule 4 of `session`).
    let advance = blocks.epochs().advance();
    let mut batch = Batch::new();
    KvBlocks::stage_epoch(&mut batch, advance.epoch);
    blocks.kv().write(batch, Durability::Synced)?;
    let keepers = pins.keepers(hashes, stop)?;
    let here = hashes.iter().map(|hash| blocks.has(hash)).collect::<Result<Vec<bool>, StoreError>>()?;
    let mut doomed: Vec<Vec<u8>> =
        hashes.iter().zip(&keepers).filter(|(_, keeper)| keeper.is_none()).map(|(hash, _)| key(hash)).collect();
    doomed.sort_unstable();
    doomed.dedup();
    let mut gone = HashSet::new();
    for some in doomed.chunks(sweep::BATCH) {
        let deleted = sweep::delete_old(blocks, some.to_vec(), advance.floor, Durability::Synced)?;
        gone.extend(deleted.into_iter().map(|(key, _)| key));
    }
    let outcome = |((hash, keeper), here): ((&Multihash, Option<Found>), bool)| {
        let key = key(hash);
        Ok(match keeper {
            Some(keeper) => Removal::Pinned(Box::new(keeper)),
            None if gone.remove(&key) && here => Removal::Removed,
            None if blocks.kv().get(Table::Index, &key)?.is_some() => Removal::InUse,
            None => Removal::Missing,
        })
    };
    hashes.iter().zip(keepers).zip(here).map(outcome).collect()
}
