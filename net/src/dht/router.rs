//! [`Routing`] over the DHTs: both are asked at once, and the first answers win.

use super::{
    handle::{Dht, Link},
    key::Id,
    message::{Kind, Message},
    query::{Network, Walk, lookup::K, region},
};
use crate::routing::{Provider, Routing, RoutingError, deadline_of};
use async_trait::async_trait;
use bytes::Bytes;
use cairn_store::{Multihash, fetch::Deadline};
use futures::{StreamExt as _, future::join_all, stream, stream::BoxStream, stream::FuturesUnordered};
use libp2p::{Multiaddr, PeerId};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::mpsc;
use tracing::Instrument as _;

/// Peers that have to agree on a value before a search ends.
const QUORUM: usize = 16;
/// Peers that are given the best value when a search ends, because they had none or an older one.
const MAX_CORRECTED: usize = K;
/// Results on their way to a caller; when it does not take them, the walk waits.
const MAX_RESULTS: usize = 32;
/// Providers of one search that are remembered to report each once; a search ends there.
const MAX_PROVIDERS: usize = 10_000;
/// A peer that answers a walk and is nearer than this many others with 90 % certainty is one of the 20 nearest: the
/// 10 % quantile of a gamma distribution of shape 20, as in Kubo's optimistic provide.
const OPTIMISTIC_RANK: f64 = 14.5;
/// Announcements out before [`Routing::provide`] returns; the rest goes on.
const PROVIDE_ENOUGH: usize = 15;

/// Addresses of a peer that is looked for; the rest is ignored.
const MAX_FOUND_ADDRS: usize = 64;

type Found<T> = mpsc::Sender<Result<T, RoutingError>>;

/// Runs a task that reports through a channel and stops when the stream is dropped or the deadline passes.
fn search<T, F>(deadline: Deadline, task: impl FnOnce(Found<T>) -> F) -> BoxStream<'static, Result<T, RoutingError>>
where
    T: Send + 'static,
    F: Future<Output = Option<RoutingError>> + Send + 'static,
{
    let (found, results) = mpsc::channel(MAX_RESULTS);
    let work = task(found.clone());
    // The task lives in the stream: dropping one drops the other.
    let running = async move {
        let end = tokio::select! {
            end = work => end,
            () = deadline_of(deadline) => Some(RoutingError::TimedOut),
        };
        if let Some(error) = end {
            let _ = found.send(Err(error)).await;
        }
    };
    let results = stream::unfold(results, |mut results| async move { results.recv().await.map(|r| (r, results)) });
    let running = stream::once(running).filter_map(|()| async { None });
    stream::select(results, running).boxed()
}

impl Dht {
    fn is_offline(&self) -> Option<RoutingError> {
        self.links.is_empty().then_some(RoutingError::NoPeers)
    }

    async fn search_providers(self, key: Vec<u8>, count: usize, found: Found<Provider>) -> Option<RoutingError> {
        let (new, mut heard) = mpsc::channel::<Provider>(MAX_RESULTS);
        let walks = join_all(self.links.iter().map(|link| self.walk_for_providers(link, key.clone(), new.clone())));
        drop(new);
        let collect = async {
            let mut seen = HashSet::new();
            let limit = if count == 0 { MAX_PROVIDERS } else { count.min(MAX_PROVIDERS) };
            while seen.len() < limit {
                let Some(provider) = heard.recv().await else { break };
                if seen.insert(provider.peer) && found.send(Ok(provider)).await.is_err() {
                    break;
                }
            }
            seen.len()
        };
        tokio::pin!(collect);
        let asked = tokio::select! {
            // Enough found: the walks are dropped.
            _ = &mut collect => return None,
            asked = walks => asked,
        };
        let count = collect.await;
        (count == 0 && asked.into_iter().all(|n| n == 0)).then_some(RoutingError::NoPeers)
    }

