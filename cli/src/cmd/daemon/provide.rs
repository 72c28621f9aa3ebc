//! What the daemon announces: `Provide.*`.

use crate::daemon::Daemon;
use anyhow::Context as _;
use cairn_net::{
    dht::sweep::{self, KeySource, Keys, Strategy, Sweep},
    node::Node,
};
use cairn_store::{
    Multihash, StoreError,
    blockstore::Blockstore as _,
    config::Config,
    mfs::{stored_below, stored_root},
    pin::{Found, PinError, Which},
    repo::Repo,
};
use std::{
    sync::{Arc, atomic::AtomicBool, mpsc},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc as queue;

/// Batches of new blocks that wait to be made known.
const WAITING: usize = 64;
/// How long new blocks are collected before they are announced, so that a region of the keyspace is walked once for many
/// of them. Roots are announced at once, another way.
const GATHER: Duration = Duration::from_secs(2);
/// How many are collected at most.
const MAX_GATHERED: usize = 16_384;
/// Keys that a walk of the pins is ahead of its reader.
const AHEAD: usize = 1024;

/// Begins to announce, unless `Provide.Enabled` is false, and to tell those who wait for blocks what was stored.
///
/// # Errors
/// When a key of `Provide` makes no sense.
pub fn start(daemon: &Daemon, node: &Node, config: &Config) -> anyhow::Result<()> {
    let enabled = config.get_bool("Provide.Enabled")?.unwrap_or(true);
    let settings = settings(config)?;
    let all = settings.strategy == Strategy::All;
    let sweep = if enabled && !settings.interval.is_zero() {
        node.provide(settings, Arc::new(Contents(Arc::clone(&daemon.repo))))
    } else {
        None
    };
    let sweep = sweep.filter(|_| all);
    let (sender, mut received) = queue::channel::<Vec<(Multihash, u64)>>(WAITING);
    daemon.repo.blocks().on_stored(Box::new(move |blocks| {
        let stored = blocks.iter().map(|block| (*block.cid().hash(), block.data().len() as u64)).collect();
        // When it is full the disk is busy with the import itself. The schedule reads all keys again, and peers ask
        // again.
        let _ = sender.try_send(stored);
    }));
    let bitswap = node.bitswap().clone();
    tokio::spawn(async move {
        let (mut keys, mut since) = (Vec::new(), Instant::now());
        loop {
            let stored = if keys.is_empty() {
                received.recv().await
            } else {
                match tokio::time::timeout_at((since + GATHER).into(), received.recv()).await {
                    Ok(stored) => stored,
                    Err(_) => {
                        announce(sweep.as_ref(), std::mem::take(&mut keys)).await;
                        continue;
                    }
                }
            };
            let Some(stored) = stored else { return };
            if sweep.is_some() {
                if keys.is_empty() {
                    since = Instant::now();
                }
                keys.extend(stored.iter().map(|(hash, _)| *hash));
            }
            bitswap.notify_new_blocks(stored).await;
            if keys.len() >= MAX_GATHERED || (!keys.is_empty() && since.elapsed() >= GATHER) {
                announce(sweep.as_ref(), std::mem::take(&mut keys)).await;
            }
        }
    });
    Ok(())
}

/// What is not announced because the daemon ends is found when it starts again: see [`Sweep`].
async fn announce(sweep: Option<&Sweep>, keys: Vec<Multihash>) {
    let Some(sweep) = sweep else { return };
    if let Err(error) = sweep.add(keys).await {
        tracing::warn!(error, "new blocks are announced with the next round of the schedule");
    }
}

fn settings(config: &Config) -> anyhow::Result<sweep::Config> {
    let defaults = sweep::Config::default();
    let strategy = match config.get_str("Provide.Strategy")? {
        Some(text) => text.parse().context("Provide.Strategy")?,
        None => defaults.strategy,
    };
    let count = |key: &str, default: usize| -> anyhow::Result<usize> {
        let value = config.get_int(key)?.filter(|n| *n > 0);
        value.map_or(Ok(default), |n| usize::try_from(n).with_context(|| format!("{key}: {n}")))
    };
    Ok(sweep::Config {
        strategy,
        interval: config.get_duration("Provide.DHT.Interval")?.unwrap_or(defaults.interval),
        max_workers: count("Provide.DHT.MaxWorkers", defaults.max_workers)?,
        dedicated_periodic: count("Provide.DHT.DedicatedPeriodicWorkers", defaults.dedicated_periodic)?,
        dedicated_burst: count("Provide.DHT.DedicatedBurstWorkers", defaults.dedicated_burst)?,
        max_connections_per_worker: count("Provide.DHT.MaxProvideConnsPerWorker", defaults.max_connections_per_worker)?,
        resume: config.get_bool("Provide.DHT.ResumeEnabled")?.unwrap_or(defaults.resume),
    })
}

/// What the repository has to announce.
struct Contents(Arc<Repo>);

impl KeySource for Contents {
    fn keys(&self, strategy: Strategy) -> Keys<'_> {
        match strategy {
            Strategy::All => Box::new(self.0.blocks().list().filter_map(|listed| match listed {
                // What is damaged can't be given to anybody.
                Ok((_, entry)) if entry.bad => None,
                Ok((hash, _)) => Some(Ok(hash)),
                Err(error) => Some(Err(error.to_string())),
            })),
            Strategy::Roots => {
                Box::new(self.0.pins().iter().map(|pin| pin.map(|p| *p.cid.hash()).map_err(|e| e.to_string())))
            }
            Strategy::Pinned => self.walk(true, false),
            Strategy::PinnedMfs => self.walk(true, true),
            Strategy::Mfs => self.walk(false, true),
        }
    }
}

/// Why a walk ended.
enum Ended {
    /// Nobody reads on.
    Unread,
    Failed(PinError),
}

impl From<PinError> for Ended {
    fn from(error: PinError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl Contents {
    /// Everything that is pinned, or in the mutable tree, from a thread that walks ahead of the reader. What is both comes
    /// twice.
    fn walk(&self, pinned: bool, tree: bool) -> Keys<'static> {
        let repo = Arc::clone(&self.0);
        let (sender, receiver) = mpsc::sync_channel::<Result<Multihash, String>>(AHEAD);
        thread::spawn(move || {
            let emit = |hash: Multihash| sender.send(Ok(hash)).map_err(|_| Ended::Unread);
            if let Err(Ended::Failed(error)) = walk(&repo, pinned, tree, &emit) {
                let _ = sender.send(Err(error.to_string()));
            }
        });
        Box::new(receiver.into_iter())
    }
}

fn walk(repo: &Repo, pinned: bool, tree: bool, emit: &dyn Fn(Multihash) -> Result<(), Ended>) -> Result<(), Ended> {
    if pinned {
        repo.pins().list(Which::All, "", &AtomicBool::new(false), &mut |found: Found| emit(*found.cid.hash()))?;
    }
    match stored_root(repo.kv().as_ref())? {
        Some(root) if tree => stored_below(repo.blocks(), &root, &mut |hash| emit(hash)),
        _ => Ok(()),
    }
}
