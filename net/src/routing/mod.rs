//! `trait Routing`: who has what, and where they are. The DHTs and delegated HTTP routers implement it, and so does
//! whatever asks several of them at once.

mod ignoring;
mod parallel;

pub use ignoring::Ignoring;
pub use parallel::Parallel;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_store::{Multihash, fetch::Deadline};
use futures::stream::BoxStream;
use libp2p::{Multiaddr, PeerId};
use std::{sync::Arc, time::Instant};

/// A peer and where it can be reached. `addrs` may be empty: then the addresses are to be found by
/// [`Routing::find_peer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The peer.
    pub peer: PeerId,
    /// Its addresses, without `/p2p/…` at the end.
    pub addrs: Vec<Multiaddr>,
}

/// Why routing has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RoutingError {
    /// Nobody who was asked knows.
    #[error("routing: not found")]
    NotFound,
    /// The deadline passed first.
    #[error("routing: no answer before the deadline")]
    TimedOut,
    /// There is nobody to ask.
    #[error("routing: no peers to ask: the node is offline, or has not found any yet")]
    NoPeers,
    /// The key or value is not one that this router takes.
    #[error("routing: {0}")]
    Invalid(String),
    /// The router failed.
    #[error("routing: {0}")]
    Failed(String),
}

/// A way to find peers, providers and small values.
#[async_trait]
pub trait Routing: Send + Sync {
    /// Providers of a block as they are found, each peer once, at most `count` of them (0: no limit). The stream ends
    /// when the search does; dropping it stops the search.
    fn find_providers(
        self: Arc<Self>,
        key: Multihash,
        count: usize,
        deadline: Deadline,
    ) -> BoxStream<'static, Result<Provider, RoutingError>>;

    /// Addresses of a peer.
    ///
    /// # Errors
    /// When they can't be found before the deadline.
    async fn find_peer(&self, peer: PeerId, deadline: Deadline) -> Result<Provider, RoutingError>;

    /// Values under a key (`/ipns/…` or `/pk/…`) as they are found, each valid, every next one better than the last.
    /// The stream ends when enough peers agree.
    fn search_value(self: Arc<Self>, key: Bytes, deadline: Deadline)
    -> BoxStream<'static, Result<Bytes, RoutingError>>;

    /// Puts a value under a key (`/ipns/…` or `/pk/…`).
    ///
    /// # Errors
    /// When nobody took it before the deadline.
    async fn put_value(&self, key: Bytes, value: Bytes, deadline: Deadline) -> Result<(), RoutingError>;

    /// Announces this node as a provider of a block, now.
    ///
    /// # Errors
    /// When nobody took it before the deadline.
    async fn provide(&self, key: Multihash, deadline: Deadline) -> Result<(), RoutingError>;
}

/// Ends when a deadline passes; never when there is none. One that has passed already ends it at once: a timer would
/// sleep to the end of its millisecond, in which peers nearby may have answered.
pub(crate) async fn deadline_of(deadline: Deadline) {
    match deadline {
        Some(at) if at <= Instant::now() => {}
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
