//! The trees that are published under names of this node.

use super::Repo;
use crate::{
    Cid, StoreError,
    fetch::Fetch,
    mfs::{Mfs, MfsError, Options, RootCell, named_roots},
};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// Those that are open, by name.
#[derive(Default)]
pub(super) struct Trees {
    open: Mutex<HashMap<String, Mfs>>,
    opening: tokio::sync::Mutex<()>,
}

impl Repo {
    /// The tree of that name, seen through that source of blocks. It is opened when it is asked for first, with what
    /// `cell` makes; later calls are views of the same tree.
    ///
    /// # Errors
    /// When the configuration makes no sense, or `cell` fails, or the root can't be had.
    pub async fn named_tree<F>(
        &self,
        name: &str,
        fetch: Arc<dyn Fetch>,
        cell: impl FnOnce() -> F,
    ) -> Result<Mfs, MfsError>
    where
        F: Future<Output = Result<Arc<dyn RootCell>, MfsError>>,
    {
        let _alone = self.trees.opening.lock().await;
        if let Some(tree) = self.trees.open.lock().get(name) {
            return Ok(tree.through(fetch));
        }
        let import = self.config().import().map_err(|e| MfsError::Invalid(e.to_string()))?;
        let profile = import.profile().map_err(|e| MfsError::Invalid(e.to_string()))?;
        let blocks = Arc::clone(&self.blocks);
        let tree = Mfs::open(blocks, Arc::clone(&fetch), cell().await?, Options::new(profile)).await?;
        self.trees.open.lock().insert(name.to_owned(), tree.clone());
        Ok(tree.through(fetch))
    }

    /// Makes the trees of names durable as they are, those that were opened.
    ///
    /// # Errors
    /// When one can't be written; the others are, all the same.
    pub async fn sync_named_trees(&self) -> Result<(), MfsError> {
        let open: Vec<Mfs> = self.trees.open.lock().values().cloned().collect();
        let mut result = Ok(());
        for tree in open {
            result = result.and(tree.sync_here().await.map(drop));
        }
        result
    }

    /// What a collection keeps for them.
    pub(super) fn kept_by_names(&self) -> Result<Vec<Cid>, StoreError> {
        let mut roots = named_roots(self.kv.as_ref())?;
        let open: Vec<Mfs> = self.trees.open.lock().values().cloned().collect();
        for tree in open {
            roots.extend(tree.keep()?);
        }
        Ok(roots)
    }
}
