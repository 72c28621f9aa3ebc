//! Asking routers over HTTP.

use super::{Filter, IPNS_RECORD, JSON, MAX_IPNS_RECORD, NDJSON, PeerRecord};
use crate::{
    dht::{Clock, SystemClock, Validator},
    ipns::Name,
    routing::{Parallel, Provider, Routing, RoutingError, deadline_of},
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use cairn_store::{Multihash, cid::codec, fetch::Deadline};
use futures::{StreamExt as _, stream, stream::BoxStream};
use libp2p::PeerId;
use multibase::Base::Base36Lower;
use reqwest::{
    Response, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde::Deserialize;
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// Largest JSON document: 100 records are far smaller.
const MAX_JSON: usize = 4 << 20;
/// Longest line of NDJSON.
const MAX_LINE: usize = 64 * 1024;
/// Lines of one answer; a longer one ends there.
const MAX_LINES: usize = 10_000;
/// Redirects that are followed.
const MAX_REDIRECTS: usize = 3;

/// How routers are asked.
#[derive(Clone)]
pub struct ClientConfig {
    /// Base addresses, such as `https://delegated-ipfs.dev`; all of them are asked at once.
    pub endpoints: Vec<String>,
    /// What is asked for.
    pub filter: Filter,
    /// For one request from beginning to end, where the caller has no earlier deadline.
    pub timeout: Duration,
    /// `User-Agent`.
    pub user_agent: String,
    /// Checks IPNS records: routers are strangers.
    pub validator: Arc<dyn Validator>,
}

/// Configuration that can't work.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// An endpoint is no HTTP address.
    #[error("delegated router {endpoint:?}: {reason}; give an address such as https://example.org")]
    Endpoint {
        /// As configured.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS can't be set up.
    #[error("delegated routing: {0}")]
    Setup(String),
}

/// One router or several, asked at once.
#[derive(Clone)]
pub struct Client {
    all: Arc<Parallel>,
}

/// One router.
struct Endpoint {
    http: reqwest::Client,
    base: Url,
    filter: Filter,
    validator: Arc<dyn Validator>,
}

impl Client {
    /// A client of the configured routers. Nothing is sent before the first question.
    ///
    /// # Errors
    /// When an endpoint is no HTTP address.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        // An error says that somebody has chosen already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(&config.user_agent)
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::limited(MAX_REDIRECTS))
            .build()
            .map_err(|e| ClientError::Setup(e.to_string()))?;
        let mut routers: Vec<Arc<dyn Routing>> = Vec::new();
        for endpoint in &config.endpoints {
            let refuse = |reason: String| ClientError::Endpoint { endpoint: endpoint.clone(), reason };
            let mut base = Url::parse(endpoint).map_err(|e| refuse(e.to_string()))?;
            if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
                return Err(refuse("not an http or https address".into()));
            }
            // Some are written with the path, some without.
            let path =
                base.path().trim_end_matches('/').trim_end_matches("/ipns").trim_end_matches("/routing/v1").to_owned();
            base.set_path(&path);
            base.set_query(None);
            routers.push(Arc::new(Endpoint {
                http: http.clone(),
                base,
                filter: config.filter.clone(),
                validator: Arc::clone(&config.validator),
            }));
        }
        Ok(Self { all: Arc::new(Parallel::new(routers)) })
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(alias = "Providers", alias = "Peers", default)]
    records: Option<Vec<serde_json::Value>>,
}

