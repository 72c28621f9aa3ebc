//! Announcing everything this node has, region by region (the "provide sweep").
//!
//! One lookup per key makes 100,000 announcements take days. But the 20 nearest peers of a key share the region of the
//! keyspace where it lies with the 20 nearest of all keys there, so a region is [explored](super::query::region) once,
//! with a handful of lookups, and then every key in it is sent to its own 20 nearest.
//!
//! - Regions come round in the order of the keyspace, spread evenly over the interval of 22 h ([`schedule`]). Where the
//!   sweep stands is written down, so a restart goes on from there; after a long stop what is overdue comes first, by a
//!   bounded number of workers.
//! - Keys wait on the disk, sorted by their place in the keyspace ([`keystore`]): a region is a range of rows. Memory
//!   holds one chunk of [`CHUNK`] keys per worker, about 4 MB, whatever the number of keys; the disk about 80 bytes per
//!   key.
//! - New keys are announced at once: a root by one lookup of its own, many together by region ([`Sweep::add`]).

mod keystore;
mod run;
mod schedule;
mod serve;
mod stats;

pub use run::Sweep;
pub use stats::Stats;

/// For tests of the parts together.
#[cfg(test)]
pub(crate) mod internals {
    pub(crate) use super::{
        keystore::{Keystore, Rows},
        schedule::{Position, Schedule},
        serve::Server,
        stats::Counters,
    };
}

use super::{Dht, Net, query::Network};
use crate::routing::Provider;
use cairn_store::Multihash;
use std::{fmt, str::FromStr, sync::Arc, time::Duration};

/// Keys that one worker holds at a time: some 200 bytes each with whom they were sent to.
pub(crate) const CHUNK: usize = 16_384;

/// What is announced (`Provide.Strategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Every block of the repository.
    #[default]
    All,
    /// Roots of pins.
    Roots,
    /// Everything that is pinned, with children.
    Pinned,
    /// Everything in the MFS.
    Mfs,
    /// Everything that is pinned or in the MFS.
    PinnedMfs,
}

/// Text that is no strategy.
#[derive(Debug, Clone, thiserror::Error)]
#[error("unknown provide strategy {0:?}: use all, roots, pinned, mfs or pinned+mfs")]
pub struct UnknownStrategy(String);

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, UnknownStrategy> {
        Ok(match text {
            "" | "all" | "flat" => Self::All,
            "roots" => Self::Roots,
            "pinned" => Self::Pinned,
            "mfs" => Self::Mfs,
            "pinned+mfs" | "mfs+pinned" => Self::PinnedMfs,
            other => return Err(UnknownStrategy(other.chars().take(100).collect())),
        })
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Roots => "roots",
            Self::Pinned => "pinned",
            Self::Mfs => "mfs",
            Self::PinnedMfs => "pinned+mfs",
        })
    }
}

/// Keys one after the other, as [`KeySource::keys`] gives them.
pub type Keys<'a> = Box<dyn Iterator<Item = Result<Multihash, String>> + Send + 'a>;

/// Where the keys come from: the repository.
pub trait KeySource: Send + Sync {
    /// All keys of a strategy, in any order, the same one any number of times. Called on a thread that may block. An
    /// error ends the iteration; the keys of the last complete one then stay announced.
    fn keys(&self, strategy: Strategy) -> Keys<'_>;
}

/// How the sweep runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// What is announced.
    pub strategy: Strategy,
    /// Each key once in this time (`Provide.DHT.Interval`).
    pub interval: Duration,
    /// Regions served at a time, per DHT (`Provide.DHT.MaxWorkers`).
    pub max_workers: usize,
    /// Of these, kept free for the schedule (`Provide.DHT.DedicatedPeriodicWorkers`).
    pub dedicated_periodic: usize,
    /// Of these, kept free for new keys (`Provide.DHT.DedicatedBurstWorkers`).
    pub dedicated_burst: usize,
    /// Peers that one worker sends to at a time (`Provide.DHT.MaxProvideConnsPerWorker`).
    pub max_connections_per_worker: usize,
    /// Whether a restart goes on where the last run stopped (`Provide.DHT.ResumeEnabled`).
    pub resume: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            strategy: Strategy::All,
            interval: Duration::from_secs(22 * 3600),
            max_workers: 16,
            dedicated_periodic: 2,
            dedicated_burst: 1,
            max_connections_per_worker: 20,
            resume: true,
        }
    }
}

/// One DHT to announce in.
#[derive(Clone)]
pub struct ProvideTarget {
    pub(crate) net: Net,
    pub(crate) network: Arc<dyn Network>,
    own: Own,
}

#[derive(Clone)]
enum Own {
    Node(Dht),
    #[cfg(test)]
    Fixed(Provider),
}

impl ProvideTarget {
    pub(crate) fn new(dht: Dht, net: Net, network: Arc<dyn Network>) -> Self {
        Self { net, network, own: Own::Node(dht) }
    }

    #[cfg(test)]
    pub(crate) fn fixed(net: Net, network: Arc<dyn Network>, own: Provider) -> Self {
        Self { net, network, own: Own::Fixed(own) }
    }

    /// Who provides, with the addresses of now.
    pub(crate) async fn own(&self) -> Provider {
        match &self.own {
            Own::Node(dht) => dht.own_record(self.net).await,
            #[cfg(test)]
            Own::Fixed(own) => own.clone(),
        }
    }
}