    /// Sends providers as they are found; how many peers were asked.
    async fn walk_for_providers(&self, link: &Arc<Link>, key: Vec<u8>, new: mpsc::Sender<Provider>) -> usize {
        for provider in self.local_providers(link.net, &key).await {
            if provider.peer != self.local && new.send(provider).await.is_err() {
                return 1;
            }
        }
        let question = Message::ask(Kind::GetProviders, key.clone());
        let mut walk = Walk::start(link.network(), question.clone()).await;
        let mut asked = HashSet::new();
        while let Some((peer, answer)) = walk.next().await {
            asked.insert(peer.peer);
            if !report(link, answer.providers, &new).await {
                return asked.len();
            }
        }
        if walk.lookup().is_crowded() {
            let network = link.network();
            let mut rest: Vec<Provider> = region::around(&network, &key, rand::random()).await;
            rest.retain(|p| !asked.contains(&p.peer));
            let mut answers = stream::iter(rest)
                .map(|peer| {
                    let (network, question) = (Arc::clone(&network), question.clone());
                    async move { network.ask(&peer, &question).await }
                })
                .buffer_unordered(super::query::lookup::ALPHA);
            while let Some(answer) = answers.next().await {
                if let Ok(answer) = answer
                    && !report(link, answer.providers, &new).await
                {
                    break;
                }
            }
        }
        asked.len()
    }

    /// What all answers say of where a peer is: the first may be wrong. The peer's own answer ends the search.
    async fn walk_for_peer(&self, link: &Arc<Link>, peer: PeerId) -> Option<Provider> {
        let mut walk = Walk::start(link.network(), Message::ask(Kind::FindNode, peer.to_bytes())).await;
        let mut addrs: Vec<Multiaddr> = Vec::new();
        while let Some((from, answer)) = walk.next().await {
            let named = answer.closer.into_iter().filter(|named| named.peer == peer).flat_map(|named| named.addrs);
            let itself = (from.peer == peer).then_some(from.addrs);
            for addr in named.chain(itself.iter().flatten().cloned()) {
                if addrs.len() < MAX_FOUND_ADDRS && link.may_announce(&addr) && !addrs.contains(&addr) {
                    addrs.push(addr);
                }
            }
            if itself.is_some() {
                break;
            }
        }
        (!addrs.is_empty()).then_some(Provider { peer, addrs })
    }

    async fn search_values(self, key: Bytes, found: Found<Bytes>) -> Option<RoutingError> {
        let (new, mut heard) = mpsc::channel::<(usize, Option<PeerValue>)>(MAX_RESULTS);
        let walks = join_all(
            self.links.iter().enumerate().map(|(n, link)| self.walk_for_value(n, link, key.to_vec(), new.clone())),
        );
        drop(new);
        let mut best: Option<Vec<u8>> = None;
        let mut agree = 0;
        let mut answered: Vec<(usize, Provider, Option<Vec<u8>>)> = Vec::new();
        {
            tokio::pin!(walks);
            let mut walking = true;
            loop {
                let next = tokio::select! {
                    biased;
                    next = heard.recv() => next,
                    _ = &mut walks, if walking => { walking = false; continue }
                };
                let Some((net, Some(PeerValue { from, value }))) = next else {
                    if next.is_none() { break } else { continue }
                };
                if let Some(value) = &value {
                    match &best {
                        Some(known) if known == value => agree += 1,
                        Some(known) if !self.validator.is_better(&key, value, known) => {}
                        _ => {
                            agree = 1;
                            best = Some(value.clone());
                            if found.send(Ok(value.clone().into())).await.is_err() {
                                return None;
                            }
                        }
                    }
                }
                answered.extend(from.map(|from| (net, from, value)));
                if agree >= QUORUM {
                    break;
                }
            }
        }
        match best {
            Some(best) => {
                self.correct(&key, best, answered);
                None
            }
            None if answered.is_empty() => Some(RoutingError::NoPeers),
            None => Some(RoutingError::NotFound),
        }
    }

    async fn walk_for_value(
        &self,
        number: usize,
        link: &Arc<Link>,
        key: Vec<u8>,
        new: mpsc::Sender<(usize, Option<PeerValue>)>,
    ) {
        if let Some(value) = self.local_value(link.net, &key).await {
            let _ = new.send((number, Some(PeerValue { from: None, value: Some(value) }))).await;
        }
        let mut walk = Walk::start(link.network(), Message::ask(Kind::GetValue, key.clone())).await;
        while let Some((from, answer)) = walk.next().await {
            let value = answer.record.and_then(|(named, value)| {
                let valid = named == key && self.validator.validate(&key, &value, self.clock.now()).is_ok();
                valid.then_some(value)
            });
            if new.send((number, Some(PeerValue { from: Some(from), value }))).await.is_err() {
                return;
            }
        }
    }