impl Endpoint {
    fn url(&self, kind: &str, key: &str, filtered: bool) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["routing", "v1", kind, key]);
        }
        if filtered {
            for (name, list) in [("filter-addrs", &self.filter.addrs), ("filter-protocols", &self.filter.protocols)] {
                if !list.is_empty() {
                    url.query_pairs_mut().append_pair(name, &list.join(","));
                }
            }
        }
        url
    }

    fn failed(&self, what: impl std::fmt::Display) -> RoutingError {
        RoutingError::Failed(format!("{}: {what}", self.base))
    }

    async fn get(&self, url: Url, accept: &str) -> Result<Response, RoutingError> {
        let sent = self.http.get(url).header(ACCEPT, accept).send().await;
        let response = sent.map_err(|e| if e.is_timeout() { RoutingError::TimedOut } else { self.failed(e) })?;
        match response.status() {
            StatusCode::OK => Ok(response),
            // Before IPIP-513 "nothing found" was this.
            StatusCode::NOT_FOUND => Err(RoutingError::NotFound),
            status => Err(self.failed(format!("status {status}"))),
        }
    }

    /// Records as they come. Those that can't be read or do not pass the filter are left out.
    fn records(self: Arc<Self>, url: Url) -> BoxStream<'static, Result<Provider, RoutingError>> {
        let endpoint = Arc::clone(&self);
        let opened = async move {
            let response = endpoint.get(url, &format!("{NDJSON}, {JSON};q=0.9")).await?;
            let kind = content_type(&response);
            if kind == NDJSON {
                return Ok(Arc::clone(&endpoint).lines(response));
            }
            if kind != JSON {
                return Err(endpoint.failed(format!("unknown content type {kind:?}")));
            }
            let body = endpoint.body(response, MAX_JSON).await?;
            let document: Document = serde_json::from_slice(&body).map_err(|e| endpoint.failed(e))?;
            let found: Vec<_> =
                document.records.unwrap_or_default().into_iter().filter_map(|r| endpoint.read(r)).collect();
            Ok(stream::iter(found.into_iter().map(Ok)).boxed())
        };
        stream::once(opened)
            .flat_map(|opened: Result<BoxStream<'static, _>, RoutingError>| match opened {
                Ok(records) => records,
                Err(RoutingError::NotFound) => stream::empty().boxed(),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            })
            .boxed()
    }

    fn read(&self, value: serde_json::Value) -> Option<Provider> {
        let record: PeerRecord = serde_json::from_value(value).ok()?;
        // A router that knows no filters answers without them.
        self.filter.apply(record)?.provider()
    }

    fn lines(self: Arc<Self>, response: Response) -> BoxStream<'static, Result<Provider, RoutingError>> {
        let state = Lines { response, buffer: BytesMut::new(), ready: VecDeque::new(), seen: 0, ended: false };
        stream::unfold((self, state), |(endpoint, mut state)| async move {
            loop {
                if let Some(line) = state.ready.pop_front() {
                    let value = serde_json::from_slice(&line).ok();
                    match value.and_then(|value| endpoint.read(value)) {
                        Some(provider) => return Some((Ok(provider), (endpoint, state))),
                        None => continue,
                    }
                }
                if state.ended {
                    return None;
                }
                if let Err(reason) = state.more().await {
                    state.ended = true;
                    let error = endpoint.failed(reason);
                    return Some((Err(error), (endpoint, state)));
                }
            }
        })
        .boxed()
    }

    async fn body(&self, response: Response, limit: usize) -> Result<Bytes, RoutingError> {
        let mut chunks = response.bytes_stream();
        let mut body = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| self.failed(e))?;
            if body.len() + chunk.len() > limit {
                return Err(self.failed(format!("the answer is longer than {limit} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    async fn ipns(&self, key: &Bytes) -> Result<Bytes, RoutingError> {
        let url = self.url("ipns", &ipns_name(key)?, false);
        let response = self.get(url, IPNS_RECORD).await?;
        // IPIP-513: only this type is a record; 200 with text says that there is none.
        if content_type(&response) != IPNS_RECORD {
            return Err(RoutingError::NotFound);
        }
        let record = self.body(response, MAX_IPNS_RECORD).await?;
        self.validator.validate(key, &record, SystemClock.now()).map_err(|reason| self.failed(reason))?;
        Ok(record)
    }
}

struct Lines {
    response: Response,
    buffer: BytesMut,
    ready: VecDeque<Bytes>,
    seen: usize,
    ended: bool,
}

impl Lines {
    /// Reads on and cuts lines off.
    async fn more(&mut self) -> Result<(), String> {
        match self.response.chunk().await.map_err(|e| e.to_string())? {
            Some(chunk) => self.buffer.extend_from_slice(&chunk),
            None => {
                self.ended = true;
                self.ready.push_back(std::mem::take(&mut self.buffer).freeze());
            }
        }
        while let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
            let line = self.buffer.split_to(end + 1).freeze();
            self.ready.push_back(line);
            self.seen += 1;
        }
        if self.buffer.len() > MAX_LINE {
            return Err(format!("a line is longer than {MAX_LINE} bytes"));
        }
        self.ended |= self.seen >= MAX_LINES;
        Ok(())
    }
}

fn content_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// `/ipns/` and a multihash as the CID that stands in addresses.
fn ipns_name(key: &[u8]) -> Result<String, RoutingError> {
    let invalid = |_| RoutingError::Invalid("delegated routers keep IPNS records only".into());
    Ok(Name::from_routing_key(key).map_err(invalid)?.in_base(Some(Base36Lower)))
}

/// A stream that ends with [`RoutingError::TimedOut`] when a deadline passes.
fn until<T: Send + 'static>(
    deadline: Deadline,
    items: BoxStream<'static, Result<T, RoutingError>>,
) -> BoxStream<'static, Result<T, RoutingError>> {
    stream::unfold(Some(items), move |items| async move {
        let mut items = items?;
        tokio::select! {
            item = items.next() => item.map(|item| (item, Some(items))),
            () = deadline_of(deadline) => Some((Err(RoutingError::TimedOut), None)),
        }
    })
    .boxed()
}

