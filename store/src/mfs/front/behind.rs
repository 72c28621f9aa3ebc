//! Writing behind: what a sequential writer has left is hashed and stored in the background, while it goes on writing.
//!
//! A lot of leaves is handed out when enough of them lie behind the writer, by a margin in which it may come back to what it
//! wrote. What is written at random stays in memory for longer: each version that is stored is garbage for a collection. In
//! memory a leaf stays as it is, to be read and written, until its block is in the store; so nothing is lost that the store
//! does not take.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | lots on their way to the store | [`LOTS`] of [`Options::lot`](super::Options::lot) bytes | the writer waits |
//!
//! Blocks that no root leads to yet are kept from collections by the session of the change that wrote their bytes
//! (`Guard::sessions`): it ends with the commit that has them. IMPORTANT: a link is taken for a leaf only if its bytes are
//! still in memory alone. Then no commit has sealed them since they were written, so that session was open all the time, and
//! when the block was stored.

use super::{Mfs, MfsError};
use crate::{
    Block, StoreError,
    kv::Durability,
    mfs::{
        Ino,
        file::{File, FileError, Lot},
        tree::Present,
    },
};
use std::sync::{Arc, Weak};
use tokio::sync::{Mutex, Semaphore};

/// Lots that are hashed and stored at once.
const LOTS: u32 = 4;

/// What is on its way to the store.
pub(super) struct Behind {
    free: Arc<Semaphore>,
}

impl Default for Behind {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(LOTS as usize)) }
    }
}

impl Behind {
    /// Waits until all lots that were handed out are stored, or were refused. Not to be called with a file locked.
    pub(super) async fn caught_up(&self) {
        // It is never closed.
        let _all = self.free.acquire_many(LOTS).await;
    }
}

impl Mfs {
    /// Waits until nothing that was written is on its way to the store: what is in memory then stays there until more is
    /// written, or until a commit. For who wants to know what is stored, and measures.
    pub async fn caught_up(&self) {
        self.inner.behind.caught_up().await;
    }

    /// Tells, once, of bytes of a file that could not be stored in the background. They are in memory still, and are stored
    /// with the next commit, if they can be then.
    pub(super) fn check_behind(&self, ino: Ino) -> Result<(), MfsError> {
        match self.inner.tree.lock().file(ino)?.refused.take() {
            None => Ok(()),
            Some(error) => Err(error.into()),
        }
    }

    /// Whether [`Mfs::write_behind`] has something to do.
    pub(super) fn has_lot(&self, file: &File) -> bool {
        file.has_lot(self.inner.options.margin, self.inner.options.lot)
    }

    /// Hands out what lies behind the writer of a file; waits where too much is on its way already.
    pub(super) async fn write_behind(&self, ino: Ino) -> Result<(), MfsError> {
        loop {
            let Ok(permit) = Arc::clone(&self.inner.behind.free).acquire_owned().await else { return Ok(()) };
            // What was sealed meanwhile may have been let go of.
            let Some(content) = self.inner.tree.lock().file(ino)?.content.clone() else { return Ok(()) };
            let lot = {
                let mut file = content.lock().await;
                if !self.has_lot(&file) {
                    return Ok(());
                }
                file.lot(self.inner.options.margin, self.inner.options.lot)
            };
            let Some(lot) = lot else { return Ok(()) };
            // It does not keep the file in memory.
            let (inner, content) = (Arc::clone(&self.inner), Arc::downgrade(&content));
            tokio::task::spawn_blocking(move || {
                if let Err(error) = inner.store_lot(ino, &content, &lot) {
                    tracing::debug!(%error, "what was written could not be stored yet");
                    // Unless a commit has stored it by now.
                    if let Ok(file) = inner.tree.lock().file(ino)
                        && file.dirty_bytes > 0
                    {
                        file.refused = Some(error);
                    }
                }
                drop(permit);
            });
        }
    }
}

impl super::Inner {
    fn store_lot(&self, ino: Ino, content: &Weak<Mutex<File>>, lot: &Lot) -> Result<(), StoreError> {
        let blocks = lot.blocks().map_err(|error| StoreError::Invalid(error.to_string()))?;
        self.store(&blocks, Durability::Buffered)?;
        let Some(content) = content.upgrade() else { return Ok(()) };
        let mut file = content.blocking_lock();
        // IMPORTANT: with changes it is what the tree has; without, it may have been let go of and read anew.
        if !file.stored(lot, &blocks) {
            return Ok(());
        }
        drop(blocks);
        let narrowed = match file.is_wide() {
            true => file.narrow(&mut |blocks: Vec<Block>| self.store(&blocks, Durability::Buffered)),
            false => Ok(()),
        };
        let now = Present::of(&mut file);
        self.tree.lock().file_changed(ino, now);
        narrowed.map_err(|error| match error {
            FileError::Store(error) => error,
            other => StoreError::Invalid(other.to_string()),
        })
    }
}
