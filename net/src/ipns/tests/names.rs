//! Publishing and resolving over a routing of this process.

use super::{super::publisher::MAX_LOOK_BACK, *};
use crate::{
    dnslink::{TextError, TextSource, Texts},
    keystore::Algorithm,
    routing::{Provider, Routing, RoutingError},
};
use async_trait::async_trait;
use cairn_store::{
    Multihash,
    fetch::Deadline,
    kv::{Kv, MemoryKv},
    names::{NameError, Names as _},
    path::Path,
};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use libp2p::PeerId;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Keeps values; gives what is put under a key in the order in which it was put.
#[derive(Default)]
struct Shelf {
    values: Mutex<HashMap<Vec<u8>, Vec<Bytes>>>,
    broken: Mutex<bool>,
    /// Never answers.
    silent: bool,
    /// Lets one search answer.
    late: Option<Arc<tokio::sync::Notify>>,
    asked: Mutex<usize>,
}

#[async_trait]
impl Routing for Shelf {
    fn find_providers(
        self: Arc<Self>,
        _: Multihash,
        _: usize,
        _: Deadline,
    ) -> BoxStream<'static, Result<Provider, RoutingError>> {
        stream::empty().boxed()
    }

    async fn find_peer(&self, _: PeerId, _: Deadline) -> Result<Provider, RoutingError> {
        Err(RoutingError::NotFound)
    }

    fn search_value(self: Arc<Self>, key: Bytes, _: Deadline) -> BoxStream<'static, Result<Bytes, RoutingError>> {
        *self.asked.lock() += 1;
        if self.silent {
            return stream::pending().boxed();
        }
        let found = match self.values.lock().get(&key[..]) {
            Some(values) => stream::iter(values.clone().into_iter().map(Ok)).boxed(),
            None => stream::iter([Err(RoutingError::NotFound)]).boxed(),
        };
        match self.late.clone() {
            Some(late) => {
                let after = async move {
                    late.notified().await;
                    found
                };
                stream::once(after).flatten().boxed()
            }
            None => found,
        }
    }

    async fn put_value(&self, key: Bytes, value: Bytes, _: Deadline) -> Result<(), RoutingError> {
        if *self.broken.lock() {
            return Err(RoutingError::NoPeers);
        }
        self.values.lock().entry(key.to_vec()).or_default().push(value);
        Ok(())
    }

    async fn provide(&self, _: Multihash, _: Deadline) -> Result<(), RoutingError> {
        Ok(())
    }
}

struct Zone(HashMap<String, String>);

#[async_trait]
impl TextSource for Zone {
    async fn texts(&self, name: &str) -> Result<Texts, TextError> {
        let text = self.0.get(name).ok_or(TextError::NotFound)?;
        Ok(Texts { texts: vec![format!("dnslink={text}")], ttl: Duration::from_secs(60) })
    }
}

fn path(text: &str) -> Path {
    Path::parse_strict(text).expect(text)
}

fn key() -> PrivateKey {
    PrivateKey::generate(Algorithm::Ed25519).expect("a key")
}

fn memory() -> Arc<dyn Kv> {
    Arc::new(MemoryKv::new())
}

fn offline(kv: &Arc<dyn Kv>) -> Names {
    Names::new(&NamesConfig::default(), Arc::clone(kv), None, None)
}

fn online(shelf: &Arc<Shelf>) -> Names {
    Names::new(&NamesConfig::default(), memory(), Some(Arc::clone(shelf) as Arc<dyn Routing>), None)
}

const A: &str = "/ipfs/bafkqaaa";
const B: &str = "/ipfs/bafkqaddimvwgy3zao5xxe3debi";

fn publish(network: Network) -> Publish {
    Publish { lifetime: DEFAULT_LIFETIME, ttl: DEFAULT_TTL, sequence: None, v1: true, network, deadline: None }
}

async fn resolve(names: &Names, text: &str) -> Result<String, NameError> {
    names.resolve(&path(text), &ResolveOptions::default()).await.map(|target| target.path.to_string())
}

fn made(key: &PrivateKey, value: &str, sequence: u64, lifetime: Duration) -> Bytes {
    let eol = Names::now().after(lifetime);
    let content = Content { value, sequence, eol, ttl: Duration::from_secs(9), v1: false };
    Record::new(key, &content).expect("made").bytes().clone()
}

