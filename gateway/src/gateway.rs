//! The gateway: from a request's head to its response.

use crate::{
    backend::Backend,
    body::{Bodies, Body},
    config::{Config, HostConfig},
    content::{self, Request},
    cors,
    deny::Denylists,
    head::Head,
    host::{self, Hosts, Origin, Route, Target},
    limits::{Limits, Permit, Walks},
    metrics::Metrics,
    pages,
    problem::Problem,
    query::Query,
    reply::{self, Reply},
    stream::Buffers,
    watch::Watched,
};
use cairn_store::path::Path;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, RETRY_AFTER, VARY},
    request::Parts,
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::{net::IpAddr, sync::Arc, time::Instant};

/// Seconds after which a client that was turned away may try again.
const TRY_AGAIN: u32 = 60;
/// What may not stand in a query; escapes that are there stay.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');
/// A gateway.
pub struct Gateway {
    config: Config,
    hosts: Hosts,
    backend: Backend,
    denied: Arc<Denylists>,
    limits: Option<Arc<Limits>>,
    buffers: Arc<Buffers>,
    bodies: Bodies,
    walks: Walks,
    /// Of every response.
    headers: HeaderMap,
    metrics: Metrics,
    version: String,
}

impl Gateway {
    /// A gateway with these settings. `version` is what `/version` says.
    pub fn new(config: Config, backend: Backend, version: String) -> Self {
        Self {
            hosts: Hosts::new(&config),
            denied: Denylists::open(config.denylists.clone()),
            limits: config.max_requests.map(Limits::new),
            buffers: Buffers::new(),
            bodies: Bodies::default(),
            walks: Walks::default(),
            headers: cors::headers(&config.headers),
            metrics: Metrics::default(),
            config,
            backend,
            version,
        }
    }

    /// What it measures, to be registered.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The lists of what is not served.
    pub fn denylists(&self) -> &Arc<Denylists> {
        &self.denied
    }

    /// Takes back what slow clients hold. To be called every [`SWEEP`](crate::stream::SWEEP).
    pub(crate) fn sweep(&self, now: Instant) {
        self.buffers.sweep(now);
        self.bodies.sweep(now);
    }

    /// Bytes of tables that each body holds.
    #[cfg(test)]
    pub(crate) fn held(&self) -> Vec<usize> {
        self.buffers.held()
    }

    /// Whether a request is for the gateway itself, and not for content that has its host for an origin: on such a host
    /// others may answer for paths that are none of content.
    pub async fn is_own(&self, parts: &Parts, client: IpAddr) -> bool {
        let Ok(head) = Head::read(parts, client) else { return false };
        let Ok(_place) = self.enter(client) else { return false };
        match self.lead(&head).await {
            Ok(Route::Content { origin, .. }) => origin == Origin::Path,
            // A host that serves some paths only has no origin to protect.
            Ok(Route::Nothing) => self.hosts.known(&head.host).is_some(),
            Ok(Route::Redirect(_)) | Err(_) => false,
        }
    }

    /// Answers a request.
    pub async fn respond(&self, parts: &Parts, client: IpAddr) -> Response<Body> {
        let begun = Instant::now();
        let head = match Head::read(parts, client) {
            Ok(head) => head,
            Err(problem) => return self.finish(problem_as_text(problem)),
        };
        let answer = self.route(&head).await;
        let response =
            self.finish(answer.unwrap_or_else(|(problem, place)| self.problem(&head, problem, place.as_ref())));
        self.metrics.answered(&head.method, response.status(), begun.elapsed());
        tracing::info!(
            target: "gateway",
            client = %client,
            method = %head.method,
            host = %head.host,
            path = %head.raw_path,
            status = response.status().as_u16(),
            ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "request"
        );
        response
    }

