//! What a daemon holds open for those who ask it.

use crate::rpc::{log::Log, metrics::Provider};
use cairn_store::{
    blockstore::KvBlocks,
    fetch::{Fetch, Offline},
    names::{Names, NoNames},
    repo::Repo,
};
use parking_lot::Mutex;
use std::{sync::Arc, time::SystemTime};
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::sync::CancellationToken;

/// Requests that run at once at most; more are refused with 429. Each has a thread of its own, and needs others to read
/// blocks.
pub const MAX_REQUESTS: usize = 192;

/// A daemon's state, shared by all requests.
pub struct Daemon {
    /// The repository.
    pub repo: Arc<Repo>,
    /// The runtime of everything that waits.
    pub runtime: Handle,
    /// Whether the node shall not use the network.
    pub offline: bool,
    /// Requests, running and ended.
    pub requests: Arc<Log>,
    /// Room for requests.
    pub slots: Arc<Semaphore>,
    /// Where names are looked up.
    names: Arc<dyn Names>,
    /// Ends the daemon.
    pub stop: CancellationToken,
    /// When it was started.
    pub started: SystemTime,
    /// Metrics of other parts.
    pub metrics: Mutex<Vec<Provider>>,
}

impl Daemon {
    /// Around a repository.
    pub fn new(repo: Arc<Repo>, runtime: Handle, offline: bool) -> Arc<Self> {
        Arc::new(Self {
            repo,
            runtime,
            offline,
            requests: Arc::default(),
            slots: Arc::new(Semaphore::new(MAX_REQUESTS)),
            names: Arc::new(NoNames),
            stop: CancellationToken::new(),
            started: SystemTime::now(),
            metrics: Mutex::default(),
        })
    }

    /// Where a piece of work asks for its blocks.
    pub fn fetch(&self) -> Arc<dyn Fetch> {
        let blocks: Arc<KvBlocks> = Arc::clone(self.repo.blocks());
        Arc::new(Offline::new(blocks))
    }

    /// Where names are looked up.
    pub fn names(&self) -> Arc<dyn Names> {
        Arc::clone(&self.names)
    }
}
