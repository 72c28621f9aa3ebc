//! What can go wrong in the store, by what the caller can do about it.

use std::{io, sync::Arc};

/// An error of the store.
///
/// It is `Clone` because one failed background write may be reported to every caller that waited for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk is full. The store stays usable once space is freed.
    #[error("no space left on the disk that holds the repository ({detail}); free some space, or run `cairn repo gc`")]
    NoSpace {
        /// What was being written, or how much was free.
        detail: String,
    },
    /// The repository holds as much as `Datastore.StorageMax` allows.
    #[error(
        "the repository holds {used} bytes and Datastore.StorageMax is {max}: run `cairn repo gc`, or raise it with `cairn config Datastore.StorageMax 50GB`"
    )]
    Full {
        /// Bytes in use.
        used: u64,
        /// The configured limit in bytes.
        max: u64,
    },
    /// The write-ahead log is not what was synced: opening the repository would drop what was acknowledged.
    #[error(
        "the log {file} is damaged: its bytes {from} to {to} were written and synced, and can't be read any more. The last changes of the repository, acknowledged pins and blocks among them, may be lost. `cairn repo fsck --repair` opens it with what can be read; `cairn pin verify` then says what the pins lack"
    )]
    DamagedLog {
        /// The file.
        file: String,
        /// Where the damage begins, in bytes.
        from: u64,
        /// Bytes that were synced.
        to: u64,
    },
    /// Bytes on the disk are not what was written.
    #[error("corrupt data in the repository: {0}; run `cairn repo verify`")]
    Corrupt(String),
    /// The operating system refused an operation.
    #[error("{context}: {error}")]
    Io {
        /// What was attempted, and on what.
        context: String,
        /// The system's answer. Not called `source`: it is part of the message, and would be printed twice.
        error: Arc<io::Error>,
    },
    /// The database refused an operation for a reason that is not in this list.
    #[error("database: {0}")]
    Backend(String),
    /// A value given by the caller is not usable.
    #[error("{0}")]
    Invalid(String),
}

impl StoreError {
    /// Wraps an I/O error with what was attempted; a full disk becomes [`StoreError::NoSpace`].
    pub fn io(context: impl Into<String>, error: io::Error) -> Self {
        let context = context.into();
        if error.kind() == io::ErrorKind::StorageFull {
            return Self::NoSpace { detail: context };
        }
        Self::Io { context, error: Arc::new(error) }
    }
}