    /// Gives the best value to the nearest peers that had another or none. Runs on after the search.
    fn correct(&self, key: &Bytes, best: Vec<u8>, answered: Vec<(usize, Provider, Option<Vec<u8>>)>) {
        let target = Id::of(key);
        for (n, link) in self.links.iter().enumerate() {
            let mut nearest: Vec<&(usize, Provider, Option<Vec<u8>>)> =
                answered.iter().filter(|(net, ..)| *net == n).collect();
            nearest.sort_by_cached_key(|(_, peer, _)| Id::of_peer(&peer.peer).distance(&target));
            nearest.truncate(MAX_CORRECTED);
            let wrong: Vec<Provider> =
                nearest.into_iter().filter(|(.., v)| v.as_ref() != Some(&best)).map(|(_, p, _)| p.clone()).collect();
            let (network, message) = (link.network(), Message::put(key.to_vec(), best.clone()));
            let telling = async move {
                stream::iter(wrong)
                    .for_each_concurrent(super::query::lookup::ALPHA, |peer| {
                        let (network, message) = (Arc::clone(&network), message.clone());
                        async move {
                            let _ = network.ask(&peer, &message).await;
                        }
                    })
                    .await;
            };
            tokio::spawn(telling.in_current_span());
        }
    }

    async fn put_at(&self, link: &Arc<Link>, key: Vec<u8>, value: Vec<u8>) -> usize {
        self.keep_value(link.net, key.clone(), value.clone()).await;
        let network = link.network();
        let walk = Walk::start(Arc::clone(&network), Message::ask(Kind::FindNode, key.clone())).await;
        let closest = walk.closest().await;
        let message = Message::put(key, value);
        let puts = stream::iter(closest).map(|peer| {
            let (network, message) = (Arc::clone(&network), message.clone());
            // A server echoes what it took.
            async move { network.ask(&peer, &message).await.is_ok_and(|echo| echo.record == message.record) }
        });
        puts.buffer_unordered(K).filter(|ok| std::future::ready(*ok)).count().await
    }

    /// Announces one key in one DHT, to each of the nearest peers as soon as it is known to be one; how many have it.
    async fn provide_at(&self, link: &Arc<Link>, key: Vec<u8>) -> Result<usize, RoutingError> {
        self.keep_provider(link.net, key.clone()).await;
        let own = self.own_record(link.net).await;
        if own.addrs.is_empty() {
            let reason = "this node has no address yet that others could use, so nobody would keep its announcement";
            return Err(RoutingError::Failed(reason.into()));
        }
        match announce(link.network(), Message::announce(key, own), PROVIDE_ENOUGH).await {
            0 => Err(RoutingError::NoPeers),
            told => Ok(told),
        }
    }
}

/// Passes providers on, with addresses of that network's kind: a stranger on the public one can't make a node dial into
/// its own. False when nobody takes them any more.
async fn report(link: &Link, providers: Vec<Provider>, new: &mpsc::Sender<Provider>) -> bool {
    for mut provider in providers {
        provider.addrs.retain(|addr| link.may_announce(addr));
        if provider.peer != link.local && new.send(provider).await.is_err() {
            return false;
        }
    }
    true
}

struct PeerValue {
    from: Option<Provider>,
    value: Option<Vec<u8>>,
}

