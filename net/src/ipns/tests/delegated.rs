//! Publishing to HTTP servers only.

use super::*;
use crate::keystore::Algorithm;
use axum::{Router, extract::State, routing::put};
use cairn_store::{kv::MemoryKv, path::Path};
use std::sync::Arc;

type Taken = Arc<Mutex<Vec<(String, Bytes)>>>;

async fn take(State(taken): State<Taken>, axum::extract::Path(name): axum::extract::Path<String>, body: Bytes) {
    taken.lock().push((name, body));
}

async fn give(State(taken): State<Taken>) -> ([(&'static str, &'static str); 1], Bytes) {
    let last = taken.lock().last().map(|(_, record)| record.clone()).unwrap_or_default();
    ([("content-type", "application/vnd.ipfs.ipns-record")], last)
}

/// Takes records, and gives the last one for every name.
async fn publisher() -> (String, Taken) {
    let taken = Taken::default();
    let route = put(take).get(give);
    let router = Router::new().route("/routing/v1/ipns/{name}", route).with_state(Arc::clone(&taken));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}/routing/v1/ipns", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, taken)
}

fn names(publishers: Vec<String>) -> Names {
    let config = NamesConfig { publishers, ..NamesConfig::default() };
    Names::new(&config, Arc::new(MemoryKv::new()), None, None)
}

fn options() -> Publish {
    let (lifetime, ttl) = (DEFAULT_LIFETIME, DEFAULT_TTL);
    Publish { lifetime, ttl, sequence: None, v1: true, network: Network::Delegated, deadline: None }
}

#[tokio::test]
async fn without_a_network_records_go_to_the_publishers() {
    let (address, taken) = publisher().await;
    let key = PrivateKey::generate(Algorithm::Ed25519).expect("a key");
    let [a, b] = ["/ipfs/bafkqaaa", "/ipfs/bafkqaaa/x"].map(|path| Path::parse(path).expect("a path"));
    let record = names(vec![address.clone()]).publish(&key, &a, &options()).await.expect("taken");
    let name = Name::from(key.peer_id());
    let (told, bytes) = taken.lock().last().cloned().expect("a record");
    assert_eq!((Name::parse(&told).expect("a name"), &bytes), (name, record.bytes()));
    // Another machine with the same key goes on from the number of the first one.
    let second = names(vec![address]).publish(&key, &b, &options()).await.expect("taken");
    assert_eq!(second.sequence().expect("a number"), record.sequence().expect("a number") + 1);
    assert_eq!(taken.lock().len(), 2);
}

#[tokio::test]
async fn without_publishers_nothing_is_published() {
    let key = PrivateKey::generate(Algorithm::Ed25519).expect("a key");
    let path = Path::parse("/ipfs/bafkqaaa").expect("a path");
    let error = names(Vec::new()).publish(&key, &path, &options()).await.expect_err("nobody");
    assert!(matches!(error, PublishError::NoPublishers), "{error}");
    let nobody = "http://127.0.0.1:1".to_owned();
    let error = names(vec![nobody]).publish(&key, &path, &options()).await.expect_err("refused");
    assert!(matches!(error, PublishError::Routing(_)), "{error}");
}
