//! Where the root of a tree is kept.

use crate::{
    Cid, StoreError,
    blockstore::{KEY_VERSION, KvBlocks},
    cid,
    kv::{Batch, Durability, Kv, Table},
};
use std::sync::Arc;

/// Key in `Meta` of the root of the repository's tree (`docs/FORMAT.md`).
const ROOT_KEY: &[u8] = b"\x01mfs";

/// Keeps the root of a tree. Both methods may block on the disk.
pub trait RootCell: Send + Sync {
    /// The root that was committed last; `None` before the first.
    ///
    /// # Errors
    /// When it can't be read.
    fn load(&self) -> Result<Option<Cid>, StoreError>;

    /// Keeps that root from now on; it is durable on return. The blocks are written by then, and become durable with
    /// a write that is synced ([`KvBlocks::settle`] was called).
    ///
    /// # Errors
    /// When the disk refuses; the root before it stays then.
    fn commit(&self, root: &Cid) -> Result<(), StoreError>;
}

/// The repository's cell: a row in `Meta`.
pub struct MetaCell(Arc<KvBlocks>);

impl MetaCell {
    /// That of the repository with these blocks.
    pub fn new(blocks: Arc<KvBlocks>) -> Self {
        debug_assert_eq!(ROOT_KEY[0], KEY_VERSION);
        Self(blocks)
    }
}

/// The root in the repository's row.
///
/// # Errors
/// When the row can't be read, or holds no CID.
pub fn stored_root(kv: &dyn Kv) -> Result<Option<Cid>, StoreError> {
    let Some(row) = kv.get(Table::Meta, ROOT_KEY)? else { return Ok(None) };
    let root = cid::from_bytes(&row).map_err(|e| StoreError::Corrupt(format!("the root of MFS in table meta: {e}")))?;
    Ok(Some(root))
}

impl RootCell for MetaCell {
    fn load(&self) -> Result<Option<Cid>, StoreError> {
        stored_root(self.0.kv().as_ref())
    }

    fn commit(&self, root: &Cid) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.put(Table::Meta, ROOT_KEY.to_vec(), root.to_bytes());
        self.0.kv().write(batch, Durability::Synced)
    }
}
