//! What a collection has found so far, in tables: `Marks`, and the row in `Meta` that names the run
//! (`docs/FORMAT.md`, "Marks").
//!
//! A mark says: this block stays. A *work row* says: the links of this node have not been marked yet. A node's
//! mark is written together with its work row or with the marks of its links, and a work row goes only together with
//! those marks or after them. So whatever is on the disk after an interruption, everything below a mark is marked or waits behind
//! a work row: a later run goes on from there.

use crate::{
    Cid, StoreError,
    blockstore::KEY_VERSION,
    cid, dag,
    kv::{Batch, Kv, Row, Table},
};

/// Key in `Meta` of the collection that began and has not ended.
const RUN_KEY: &[u8] = b"\x01gc";
/// Kinds of rows in `Marks`.
const KIND_MARK: u8 = 0;
const KIND_WORK: u8 = 1;
/// Bytes of a key before the multihash or CID: version, run, kind.
const HEAD: usize = 1 + 8 + 1;
/// Whether a missing block is an error, in the value of a work row.
const STRICT: u8 = 1;

/// A collection that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// The epoch that began it.
    pub(super) id: u64,
    /// SHA-256 of the CIDs of the extra roots: with other roots its marks are worth nothing.
    pub(super) roots: [u8; 32],
}

impl Run {
    /// The collection that was interrupted, if there is one. A damaged row counts as none: its marks are dropped.
    pub(super) fn read(kv: &dyn Kv) -> Result<Option<Self>, StoreError> {
        let Some(row) = kv.get(Table::Meta, RUN_KEY)? else { return Ok(None) };
        Ok(row
            .split_first_chunk::<8>()
            .and_then(|(id, roots)| Some(Self { id: u64::from_be_bytes(*id), roots: roots.try_into().ok()? })))
    }

    /// Stages the row of this run, and drops all marks of earlier ones.
    pub(super) fn stage_begin(&self, batch: &mut Batch) {
        stage_clear(batch);
        batch.put(Table::Meta, RUN_KEY.to_vec(), [&self.id.to_be_bytes()[..], &self.roots].concat());
    }

    fn head(&self, kind: u8) -> Vec<u8> {
        let mut key = Vec::with_capacity(HEAD + 40);
        key.push(KEY_VERSION);
        key.extend_from_slice(&self.id.to_be_bytes());
        key.push(kind);
        key
    }

    /// Key of a mark: the multihash, then how its bytes were read. One multihash may be a raw block and a node.
    pub(super) fn mark(&self, cid: &Cid, alone: bool) -> Vec<u8> {
        let mut key = self.head(KIND_MARK);
        // Writing to a Vec does not fail.
        let _ = cid.hash().write(&mut key);
        let codec = if alone || dag::is_leaf(cid) { 0 } else { cid.codec() };
        key.extend_from_slice(&codec.to_be_bytes());
        key
    }

    /// Key of a work row.
    pub(super) fn work(&self, cid: &Cid) -> Vec<u8> {
        let mut key = self.head(KIND_WORK);
        let _ = cid.write_bytes(&mut key);
        key
    }

    /// Value of a work row.
    pub(super) fn work_value(strict: bool) -> Vec<u8> {
        vec![if strict { STRICT } else { 0 }]
    }

    /// Nodes whose links are still to be marked, and whether it is an error when they are missing; those after
    /// `after` in the order of their CIDs' bytes.
    pub(super) fn waiting<'a>(
        &self,
        kv: &'a dyn Kv,
        after: Option<&Cid>,
    ) -> impl Iterator<Item = Result<(Cid, bool), StoreError>> + use<'a> {
        let to = self.head(KIND_WORK + 1);
        let from = after.map_or_else(
            || self.head(KIND_WORK),
            |cid| {
                let mut next = self.work(cid);
                next.push(0);
                next
            },
        );
        kv.scan(Table::Marks, &from, Some(&to)).map(|row| {
            let (key, value) = row?;
            let cid = cid::from_bytes(key.get(HEAD..).unwrap_or_default())
                .map_err(|e| StoreError::Corrupt(format!("mark {key:02x?}: {e}")))?;
            Ok((cid, value.first() == Some(&STRICT)))
        })
    }

    /// The multihashes of all marks, ascending; some more than once.
    pub(super) fn marked<'a>(&self, kv: &'a dyn Kv) -> impl Iterator<Item = Result<Vec<u8>, StoreError>> + use<'a> {
        let (from, to) = (self.head(KIND_MARK), self.head(KIND_MARK + 1));
        kv.scan(Table::Marks, &from, Some(&to)).map(|row| row.map(hash_of_mark))
    }
}

fn hash_of_mark((mut key, _): Row) -> Vec<u8> {
    key.truncate(key.len().saturating_sub(8));
    key.drain(..HEAD.min(key.len()));
    key
}

/// Stages the end of every collection: no run, no marks.
pub(crate) fn stage_clear(batch: &mut Batch) {
    stage_forget(batch);
    batch.delete_range(Table::Marks, vec![KEY_VERSION], vec![KEY_VERSION + 1]);
}

/// Stages that an interrupted collection is not gone on with. To be part of whatever takes a root away: its marks
/// would keep what nothing needs any more.
pub fn stage_forget(batch: &mut Batch) {
    batch.delete(Table::Meta, RUN_KEY.to_vec());
}

/// Whether there are marks that no interrupted collection can use.
pub(crate) fn leftover(kv: &dyn Kv) -> Result<bool, StoreError> {
    if Run::read(kv)?.is_some() {
        return Ok(false);
    }
    kv.scan(Table::Marks, &[], None).next().transpose().map(|row| row.is_some())
}