    /// Adds the headers of every response. Those of the configuration are defaults, as in Kubo: what a response says of
    /// itself counts.
    fn finish(&self, mut response: Response<Body>) -> Response<Body> {
        let headers = response.headers_mut();
        let new: Vec<&HeaderName> = self.headers.keys().filter(|name| !headers.contains_key(*name)).collect();
        for name in new {
            for value in self.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        response
    }

    /// A place among the requests that run.
    fn enter(&self, client: IpAddr) -> Result<Option<Permit>, Problem> {
        match &self.limits {
            None => Ok(None),
            Some(limits) => limits.enter(client).map(Some).ok_or_else(too_many),
        }
    }

    /// Where a request leads by its host.
    async fn lead(&self, head: &Head) -> Result<Route, Problem> {
        let target = Target { host: &head.host, path: &head.path, query: head.raw_query.as_deref(), https: head.https };
        let deadline = Some(Instant::now() + host::DNSLINK_PATIENCE);
        let asked = host::Asked { names: self.backend.names.as_ref(), deadline };
        Ok(self.hosts.route(&target, &asked).await?)
    }

    async fn route(&self, head: &Head) -> Result<Response<Body>, (Problem, Option<Place>)> {
        if let Some(clean) = head.clean_path() {
            // Before anything is made of it: behind a host's own prefix, `..` would lead to the content of others, and what
            // begins with two slashes would name another host once it stands in a redirect.
            return Ok(reply::redirect(StatusCode::TEMPORARY_REDIRECT, &clean));
        }
        // Before the first look-up, which may be slow.
        let permit = self.enter(head.client).map_err(|p| (p, None))?;
        let (path, origin) = match self.lead(head).await.map_err(|p| (p, None))? {
            Route::Redirect(url) => return Ok(reply::redirect(StatusCode::MOVED_PERMANENTLY, &url)),
            // The front page of a host that serves content by paths alone.
            Route::Nothing if head.path == "/" && self.hosts.known(&head.host).is_some() => {
                return self.own(head, "/").map_err(|p| (p, None));
            }
            Route::Nothing => return Err((Problem::not_found("404 page not found"), None)),
            Route::Content { path, origin } => (path, origin),
        };
        if origin == Origin::Path
            && let Some(response) = namespace_alone(head).map_err(|p| (p, None))?
        {
            return Ok(response);
        }
        if ["/ipfs", "/ipns"]
            .iter()
            .any(|ns| path.strip_prefix(ns).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        {
            let place = Place { path, origin };
            if !head.is_text {
                let problem = Problem::not_found("no content has a path that is not UTF-8");
                return Err((problem, Some(place)));
            }
            return self.content(head, &place, permit).await.map_err(|p| (p, Some(place)));
        }
        self.own(head, &path).map_err(|p| (p, None))
    }

    /// The gateway's own paths.
    fn own(&self, head: &Head, path: &str) -> Result<Response<Body>, Problem> {
        match path {
            "/version" => Ok(text(StatusCode::OK, self.version.clone())),
            "/" => match &self.config.root_redirect {
                _ if head.query.given("open").is_some() => {
                    // The form of the front page.
                    let text = head.query.given("open").unwrap_or_default();
                    let path = crate::address::meant(text).ok_or_else(|| {
                        Problem::bad_request(format!(
                            "{text:?} is no address of content: write a CID, a path such as /ipfs/CID/folder/file, ipfs://CID, \
                             or the name of a website by DNSLink"
                        ))
                    })?;
                    Ok(reply::redirect(StatusCode::FOUND, &crate::query::encode_path(path.to_string())))
                }
                Some(to) => Ok(reply::redirect(StatusCode::FOUND, to)),
                None if head.accepts_html() && self.config.html_errors => {
                    let html = pages::home();
                    let mut reply = Reply::default();
                    reply.set(CONTENT_SECURITY_POLICY, pages::home_csp()).media_type("text/html", false);
                    Ok(reply.send(StatusCode::NOT_FOUND, Body::full(html)))
                }
                None => Err(Problem::not_found("404 page not found")),
            },
            _ => Err(Problem::not_found("404 page not found")),
        }
    }

    /// Answers a request for content.
    async fn content(&self, head: &Head, place: &Place, permit: Option<Permit>) -> Result<Response<Body>, Problem> {
        if let Ok(path) = Path::parse_strict(&place.path) {
            // A second bar before origins and the rules of hosts, which went by the text: nothing of it may fall away.
            if path.to_string() != place.path {
                return Err(Problem::bad_request(format!("{:?} is not written as {path}", place.path)));
            }
            content::check(&self.denied, &path)?;
        }
        let begun = Instant::now();
        let deadline = self.config.max_duration.map(|duration| begun + duration);
        let fetch = Arc::new(Watched::new((self.backend.session)(), Arc::clone(&self.denied)));
        let request = Request {
            head,
            origin: &place.origin,
            config: &self.config,
            backend: &self.backend,
            fetch: Arc::clone(&fetch),
            deadline,
            denied: &self.denied,
            buffers: &self.buffers,
            walks: &self.walks,
            deserialized: self.deserialized(head),
        };
        let answer = request.answer(&place.path);
        let answer = match self.config.retrieval_timeout {
            None => answer.await?,
            Some(patience) => tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| Err(late(&fetch)))?,
        };
        Ok(self.watch(answer, deadline, permit))
    }

    /// Bounds the time that a body takes, and keeps the request's place until its end.
    fn watch(&self, response: Response<Body>, deadline: Option<Instant>, permit: Option<Permit>) -> Response<Body> {
        response.map(|body| {
            if body.is_full() {
                body
            } else {
                body.watched(self.config.retrieval_timeout, deadline, &self.bodies, permit)
            }
        })
    }

    /// Whether a host serves files and directories, or only what can be verified.
    fn deserialized(&self, head: &Head) -> bool {
        self.hosts
            .known(&head.host)
            .or_else(|| self.hosts.of_subdomain(&head.host))
            .map_or(self.config.deserialized, |rules: &HostConfig| rules.deserialized)
    }

    /// An error as a response: a page for people, text for programs.
    fn problem(&self, head: &Head, mut problem: Problem, place: Option<&Place>) -> Response<Body> {
        if problem.status == StatusCode::GATEWAY_TIMEOUT {
            problem.headers.push((RETRY_AFTER, HeaderValue::from(TRY_AGAIN)));
        }
        if !(self.config.html_errors && head.accepts_html()) {
            let mut response = problem_as_text(problem);
            if self.config.html_errors {
                response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
            }
            if head.is_head() {
                *response.body_mut() = Body::empty();
            }
            return response;
        }
        let hints = problem.hints();
        let frame = place.map(|place| pages::Frame {
            path: place.path.trim_end_matches('/'),
            origin: content::page_origin(&place.origin),
        });
        let html = pages::error(&pages::ErrorPage {
            frame,
            status: problem.status,
            reason: &problem.message,
            missing: problem.missing.as_deref(),
            hints: &hints,
            diagnostics: self.config.diagnostics.as_deref().filter(|url| !url.is_empty()),
        });
        let mut reply = Reply::default();
        reply
            .set(CONTENT_SECURITY_POLICY, pages::csp())
            .media_type("text/html", false)
            .set(VARY, "Accept")
            .set(CONTENT_LENGTH, &html.len().to_string());
        for (name, value) in problem.headers {
            reply.headers.append(name, value);
        }
        if head.is_head() {
            return reply.send(problem.status, Body::empty());
        }
        match self.buffers.bytes(html.into()) {
            Ok(body) => self.watch(reply.send(problem.status, body), None, None),
            Err(too_many) => problem_as_text(too_many),
        }
    }
}

/// Where a request for content leads.
struct Place {
    path: String,
    origin: Origin,
}

/// An error as text.
fn problem_as_text(problem: Problem) -> Response<Body> {
    let mut response = text(problem.status, format!("{}\n", problem.message));
    for (name, value) in problem.headers {
        response.headers_mut().append(name, value);
    }
    response
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut reply = Reply::default();
    reply.media_type("text/plain; charset=utf-8", false).set(CONTENT_LENGTH, &text.len().to_string());
    reply.send(status, Body::full(text))
}

/// 429, with when to try again.
pub(crate) fn too_many() -> Problem {
    let message = format!("Too many requests. Please retry after {TRY_AGAIN} seconds.");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, message)
        .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .with(RETRY_AFTER, HeaderValue::from(TRY_AGAIN))
}

