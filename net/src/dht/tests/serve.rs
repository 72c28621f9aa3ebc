//! What others are answered, over TCP on loopback.

use super::{
    nodes::{LIMIT, Node, config, key, until},
    support::{Newest, TestClock},
};
use crate::{
    dht::{
        Config, Mode, Net,
        message::{Kind, Message},
        providers::ADDRS_TTL,
        query::Network as _,
    },
    routing::{Provider, Routing as _},
};
use cairn_store::kv::MemoryKv;
use libp2p::{PeerId, identity::Keypair};
use std::{sync::Arc, time::Instant};

async fn closer(asker: &Node, server: &Node, key: Vec<u8>) -> Vec<Provider> {
    let link = &asker.dht.links[0];
    link.ask(&server.contact(), &Message::ask(Kind::FindNode, key)).await.expect("answers").closer
}

#[tokio::test]
async fn where_a_peer_is_says_whoever_is_connected_to_it() {
    let server = Node::new(Mode::Server).await;
    let (asker, other) = (Node::new(Mode::Server).await, Node::new(Mode::Server).await);
    let client = Node::new(Mode::Client).await;
    for node in [&asker, &other, &client] {
        node.connect(&server).await;
    }
    until("the servers are in the table", async || server.table().await.len() == 2).await;
    until("the client is known", async || !server.dht.known_addresses(client.peer).await.is_empty()).await;
    // The peer itself first: the one that is asked, the one that asks, and one that is no server; then the others,
    // without the one that asks.
    for target in [&server, &asker, &client] {
        let found = closer(&asker, &server, target.peer.to_bytes()).await;
        assert_eq!(found, [target.contact(), other.contact()]);
    }
    assert_eq!(closer(&asker, &server, other.peer.to_bytes()).await, [other.contact()], "each once");
    assert_eq!(closer(&asker, &server, PeerId::random().to_bytes()).await, [other.contact()]);
    assert_eq!(closer(&asker, &server, b"no peer".to_vec()).await, [other.contact()]);
    let empty = asker.dht.links[0].ask(&server.contact(), &Message::ask(Kind::FindNode, Vec::new())).await;
    assert!(empty.is_err(), "{empty:?}");
    // So a client is found by others.
    let found = asker.dht.find_peer(client.peer, Some(Instant::now() + LIMIT)).await.expect("found");
    assert_eq!(found, client.contact());
}

#[tokio::test]
async fn where_a_peer_may_be_says_whoever_has_it_in_its_address_book() {
    let target = Provider { peer: PeerId::random(), addrs: vec!["/ip4/127.0.0.1/tcp/4001".parse().expect("one")] };
    let (clock, book) = (Arc::new(TestClock::at(1_700_000_000)), target.clone());
    let addresses = Arc::new(move |peer: &PeerId| if *peer == book.peer { book.addrs.clone() } else { Vec::new() });
    let config = Config { addresses, ..config(Mode::Server, &clock, Arc::new(Newest)) };
    let kv = Arc::new(MemoryKv::default());
    let server = Node::configured(config, clock, Keypair::generate_ed25519(), kv).await;
    let asker = Node::new(Mode::Server).await;
    asker.connect(&server).await;
    assert_eq!(closer(&asker, &server, target.peer.to_bytes()).await, [target]);
    assert_eq!(closer(&asker, &server, PeerId::random().to_bytes()).await, []);
}

#[tokio::test]
async fn a_provider_whose_addresses_are_old_is_named_all_the_same() {
    let server = Node::new(Mode::Server).await;
    let (asker, provider) = (Node::new(Mode::Server).await, Node::new(Mode::Server).await);
    asker.connect(&server).await;
    provider.connect(&server).await;
    until("all are known", async || server.table().await.len() == 2 && !provider.table().await.is_empty()).await;
    provider.dht.provide(key(1), Some(Instant::now() + LIMIT)).await.expect("taken");
    until("it is kept", async || server.stats().await.provider_records == 1).await;
    // What the node has itself it says too.
    server.dht.provide(key(1), Some(Instant::now() + LIMIT)).await.expect("taken");
    let question = Message::ask(Kind::GetProviders, key(1).to_bytes());
    let ask = async || {
        let answer = asker.dht.links[0].ask(&server.contact(), &question).await.expect("answers");
        let mut providers = answer.providers;
        providers.sort_by_key(|found| found.peer != server.peer);
        providers
    };
    assert_eq!(ask().await, [server.contact(), provider.contact()]);
    server.clock.set(1_700_000_000 + ADDRS_TTL);
    assert_eq!(ask().await, [server.contact(), provider.contact()], "it is connected");
    let gone = Provider { addrs: Vec::new(), ..provider.contact() };
    drop(provider);
    until("it is not connected, and out of the table", async || {
        server.dht.unresponsive(gone.peer);
        ask().await == [server.contact(), gone.clone()]
    })
    .await;
    let long = Message::ask(Kind::GetProviders, vec![7; 81]);
    assert!(asker.dht.links[0].ask(&server.contact(), &long).await.is_err());
}

#[tokio::test]
async fn a_ping_is_answered_without_what_it_carried() {
    let (server, asker) = (Node::new(Mode::Server).await, Node::new(Mode::Client).await);
    let carried = Message { closer: vec![server.contact()], ..Message::ask(Kind::Ping, b"k".to_vec()) };
    let answer = asker.dht.links[0].ask(&server.contact(), &carried).await.expect("answers");
    assert_eq!(answer, Message::ask(Kind::Ping, b"k".to_vec()));
}

#[tokio::test]
async fn a_mode_that_changes_is_told_to_connected_peers() {
    let clock = Arc::new(TestClock::at(1_700_000_000));
    let settings = Config { wan: Some(Mode::Client), lan: None, ..config(Mode::Client, &clock, Arc::new(Newest)) };
    let start = async || {
        let kv = Arc::new(MemoryKv::default());
        Node::configured(settings.clone(), Arc::clone(&clock), Keypair::generate_ed25519(), kv).await
    };
    let (node, asker) = (start().await, start().await);
    asker.connect(&node).await;
    until("they know each other", async || asker.spoken.lock().contains_key(&node.peer)).await;
    let serves = || asker.spoken.lock()[&node.peer].contains(&Net::Wan.protocol());
    let question = Message::ask(Kind::Ping, b"k".to_vec());
    let ask = async || asker.dht.links[0].ask(&node.contact(), &question).await;
    assert!(!serves() && ask().await.is_err());
    node.set_mode(Mode::Server).await;
    until("it says that it serves", async || serves()).await;
    ask().await.expect("answers");
    node.set_mode(Mode::Client).await;
    until("it says that it does not", async || !serves()).await;
    assert!(ask().await.is_err());
}
