//! Routing whose providers some peers are left out of.

use super::{Provider, Routing, RoutingError};
use async_trait::async_trait;
use bytes::Bytes;
use cairn_store::{Multihash, fetch::Deadline};
use futures::{StreamExt as _, stream::BoxStream};
use libp2p::PeerId;
use std::{collections::HashSet, sync::Arc};

/// Answers as another router, but names no provider out of a list (`Routing.IgnoreProviders`).
pub struct Ignoring {
    inner: Arc<dyn Routing>,
    ignored: Arc<HashSet<PeerId>>,
}

impl Ignoring {
    /// Leaves these out.
    pub fn new(inner: Arc<dyn Routing>, ignored: impl IntoIterator<Item = PeerId>) -> Self {
        Self { inner, ignored: Arc::new(ignored.into_iter().collect()) }
    }
}

#[async_trait]
impl Routing for Ignoring {
    fn find_providers(
        self: Arc<Self>,
        key: Multihash,
        count: usize,
        deadline: Deadline,
    ) -> BoxStream<'static, Result<Provider, RoutingError>> {
        let ignored = Arc::clone(&self.ignored);
        // Those that are left out do not count: as many more are looked for.
        let asked = if count == 0 { 0 } else { count.saturating_add(ignored.len()) };
        let left = if count == 0 { usize::MAX } else { count };
        let found = Arc::clone(&self.inner).find_providers(key, asked, deadline);
        let named = move |found: &Result<Provider, _>| !found.as_ref().is_ok_and(|p| ignored.contains(&p.peer));
        found.filter(move |found| std::future::ready(named(found))).take(left).boxed()
    }

    async fn find_peer(&self, peer: PeerId, deadline: Deadline) -> Result<Provider, RoutingError> {
        self.inner.find_peer(peer, deadline).await
    }

    fn search_value(
        self: Arc<Self>,
        key: Bytes,
        deadline: Deadline,
    ) -> BoxStream<'static, Result<Bytes, RoutingError>> {
        Arc::clone(&self.inner).search_value(key, deadline)
    }

    async fn put_value(&self, key: Bytes, value: Bytes, deadline: Deadline) -> Result<(), RoutingError> {
        self.inner.put_value(key, value, deadline).await
    }

    async fn provide(&self, key: Multihash, deadline: Deadline) -> Result<(), RoutingError> {
        self.inner.provide(key, deadline).await
    }
}

#[cfg(test)]
mod tests {
    use super::{super::parallel::tests::Says, *};

    #[tokio::test]
    async fn ignored_providers_are_not_named_and_do_not_count() {
        let peers: Vec<PeerId> = (0..4).map(|_| PeerId::random()).collect();
        let all = peers.iter().map(|peer| Ok(Provider { peer: *peer, addrs: Vec::new() }));
        let router = Arc::new(Ignoring::new(Arc::new(Says(all.collect())), peers[..2].to_vec()));
        let key = Multihash::wrap(0x12, &[7; 32]).expect("a multihash");
        for (count, named) in [(0, &peers[2..]), (1, &peers[2..3])] {
            let found: Vec<_> = Arc::clone(&router).find_providers(key, count, None).collect().await;
            let found: Vec<PeerId> = found.into_iter().map(|provider| provider.expect("no error").peer).collect();
            assert_eq!(found, named);
        }
    }
}
