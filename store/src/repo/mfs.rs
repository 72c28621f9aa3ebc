//! The repository's tree.

use super::Repo;
use crate::{
    Cid, StoreError,
    fetch::Fetch,
    mfs::{MetaCell, Mfs, MfsError, Options, stored_root},
};
use std::sync::Arc;

impl Repo {
    /// The repository's mutable tree (MFS), seen through that source of blocks. It is opened when it is asked for first;
    /// later calls are views of the same tree. What decides its CIDs is `Import.*`, as it was when it was opened.
    ///
    /// # Errors
    /// When the configuration makes no sense, or the root can't be read or had.
    pub async fn mfs(&self, fetch: Arc<dyn Fetch>) -> Result<Mfs, MfsError> {
        let tree = self
            .mfs
            .get_or_try_init(|| async {
                let import = self.config().import().map_err(|e| MfsError::Invalid(e.to_string()))?;
                let profile = import.profile().map_err(|e| MfsError::Invalid(e.to_string()))?;
                let cell = Arc::new(MetaCell::new(Arc::clone(&self.blocks)));
                Mfs::open(Arc::clone(&self.blocks), Arc::clone(&fetch), cell, Options::new(profile)).await
            })
            .await?;
        Ok(tree.through(fetch))
    }

    /// Makes everything that was done to the tree durable, if it was opened at all. Nothing is fetched for that.
    ///
    /// # Errors
    /// When the store takes nothing, or something can't be kept as it is now; the rest is, all the same.
    pub async fn sync_mfs(&self) -> Result<(), MfsError> {
        match self.mfs.get() {
            Some(tree) => tree.sync_here().await.map(drop),
            None => Ok(()),
        }
    }

    /// The roots that a collection keeps besides those of the pins: that of the tree, and what is about to be in it. To be
    /// called after the collection has begun, as [`crate::gc::collect`] does.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn kept_roots(&self) -> Result<Vec<Cid>, StoreError> {
        let mut roots = match self.mfs.get() {
            Some(tree) => tree.keep()?,
            None => stored_root(self.kv.as_ref())?.into_iter().collect(),
        };
        roots.extend(self.kept_by_names()?);
        Ok(roots)
    }
}
