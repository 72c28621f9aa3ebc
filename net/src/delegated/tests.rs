//! The client against our server, and against servers that misbehave, on loopback.

use super::{Client, ClientConfig, Filter, IPNS_RECORD, NDJSON, PeerRecord, server};
use crate::{
    dht::tests::support::Newest,
    routing::{Provider, Routing, RoutingError},
};
use async_trait::async_trait;
use axum::{Router, http::header::CONTENT_TYPE, response::IntoResponse as _, routing::get};
use bytes::Bytes;
use cairn_store::{Multihash, cid::codec, fetch::Deadline};
use futures::{StreamExt as _, stream, stream::BoxStream};
use libp2p::PeerId;
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Knows these providers, and values that were put.
#[derive(Default)]
struct Known {
    providers: Vec<Provider>,
    value: Mutex<Option<Bytes>>,
}

#[async_trait]
impl Routing for Known {
    fn find_providers(
        self: Arc<Self>,
        _: Multihash,
        _: usize,
        _: Deadline,
    ) -> BoxStream<'static, Result<Provider, RoutingError>> {
        stream::iter(self.providers.clone().into_iter().map(Ok)).boxed()
    }

    async fn find_peer(&self, peer: PeerId, _: Deadline) -> Result<Provider, RoutingError> {
        self.providers.iter().find(|p| p.peer == peer).cloned().ok_or(RoutingError::NotFound)
    }

    fn search_value(self: Arc<Self>, _: Bytes, _: Deadline) -> BoxStream<'static, Result<Bytes, RoutingError>> {
        let value = self.value.lock().clone();
        stream::iter([value.ok_or(RoutingError::NotFound)]).boxed()
    }

    async fn put_value(&self, _: Bytes, value: Bytes, _: Deadline) -> Result<(), RoutingError> {
        *self.value.lock() = Some(value);
        Ok(())
    }

    async fn provide(&self, _: Multihash, _: Deadline) -> Result<(), RoutingError> {
        Err(RoutingError::Failed("not here".into()))
    }
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn serve_routing(routing: Arc<dyn Routing>) -> String {
    let config = server::ServerConfig { timeout: Duration::from_secs(10), validator: Arc::new(Newest) };
    serve(server::router(routing, config)).await
}

fn client(endpoints: &[&String], filter: Filter) -> Arc<Client> {
    let config = ClientConfig {
        endpoints: endpoints.iter().map(ToString::to_string).collect(),
        filter,
        timeout: Duration::from_secs(10),
        user_agent: "cairn-test".into(),
        validator: Arc::new(Newest),
    };
    Arc::new(Client::new(config).expect("good endpoints"))
}

fn peers(count: usize) -> Vec<Provider> {
    let addr = |n: usize| if n.is_multiple_of(2) { "/ip4/1.2.3.4/tcp/1" } else { "/ip4/1.2.3.4/udp/1/quic-v1" };
    (0..count).map(|n| Provider { peer: PeerId::random(), addrs: vec![addr(n).parse().expect("an address")] }).collect()
}

fn key() -> Multihash {
    Multihash::wrap(0x12, &[7; 32]).expect("32 bytes fit")
}

async fn ask(client: &Arc<Client>) -> Vec<Result<Provider, RoutingError>> {
    Arc::clone(client).find_providers(key(), 0, Some(Instant::now() + Duration::from_secs(20))).collect().await
}

async fn get_text(url: String, accept: &str) -> (u16, String, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let response = reqwest::Client::new().get(url).header("Accept", accept).send().await.expect("answers");
    let kind = response.headers().get(CONTENT_TYPE).map(|v| v.to_str().expect("text").to_owned());
    (response.status().as_u16(), kind.unwrap_or_default(), response.text().await.expect("a body"))
}

#[tokio::test]
async fn what_the_server_knows_the_client_finds() {
    let known = peers(6);
    let address = serve_routing(Arc::new(Known { providers: known.clone(), ..Known::default() })).await;
    // With the path in the address as well as without it.
    for address in [&address, &format!("{address}/routing/v1/")] {
        let client = client(&[address], Filter::default());
        let found: Vec<_> = ask(&client).await.into_iter().map(|r| r.expect("no error")).collect();
        assert_eq!(found, known);
        assert_eq!(client.find_peer(known[2].peer, None).await.expect("found"), known[2]);
        let nobody = client.find_peer(PeerId::random(), None).await;
        assert!(matches!(nobody, Err(RoutingError::NotFound)), "{nobody:?}");
    }
    let quic = ask(&client(&[&address], Filter::parse("quic-v1", "unknown"))).await;
    assert_eq!(quic.len(), 3);
    assert!(ask(&client(&[&address], Filter::parse("", "transport-bitswap"))).await.is_empty());
}

#[tokio::test]
async fn several_routers_are_merged_and_a_broken_one_does_no_harm() {
    let (a, b) = (peers(3), peers(2));
    let one = serve_routing(Arc::new(Known { providers: a.clone(), ..Known::default() })).await;
    let both = [a.clone(), b].concat();
    let two = serve_routing(Arc::new(Known { providers: both.clone(), ..Known::default() })).await;
    let nobody = "http://127.0.0.1:1".to_owned();
    let found = ask(&client(&[&one, &nobody, &two], Filter::default())).await;
    assert_eq!(found.len(), both.len());
    assert!(found.iter().all(|p| both.contains(p.as_ref().expect("no error"))));
    let failed = ask(&client(&[&nobody], Filter::default())).await;
    assert!(matches!(&failed[..], [Err(RoutingError::Failed(_))]), "{failed:?}");
}

