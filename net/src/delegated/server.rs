//! Answering over HTTP: `/routing/v1/{providers,peers,ipns}` on top of any [`Routing`].

use super::{Filter, IPNS_RECORD, JSON, MAX_IPNS_RECORD, NDJSON, PeerRecord};
use crate::{
    dht::{Clock, SystemClock, Validator},
    ipns::Name,
    routing::{Provider, Routing, RoutingError},
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use cairn_store::{Multihash, cid::codec};
use futures::{StreamExt as _, stream, stream::BoxStream};
use serde::Deserialize;
use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Records in one JSON answer.
const MAX_JSON_RECORDS: usize = 100;
/// Records in one NDJSON answer.
const MAX_NDJSON_RECORDS: usize = 1000;
/// Questions that are answered at a time; more get 429.
const MAX_REQUESTS: usize = 256;
/// How long caches keep an answer, in seconds: with results, and without.
const MAX_AGE: u32 = 300;
const MAX_AGE_EMPTY: u32 = 15;
/// How long a cache may serve a stale one: as long as records live in the DHT.
const STALE: u32 = 48 * 3600;

/// How the server answers.
#[derive(Clone)]
pub struct ServerConfig {
    /// For one search.
    pub timeout: Duration,
    /// Checks IPNS records that are put, and those that are found.
    pub validator: Arc<dyn Validator>,
}

#[derive(Clone)]
struct Server {
    routing: Arc<dyn Routing>,
    config: ServerConfig,
    slots: Arc<Semaphore>,
}

/// The routes, to be merged into a gateway or an RPC server.
pub fn router(routing: Arc<dyn Routing>, config: ServerConfig) -> Router {
    let server = Server { routing, config, slots: Arc::new(Semaphore::new(MAX_REQUESTS)) };
    Router::new()
        .route("/routing/v1/providers/{cid}", get(providers))
        .route("/routing/v1/peers/{peer}", get(peers))
        .route("/routing/v1/ipns/{name}", get(get_ipns).put(put_ipns))
        .layer(DefaultBodyLimit::max(MAX_IPNS_RECORD))
        .with_state(server)
}

/// An answer other than 200.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let plain = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
        (self.0, plain, format!("{}\n", self.1)).into_response()
    }
}

fn bad(reason: impl std::fmt::Display) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, reason.to_string())
}

#[derive(Deserialize)]
struct Filters {
    #[serde(rename = "filter-addrs", default)]
    addrs: String,
    #[serde(rename = "filter-protocols", default)]
    protocols: String,
}

impl Server {
    fn slot(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let slot = Arc::clone(&self.slots).try_acquire_owned();
        slot.map_err(|_| {
            Refusal(StatusCode::TOO_MANY_REQUESTS, "too many searches are running; try again later".into())
        })
    }

    fn deadline(&self) -> Option<Instant> {
        Some(Instant::now() + self.config.timeout)
    }
}

async fn providers(
    State(server): State<Server>,
    Path(text): Path<String>,
    Query(filters): Query<Filters>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cid = cairn_store::cid::parse(&text).map_err(|e| bad(format!("unable to parse CID: {e}")))?;
    let slot = server.slot()?;
    let found = Arc::clone(&server.routing).find_providers(*cid.hash(), 0, server.deadline());
    answer("Providers", found, filters, &headers, slot).await
}

async fn peers(
    State(server): State<Server>,
    Path(text): Path<String>,
    Query(filters): Query<Filters>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let peer = Name::parse(&text).map_err(|_| bad(format!("unable to parse PeerID {text:?}")))?.peer_id();
    let slot = server.slot()?;
    let routing = Arc::clone(&server.routing);
    let deadline = server.deadline();
    let found = stream::once(async move { routing.find_peer(peer, deadline).await }).boxed();
    answer("Peers", found, filters, &headers, slot).await
}

/// What the caller takes: NDJSON if it names it, JSON otherwise.
fn wants_ndjson(headers: &HeaderMap) -> Result<bool, Refusal> {
    let mut any = false;
    for part in headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')) {
        any = true;
        match part.split(';').next().unwrap_or_default().trim() {
            NDJSON => return Ok(true),
            JSON | "*/*" | "application/*" => any = false,
            _ => {}
        }
        if !any {
            // JSON is acceptable; NDJSON may still be named later on, and then wins.
            let later = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).any(|v| v.contains(NDJSON));
            return Ok(later);
        }
    }
    if any { Err(bad(format!("no response content-type is supported; use {JSON} or {NDJSON}"))) } else { Ok(false) }
}

async fn answer(
    name: &str,
    found: BoxStream<'static, Result<Provider, RoutingError>>,
    filters: Filters,
    headers: &HeaderMap,
    slot: OwnedSemaphorePermit,
) -> Result<Response, Refusal> {
    let filter = Filter::parse(&filters.addrs, &filters.protocols);
    let records = found.filter_map(move |item| {
        let record = match item {
            Ok(provider) => filter.apply(PeerRecord::new(&provider)).map(Ok),
            // What was found until then is an answer, and nothing found is one too (IPIP-513).
            Err(RoutingError::NotFound | RoutingError::TimedOut | RoutingError::NoPeers) => None,
            Err(error) => Some(Err(error)),
        };
        std::future::ready(record)
    });
    if wants_ndjson(headers)? { ndjson(records.boxed(), slot).await } else { json(name, records.boxed(), slot).await }
}

type Records = BoxStream<'static, Result<PeerRecord, RoutingError>>;

