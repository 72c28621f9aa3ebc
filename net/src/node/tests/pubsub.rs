//! Messages between nodes.

use super::*;
use crate::ipns::{Content, Name, Record, Timestamp};
use crate::keystore::{Algorithm, PrivateKey};
use crate::node::pubsub::{MAX_MESSAGE, Message, PubSubError, Verdict};
use futures::StreamExt as _;

fn speaking() -> Config {
    Config { pubsub: Some(config::PubSubConfig::default()), ..Config::listening([memory()]) }
}

async fn receive(messages: &mut crate::node::pubsub::Subscription) -> Message {
    tokio::time::timeout(LIMIT, messages.next()).await.expect("in time").expect("a message")
}

/// Three nodes in a row: what the first says reaches the third through the second.
async fn row() -> [Node; 3] {
    let nodes = [start(speaking()).await, start(speaking()).await, start(speaking()).await];
    connect(&nodes[0], &nodes[1]).await;
    connect(&nodes[1], &nodes[2]).await;
    nodes
}

async fn until_heard(node: &Node, topic: &str, peers: usize) {
    until("subscriptions are known", || async {
        node.pubsub().peers(Some(topic)).await.is_ok_and(|all| all.len() == peers)
    })
    .await;
}

#[tokio::test]
async fn messages_go_through_a_node_to_the_next() {
    let [one, two, three] = row().await;
    let mut own = one.pubsub().subscribe("t").await.expect("subscribed");
    let _middle = two.pubsub().subscribe("t").await.expect("subscribed");
    let mut far = three.pubsub().subscribe("t").await.expect("subscribed");
    until_heard(&one, "t", 1).await;
    until_heard(&two, "t", 2).await;
    one.pubsub().publish("t", b"hello".to_vec()).await.expect("published");
    let (here, there) = (receive(&mut own).await, receive(&mut far).await);
    assert_eq!(here, there, "author, number and all are those that the author knows");
    assert_eq!((there.from, there.data.as_slice()), (Some(one.peer_id()), b"hello".as_slice()));
    assert_eq!(two.pubsub().topics().await.expect("on"), ["t"]);
    drop(own);
    until_heard(&two, "t", 1).await;
    assert!(one.pubsub().topics().await.expect("on").is_empty());
}

#[tokio::test]
async fn what_a_validator_refuses_is_not_passed_on() {
    let [one, two, three] = row().await;
    let _middle = two.pubsub().subscribe("t").await.expect("subscribed");
    let mut far = three.pubsub().subscribe("t").await.expect("subscribed");
    let judge = |message: &Message| if message.data == b"bad" { Verdict::Ignore } else { Verdict::Accept };
    two.pubsub().set_validator("t", Some(Arc::new(judge))).await.expect("set");
    let _own = one.pubsub().subscribe("t").await.expect("subscribed");
    until_heard(&one, "t", 1).await;
    until_heard(&two, "t", 2).await;
    one.pubsub().publish("t", b"bad".to_vec()).await.expect("published");
    one.pubsub().publish("t", b"good".to_vec()).await.expect("published");
    assert_eq!(receive(&mut far).await.data, b"good");
}

#[tokio::test]
async fn limits_are_errors_and_nobody_listening_is_none() {
    let node = start(speaking()).await;
    let pubsub = node.pubsub();
    pubsub.publish("nobody", b"x".to_vec()).await.expect("no error");
    let large = pubsub.publish("t", vec![0; MAX_MESSAGE + 1]).await;
    assert_eq!(large, Err(PubSubError::TooLarge(MAX_MESSAGE + 1)));
    assert_eq!(pubsub.publish("", Vec::new()).await, Err(PubSubError::Topic));
    let mut slow = pubsub.subscribe("t").await.expect("subscribed");
    for i in 0..1000_u32 {
        pubsub.publish("t", i.to_be_bytes().to_vec()).await.expect("a slow reader does not stop it");
    }
    assert_eq!(receive(&mut slow).await.data, 0_u32.to_be_bytes(), "the first are kept");
    let off = start(Config::default()).await;
    assert_eq!(off.pubsub().publish("t", Vec::new()).await, Err(PubSubError::Disabled));
}