#[tokio::test]
async fn a_name_that_was_published_offline_resolves_after_a_restart() {
    let (kv, key) = (memory(), key());
    let name = Name::from(key.peer_id());
    let names = offline(&kv);
    let error = names.publish(&key, &path(A), &publish(Network::Required)).await.expect_err("offline");
    assert_eq!(error.to_string(), "can't publish while offline");
    names.publish(&key, &path(A), &publish(Network::Optional)).await.expect("kept");
    let again = offline(&kv);
    assert_eq!(resolve(&again, &format!("/ipns/{name}/x/")).await.expect("known"), format!("{A}/x/"));
    let target = again.lookup(&key.peer_id().to_base58(), None).await.expect("by peer ID too");
    assert_eq!((target.path.to_string().as_str(), target.ttl <= DEFAULT_TTL), (A, true));
    let record = again.record(&name.to_string(), None).await.expect("its record");
    parse_valid(&record.bytes, name, Names::now()).expect("valid");
    assert_eq!(record.ttl, Some(DEFAULT_TTL));
    let unknown = Name::from(PeerId::random()).to_string();
    assert!(matches!(again.lookup(&unknown, None).await, Err(NameError::Offline(_))));
}

#[tokio::test]
async fn sequence_numbers_go_up_when_the_value_changes() {
    let (kv, key) = (memory(), key());
    let names = offline(&kv);
    let next = async |value: &str, sequence: Option<u64>| {
        let options = Publish { sequence, ..publish(Network::Optional) };
        names.publish(&key, &path(value), &options).await.map(|record| record.sequence().expect("a number"))
    };
    assert!(matches!(next(A, Some(0)).await, Err(PublishError::Sequence)), "0 can't be asked for");
    let steps = [(A, None, 0), (A, None, 0), (B, None, 1), (B, Some(7), 7), (A, None, 8)];
    for (value, wanted, sequence) in steps {
        assert_eq!(next(value, wanted).await.expect("published"), sequence);
    }
    assert!(matches!(next(A, Some(8)).await, Err(PublishError::Sequence)));
}

#[tokio::test]
async fn the_number_goes_on_from_what_the_network_knows() {
    let (shelf, key) = (Arc::new(Shelf::default()), key());
    let name = Name::from(key.peer_id());
    let record = made(&key, A, 41, DEFAULT_LIFETIME);
    shelf.values.lock().insert(name.routing_key(), vec![record]);
    let names = online(&shelf);
    let record = names.publish(&key, &path(B), &publish(Network::Required)).await.expect("published");
    assert_eq!(record.sequence(), Ok(42));
    assert_eq!(shelf.values.lock()[&name.routing_key()].last(), Some(record.bytes()));
}

#[tokio::test]
async fn the_best_valid_record_of_the_network_counts() {
    let (shelf, key) = (Arc::new(Shelf::default()), key());
    let name = Name::from(key.peer_id());
    let other = PrivateKey::generate(Algorithm::Ed25519).expect("a key");
    let expired = made(&key, B, 99, Duration::ZERO);
    let values = vec![
        Bytes::from_static(b"garbage"),
        made(&key, B, 1, DEFAULT_LIFETIME),
        made(&other, B, 100, DEFAULT_LIFETIME),
        made(&key, A, 3, DEFAULT_LIFETIME),
        made(&key, B, 2, DEFAULT_LIFETIME),
        expired,
    ];
    shelf.values.lock().insert(name.routing_key(), values);
    let names = online(&shelf);
    let found: Vec<_> = names.search(path(&format!("/ipns/{name}")), ResolveOptions::default()).collect().await;
    let found: Vec<String> = found.into_iter().map(|t| t.expect("valid").path.to_string()).collect();
    assert_eq!(found, [B, A], "each is better than the one before");
    assert_eq!(resolve(&names, &format!("/ipns/{name}")).await.expect("found"), A);
    let first = ResolveOptions { records: 1, cache: false, ..ResolveOptions::default() };
    assert_eq!(names.best(name, first).await.expect("found").sequence(), Ok(1));
}

#[tokio::test]
async fn answers_are_kept_for_their_ttl_unless_told_otherwise() {
    let (shelf, key) = (Arc::new(Shelf::default()), key());
    let name = format!("/ipns/{}", Name::from(key.peer_id()));
    let names = online(&shelf);
    names.publish(&key, &path(A), &publish(Network::Required)).await.expect("published");
    let asked = *shelf.asked.lock();
    resolve(&names, &name).await.expect("published just now");
    assert_eq!(*shelf.asked.lock(), asked, "nobody is asked for what this node published");
    let fresh = ResolveOptions { cache: false, ..ResolveOptions::default() };
    names.resolve(&path(&name), &fresh).await.expect("found");
    assert_eq!(*shelf.asked.lock(), asked + 1);
}

#[tokio::test]
async fn a_search_without_an_answer_ends_and_says_so() {
    let key = key();
    let name = Name::from(key.peer_id());
    let silent = online(&Arc::new(Shelf { silent: true, ..Shelf::default() }));
    let soon = ResolveOptions { deadline: Some(Instant::now()), ..ResolveOptions::default() };
    let error = silent.best(name, soon).await.expect_err("silence");
    assert!(matches!(error, NameError::TimedOut(_)), "{error}");
    let empty = online(&Arc::new(Shelf::default()));
    let error = empty.best(name, ResolveOptions::default()).await.expect_err("nothing");
    assert!(matches!(error, NameError::NotFound(_)), "{error}");
}

