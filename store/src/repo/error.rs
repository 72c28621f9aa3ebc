//! What can go wrong with a repository as a whole, by what the user can do about it.

use crate::{StoreError, config::ConfigError};
use std::path::PathBuf;

/// An error of a repository.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RepoError {
    /// Another process has it open.
    #[error("the repository {} is in use by {holder}: wait for it to end, or stop it", dir.display())]
    InUse {
        /// Its directory.
        dir: PathBuf,
        /// The process, as far as it is known.
        holder: String,
    },
    /// It belongs to Kubo.
    #[error(
        "{} is a repository of Kubo (go-ipfs) and was left untouched; Cairn keeps its own: choose another place with \
         --repo-dir or CAIRN_PATH, then move what is pinned: `ipfs pin ls -t recursive -q`, and for each of these CIDs \
         `ipfs dag export CID | cairn dag import`",
        .0.display()
    )]
    Kubo(PathBuf),
    /// It is there already.
    #[error("cairn configuration file already exists!\nReinitializing would overwrite your keys")]
    Exists(PathBuf),
    /// There is none.
    #[error("no Cairn repository found in {}; run `cairn init`", .0.display())]
    Missing(PathBuf),
    /// A later release wrote it.
    #[error("the repository {} has version {found}, and this release knows versions up to {known}: install a newer cairn", dir.display())]
    Newer {
        /// Its directory.
        dir: PathBuf,
        /// Its version.
        found: u32,
        /// The latest version known here.
        known: u32,
    },
    /// An earlier release wrote it, and it was not to be migrated.
    #[error("the repository {} has version {found} and needs to be migrated: open it without --migrate=false", dir.display())]
    Older {
        /// Its directory.
        dir: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A file of it is missing or makes no sense.
    #[error("the repository {} is damaged: {why}", dir.display())]
    Damaged {
        /// Its directory.
        dir: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A key can't be made or read.
    #[error("{0}")]
    Key(String),
    /// The configuration is wrong.
    #[error("configuration: {0}")]
    Config(ConfigError),
    /// The disk or the database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ConfigError> for RepoError {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Store(error) => Self::Store(error),
            // Not as its source: it is part of the message, and would be printed twice.
            other => Self::Config(other),
        }
    }
}
