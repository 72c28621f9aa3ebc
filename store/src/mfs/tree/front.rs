//! The asynchronous front of a tree.

use crate::{
    Cid,
    blockstore::KvBlocks,
    fetch::Fetch,
    mfs::{Attr, Change, Cursor, Ino, Listed, MfsError, New, RenameMode, RootCell, Stats},
    unixfs::{node::Mtime, profile::Profile},
};
use bytes::Bytes;
use std::{ops::Range, sync::Arc, time::Duration};

/// How a tree behaves.
#[derive(Clone)]
pub struct Options {
    /// Decides the CIDs of what is written.
    pub profile: Profile,
    /// Bytes of written files that are kept in memory; a writer that passes it has leaves written first.
    pub dirty_max: u64,
    /// How long an operation waits for a block.
    pub deadline: Duration,
    /// How long a change waits for a commit that nobody asks for; `None`: until somebody does.
    pub commit_after: Option<Duration>,
    /// What time it is.
    pub now: fn() -> Mtime,
}

impl Options {
    /// The usual: 64 MiB, half a minute, a commit after three seconds.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            dirty_max: 64 << 20,
            deadline: Duration::from_secs(30),
            commit_after: Some(Duration::from_secs(3)),
            now: || Mtime { seconds: 0, nanos: 0 },
        }
    }
}

/// A mutable tree. Cheap to clone: clones are the same tree.
#[derive(Clone)]
pub struct Mfs(Arc<()>);

/// A reference to an inode, given up when this is dropped.
pub struct Held {
    mfs: Mfs,
    attr: Attr,
}

#[allow(unused_variables, missing_docs, clippy::unused_async, clippy::unused_self, clippy::missing_errors_doc)]
impl Mfs {
    /// Opens the tree that `cell` names, an empty one if it names none. Blocks are fetched from `fetch` as they are needed.
    pub async fn open(
        blocks: Arc<KvBlocks>,
        fetch: Arc<dyn Fetch>,
        cell: Arc<dyn RootCell>,
        options: Options,
    ) -> Result<Self, MfsError> {
        Err(MfsError::Root)
    }

    /// The same tree, as a file system is expected to behave: what is written or created gets the present time, and the
    /// directory with it. Otherwise only a time that is there is kept up to date, as Kubo does.
    pub fn stamping(&self) -> Self {
        self.clone()
    }

    /// The same tree, whose missing blocks are fetched from there.
    pub fn through(&self, fetch: Arc<dyn Fetch>) -> Self {
        self.clone()
    }

    /// Roots that a collection has to keep besides those of the pins: call it after it has begun.
    pub fn keep(&self) -> Result<Vec<Cid>, crate::StoreError> {
        Ok(Vec::new())
    }