#[tokio::test]
async fn what_the_network_does_not_take_is_kept_here() {
    let (shelf, key) = (Arc::new(Shelf::default()), key());
    *shelf.broken.lock() = true;
    let names = online(&shelf);
    let error = names.publish(&key, &path(A), &publish(Network::Required)).await.expect_err("no peers");
    assert!(matches!(error, PublishError::Routing(_)), "{error}");
    assert_eq!(resolve(&names, &format!("/ipns/{}", Name::from(key.peer_id()))).await.expect("kept"), A);
    names.publish(&key, &path(B), &publish(Network::Optional)).await.expect("kept");
    assert!(names.republish(&key, DEFAULT_LIFETIME).await.is_err());
    *shelf.broken.lock() = false;
    assert!(names.republish(&key, DEFAULT_LIFETIME).await.expect("now it is taken"));
    let record = shelf.values.lock().values().next().and_then(|v| v.last().cloned()).expect("published");
    assert_eq!(Record::parse(&record).expect("a record").sequence(), Ok(1));
}

#[tokio::test]
async fn records_of_others_are_kept_unless_a_better_one_is_here() {
    let (kv, key) = (memory(), key());
    let name = Name::from(key.peer_id());
    let names = offline(&kv);
    let put = async |bytes: Bytes| names.put(name, bytes, Network::Optional, None).await;
    let garbage = put(Bytes::from_static(b"garbage")).await.expect("kept, as in Kubo");
    assert!(garbage.is_err(), "but it is said that it is none");
    let error = names.lookup(&name.to_string(), None).await.expect_err("not valid");
    assert!(matches!(error, NameError::Invalid { .. }), "{error}");
    put(made(&key, A, 5, DEFAULT_LIFETIME)).await.expect("kept").expect("valid");
    assert_eq!(resolve(&names, &format!("/ipns/{name}")).await.expect("valid"), A);
    put(made(&key, A, 5, DEFAULT_LIFETIME * 2)).await.expect("kept").expect("it lives longer");
    assert!(matches!(put(made(&key, B, 4, DEFAULT_LIFETIME)).await, Err(PublishError::Older(5))));
    assert!(matches!(put(Bytes::from_static(b"garbage")).await, Err(PublishError::Worse(_))));
    assert_eq!(resolve(&names, &format!("/ipns/{name}")).await.expect("still"), A);
}

#[tokio::test]
async fn an_rsa_key_is_published_beside_its_record() {
    let [_, _, rsa, _] = vectors();
    let name = rsa.name();
    let shelf = Arc::new(Shelf::default());
    let names = online(&shelf);
    names.publish(&rsa.key, &path(A), &publish(Network::Required)).await.expect("published");
    assert_eq!(names.public_key(name, None).await.expect("found"), rsa.key.public().encode_protobuf());
    let encoded = Bytes::from(rsa.key.public().encode_protobuf());
    let local = offline(&memory());
    assert!(local.public_key(name, None).await.is_err());
    let wrong = Name::from(PeerId::random());
    assert!(local.put_public_key(wrong, encoded.clone(), Network::Optional, None).await.is_err());
    local.put_public_key(name, encoded.clone(), Network::Optional, None).await.expect("kept");
    assert_eq!(local.public_key(name, None).await.expect("kept"), encoded);
}

#[tokio::test]
async fn names_lead_to_names_up_to_a_limit() {
    let zone = |pairs: &[(&str, &str)]| {
        let map = pairs.iter().map(|(domain, to)| (format!("_dnslink.{domain}"), (*to).to_owned())).collect();
        Some(Arc::new(Zone(map)) as Arc<dyn TextSource>)
    };
    let key = key();
    let name = Name::from(key.peer_id()).to_string();
    let by_key = format!("/ipns/{name}/k");
    let dns = zone(&[("a.example", "/ipns/b.example/y"), ("b.example", &by_key), ("l.example", "/ipns/l.example")]);
    let config =
        NamesConfig { fixed: static_map("s.example:/ipns/a.example/z").expect("a map"), ..NamesConfig::default() };
    let names = Names::new(&config, memory(), None, dns);
    names.publish(&key, &path(A), &publish(Network::Optional)).await.expect("published");
    assert_eq!(resolve(&names, "/ipns/s.example/q/").await.expect("found"), format!("{A}/k/y/z/q/"));
    let one = ResolveOptions { depth: 1, ..ResolveOptions::default() };
    let step = names.resolve(&path("/ipns/a.example"), &one).await.expect("one step");
    assert_eq!(step.path.to_string(), "/ipns/b.example/y");
    assert!(step.ttl <= Duration::from_secs(60) && !step.ttl.is_zero());
    let whole = names.resolve(&path("/ipns/a.example"), &ResolveOptions::default()).await.expect("found");
    assert!(whole.ttl <= Duration::from_secs(60), "the shortest step counts");
    let endless = resolve(&names, "/ipns/l.example").await.expect_err("a circle").to_string();
    assert!(endless.contains("recursion limit exceeded"), "{endless}");
    for unknown in ["/ipns/c.example", "/ipns/bafkqaaa", "/ipns/bad name"] {
        assert!(resolve(&names, unknown).await.is_err(), "{unknown}");
    }
    let without = offline(&memory());
    assert!(matches!(resolve(&without, "/ipns/a.example").await, Err(NameError::Offline(_))));
}

