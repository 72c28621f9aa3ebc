//! What a daemon holds open for those who ask it.

use crate::{mount::Mounts, rpc::log::Log};
use cairn_gateway::Gateway;
use cairn_net::bitswap::Order;
use cairn_net::{ipns::Names, node::Node};
use cairn_store::{
    Cid,
    blockstore::KvBlocks,
    dag::walk::{self, Trouble},
    fetch::{Fetch, Offline},
    repo::Repo,
};
use futures::StreamExt as _;
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};
use tokio::{runtime::Handle, sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Requests that run at once at most; more are refused with 429. Each has a thread of its own, and needs others to read
/// blocks.
pub const MAX_REQUESTS: usize = 192;

/// New roots that get a look-up of their own at once; the others go with their regions.
const AT_ONCE: usize = 8;
/// How long that may take for one of them.
const PATIENCE: Duration = Duration::from_secs(60);

/// Blocks below a new root that are given to the schedule together.
const BELOW_BATCH: usize = 256;

/// A daemon's state, shared by all requests.
pub struct Daemon {
    /// The repository.
    pub repo: Arc<Repo>,
    /// The runtime of everything that waits.
    pub runtime: Handle,
    /// Whether the node shall not use the network.
    pub offline: bool,
    /// The node, once it runs.
    node: OnceLock<Node>,
    /// The gateway, once it is served.
    gateway: OnceLock<Arc<Gateway>>,
    /// Names as they are known without a node.
    names: Names,
    /// What is mounted.
    pub mounts: Mounts,
    /// Requests, running and ended.
    pub requests: Arc<Log>,
    /// Room for requests.
    pub slots: Arc<Semaphore>,
    /// Room for look-ups of what was just added.
    announcing: Arc<Semaphore>,
    /// Ends the daemon.
    pub stop: CancellationToken,
    /// When it was started.
    pub started: SystemTime,
}

impl Daemon {
    /// Around a repository.
    ///
    /// # Errors
    /// When the configuration says of names what makes no sense.
    pub fn new(repo: Arc<Repo>, runtime: Handle, offline: bool) -> anyhow::Result<Arc<Self>> {
        // For requests that say `--offline`, and for those of a daemon that is.
        let names = crate::names::of_repo(&repo, true)?;
        Ok(Arc::new(Self {
            repo,
            runtime,
            offline,
            node: OnceLock::new(),
            gateway: OnceLock::new(),
            names,
            mounts: Mounts::default(),
            requests: Arc::default(),
            slots: Arc::new(Semaphore::new(MAX_REQUESTS)),
            announcing: Arc::new(Semaphore::new(AT_ONCE)),
            stop: CancellationToken::new(),
            started: SystemTime::now(),
        }))
    }

    /// From now on there is a node.
    pub fn online(&self, node: Node) {
        // There was none: a daemon starts one node.
        let _ = self.node.set(node);
    }

    /// From now on there is a gateway.
    pub fn serves(&self, gateway: Arc<Gateway>) {
        let _ = self.gateway.set(gateway);
    }

    /// The gateway, if one is served.
    pub fn gateway(&self) -> Option<&Arc<Gateway>> {
        self.gateway.get()
    }

    /// The node, if the daemon is online.
    pub fn node(&self) -> Option<&Node> {
        self.node.get()
    }

    /// Announces what was just added or pinned, in the background: if `at_once`, others who ask find this node now, and
    /// not only after its turn in the schedule.
    pub fn announce(&self, roots: Vec<Cid>, at_once: bool) -> Option<JoinHandle<()>> {
        let (routing, sweep) = self.node.get().and_then(|node| Some((node.routing(), node.sweep()?)))?;
        let keys: Vec<_> = roots.iter().map(|root| *root.hash()).collect();
        let turn = Arc::clone(&self.announcing).try_acquire_owned();
        Some(self.runtime.spawn(async move {
            let mut announced = Vec::new();
            if at_once && turn.is_ok() {
                for key in keys.iter().take(AT_ONCE) {
                    // Nobody to ask yet is no news: the sweep goes on trying.
                    if routing.provide(*key, Some(Instant::now() + PATIENCE)).await.is_ok() {
                        announced.push(*key);
                    }
                }
            }
            let rest = keys.into_iter().filter(|key| !announced.contains(key)).collect();
            if let Err(error) = sweep.remember(announced).await.and(sweep.add(rest).await) {
                tracing::warn!(error, "new roots are announced with the next round of the schedule");
            }
        }))
    }

    /// Gives all blocks below these roots that are here to the schedule as new ones, in the background: regions of the
    /// keyspace are walked for many of them at once.
    pub fn announce_below(&self, roots: &[Cid]) -> Option<JoinHandle<()>> {
        let sweep = self.node.get()?.sweep()?.clone();
        let here: Arc<dyn Fetch> = self.fetch(Order::Sequential, true);
        let roots = roots.to_vec();
        Some(self.runtime.spawn(async move {
            let options = walk::Options { trouble: Trouble::Skip, ..walk::Options::default() };
            for root in roots {
                let mut batches = walk::walk(Arc::clone(&here), root, options).ready_chunks(BELOW_BATCH);
                while let Some(batch) = batches.next().await {
                    let keys = batch.into_iter().filter_map(|block| Some(*block.ok()?.cid().hash())).collect();
                    if let Err(error) = sweep.add(keys).await {
                        tracing::warn!(error, %root, "blocks below it are announced with the next round of the schedule");
                    }
                }
            }
        }))
    }

    /// Where a piece of work asks for its blocks, in that order as far as they come from the network; only here if
    /// `offline`.
    pub fn fetch(&self, order: Order, offline: bool) -> Arc<dyn Fetch> {
        if let Some(node) = self.node.get().filter(|_| !offline) {
            return node.session_in(order);
        }
        let blocks: Arc<KvBlocks> = Arc::clone(self.repo.blocks());
        Arc::new(Offline::new(blocks))
    }

    /// Where names are looked up; without the network if `offline`.
    pub fn names(&self, offline: bool) -> &Names {
        self.node.get().filter(|_| !offline).map_or(&self.names, Node::names)
    }
}