/// Walks to the key of an announcement and sends it to the 20 nearest peers, to the surely nearest already on the way.
/// Returns when `enough` have it, and leaves the rest to the runtime; how many have it.
pub(super) async fn announce(network: Arc<dyn Network>, message: Message, enough: usize) -> usize {
    let mut walk = Walk::start(Arc::clone(&network), Message::ask(Kind::FindNode, message.key.clone())).await;
    let threshold = network.size().map(|n| OPTIMISTIC_RANK / n);
    let mut told: HashSet<PeerId> = HashSet::new();
    let mut telling = FuturesUnordered::new();
    let tell = |peer: Provider| {
        let (network, message) = (Arc::clone(&network), message.clone());
        async move { network.tell(&peer, &[message]).await.is_ok() }
    };
    let mut done = 0;
    loop {
        tokio::select! {
            answered = walk.next() => {
                let Some((peer, _)) = answered else { break };
                let near = threshold.is_some_and(|t| walk.lookup().distance(&peer.peer).fraction() <= t);
                if near && told.len() < K && told.insert(peer.peer) {
                    telling.push(tell(peer));
                }
            }
            Some(ok) = telling.next(), if !telling.is_empty() => done += usize::from(ok),
        }
    }
    let mut closest = walk.lookup().closest();
    if walk.lookup().is_crowded() {
        closest.extend(region::around(&network, &message.key, rand::random()).await);
    }
    for peer in closest {
        if told.insert(peer.peer) {
            telling.push(tell(peer));
        }
    }
    while let Some(ok) = telling.next().await {
        done += usize::from(ok);
        if done >= enough && !walk.lookup().is_crowded() {
            break;
        }
    }
    let left = telling.len();
    if left > 0 {
        // At most 20 exchanges, each with its own timeout.
        tokio::spawn(async move { while telling.next().await.is_some() {} }.in_current_span());
    }
    done
}

#[async_trait]
impl Routing for Dht {
    fn find_providers(
        self: Arc<Self>,
        key: Multihash,
        count: usize,
        deadline: Deadline,
    ) -> BoxStream<'static, Result<Provider, RoutingError>> {
        let dht = Self::clone(&self);
        search(deadline, move |found| dht.search_providers(key.to_bytes(), count, found))
    }

    async fn find_peer(&self, peer: PeerId, deadline: Deadline) -> Result<Provider, RoutingError> {
        if let Some(offline) = self.is_offline() {
            return Err(offline);
        }
        let addrs = self.known_addresses(peer).await;
        if !addrs.is_empty() {
            return Ok(Provider { peer, addrs });
        }
        let mut walks: FuturesUnordered<_> = self.links.iter().map(|link| self.walk_for_peer(link, peer)).collect();
        let first = async {
            while let Some(found) = walks.next().await {
                if found.is_some() {
                    return found;
                }
            }
            None
        };
        tokio::select! {
            found = first => found.ok_or(RoutingError::NotFound),
            () = deadline_of(deadline) => Err(RoutingError::TimedOut),
        }
    }

    fn search_value(
        self: Arc<Self>,
        key: Bytes,
        deadline: Deadline,
    ) -> BoxStream<'static, Result<Bytes, RoutingError>> {
        let dht = Self::clone(&self);
        search(deadline, move |found| dht.search_values(key, found))
    }

    async fn put_value(&self, key: Bytes, value: Bytes, deadline: Deadline) -> Result<(), RoutingError> {
        let valid = self.validator.validate(&key, &value, self.clock.now());
        valid.map_err(RoutingError::Invalid)?;
        let puts = join_all(self.links.iter().map(|link| self.put_at(link, key.to_vec(), value.to_vec())));
        tokio::select! {
            taken = puts => if taken.into_iter().sum::<usize>() > 0 { Ok(()) } else { Err(RoutingError::NoPeers) },
            () = deadline_of(deadline) => Err(RoutingError::TimedOut),
        }
    }

    async fn provide(&self, key: Multihash, deadline: Deadline) -> Result<(), RoutingError> {
        let key = key.to_bytes();
        if key.len() > super::providers::MAX_KEY {
            return Err(RoutingError::Invalid("keys of the DHT have at most 80 bytes".into()));
        }
        let provides = join_all(self.links.iter().map(|link| self.provide_at(link, key.clone())));
        tokio::select! {
            told = provides => {
                let mut failure = RoutingError::NoPeers;
                for result in told {
                    match result {
                        Ok(_) => return Ok(()),
                        Err(error @ RoutingError::Failed(_)) => failure = error,
                        Err(_) => {}
                    }
                }
                Err(failure)
            }
            () = deadline_of(deadline) => Err(RoutingError::TimedOut),
        }
    }
}