#[async_trait]
impl Routing for Endpoint {
    fn find_providers(
        self: Arc<Self>,
        key: Multihash,
        _: usize,
        deadline: Deadline,
    ) -> BoxStream<'static, Result<Provider, RoutingError>> {
        let cid = cairn_store::Cid::new_v1(codec::RAW, key);
        let url = self.url("providers", &cid.to_string(), true);
        until(deadline, self.records(url))
    }

    async fn find_peer(&self, peer: PeerId, deadline: Deadline) -> Result<Provider, RoutingError> {
        let name = Name::from(peer).in_base(Some(Base36Lower));
        let endpoint = Arc::new(Self {
            http: self.http.clone(),
            base: self.base.clone(),
            filter: self.filter.clone(),
            validator: Arc::clone(&self.validator),
        });
        let url = self.url("peers", &name, true);
        let mut records = until(deadline, endpoint.records(url));
        while let Some(record) = records.next().await {
            let record = record?;
            if record.peer == peer && !record.addrs.is_empty() {
                return Ok(record);
            }
        }
        Err(RoutingError::NotFound)
    }

    fn search_value(
        self: Arc<Self>,
        key: Bytes,
        deadline: Deadline,
    ) -> BoxStream<'static, Result<Bytes, RoutingError>> {
        until(deadline, stream::once(async move { self.ipns(&key).await }).boxed())
    }

    async fn put_value(&self, key: Bytes, value: Bytes, deadline: Deadline) -> Result<(), RoutingError> {
        let url = self.url("ipns", &ipns_name(&key)?, false);
        let request = self.http.put(url).header(CONTENT_TYPE, IPNS_RECORD).body(value).send();
        let response = tokio::select! {
            response = request => response.map_err(|e| self.failed(e))?,
            () = deadline_of(deadline) => return Err(RoutingError::TimedOut),
        };
        if response.status() == StatusCode::OK { Ok(()) } else { Err(self.failed(response.status())) }
    }

    async fn provide(&self, _: Multihash, _: Deadline) -> Result<(), RoutingError> {
        // The V1 API has no way to announce (IPIP-378 is not adopted).
        Err(self.failed("announcements are not part of the HTTP routing API"))
    }
}

#[async_trait]
impl Routing for Client {
    fn find_providers(
        self: Arc<Self>,
        key: Multihash,
        count: usize,
        deadline: Deadline,
    ) -> BoxStream<'static, Result<Provider, RoutingError>> {
        Arc::clone(&self.all).find_providers(key, count, deadline)
    }

    async fn find_peer(&self, peer: PeerId, deadline: Deadline) -> Result<Provider, RoutingError> {
        self.all.find_peer(peer, deadline).await
    }

    fn search_value(
        self: Arc<Self>,
        key: Bytes,
        deadline: Deadline,
    ) -> BoxStream<'static, Result<Bytes, RoutingError>> {
        Arc::clone(&self.all).search_value(key, deadline)
    }

    async fn put_value(&self, key: Bytes, value: Bytes, deadline: Deadline) -> Result<(), RoutingError> {
        self.all.put_value(key, value, deadline).await
    }

    async fn provide(&self, key: Multihash, deadline: Deadline) -> Result<(), RoutingError> {
        self.all.provide(key, deadline).await
    }
}
