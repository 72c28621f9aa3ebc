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
/// Times that keys move on to the next nearest when peers fail.
const ROUNDS: usize = 3;

/// Why a region was not served; the sweep comes back to it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// Nobody answers.
    #[error("no peers to announce to")]
    NoPeers,
    /// The keys can't be read.
    #[error("keys can't be read: {0}")]
    Store(String),
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
    /// Announces every key of a region; how many.
    pub(crate) async fn serve(&self, rows: Rows, prefix: Prefix, seed: u64) -> Result<u64, ServeError> {
        let mut chunk = self.chunk(rows, prefix, prefix.start()).await?;
        if chunk.is_empty() {
            return Ok(0);
        }
        let own = self.target.own().await;
        let peers = if chunk.len() <= FEW {
            Vec::new()
        } else {
            let found = region::explore(&self.target.network, prefix, seed).await;
            tracing::debug!(region = prefix.bits(), served = found.prefix.bits(), peers = found.peers.len(), "explored");
            self.counters.explored(found.peers.len());
            if found.peers.is_empty() {
                return Err(ServeError::NoPeers);
            }
            found.peers
        };
        let mut count = 0;
        while let Some(last) = chunk.last().map(|key| key.id) {
            let done = if peers.is_empty() {
                self.one_by_one(&chunk, &own).await?
            } else {
                self.distribute(&peers, &chunk, &own).await
            };
            if done == 0 {
                self.counters.keys_failed.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                return Err(ServeError::NoPeers);
            }
            count += done;
            let next = after(&last);
            if let Rows::New(net) = rows {
                let (keys, done) = (Arc::clone(&self.keys), chunk);
                blocking(move || keys.remove_new(net, &done).map_err(|e| e.to_string())).await?;
            }
            chunk = match next {
                Some(next) if prefix.contains(&next) => self.chunk(rows, prefix, next).await?,
                _ => Vec::new(),
            };
        }
        Ok(count)
    }

    async fn chunk(&self, rows: Rows, prefix: Prefix, from: Id) -> Result<Vec<StoredKey>, ServeError> {
        let keys = Arc::clone(&self.keys);
        blocking(move || keys.chunk(rows, prefix, from).map_err(|e| e.to_string())).await
    }

    async fn one_by_one(&self, chunk: &[StoredKey], own: &Provider) -> Result<u64, ServeError> {
        let mut done = 0;
        for key in chunk {
            let message = Message::announce(key.multihash.clone(), own.clone());
            let told = announce(Arc::clone(&self.target.network), message, K).await;
            self.counters.told(1, told);
            done += u64::from(told > 0);
        }
        Ok(done)
    }

    /// Sends each key to the nearest of the peers that take it; how many keys found somebody.
    async fn distribute(&self, peers: &[(Id, Provider)], chunk: &[StoredKey], own: &Provider) -> u64 {
        let mut live: Vec<(Id, Provider)> = peers.to_vec();
        // Whom each key was sent to.
        let mut told: Vec<HashSet<libp2p::PeerId>> = vec![HashSet::with_capacity(K); chunk.len()];
        for _ in 0..ROUNDS {
            let mut per_peer: Vec<Vec<usize>> = vec![Vec::new(); live.len()];
            for (at, key) in chunk.iter().enumerate() {
                for peer in region::nearest(&live, &key.id) {
                    if !told[at].contains(&live[peer].1.peer) {
                        per_peer[peer].push(at);
                    }
                }
            }
            let jobs = per_peer.into_iter().enumerate().filter(|(_, keys)| !keys.is_empty());
            let contacts = &live;
            let sent: Vec<(usize, Vec<usize>, bool)> = stream::iter(jobs)
                .map(|(peer, keys)| async move {
                    let done = self.send(&contacts[peer].1, chunk, &keys, own).await;
                    let whole = done == keys.len();
                    (peer, keys[..done].to_vec(), whole)
                })
                .buffer_unordered(self.connections)
                .collect()
                .await;
            let mut dead = HashSet::new();
            for (peer, keys, whole) in sent {
                for at in keys {
                    told[at].insert(live[peer].1.peer);
                }
                if !whole {
                    dead.insert(live[peer].1.peer);
                }
            }
            if dead.is_empty() {
                break;
            }
            live.retain(|(_, p)| !dead.contains(&p.peer));
        }
        for holders in &told {
            self.counters.told(1, holders.len());
        }
        told.iter().filter(|holders| !holders.is_empty()).count() as u64
    }

    /// How many of the keys a peer took, in order.
    async fn send(&self, peer: &Provider, chunk: &[StoredKey], keys: &[usize], own: &Provider) -> usize {
        let mut done = 0;
        for part in keys.chunks(MAX_PER_STREAM) {
            let messages: Vec<Message> =
                part.iter().map(|at| Message::announce(chunk[*at].multihash.clone(), own.clone())).collect();
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
