//! Where the root of a tree is kept that is published under a name.

use super::RootCell;
use crate::{
    Cid, StoreError,
    blockstore::KvBlocks,
    cid,
    kv::{Batch, Durability, Kv, Table},
};
use std::sync::Arc;

/// Beginning of the keys in `Meta` of these roots (`docs/FORMAT.md`), and the first key behind all of them.
const PREFIX: &[u8] = b"\x01mfs/";
const END: &[u8] = b"\x01mfs0";

/// What is known of such a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NamedRoot {
    /// The root that was committed last.
    pub root: Option<Cid>,
    /// The root that was published last from here.
    pub published: Option<Cid>,
}

/// A row in `Meta` for a tree of that name. Rows are kept after the name is gone, and with them what they lead to, until
/// [`NamedCell::remove`].
pub struct NamedCell {
    blocks: Arc<KvBlocks>,
    key: Vec<u8>,
}

impl NamedCell {
    /// The row of that name, in the repository with these blocks.
    pub fn new(blocks: Arc<KvBlocks>, name: &str) -> Self {
        Self { blocks, key: [PREFIX, name.as_bytes()].concat() }
    }

    /// All that the row says.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn state(&self) -> Result<NamedRoot, StoreError> {
        match self.blocks.kv().get(Table::Meta, &self.key)? {
            Some(row) => read(&row),
            None => Ok(NamedRoot::default()),
        }
    }

    /// Notes that a root was published.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn published(&self, root: &Cid) -> Result<(), StoreError> {
        let state = self.state()?;
        self.write(state.root.as_ref().unwrap_or(root), Some(root))
    }

    /// Begins anew with that root, which was published already.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn reset(&self, root: &Cid) -> Result<(), StoreError> {
        self.write(root, Some(root))
    }

    /// Forgets the tree.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove(&self) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.delete(Table::Meta, self.key.clone());
        self.blocks.kv().write(batch, Durability::Synced)
    }

    fn write(&self, root: &Cid, published: Option<&Cid>) -> Result<(), StoreError> {
        let mut row = root.to_bytes();
        row.extend(published.map(Cid::to_bytes).unwrap_or_default());
        let mut batch = Batch::new();
        batch.put(Table::Meta, self.key.clone(), row);
        self.blocks.kv().write(batch, Durability::Synced)
    }
}

impl RootCell for NamedCell {
    fn load(&self) -> Result<Option<Cid>, StoreError> {
        Ok(self.state()?.root)
    }

    fn commit(&self, root: &Cid) -> Result<(), StoreError> {
        let published = self.state()?.published;
        self.write(root, published.as_ref())
    }
}

/// The roots of all trees that have a row.
///
/// # Errors
/// When a row can't be read, or holds no CID.
pub fn named_roots(kv: &dyn Kv) -> Result<Vec<Cid>, StoreError> {
    let mut roots = Vec::new();
    for row in kv.scan(Table::Meta, PREFIX, Some(END)) {
        roots.extend(read(&row?.1)?.root);
    }
    Ok(roots)
}

fn read(row: &[u8]) -> Result<NamedRoot, StoreError> {
    let corrupt = |error: String| StoreError::Corrupt(format!("the root of a named tree in table meta: {error}"));
    let mut rest = row;
    let root = Some(cid::read(&mut rest).map_err(corrupt)?);
    let published = if rest.is_empty() { None } else { Some(cid::from_bytes(rest).map_err(corrupt)?) };
    Ok(NamedRoot { root, published })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{block::Block, block::Prefix, cid::codec, kv::MemoryKv};

    #[test]
    fn rows_are_kept_apart_and_all_are_found() {
        let blocks = Arc::new(KvBlocks::open(Arc::new(MemoryKv::new())).expect("opens"));
        let cid = |text: &str| *Block::seal(Prefix::v1(codec::RAW), text.to_owned().into()).expect("seals").cid();
        let (a, b) = (NamedCell::new(Arc::clone(&blocks), "a"), NamedCell::new(Arc::clone(&blocks), "b"));
        crate::mfs::MetaCell::new(Arc::clone(&blocks)).commit(&cid("main")).expect("commits");
        assert_eq!(a.state().expect("reads"), NamedRoot::default());
        a.commit(&cid("one")).expect("commits");
        a.published(&cid("one")).expect("writes");
        a.commit(&cid("two")).expect("commits");
        b.reset(&cid("three")).expect("writes");
        assert_eq!(a.state().expect("reads"), NamedRoot { root: Some(cid("two")), published: Some(cid("one")) });
        assert_eq!(named_roots(blocks.kv().as_ref()).expect("reads"), [cid("two"), cid("three")]);
        a.remove().expect("writes");
        assert_eq!(named_roots(blocks.kv().as_ref()).expect("reads"), [cid("three")]);
        assert_eq!(a.load().expect("reads"), None);
    }
}