#[tokio::test]
async fn ipns_records_go_both_ways_and_bad_ones_nowhere() {
    let address = serve_routing(Arc::new(Known::default())).await;
    let client = client(&[&address], Filter::default());
    let name: Bytes = [b"/ipns/".to_vec(), PeerId::random().to_bytes()].concat().into();
    let search = |client: &Arc<Client>| Arc::clone(client).search_value(name.clone(), None).collect::<Vec<_>>();
    let none = search(&client).await;
    assert!(matches!(&none[..], [Err(RoutingError::NotFound)]), "{none:?}");
    let bad = client.put_value(name.clone(), Bytes::from_static(b"bad"), None).await;
    assert!(matches!(bad, Err(RoutingError::Failed(_))), "{bad:?}");
    client.put_value(name.clone(), Bytes::from_static(b"12"), None).await.expect("taken");
    let found = search(&client).await;
    assert!(matches!(&found[..], [Ok(v)] if v[..] == *b"12"), "{found:?}");
    let other = client.put_value(Bytes::from_static(b"/pk/x"), Bytes::new(), None).await;
    assert!(matches!(other, Err(RoutingError::Invalid(_))), "{other:?}");
}

#[tokio::test]
async fn answers_have_the_shapes_of_the_specification() {
    let address = serve_routing(Arc::new(Known { providers: peers(150), ..Known::default() })).await;
    let cid = cairn_store::Cid::new_v1(codec::RAW, key());
    let url = format!("{address}/routing/v1/providers/{cid}");
    let (status, kind, body) = get_text(url.clone(), "application/json").await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(json["Providers"].as_array().map(Vec::len), Some(100), "at most 100 in JSON");
    assert_eq!(json["Providers"][0]["Schema"], "peer");
    let (_, kind, body) = get_text(url.clone(), "application/x-ndjson, application/json").await;
    assert_eq!((kind.as_str(), body.lines().count()), (NDJSON, 150));
    let one: PeerRecord = serde_json::from_str(body.lines().next().expect("a line")).expect("a record per line");
    assert_eq!(one.schema, "peer");
    let (_, _, body) = get_text(format!("{url}?filter-addrs=!tcp"), "*/*").await;
    assert!(!body.contains("/tcp/") && body.contains("quic-v1"));
    assert_eq!(get_text(url.clone(), "text/html").await.0, 400);
    assert_eq!(get_text(format!("{address}/routing/v1/providers/nonsense"), "*/*").await.0, 400);
    assert_eq!(get_text(format!("{address}/routing/v1/peers/nonsense"), "*/*").await.0, 400);
    // Nothing found is 200.
    let empty = serve_routing(Arc::new(Known::default())).await;
    let (status, _, body) = get_text(format!("{empty}/routing/v1/providers/{cid}"), "application/json").await;
    assert_eq!((status, body.as_str()), (200, r#"{"Providers":[]}"#));
    let (status, _, body) =
        get_text(format!("{empty}/routing/v1/peers/{}", PeerId::random()), "application/json").await;
    assert_eq!((status, body.as_str()), (200, r#"{"Peers":[]}"#));
    let name = cairn_store::Cid::new_v1(codec::LIBP2P_KEY, key());
    let (status, kind, _) = get_text(format!("{empty}/routing/v1/ipns/{name}"), IPNS_RECORD).await;
    assert_eq!((status, kind.starts_with("text/plain")), (200, true));
    assert_eq!(get_text(format!("{empty}/routing/v1/ipns/{name}"), "application/json").await.0, 406);
    assert_eq!(get_text(format!("{empty}/routing/v1/ipns/{cid}"), "*/*").await.0, 400, "no key");
}

fn endless(kind: &'static str, piece: &'static [u8]) -> Router {
    let pieces = move || async move {
        let body = stream::repeat_with(move || Ok::<_, std::convert::Infallible>(piece));
        ([(CONTENT_TYPE, kind)], axum::body::Body::from_stream(body)).into_response()
    };
    Router::new().route("/routing/v1/{*rest}", get(pieces))
}

#[tokio::test]
async fn endless_answers_end() {
    let junk: &[u8] = &[b'x'; 4096];
    for (kind, piece) in [("application/json", junk), (NDJSON, junk), (IPNS_RECORD, junk)] {
        let client = client(&[&serve(endless(kind, piece)).await], Filter::default());
        let found = ask(&client).await;
        assert!(matches!(&found[..], [Err(RoutingError::Failed(_))]), "{kind}: {found:?}");
    }
    // Lines that are no records, for ever.
    let client = client(&[&serve(endless(NDJSON, b"{}\n")).await], Filter::default());
    assert!(ask(&client).await.is_empty());
    // A server that never answers.
    let silent = serve(Router::new().route("/routing/v1/{*rest}", get(std::future::pending::<()>))).await;
    let soon = Some(Instant::now() + Duration::from_millis(50));
    let found: Vec<_> =
        Arc::clone(&self::client(&[&silent], Filter::default())).find_providers(key(), 0, soon).collect().await;
    assert!(matches!(&found[..], [Err(RoutingError::TimedOut)]), "{found:?}");
}

#[test]
fn endpoints_that_are_no_addresses_are_refused() {
    for endpoint in ["", "example.org", "ftp://example.org", "http://"] {
        let config = ClientConfig {
            endpoints: vec![endpoint.into()],
            filter: Filter::default(),
            timeout: Duration::from_secs(1),
            user_agent: "cairn-test".into(),
            validator: Arc::new(Newest),
        };
        assert!(Client::new(config).is_err(), "{endpoint:?}");
    }
}
