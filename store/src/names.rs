//! `trait Names`: what a mutable name stands for.
//!
//! The store can't resolve names itself; whoever knows the network implements this.

use crate::{fetch::Deadline, path::Path};
use async_trait::async_trait;
use bytes::Bytes;
use std::time::{Duration, SystemTime};

/// Why a name has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NameError {
    /// Names are looked up in the network, and there is none here.
    #[error("could not resolve name {0:?}: names are looked up in the network, and this command works offline")]
    Offline(String),
    /// Nobody knows it.
    #[error("could not resolve name {0:?}")]
    NotFound(String),
    /// The deadline passed first.
    #[error("name {0:?}: no answer before the deadline")]
    TimedOut(String),
    /// There is an answer, and it is not valid.
    #[error("name {name:?}: {reason}")]
    Invalid {
        /// The name.
        name: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it points: possibly at another name.
    pub path: Path,
    /// How long the answer may be kept.
    pub ttl: Duration,
}

/// The record of an IPNS key, signed and valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRecord {
    /// Its bytes (IPNS record specification).
    pub bytes: Bytes,
    /// How long answers may be kept, if it says so.
    pub ttl: Option<Duration>,
    /// When it stops being valid.
    pub valid_until: SystemTime,
}

/// A source of names: IPNS keys and DNSLink domains.
#[async_trait]
pub trait Names: Send + Sync {
    /// What a name stands for, one step far.
    ///
    /// # Errors
    /// When there is no valid answer before the deadline.
    async fn lookup(&self, name: &str, deadline: Deadline) -> Result<Target, NameError>;

    /// The signed record of an IPNS key.
    ///
    /// # Errors
    /// When there is none before the deadline, or the name is not a key.
    async fn record(&self, name: &str, deadline: Deadline) -> Result<SignedRecord, NameError>;
}

/// Knows no name: for a node without a network.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNames;

#[async_trait]
impl Names for NoNames {
    async fn lookup(&self, name: &str, _: Deadline) -> Result<Target, NameError> {
        Err(NameError::Offline(name.to_owned()))
    }

    async fn record(&self, name: &str, _: Deadline) -> Result<SignedRecord, NameError> {
        Err(NameError::Offline(name.to_owned()))
    }
}
