//! Files of the repository that say where the daemon listens.

use anyhow::Context as _;
use cairn_store::config::write_atomic;
use std::path::{Path, PathBuf};

/// A file that is there as long as this lives.
pub struct Announced(PathBuf);

impl Announced {
    /// Writes it, whole.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn new(repo: &Path, name: &str, text: &str) -> anyhow::Result<Self> {
        let path = repo.join(name);
        write_atomic(&path, text.as_bytes(), false).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
