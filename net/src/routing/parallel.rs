//! Several routers as one.

use super::{Provider, Routing, RoutingError, deadline_of};
use async_trait::async_trait;
use bytes::Bytes;
use cairn_store::{Multihash, fetch::Deadline};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream, FuturesUnordered},
};
use libp2p::PeerId;
use std::{collections::HashMap, sync::Arc};

/// Asks all of its routers at once and merges what they say. One that fails does not fail the others: there is an error
/// only if nobody had an answer.
#[derive(Clone)]
pub struct Parallel {
    routers: Vec<Arc<dyn Routing>>,
}

/// Providers that a merged stream remembers to name each once; it ends there.
const MAX_SEEN: usize = 10_000;

impl Parallel {
    /// Over these routers.
    pub fn new(routers: Vec<Arc<dyn Routing>>) -> Self {
        Self { routers }
    }

    async fn first<T, F>(&self, deadline: Deadline, mut answers: FuturesUnordered<F>) -> Result<T, RoutingError>
    where
        F: Future<Output = Result<T, RoutingError>>,
    {
        let first = async {
            let mut failure = RoutingError::NoPeers;
            while let Some(answer) = answers.next().await {
                match answer {
                    Ok(answer) => return Ok(answer),
                    Err(error) => failure = worse(failure, error),
                }
            }
            Err(failure)
        };
        tokio::select! {
            answer = first => answer,
            () = deadline_of(deadline) => Err(RoutingError::TimedOut),
        }
    }

    /// Waits for everybody; fine when one of them did it.
    async fn all<F>(&self, deadline: Deadline, mut answers: FuturesUnordered<F>) -> Result<(), RoutingError>
    where
        F: Future<Output = Result<(), RoutingError>>,
    {
        let mut done = false;
        let mut failure = RoutingError::NoPeers;
        let all = async {
            while let Some(answer) = answers.next().await {
                match answer {
                    Ok(()) => done = true,
                    Err(error) => failure = worse(std::mem::replace(&mut failure, RoutingError::NoPeers), error),
                }
            }
        };
        let timely = tokio::select! {
            () = all => true,
            () = deadline_of(deadline) => false,
        };
        match (done, timely) {
            (true, _) => Ok(()),
            (false, true) => Err(failure),
            (false, false) => Err(RoutingError::TimedOut),
        }
    }
}

/// The error that says more.
fn worse(a: RoutingError, b: RoutingError) -> RoutingError {
    let rank = |e: &RoutingError| match e {
        RoutingError::NoPeers => 0,
        RoutingError::NotFound => 1,
        RoutingError::TimedOut => 2,
        RoutingError::Failed(_) => 3,
        RoutingError::Invalid(_) => 4,
    };
    if rank(&b) > rank(&a) { b } else { a }
}

/// Errors wait for the end, and are told only if nothing else was.
fn errors_last<T: Send + 'static>(
    merged: BoxStream<'static, Result<T, RoutingError>>,
) -> BoxStream<'static, Result<T, RoutingError>> {
    let state = (merged, false, None::<RoutingError>);
    stream::unfold(state, |(mut merged, mut any, mut failure)| async move {
        while let Some(item) = merged.next().await {
            match item {
                Ok(item) => {
                    any = true;
                    return Some((Ok(item), (merged, any, failure)));
                }
                Err(error) => failure = Some(failure.map_or(error.clone(), |known| worse(known, error))),
            }
        }
        let failure = failure.filter(|_| !any)?;
        Some((Err(failure), (stream::empty().boxed(), true, None)))
    })
    .boxed()
}

