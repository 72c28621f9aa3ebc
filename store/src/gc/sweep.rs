//! The second half of a collection: deleting what is not marked.

use super::{Event, GcError, Watch, marks::Run};
use crate::{
    Cid, StoreError,
    blockstore::{Blockstore as _, Entry, KvBlocks, parse_key},
    cid::codec,
    kv::{Batch, Durability, Table},
};

/// Blocks that are checked and deleted in one step, while nobody can adopt them.
pub(super) const BATCH: usize = 1000;

/// Deletes every block that has no mark and a stamp below the floor. Both tables are read side by side in the
/// order of their keys, so memory is that of one batch.
pub(super) fn sweep(blocks: &KvBlocks, run: &Run, floor: u64, watch: &mut Watch<'_>) -> Result<(), GcError> {
    let kv = blocks.kv();
    let mut marked = run.marked(kv.as_ref());
    let mut mark = marked.next().transpose()?;
    let mut doomed = Vec::with_capacity(BATCH);
    let version = [crate::blockstore::KEY_VERSION];
    for row in kv.scan(Table::Index, &version, Some(&[version[0] + 1])) {
        watch.check()?;
        let (key, value) = row?;
        let hash = key.get(1..).unwrap_or_default();
        // No multihash is the beginning of another, so the marks are in the order of the index.
        while mark.as_deref().is_some_and(|m| m < hash) {
            mark = marked.next().transpose()?;
        }
        if mark.as_deref() == Some(hash) || !may_go(&value, floor) {
            continue;
        }
        doomed.push(key);
        if doomed.len() == BATCH {
            delete(blocks, &mut doomed, floor, watch)?;
        }
    }
    delete(blocks, &mut doomed, floor, watch)
}

/// Whether the stamp of an index entry lets its block go. A damaged entry is that of a missing block.
fn may_go(entry: &[u8], floor: u64) -> bool {
    Entry::decode(entry).map_or(true, |e| e.stamp < floor)
}

fn delete(blocks: &KvBlocks, doomed: &mut Vec<Vec<u8>>, floor: u64, watch: &mut Watch<'_>) -> Result<(), GcError> {
    for (key, size) in delete_old(blocks, std::mem::take(doomed), floor, Durability::Logged)? {
        let hash = parse_key(&key)?;
        watch.removed(size);
        watch.tell(Event::Removed(Cid::new_v1(codec::RAW, hash)));
    }
    Ok(())
}

/// Deletes those blocks whose stamps are still below the floor, at most [`BATCH`]; says which, and of how many bytes.
pub(super) fn delete_old(
    blocks: &KvBlocks,
    doomed: Vec<Vec<u8>>,
    floor: u64,
    durability: Durability,
) -> Result<Vec<(Vec<u8>, u64)>, StoreError> {
    let mut gone = Vec::with_capacity(doomed.len());
    // IMPORTANT: from reading the stamps again to deleting (rule 5 of `session`).
    let _nobody_adopts = blocks.epochs().sweep();
    let mut batch = Batch::new();
    let entries = blocks.kv().get_many(Table::Index, &doomed);
    for (key, entry) in doomed.into_iter().zip(entries) {
        let Some(entry) = entry? else { continue };
        if may_go(&entry, floor) {
            batch.delete(Table::Index, key.clone());
            batch.delete(Table::Blocks, key.clone());
            gone.push((key, Entry::decode(&entry).map_or(0, |e| e.size)));
        }
    }
    if !batch.is_empty() {
        blocks.kv().write(batch, durability)?;
    }
    Ok(gone)
}