    // Every answer with an `Attr` of lookup, create, mkdir, symlink counts one reference to the inode, as FUSE does;
    // `forget` gives them up. An inode without references may lose its number.
    pub async fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr, MfsError> {
        Err(MfsError::Root)
    }
    pub fn forget(&self, ino: Ino, count: u64) {}
    /// The entry at a path of names divided by `/`; the root for an empty one. Symbolic links are not followed.
    pub async fn resolve(&self, path: &[u8]) -> Result<Held, MfsError> {
        Err(MfsError::Root)
    }
    /// Turns one reference into a guard.
    pub fn hold(&self, attr: Attr) -> Held {
        Held { mfs: self.clone(), attr }
    }
    pub async fn attr(&self, ino: Ino) -> Result<Attr, MfsError> {
        Err(MfsError::Root)
    }
    pub async fn set_attr(&self, ino: Ino, change: Change) -> Result<Attr, MfsError> {
        Err(MfsError::Root)
    }
    pub async fn create(&self, parent: Ino, name: &[u8], new: New, exclusive: bool) -> Result<Attr, MfsError> {
        Err(MfsError::Root)
    }
    pub async fn mkdir(&self, parent: Ino, name: &[u8], new: New) -> Result<Attr, MfsError> {
        Err(MfsError::Root)
    }
    pub async fn symlink(&self, parent: Ino, name: &[u8], target: &[u8], new: New) -> Result<Attr, MfsError> {
        Err(MfsError::Root)
    }
    pub async fn readlink(&self, ino: Ino) -> Result<Bytes, MfsError> {
        Err(MfsError::Root)
    }
    pub async fn unlink(&self, parent: Ino, name: &[u8]) -> Result<(), MfsError> {
        Err(MfsError::Root)
    }
    pub async fn rmdir(&self, parent: Ino, name: &[u8]) -> Result<(), MfsError> {
        Err(MfsError::Root)
    }
    /// Removes an entry whatever it is, with all that is below it, and without looking at it.
    pub async fn remove(&self, parent: Ino, name: &[u8]) -> Result<(), MfsError> {
        Err(MfsError::Root)
    }
    pub async fn rename(
        &self,
        parent: Ino,
        name: &[u8],
        to: Ino,
        to_name: &[u8],
        mode: RenameMode,
    ) -> Result<(), MfsError> {
        Err(MfsError::Root)
    }
    /// Makes an entry of a DAG by reference: only its root block is fetched. Refuses a name that is there.
    pub async fn link_cid(&self, parent: Ino, name: &[u8], cid: &Cid) -> Result<(), MfsError> {
        Err(MfsError::Root)
    }
    /// Copies an entry by reference. Refuses a name that is there.
    pub async fn copy(&self, ino: Ino, parent: Ino, name: &[u8]) -> Result<(), MfsError> {
        Err(MfsError::Root)
    }
    /// Lists at most `max` entries behind the cursor; none at the end.
    pub async fn list(&self, ino: Ino, cursor: &Cursor, max: usize) -> Result<Vec<Listed>, MfsError> {
        Err(MfsError::Root)
    }
    /// Keeps a file open: it can be read and written after it was unlinked, until as many `release`.
    pub fn open_file(&self, ino: Ino) -> Result<(), MfsError> {
        Err(MfsError::Root)
    }
    pub fn release(&self, ino: Ino) {}
    /// At most `len` bytes from `offset` on; fewer only at the end of the file.
    pub async fn read(&self, ino: Ino, offset: u64, len: usize) -> Result<Bytes, MfsError> {
        Err(MfsError::Root)
    }
    pub async fn write(&self, ino: Ino, offset: u64, data: Bytes) -> Result<(), MfsError> {
        Err(MfsError::Root)
    }
    /// Writes at the end, in one step; answers where.
    pub async fn append(&self, ino: Ino, data: Bytes) -> Result<u64, MfsError> {
        Err(MfsError::Root)
    }
    /// Makes the bytes of a range zeros; the length stays.
    pub async fn punch(&self, ino: Ino, range: Range<u64>) -> Result<(), MfsError> {
        Err(MfsError::Root)
    }
    /// Copies by reference where it can; answers how many bytes (fewer than asked at the end of `from`).
    pub async fn copy_range(&self, from: Ino, range: Range<u64>, to: Ino, at: u64) -> Result<u64, MfsError> {
        Err(MfsError::Root)
    }
    /// Seals what is below an inode: its blocks are in the store, not durably yet; its root.
    pub async fn flush(&self, ino: Ino) -> Result<Cid, MfsError> {
        Err(MfsError::Root)
    }
    /// Makes everything that was done before the call durable; the root of the tree.
    pub async fn sync(&self) -> Result<Cid, MfsError> {
        Err(MfsError::Root)
    }
    /// Syncs, and ends the background commits.
    pub async fn close(&self) -> Result<Cid, MfsError> {
        Err(MfsError::Root)
    }
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}

impl Held {
    /// What was said of it when it was taken.
    pub fn attr(&self) -> Attr {
        self.attr
    }

    /// Its number.
    pub fn ino(&self) -> Ino {
        self.attr.ino
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.mfs.forget(self.attr.ino, 1);
    }
}
