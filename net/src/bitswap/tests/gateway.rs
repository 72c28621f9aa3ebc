//! Blocks from gateways over HTTP, on the loopback address.

use super::{TestNode, raw, within};
use crate::{
    bitswap::{Config, Order, gateway::GatewayConfig},
    routing::{Provider, Routing, RoutingError},
};
use async_trait::async_trait;
use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode},
    routing::get,
};
use bytes::Bytes;
use cairn_store::{
    Block, Cid, Multihash,
    fetch::{Deadline, FetchError},
};
use futures::{StreamExt as _, stream, stream::BoxStream};
use libp2p::{Multiaddr, PeerId};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// What a gateway does.
#[derive(Default)]
struct Gateway {
    blocks: HashMap<Cid, Bytes>,
    /// Sends other bytes than those that were asked for.
    lies: bool,
    /// Says that it is busy so many times.
    busy: AtomicUsize,
    asked: Mutex<Vec<(Method, String)>>,
}

async fn answer(
    State(gateway): State<Arc<Gateway>>,
    method: Method,
    Path(cid): Path<String>,
    headers: HeaderMap,
) -> (StatusCode, Bytes) {
    if headers.get("accept").is_none_or(|v| v != "application/vnd.ipld.raw") {
        return (StatusCode::BAD_REQUEST, Bytes::new());
    }
    if cid == "bafkqaaa" {
        return (StatusCode::OK, Bytes::new());
    }
    gateway.asked.lock().push((method, cid.clone()));
    if gateway.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
        return (StatusCode::TOO_MANY_REQUESTS, Bytes::new());
    }
    let cid: Cid = cid.parse().expect("a CID");
    match gateway.blocks.get(&cid) {
        Some(data) if gateway.lies => (StatusCode::OK, Bytes::from(vec![1; data.len()])),
        Some(data) => (StatusCode::OK, data.clone()),
        None => (StatusCode::NOT_FOUND, Bytes::from_static(b"not here")),
    }
}

async fn serve(gateway: &Arc<Gateway>) -> Multiaddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let router = Router::new().route("/ipfs/{cid}", get(answer)).with_state(Arc::clone(gateway));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("/ip4/127.0.0.1/tcp/{port}/http").parse().expect("an address")
}

/// Names the same providers for everything.
struct Named(Vec<Provider>);

#[async_trait]
impl Routing for Named {
    fn find_providers(
        self: Arc<Self>,
        _: Multihash,
        _: usize,
        _: Deadline,
    ) -> BoxStream<'static, Result<Provider, RoutingError>> {
        stream::iter(self.0.clone()).map(Ok).boxed()
    }
    async fn find_peer(&self, _: PeerId, _: Deadline) -> Result<Provider, RoutingError> {
        Err(RoutingError::NotFound)
    }
    fn search_value(self: Arc<Self>, _: Bytes, _: Deadline) -> BoxStream<'static, Result<Bytes, RoutingError>> {
        stream::empty().boxed()
    }
    async fn put_value(&self, _: Bytes, _: Bytes, _: Deadline) -> Result<(), RoutingError> {
        Err(RoutingError::NotFound)
    }
    async fn provide(&self, _: Multihash, _: Deadline) -> Result<(), RoutingError> {
        Ok(())
    }
}

async fn node(allow: &[&str], providers: Vec<Multiaddr>) -> TestNode {
    let allow: HashSet<String> = allow.iter().map(|host| (*host).to_owned()).collect();
    let gateways = Some(GatewayConfig { allow, ..GatewayConfig::default() });
    let node = TestNode::new(Config { gateways, ..Config::default() }).await;
    let providers = providers.into_iter().map(|addr| Provider { peer: PeerId::random(), addrs: vec![addr] }).collect();
    node.bitswap.set_routing(Some(Arc::new(Named(providers))));
    node
}

fn with(blocks: &[Block]) -> Gateway {
    Gateway { blocks: blocks.iter().map(|b| (*b.cid(), b.data().clone())).collect(), ..Gateway::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_gives_what_it_has_and_others_the_rest() {
    let blocks: Vec<Block> = (0..200).map(|n| raw(n, 10_000)).collect();
    let (first, second) = (Arc::new(with(&blocks[..150])), Arc::new(with(&blocks[100..])));
    let node = node(&["127.0.0.1"], vec![serve(&first).await, serve(&second).await]).await;
    let session = node.exchange.session();
    let cids: Vec<Cid> = blocks.iter().map(|b| *b.cid()).collect();
    let got: Vec<_> = within(session.fetch_many(cids, None).collect()).await;
    for (got, block) in got.into_iter().zip(&blocks) {
        assert_eq!(&got.expect("comes"), block);
    }
    assert!(!first.asked.lock().is_empty() && !second.asked.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_gives_what_it_is_asked_for_is_not_asked_whether_it_has_each_block() {
    let blocks: Vec<Block> = (0..200).map(|n| raw(n, 10_000)).collect();
    // Alone: which of several gives the most is a matter of time.
    let gateway = Arc::new(with(&blocks));
    let node = node(&["127.0.0.1"], vec![serve(&gateway).await]).await;
    let session = node.exchange.session_in(Order::Rarest);
    let cids: Vec<Cid> = blocks.iter().map(|b| *b.cid()).collect();
    let got: Vec<_> = within(session.fetch_many(cids, None).collect()).await;
    assert_eq!(got.into_iter().filter(Result::is_ok).count(), blocks.len());
    let questions = gateway.asked.lock().iter().filter(|(method, _)| *method == Method::HEAD).count();
    assert!(questions < 50, "{questions} questions for 200 blocks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_busy_is_asked_again_later() {
    let block = raw(1, 1000);
    let gateway = Arc::new(with(std::slice::from_ref(&block)));
    gateway.busy.store(2, Ordering::SeqCst);
    let node = node(&["127.0.0.1"], vec![serve(&gateway).await]).await;
    assert_eq!(within(node.exchange.session().fetch(block.cid(), None)).await.expect("comes"), block);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_lies_gives_nothing_and_an_honest_one_serves() {
    let blocks: Vec<Block> = (0..20).map(|n| raw(n, 100_000)).collect();
    let liar = Arc::new(Gateway { lies: true, ..with(&blocks) });
    let honest = Arc::new(with(&blocks));
    let node = node(&["127.0.0.1"], vec![serve(&liar).await, serve(&honest).await]).await;
    let session = node.exchange.session();
    for block in &blocks {
        assert_eq!(&within(session.fetch(block.cid(), None)).await.expect("comes"), block);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_can_not_lead_a_node_into_its_own_network() {
    let block = raw(1, 1000);
    let gateway = Arc::new(with(std::slice::from_ref(&block)));
    let addr = serve(&gateway).await;
    for allow in [&[][..], &["gateway.example"]] {
        let node = node(allow, vec![addr.clone()]).await;
        let soon = Some(Instant::now() + Duration::from_millis(1500));
        let error = node.exchange.session().fetch(block.cid(), soon).await.expect_err("not asked");
        assert!(matches!(error, FetchError::TimedOut(_) | FetchError::NotFound(_)));
    }
    assert!(gateway.asked.lock().is_empty());
}