/// 504, with the block that was waited for.
fn late(fetch: &Watched) -> Problem {
    let missing = fetch.waiting_for().map(Box::new);
    let what = missing.as_ref().map(|cid| format!(": block {cid} was not delivered")).unwrap_or_default();
    let message = format!("Unable to retrieve content within timeout period{what}");
    Problem { missing, ..Problem::new(StatusCode::GATEWAY_TIMEOUT, message) }
}

/// `/ipfs` and `/ipns` alone: where `?uri=` leads, or to the same with a slash, as in Kubo.
fn namespace_alone(head: &Head) -> Result<Option<Response<Body>>, Problem> {
    let bare = matches!(head.path.as_str(), "/ipfs" | "/ipns");
    if !bare && !matches!(head.path.as_str(), "/ipfs/" | "/ipns/") {
        return Ok(None);
    }
    let response = protocol_handler(&head.query)?;
    Ok(response.or_else(|| bare.then(|| reply::redirect(StatusCode::TEMPORARY_REDIRECT, &head.with_slash()))))
}

/// `?uri=ipfs://…`: where browsers lead that know this gateway as the handler of a scheme.
fn protocol_handler(query: &Query) -> Result<Option<Response<Body>>, Problem> {
    let Some(uri) = query.given("uri") else { return Ok(None) };
    let (scheme, rest) =
        uri.split_once(':').ok_or_else(|| Problem::bad_request("failed to parse uri query parameter"))?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "ipfs" && scheme != "ipns" {
        return Err(Problem::bad_request("uri query parameter scheme must be ipfs or ipns"));
    }
    let rest = rest.trim_start_matches('/');
    // What follows a `#` is for the browser.
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let path = crate::query::encode_path(percent_encoding::percent_decode_str(path).decode_utf8_lossy().as_bytes());
    let query = query.map(|query| format!("?{}", utf8_percent_encode(query, QUERY))).unwrap_or_default();
    Ok(Some(reply::redirect(StatusCode::MOVED_PERMANENTLY, &format!("/{scheme}/{path}{query}"))))
}
