//! Serving one region: find its peers, and send each key to its 20 nearest.

use super::{
    ProvideTarget,
    keystore::{Keystore, Rows, StoredKey},
    stats::Counters,
};
use crate::{
    dht::{
        key::{Id, Prefix},
        message::Message,
        query::{lookup::K, region},
        router::announce,
    },
    routing::Provider,
};
use futures::{StreamExt as _, stream};
use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

/// Regions with at most so many keys get a lookup per key: that is no more work than exploring.
const FEW: usize = 2;
/// Announcements that go over one stream. A stream of Kubo's lives a minute; 256 take far less.
const MAX_PER_STREAM: usize = 256;
/// Keys that are assigned to peers before other tasks get their turn: about a millisecond.
const KEYS_PER_TURN: u32 = 512;
/// Times that keys move on to the next nearest when peers fail.
const ROUNDS: usize = 3;

/// Why a region was not served; the sweep comes back to it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// Nobody answers.
    #[error("no peers to announce to")]
    NoPeers,
    /// This node can't be reached.
    #[error("this node has no address yet that others could use")]
    NoAddress,
    /// The keys can't be read.
    #[error("keys can't be read: {0}")]
    Store(String),
    /// The worker ended before its work.
    #[error("the worker panicked")]
    Panicked,
}

/// What came of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Outcome {
    /// Keys that somebody has now.
    pub(crate) announced: u64,
    /// Keys that nobody took. Of new ones, they are still waiting.
    pub(crate) left: u64,
}

/// What serving needs.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) target: ProvideTarget,
    pub(crate) keys: Arc<Keystore>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) connections: usize,
}

impl Server {
    /// Announces every key of a region.
    pub(crate) async fn serve(&self, rows: Rows, prefix: Prefix, seed: u64) -> Result<Outcome, ServeError> {
        let mut chunk = self.chunk(rows, prefix, prefix.start()).await?;
        let mut outcome = Outcome::default();
        if chunk.is_empty() {
            return Ok(outcome);
        }
        let own = self.target.own().await.ok_or(ServeError::NoAddress)?;
        let peers = if chunk.len() <= FEW {
            Vec::new()
        } else {
            let found = region::explore(&self.target.network, prefix, seed).await;
            tracing::debug!(
                region = prefix.bits(),
                served = found.prefix.bits(),
                peers = found.peers.len(),
                "explored"
            );
            self.counters.explored(found.peers.len());
            if found.peers.is_empty() {
                return Err(ServeError::NoPeers);
            }
            found.peers
        };
        while let Some(last) = chunk.last().map(|key| key.id) {
            let all = chunk.len();
            let done = if peers.is_empty() {
                self.one_by_one(chunk, &own).await
            } else {
                self.distribute(&peers, chunk, &own).await
            };
            if done.is_empty() {
                self.counters.keys_failed.fetch_add(all as u64, Ordering::Relaxed);
                return Err(ServeError::NoPeers);
            }
            outcome.announced += done.len() as u64;
            outcome.left += (all - done.len()) as u64;
            if let Rows::New(net) = rows {
                let keys = Arc::clone(&self.keys);
                blocking(move || keys.remove_new(net, &done).map_err(|e| e.to_string())).await?;
            }
            chunk = match after(&last) {
                Some(next) if prefix.contains(&next) => self.chunk(rows, prefix, next).await?,
                _ => Vec::new(),
            };
        }
        Ok(outcome)
    }

    async fn chunk(&self, rows: Rows, prefix: Prefix, from: Id) -> Result<Vec<StoredKey>, ServeError> {
        let keys = Arc::clone(&self.keys);
        blocking(move || keys.chunk(rows, prefix, from).map_err(|e| e.to_string())).await
    }

    /// The keys that somebody took.
    async fn one_by_one(&self, chunk: Vec<StoredKey>, own: &Provider) -> Vec<StoredKey> {
        let mut done = Vec::new();
        for key in chunk {
            let message = Message::announce(key.multihash.clone(), own.clone());
            let told = announce(Arc::clone(&self.target.network), message, K).await;
            self.counters.told(1, told);
            if told > 0 {
                done.push(key);
            }
        }
        done
    }

    /// Sends each key to the nearest of the peers that take it; the keys that somebody took.
    async fn distribute(&self, peers: &[(Id, Provider)], mut chunk: Vec<StoredKey>, own: &Provider) -> Vec<StoredKey> {
        let mut live: Vec<u16> = (0..=u16::MAX).take(peers.len()).collect();
        // Whom each key was sent to. Numbers instead of ids keep a chunk at 4 MB.
        let mut told: Vec<Vec<u16>> = vec![Vec::with_capacity(K); chunk.len()];
        for _ in 0..ROUNDS {
            let per_peer = assign(peers, &live, &chunk, &told).await;
            let jobs = per_peer.into_iter().zip(0u16..).filter(|(keys, _)| !keys.is_empty());
            let chunk = chunk.as_slice();
            let sent: Vec<(u16, Vec<u32>, bool)> = stream::iter(jobs)
                .map(|(mut keys, peer)| async move {
                    let done = self.send(&peers[usize::from(peer)].1, chunk, &keys, own).await;
                    let whole = done == keys.len();
                    keys.truncate(done);
                    (peer, keys, whole)
                })
                .buffer_unordered(self.connections)
                .collect()
                .await;
            let mut dead = HashSet::new();
            for (peer, keys, whole) in sent {
                for at in keys {
                    told[at as usize].push(peer);
                }
                if !whole {
                    dead.insert(peer);
                }
            }
            if dead.is_empty() {
                break;
            }
            live.retain(|peer| !dead.contains(peer));
        }
        for holders in &told {
            self.counters.told(1, holders.len());
        }
        let mut taken = told.iter().map(|holders| !holders.is_empty());
        chunk.retain(|_| taken.next() == Some(true));
        chunk
    }

    /// How many of the keys a peer took, in order.
    async fn send(&self, peer: &Provider, chunk: &[StoredKey], keys: &[u32], own: &Provider) -> usize {
        let mut done = 0;
        for part in keys.chunks(MAX_PER_STREAM) {
            let messages: Vec<Message> =
                part.iter().map(|at| Message::announce(chunk[*at as usize].multihash.clone(), own.clone())).collect();
            if let Err(error) = self.target.network.tell(peer, &messages).await {
                tracing::debug!(peer = %peer.peer, %error, "announcements were not taken");
                self.counters.unreachable.fetch_add(1, Ordering::Relaxed);
                return done;
            }
            done += part.len();
            self.counters.records.fetch_add(part.len() as u64, Ordering::Relaxed);
        }
        done
    }
}

/// For each peer the keys of which it is one of the nearest, and which it does not have yet.
async fn assign(peers: &[(Id, Provider)], live: &[u16], chunk: &[StoredKey], told: &[Vec<u16>]) -> Vec<Vec<u32>> {
    let mut per_peer: Vec<Vec<u32>> = vec![Vec::new(); peers.len()];
    for ((key, told), at) in chunk.iter().zip(told).zip(0u32..) {
        for peer in region::nearest(peers, live, &key.id) {
            if !told.contains(&peer) {
                per_peer[usize::from(peer)].push(at);
            }
        }
        if at % KEYS_PER_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
    per_peer
}

/// The next point.
fn after(id: &Id) -> Option<Id> {
    Prefix::new(id, super::super::key::ID_BITS).end()
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, ServeError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(ServeError::Store),
        Err(stopped) => Err(ServeError::Store(stopped.to_string())),
    }
}