#[tokio::test]
async fn an_answer_that_was_under_way_does_not_replace_what_was_published_since() {
    let (late, key) = (Arc::new(tokio::sync::Notify::new()), key());
    let shelf = Arc::new(Shelf { late: Some(Arc::clone(&late)), ..Shelf::default() });
    let (names, name) = (online(&shelf), format!("/ipns/{}", Name::from(key.peer_id())));
    late.notify_one();
    names.publish(&key, &path(A), &publish(Network::Required)).await.expect("published");
    let asked = *shelf.asked.lock();
    let search = {
        let (names, name) = (names.clone(), path(&name));
        let fresh = ResolveOptions { cache: false, ..ResolveOptions::default() };
        tokio::spawn(async move { names.resolve(&name, &fresh).await })
    };
    while *shelf.asked.lock() == asked {
        tokio::task::yield_now().await;
    }
    names.publish(&key, &path(B), &publish(Network::Required)).await.expect("published");
    late.notify_one();
    assert_eq!(search.await.expect("ends").expect("found").path, path(A), "what there was when it began");
    assert_eq!(resolve(&names, &name).await.expect("kept"), B);
}

#[tokio::test]
async fn who_publishes_does_not_wait_for_anothers_search() {
    let (kv, slow, quick) = (memory(), key(), key());
    // This node has a record of one of them, and nobody answers for the other.
    offline(&kv).publish(&quick, &path(A), &publish(Network::Optional)).await.expect("kept");
    let silent: Arc<dyn Routing> = Arc::new(Shelf { silent: true, ..Shelf::default() });
    let names = Names::new(&NamesConfig::default(), kv, Some(silent), None);
    let first = {
        let names = names.clone();
        tokio::spawn(async move { names.publish(&slow, &path(A), &publish(Network::Required)).await.map(drop) })
    };
    let (value, options) = (path(B), publish(Network::Required));
    let second = tokio::time::timeout(MAX_LOOK_BACK / 3, names.publish(&quick, &value, &options)).await;
    second.expect("at once").expect("published");
    assert!(!first.is_finished());
    first.abort();
}

#[tokio::test]
async fn records_are_published_again_with_the_same_number_and_a_later_end() {
    let (shelf, key) = (Arc::new(Shelf::default()), key());
    let name = Name::from(key.peer_id());
    let names = online(&shelf);
    assert!(!names.republish(&key, DEFAULT_LIFETIME).await.expect("nothing to do"));
    let short =
        Publish { lifetime: Duration::from_secs(3600), ttl: Duration::from_secs(7), ..publish(Network::Required) };
    let first = names.publish(&key, &path(A), &short).await.expect("published");
    // The store answers on threads, which paused time would not wait for: periods of a millisecond do the same.
    let config = NamesConfig { republish_period: Duration::from_millis(1), ..NamesConfig::default() };
    let keys: Keys = Arc::new(move || vec![key.clone()]);
    let task = tokio::spawn(republish_forever(names.clone(), keys, config));
    let last = loop {
        let last = shelf.values.lock()[&name.routing_key()].last().cloned().expect("published");
        if last != first.bytes() {
            break Record::parse(&last).expect("a record");
        }
        tokio::task::yield_now().await;
    };
    task.abort();
    validate(&last, name, Names::now()).expect("valid");
    assert_eq!(
        (last.sequence(), last.ttl(), last.value().map(|p| p.to_string())),
        (Ok(0), Ok(short.ttl), Ok(A.into()))
    );
    assert!(last.eol().expect("an end") > first.eol().expect("an end"));
    let long = Publish { lifetime: DEFAULT_LIFETIME * 10, ..short };
    let long = names.publish(&vectors()[0].key, &path(A), &long).await.expect("published");
    names.republish(&vectors()[0].key, DEFAULT_LIFETIME).await.expect("published again");
    let kept = names.best(vectors()[0].name(), ResolveOptions::default()).await.expect("there");
    assert_eq!(kept.eol(), long.eol(), "a long lifetime is not shortened");
}