#[tokio::test]
async fn the_largest_message_arrives() {
    let [one, two, _] = row().await;
    let mut near = two.pubsub().subscribe("t").await.expect("subscribed");
    until_heard(&one, "t", 1).await;
    one.pubsub().publish("t", vec![7; MAX_MESSAGE]).await.expect("published");
    assert_eq!(receive(&mut near).await.data.len(), MAX_MESSAGE);
}

#[tokio::test]
async fn unsigned_messages_are_refused() {
    let mut careless = speaking();
    careless.pubsub = Some(config::PubSubConfig { signing: false, ..config::PubSubConfig::default() });
    let (forger, honest, strict) = (start(careless).await, start(speaking()).await, start(speaking()).await);
    connect(&forger, &strict).await;
    connect(&honest, &strict).await;
    let mut messages = strict.pubsub().subscribe("t").await.expect("subscribed");
    until_heard(&forger, "t", 1).await;
    until_heard(&honest, "t", 1).await;
    forger.pubsub().publish("t", b"forged".to_vec()).await.expect("sent");
    // A ping there and back: the forged message has arrived before the honest one is sent.
    forger.ping(strict.peer_id()).await.expect("an answer");
    honest.pubsub().publish("t", b"signed".to_vec()).await.expect("sent");
    assert_eq!(receive(&mut messages).await.data, b"signed");
}

#[tokio::test]
async fn who_follows_a_name_asks_its_peers_for_the_record() {
    let key = PrivateKey::generate(Algorithm::Ed25519).expect("a key");
    let name = Name::from(key.peer_id());
    let eol = Timestamp::from(std::time::SystemTime::now()).after(LIMIT * 10);
    let content = Content { value: "/ipfs/bafkqaaa", sequence: 5, eol, ttl: LIMIT, v1: false };
    let record = Record::new(&key, &content).expect("a record").bytes().clone();
    let following = || Config { ipns_pubsub: true, ..speaking() };
    let (knows, asks, late) = (start(following()).await, start(following()).await, start(following()).await);
    let follower = |node: &Node| Arc::clone(node.names().pubsub().expect("on"));
    let known = |node: &Node| follower(node).follow(name, None);
    follower(&knows).follow(name, Some(record.clone()));
    assert_eq!(known(&asks), None);
    // One follows it and then meets the other, one meets it and then follows.
    connect(&asks, &knows).await;
    connect(&late, &knows).await;
    until("asked when a peer joined", || async { known(&asks) == Some(record.clone()) }).await;
    until_heard(&late, &crate::ipns::pubsub::topic(name), 1).await;
    until("asked when it joined", || async { known(&late) == Some(record.clone()) }).await;
    // In order, however quickly they come.
    for _ in 0..20 {
        assert!(follower(&late).cancel(name));
        known(&late);
    }
    let last = Name::from(late.peer_id());
    follower(&late).follow(last, None);
    let topics = async || late.pubsub().topics().await.expect("on");
    until("the last is followed", || async { topics().await.contains(&crate::ipns::pubsub::topic(last)) }).await;
    assert_eq!(topics().await.len(), 2, "and the one before it");
    until("asked again", || async { known(&late) == Some(record.clone()) }).await;
}

#[tokio::test]
async fn a_subscriber_that_went_away_before_it_had_an_answer_leaves_nothing_behind() {
    let node = start(speaking()).await;
    let pubsub = node.pubsub().clone();
    for _ in 0..10 {
        let mut subscribing = Box::pin(pubsub.subscribe("t"));
        // Polled once: the command is sent, and nobody waits for its answer.
        assert!(futures::poll!(&mut subscribing).is_pending());
    }
    until("left", || async { pubsub.topics().await.is_ok_and(|topics| topics.is_empty()) }).await;
}
