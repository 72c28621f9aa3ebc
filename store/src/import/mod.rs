//! Import: from files and folders to blocks.
//!
//! One bounded pipeline; memory does not grow with what is read:
//!
//! ```text
//! walk + read + cut ──windows of 4 MiB──▶ encode + hash (all cores) ──in order──▶ build layers ──▶ write
//!  one thread                              one thread per core                    the caller's thread
//! ```
//!
//! Blocks of one window are independent messages, so they are hashed in lockstep (see [`crate::hash`]).

mod build;
mod commit;
mod read;
mod run;
mod walk;

pub use commit::{Committer, OnAdded, StagePin};
pub use run::import;
pub use walk::{Source, Step, Steps, Walk};

use crate::{
    Block, Cid, StoreError,
    unixfs::{BuildError, meta::FileMeta, node::Mtime, profile::Profile},
};
use ignore::gitignore::Gitignore;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How to import. What decides CIDs is in the profile.
#[derive(Debug, Clone)]
pub struct Options {
    /// All that decides CIDs.
    pub profile: Profile,
    /// Whether folders may be added.
    pub recursive: bool,
    /// Whether names that begin with a dot are added, inside folders.
    pub hidden: bool,
    /// Whether folders without content are added.
    pub empty_dirs: bool,
    /// Whether all arguments become entries of one folder.
    pub wrap: bool,
    /// Whether symlinks among the arguments are followed.
    pub dereference_args: bool,
    /// Whether all symlinks are followed.
    pub dereference_symlinks: bool,
    /// What to leave out.
    pub ignore: Gitignore,
    /// Keep permission bits.
    pub preserve_mode: bool,
    /// Keep modification times.
    pub preserve_mtime: bool,
    /// Permission bits for everything, unless they are kept.
    pub mode: Option<u32>,
    /// Modification time for everything, unless it is kept.
    pub mtime: Option<Mtime>,
}

impl Options {
    /// Imports files, folders too, by that profile, with nothing left out but hidden files.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            recursive: true,
            hidden: false,
            empty_dirs: true,
            wrap: false,
            dereference_args: false,
            dereference_symlinks: false,
            ignore: Gitignore::empty(),
            preserve_mode: false,
            preserve_mtime: false,
            mode: None,
            mtime: None,
        }
    }
}

/// Something was imported. Nothing is durable before the sink is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Path from the argument on, with slashes; empty for the wrapping folder; the CID for a nameless stream.
    pub name: Vec<u8>,
    /// Its root.
    pub cid: Cid,
    /// Bytes of all its blocks.
    pub size: u64,
    /// What was kept of its meta.
    pub meta: FileMeta,
    /// Whether it is a root: an argument, or the wrapping folder.
    pub root: bool,
}

/// Where an import goes.
pub trait Sink {
    /// Takes blocks, in an order in which no block comes before all that it links to.
    ///
    /// # Errors
    /// When the store refuses; the import has failed then.
    fn put(&mut self, blocks: Vec<Block>) -> Result<(), ImportError>;

    /// Takes what was added, in the order in which Kubo prints it: files as they are read, then the folders of
    /// the argument, inner ones first. When it is a root, all of its blocks were put before.
    ///
    /// # Errors
    /// When the store refuses; the import has failed then.
    fn added(&mut self, added: Added) -> Result<(), ImportError>;

    /// Is told how far it is: at the end of each file, and while a large one is read.
    fn progress(&mut self, progress: &Progress<'_>);
}

/// How many bytes of content became blocks so far.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Path of the file, empty for a stream without a name.
    pub path: &'a [u8],
    /// Bytes of that file.
    pub file: u64,
    /// Bytes of the whole import.
    pub all: u64,
}

/// Why an import ended early. Nothing names what it wrote: it is garbage for the next collection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImportError {
    /// A folder was given, and recursion was not asked for.
    #[error("'{}' is a directory, use the '-r' flag to specify directories", path.display())]
    NotRecursive {
        /// The folder.
        path: PathBuf,
    },
    /// A FIFO, socket or device.
    #[error("unrecognized file type for {}: only files, directories and symlinks can be added", path.display())]
    Special {
        /// What was met.
        path: PathBuf,
    },
    /// A symlink leads back to a folder that contains it.
    #[error("{}: the directory contains itself through a symlink, or is nested too deeply", path.display())]
    Loop {
        /// Where it closes.
        path: PathBuf,
    },
    /// A file or folder can't be read.
    #[error("cannot {action} {}: {error}", path.display())]
    Read {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        error: Arc<io::Error>,
    },
    /// Two arguments, or two parts of what was sent, would be entries of one name in one folder.
    #[error("two entries are named {name:?}: they can't be in one directory")]
    SameName {
        /// Its path.
        name: String,
    },
    /// The store refused a block.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A node can't be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Whoever sent the files could not go on; this is what they said.
    #[error("{0}")]
    Sender(String),
    /// What was added could not be printed.
    #[error("{0}")]
    Output(String),
    /// The caller asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// A thread of the pipeline ended unexpectedly.
    #[error("the import's {0} thread ended unexpectedly")]
    Broken(&'static str),
}

impl ImportError {
    fn read(action: &'static str, path: &Path, error: io::Error) -> Self {
        if let Some(SenderError(text)) = error.get_ref().and_then(|e| e.downcast_ref()) {
            return Self::Sender(text.clone());
        }
        Self::Read { action, path: path.to_owned(), error: Arc::new(error) }
    }
}

/// Ends an import from within the reader of a [`Step::File`], as [`ImportError::Sender`].
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct SenderError(pub String);

#[cfg(test)]
mod tests;
