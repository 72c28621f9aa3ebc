//! What can go wrong in the tree, by what the caller can do about it.

use super::Ino;
use crate::{Cid, StoreError, fetch::FetchError, unixfs::BuildError, unixfs::ReadError};

/// Why an operation on the tree was not done. Nothing was changed then, unless it says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MfsError {
    /// There is no entry of that name.
    #[error("file does not exist: {0}")]
    NotFound(String),
    /// There is an entry of that name already.
    #[error("file already exists: {0}")]
    Exists(String),
    /// A directory was wanted.
    #[error("{0} is not a directory")]
    NotDir(String),
    /// Something else than a directory was wanted.
    #[error("{0} is a directory")]
    IsDir(String),
    /// A file was wanted, and this is a symbolic link.
    #[error("{0} is a symbolic link")]
    IsSymlink(String),
    /// A symbolic link was wanted.
    #[error("{0} is not a symbolic link")]
    NotSymlink(String),
    /// The directory has entries.
    #[error("directory not empty: {0}")]
    NotEmpty(String),
    /// No path can lead to an entry of that name, or a number is out of range.
    #[error("{0}")]
    Invalid(String),
    /// A name of more than [`MAX_NAME`](super::MAX_NAME) bytes, or a symbolic link's target that fits into no block.
    #[error("{0} is too long")]
    TooLong(String),
    /// The file would be longer than a file can be.
    #[error("a file may not be longer than {max} bytes", max = super::file::MAX_LEN)]
    TooLarge,
    /// A directory can't be moved into itself or below itself.
    #[error("cannot move {0} into itself")]
    Loop(String),
    /// The root can't be moved, removed or replaced.
    #[error("the root can be neither moved nor removed")]
    Root,
    /// That number names nothing (any more): whoever uses a number has to hold a reference.
    #[error("inode {0} is not in use")]
    Stale(Ino),
    /// It was given up while it waited for a block: see [`interruptible`](super::interruptible).
    #[error("interrupted")]
    Interrupted,
    /// A block can't be had.
    #[error(transparent)]
    Fetch(FetchError),
    /// A block is not what its parent, or its format, says it is.
    #[error("{0}")]
    Malformed(Box<ReadError>),
    /// What the CID names is neither a file nor a directory.
    #[error("{0} must be UnixFS (dag-pb or raw codec)")]
    NotUnixfs(Box<Cid>),
    /// A node can't be written.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tree was closed, or a thread of it died.
    #[error("the tree is closed: {0}")]
    Closed(String),
}

impl From<FetchError> for MfsError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Store(error) => Self::Store(error),
            other => Self::Fetch(other),
        }
    }
}

impl From<ReadError> for MfsError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Fetch(error) => error.into(),
            ReadError::NotUnixfs { cid, .. } => Self::NotUnixfs(cid),
            other => Self::Malformed(Box::new(other)),
        }
    }
}

/// A name as messages show it.
pub(super) fn shown(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}