fn failed(error: &RoutingError) -> Refusal {
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, format!("delegate error: {error}"))
}

fn cache(max_age: u32) -> String {
    format!("public, max-age={max_age}, stale-while-revalidate={STALE}, stale-if-error={STALE}")
}

async fn json(name: &str, mut records: Records, slot: OwnedSemaphorePermit) -> Result<Response, Refusal> {
    let mut list = Vec::new();
    let mut error = None;
    while list.len() < MAX_JSON_RECORDS
        && let Some(record) = records.next().await
    {
        match record {
            Ok(record) => list.push(record),
            Err(e) => error = Some(e),
        }
    }
    drop(slot);
    if let (Some(error), true) = (error, list.is_empty()) {
        return Err(failed(&error));
    }
    let max_age = if list.is_empty() { MAX_AGE_EMPTY } else { MAX_AGE };
    let body = serde_json::json!({ name: list }).to_string();
    let head = [(CONTENT_TYPE, JSON.to_owned()), (VARY, "Accept".into()), (CACHE_CONTROL, cache(max_age))];
    Ok((head, body).into_response())
}

async fn ndjson(mut records: Records, slot: OwnedSemaphorePermit) -> Result<Response, Refusal> {
    // The first record decides how long the answer may be kept, and whether there is one.
    let first = match records.next().await {
        Some(Err(error)) => return Err(failed(&error)),
        Some(Ok(first)) => Some(first),
        None => None,
    };
    let max_age = if first.is_some() { MAX_AGE } else { MAX_AGE_EMPTY };
    let rest = records.filter_map(|record| std::future::ready(record.ok()));
    let lines = stream::iter(first).chain(rest).take(MAX_NDJSON_RECORDS).map(move |record| {
        // The slot is held as long as the stream.
        let _held = &slot;
        let mut line = serde_json::to_vec(&record).unwrap_or_default();
        line.push(b'\n');
        Ok::<_, Infallible>(line)
    });
    let head = [(CONTENT_TYPE, NDJSON.to_owned()), (VARY, "Accept".into()), (CACHE_CONTROL, cache(max_age))];
    Ok((head, Body::from_stream(lines)).into_response())
}

/// `/ipns/` and the multihash of a name in an address.
fn ipns_key(text: &str) -> Result<(bytes::Bytes, Multihash), Refusal> {
    let cid = cairn_store::cid::parse(text).map_err(|e| bad(format!("unable to parse CID: {e}")))?;
    if cid.codec() != codec::LIBP2P_KEY {
        return Err(bad("peer ID CID is not valid: its codec must be libp2p-key"));
    }
    Ok(([b"/ipns/".to_vec(), cid.hash().to_bytes()].concat().into(), *cid.hash()))
}

async fn get_ipns(
    State(server): State<Server>,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    if !accept.is_empty() && !accept.iter().any(|a| a.contains("*/*") || a.contains(IPNS_RECORD)) {
        let reason = format!("content type in 'Accept' header is not supported, retry with '{IPNS_RECORD}'");
        return Err(Refusal(StatusCode::NOT_ACCEPTABLE, reason));
    }
    let (key, multihash) = ipns_key(&text)?;
    let _slot = server.slot()?;
    let mut values = Arc::clone(&server.routing).search_value(key.clone(), server.deadline());
    let (mut best, mut error): (Option<bytes::Bytes>, _) = (None, None);
    while let Some(value) = values.next().await {
        match value {
            Ok(value) => {
                let valid = server.config.validator.validate(&key, &value, SystemClock.now()).is_ok();
                let better = best.as_ref().is_none_or(|b| server.config.validator.is_better(&key, &value, b));
                if valid && better {
                    best = Some(value);
                }
            }
            Err(RoutingError::NotFound | RoutingError::TimedOut | RoutingError::NoPeers) => {}
            Err(e) => error = Some(e),
        }
    }
    match (best, error) {
        (Some(record), _) => {
            let cid = cairn_store::Cid::new_v1(codec::LIBP2P_KEY, multihash);
            let name = cid.to_string_of_base(multibase::Base::Base36Lower).unwrap_or(text);
            let head = [
                (CONTENT_TYPE, IPNS_RECORD.to_owned()),
                (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.ipns-record\"")),
                (VARY, "Accept".into()),
                // The record's own TTL is inside; a minute does no harm whatever it is.
                (CACHE_CONTROL, "public, max-age=60".into()),
            ];
            Ok((head, record).into_response())
        }
        (None, Some(error)) => Err(failed(&error)),
        // IPIP-513: 200 and text say that there is no record.
        (None, None) => {
            let head = [(CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (CACHE_CONTROL, cache(MAX_AGE_EMPTY))];
            Ok((head, "delegate error: routing: not found\n").into_response())
        }
    }
}

async fn put_ipns(
    State(server): State<Server>,
    Path(text): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.contains(IPNS_RECORD) {
        let reason = "content type in 'Content-Type' header is missing or not supported";
        return Err(Refusal(StatusCode::NOT_ACCEPTABLE, reason.into()));
    }
    let (key, _) = ipns_key(&text)?;
    let valid = server.config.validator.validate(&key, &body, SystemClock.now());
    valid.map_err(|reason| bad(format!("provided record is invalid: {reason}")))?;
    let _slot = server.slot()?;
    let put = server.routing.put_value(key, body, server.deadline()).await;
    put.map(|()| StatusCode::OK).map_err(|e| failed(&e))
}