#[async_trait]
impl Routing for Parallel {
    fn find_providers(
        self: Arc<Self>,
        key: Multihash,
        count: usize,
        deadline: Deadline,
    ) -> BoxStream<'static, Result<Provider, RoutingError>> {
        let streams = self.routers.iter().map(|r| Arc::clone(r).find_providers(key, count, deadline));
        let merged = errors_last(stream::select_all(streams).boxed());
        let limit = if count == 0 { MAX_SEEN } else { count };
        let state = (merged, HashMap::<PeerId, bool>::new());
        stream::unfold(state, move |(mut merged, mut seen)| async move {
            // Peers are counted, not answers: one is named again once its addresses are known.
            while seen.len() < limit
                && let Some(item) = merged.next().await
            {
                let Ok(provider) = &item else { return Some((item, (merged, seen))) };
                let addressed = !provider.addrs.is_empty();
                match seen.insert(provider.peer, addressed) {
                    Some(true) => _ = seen.insert(provider.peer, true),
                    Some(false) if !addressed => {}
                    None | Some(false) => return Some((item, (merged, seen))),
                }
            }
            None
        })
        .boxed()
    }

    async fn find_peer(&self, peer: PeerId, deadline: Deadline) -> Result<Provider, RoutingError> {
        self.first(deadline, self.routers.iter().map(|r| r.find_peer(peer, deadline)).collect()).await
    }

    fn search_value(
        self: Arc<Self>,
        key: Bytes,
        deadline: Deadline,
    ) -> BoxStream<'static, Result<Bytes, RoutingError>> {
        // Which of two routers' values is better only their reader can say, who compares each with the last anyway.
        let streams = self.routers.iter().map(|r| Arc::clone(r).search_value(key.clone(), deadline));
        let mut last: Option<Bytes> = None;
        errors_last(stream::select_all(streams).boxed())
            .filter(move |item| {
                let new = item.as_ref().map_or(true, |value| last.replace(value.clone()).as_ref() != Some(value));
                std::future::ready(new)
            })
            .boxed()
    }

    async fn put_value(&self, key: Bytes, value: Bytes, deadline: Deadline) -> Result<(), RoutingError> {
        let puts = self.routers.iter().map(|r| r.put_value(key.clone(), value.clone(), deadline));
        self.all(deadline, puts.collect()).await
    }

    async fn provide(&self, key: Multihash, deadline: Deadline) -> Result<(), RoutingError> {
        self.all(deadline, self.routers.iter().map(|r| r.provide(key, deadline)).collect()).await
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Says what it was told to.
    pub(in crate::routing) struct Says(pub Vec<Result<Provider, RoutingError>>);

    #[async_trait]
    impl Routing for Says {
        fn find_providers(
            self: Arc<Self>,
            _: Multihash,
            _: usize,
            _: Deadline,
        ) -> BoxStream<'static, Result<Provider, RoutingError>> {
            stream::iter(self.0.clone()).boxed()
        }

        async fn find_peer(&self, _: PeerId, _: Deadline) -> Result<Provider, RoutingError> {
            self.0.first().cloned().unwrap_or(Err(RoutingError::NotFound))
        }

        fn search_value(self: Arc<Self>, _: Bytes, _: Deadline) -> BoxStream<'static, Result<Bytes, RoutingError>> {
            stream::empty().boxed()
        }

        async fn put_value(&self, _: Bytes, _: Bytes, _: Deadline) -> Result<(), RoutingError> {
            self.0.first().cloned().unwrap_or(Err(RoutingError::NotFound)).map(|_| ())
        }

        async fn provide(&self, _: Multihash, _: Deadline) -> Result<(), RoutingError> {
            std::future::pending().await
        }
    }

    fn provider(peer: PeerId, addressed: bool) -> Provider {
        let addrs = if addressed { vec!["/ip4/1.2.3.4/tcp/1".parse().expect("an address")] } else { Vec::new() };
        Provider { peer, addrs }
    }

    fn parallel(routers: Vec<Vec<Result<Provider, RoutingError>>>) -> Arc<Parallel> {
        Arc::new(Parallel::new(routers.into_iter().map(|r| Arc::new(Says(r)) as Arc<dyn Routing>).collect()))
    }

    async fn ask(routers: &Arc<Parallel>, count: usize) -> Vec<Result<Provider, RoutingError>> {
        let key = Multihash::wrap(0x12, &[7; 32]).expect("a multihash");
        Arc::clone(routers).find_providers(key, count, None).collect().await
    }

    #[tokio::test]
    async fn each_provider_is_named_once_and_again_only_with_its_address() {
        let (a, b) = (PeerId::random(), PeerId::random());
        let routers = parallel(vec![
            vec![Ok(provider(a, false)), Ok(provider(b, true))],
            vec![Err(RoutingError::NotFound)],
            vec![Ok(provider(a, true)), Ok(provider(b, true))],
        ]);
        let found: Vec<Provider> = ask(&routers, 0).await.into_iter().map(|r| r.expect("no error")).collect();
        assert_eq!(found.iter().filter(|p| p.peer == b).count(), 1);
        assert!(found.contains(&provider(a, true)));
        assert_eq!(ask(&routers, 1).await.len(), 1);
        let twice = parallel(vec![vec![Ok(provider(a, false)), Ok(provider(a, true)), Ok(provider(b, true))]]);
        assert_eq!(ask(&twice, 2).await.last().map(|p| p.as_ref().expect("no error").peer), Some(b), "two peers");
    }

    #[tokio::test]
    async fn an_error_is_told_when_there_is_nothing_else() {
        let routers = parallel(vec![vec![Err(RoutingError::NotFound)], vec![Err(RoutingError::Failed("x".into()))]]);
        let found = ask(&routers, 0).await;
        assert!(matches!(&found[..], [Err(RoutingError::Failed(_))]), "{found:?}");
    }

    #[tokio::test]
    async fn the_first_answer_wins_and_one_success_is_success() {
        let a = PeerId::random();
        let routers = parallel(vec![vec![Err(RoutingError::NotFound)], vec![Ok(provider(a, true))]]);
        assert_eq!(routers.find_peer(a, None).await.expect("found").peer, a);
        assert!(routers.put_value(Bytes::new(), Bytes::new(), None).await.is_ok());
        let key = Multihash::wrap(0x12, &[7; 32]).expect("a multihash");
        let soon = Some(std::time::Instant::now());
        assert!(matches!(routers.provide(key, soon).await, Err(RoutingError::TimedOut)));
        assert!(matches!(parallel(vec![]).find_peer(a, None).await, Err(RoutingError::NoPeers)));
    }
}
