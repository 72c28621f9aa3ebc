//! From the path of a request to the response: what is asked for, where it leads, and who makes the response of it.

use crate::{
    backend::Backend,
    body::Body,
    car, condition,
    config::Config,
    deny::Denylists,
    file::{self, File},
    format::{self, Asked, Format},
    head::Head,
    host::Origin,
    label,
    limits::Walks,
    pages,
    problem::Problem,
    reply::{self, Reply},
    stream::Buffers,
    watch::Watched,
};
use cairn_store::{
    Block, Cid,
    cid::{self, codec},
    fetch::{Deadline, Fetch},
    names::{NameError, NoNames},
    path::{Namespace, Path},
    resolve::{self, MAX_NAMES, ResolveError, Resolved},
    unixfs::entity::{self, Entity},
};
use http::{
    HeaderName, Method, Response, StatusCode,
    header::{ALLOW, CONTENT_LOCATION, ETAG, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, VARY},
};
use std::{borrow::Cow, sync::Arc, time::Duration};

/// Header: the path of the content.
pub const X_IPFS_PATH: HeaderName = HeaderName::from_static("x-ipfs-path");
/// Header: the roots that the segments of the path lead to.
pub const X_IPFS_ROOTS: HeaderName = HeaderName::from_static("x-ipfs-roots");
/// What may be done with content.
const METHODS: [Method; 3] = [Method::GET, Method::HEAD, Method::OPTIONS];
const SERVICE_WORKER: HeaderName = HeaderName::from_static("service-worker");

/// A request for content.
pub struct Request<'a> {
    /// Its head.
    pub head: &'a Head,
    /// Whose origin the response has.
    pub origin: &'a Origin,
    /// The settings.
    pub config: &'a Config,
    /// Where blocks come from, and names.
    pub backend: &'a Backend,
    /// Blocks for this request.
    pub fetch: Arc<Watched>,
    /// When to give up.
    pub deadline: Deadline,
    /// What is not served.
    pub denied: &'a Denylists,
    /// Room for answers that walk DAGs.
    pub walks: &'a Walks,
    /// What bodies share.
    pub buffers: &'a Arc<Buffers>,
    /// Whether files and directories are served as such on this host.
    pub deserialized: bool,
}

/// Where a path of content leads.
pub struct Content {
    /// The path as asked for.
    pub path: Path,
    /// The same once names are followed: `/ipfs/…`.
    pub immutable: Path,
    /// How long the answer of its names may be kept; `None` if nobody said, or there are none.
    pub ttl: Option<Duration>,
    /// What is asked for.
    pub asked: Asked,
    /// Headers so far.
    pub reply: Reply,
}

impl Request<'_> {
    /// Blocks, for readers.
    pub fn blocks(&self) -> Arc<dyn Fetch> {
        Arc::clone(&self.fetch) as Arc<dyn Fetch>
    }

    /// Answers a request for the content at a path.
    ///
    /// # Errors
    /// When there is no such response.
    pub async fn answer(&self, path: &str) -> Result<Response<Body>, Problem> {
        match self.head.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => {
                let mut reply = Reply::default();
                reply.headers.extend(METHODS.map(|method| (ALLOW, reply::value(method.as_str()))));
                return Ok(reply.send(StatusCode::OK, Body::empty()));
            }
            _ => {
                let message = format!("Method {} not allowed: read only access", self.head.method);
                let mut problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, message);
                problem.headers.extend(METHODS.map(|method| (ALLOW, reply::value(method.as_str()))));
                return Err(problem);
            }
        }
        if let Some(response) = self.detour(path)? {
            return Ok(response);
        }
        let path = Path::parse_strict(path)?;
        let named = reply::value(&path.to_string());
        match self.of_path(path).await {
            Ok(mut response) => {
                response.headers_mut().insert(X_IPFS_PATH, named);
                Ok(response)
            }
            Err(problem) => Err(problem.with(X_IPFS_PATH, named)),
        }
    }

    async fn of_path(&self, path: Path) -> Result<Response<Body>, Problem> {
        if condition::only_if_cached(&self.head.headers) {
            let here = self.is_here(&path).await;
            if !here {
                let message = format!("{path:?} not in local datastore", path = path.to_string());
                return Err(Problem::new(StatusCode::PRECONDITION_FAILED, message));
            }
            if self.head.is_head() {
                return Ok(Reply::default().send(StatusCode::OK, Body::empty()));
            }
        }
        let asked = format::asked(&self.head.query, &self.head.headers)?;
        if !self.deserialized && !is_trustless(&path, asked.format) {
            let message = "only trustless requests are accepted on this gateway: https://specs.ipfs.tech/http-gateways/trustless-gateway/";
            return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, message));
        }
        let mut reply = Reply::default();
        if asked.by_accept() {
            reply.set(VARY, "Accept");
        }
        if let Some(location) = self.content_location(&asked) {
            reply.set(CONTENT_LOCATION, &location);
        }
        if asked.format == Some(Format::IpnsRecord) {
            return crate::record::answer(self, &path, reply).await;
        }
        let (immutable, ttl) = self.follow(&path).await?;
        let mut content = Content { path, immutable, ttl, asked, reply };
        match self.serve(&mut content).await {
            Err(problem) if problem.is_not_found() && content.asked.format.is_none() && self.origin.is_isolated() => {
                Box::pin(self.missing(content, problem)).await
            }
            answer => answer,
        }
    }

    /// Requests that lead elsewhere, or nowhere, whatever is at the path.
    fn detour(&self, path: &str) -> Result<Option<Response<Body>>, Problem> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        if self.head.text(SERVICE_WORKER).as_deref() == Some("script") && segments.len() == 2 {
            let message = "navigator.serviceWorker: registration is not allowed for this scope";
            return Err(Problem::bad_request(message));
        }
        let query = self.head.raw_query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        if segments.first() == Some(&"ipns")
            && !matches!(self.origin, Origin::DnsLink(_))
            && let Some(key) = segments.get(1).and_then(|root| label::key(root))
            && segments[1] != label::key_text(&key)
        {
            let rest = crate::query::encode_path(segments[2..].iter().fold(String::new(), |path, s| path + "/" + s));
            let location = format!("/ipns/{}{rest}{query}", label::key_text(&key));
            return Ok(Some(reply::redirect(StatusCode::FOUND, &location)));
        }
        if path.starts_with("/ipfs/ipfs/") || path.starts_with("/ipfs/ipns/") {
            let meant = Path::parse_strict(&path["/ipfs".len()..])
                .map_err(|e| Problem::from(e).context("invalid ipfs path"))?;
            let location = format!("{}{query}", crate::query::encode_path(meant.to_string()));
            return Ok(Some(reply::redirect(StatusCode::MOVED_PERMANENTLY, &location)));
        }
        Ok(None)
    }

    /// The URL of this response's own, where the URL of the request or what `Accept` says is another form's.
    fn content_location(&self, asked: &Asked) -> Option<String> {
        let format = asked.format.filter(|_| !asked.in_url || asked.differs)?;
        let mut query = self.head.query.clone();
        query.set("format", format.name());
        for (name, value) in &asked.parameters {
            let name = format!("{}-{name}", format.name());
            if query.get(&name).is_none() {
                query.set(&name, value);
            }
        }
        Some(format!("{}?{}", self.head.raw_path, query.encode()))
    }

    /// Whether the root of the content is in the local store.
    async fn is_here(&self, path: &Path) -> bool {
        let Ok((path, _)) = self.follow(path).await else { return false };
        let Ok(resolved) = resolve::resolve(&self.backend.local, &NoNames, &path, self.deadline).await else {
            return false;
        };
        resolved.cid.hash().code() == 0 || self.backend.local.has_local(&resolved.cid).await.unwrap_or(false)
    }

    /// Follows names until the path is immutable. Each path on the way may be on a denylist, and each name by itself: where
    /// it leads is not looked up then.
    async fn follow(&self, path: &Path) -> Result<(Path, Option<Duration>), Problem> {
        let lost = |error: ResolveError| failed(path, error);
        let mut path = path.clone();
        let mut ttl = None;
        for steps in 0..=MAX_NAMES {
            check(self.denied, &path)?;
            if path.namespace() != Namespace::Ipns {
                return Ok((path, ttl));
            }
            if steps == MAX_NAMES {
                break;
            }
            check(self.denied, &Path::parse_strict(&format!("/ipns/{}", path.root()))?)?;
            let target = self.backend.names.lookup(path.root(), self.deadline).await.map_err(|e| lost(e.into()))?;
            // Zero is an unknown one.
            let known = Some(target.ttl).filter(|ttl| !ttl.is_zero());
            ttl = ttl.into_iter().chain(known).min();
            let text = format!("{}{}", target.path.to_string().trim_end_matches('/'), after_root(&path));
            path = Path::parse_strict(&text)
                .map_err(|e| lost(NameError::Invalid { name: path.root().to_owned(), reason: e.to_string() }.into()))?;
        }
        Err(lost(ResolveError::TooManyNames(path.root().to_owned())))
    }

    /// Serves the content at an immutable path.
    pub async fn serve(&self, content: &mut Content) -> Result<Response<Body>, Problem> {
        if content.asked.format == Some(Format::Car) {
            return car::answer(self, content).await;
        }
        let resolved = resolve::resolve(&self.blocks(), &NoNames, &content.immutable, self.deadline).await;
        let resolved = resolved.map_err(|e| failed(&content.path, e))?;
        if let Some(response) = self.known(content, &resolved.cid) {
            return Ok(response);
        }
        let roots: Vec<String> = resolved.roots.iter().map(ToString::to_string).collect();
        let roots = reply::value(&roots.join(","));
        content.reply.headers.insert(X_IPFS_ROOTS, roots.clone());
        let served = match content.asked.format {
            Some(Format::Raw) => crate::block::answer(self, content, &resolved.cid).await,
            Some(Format::Tar) => crate::tar::answer(self, content, &resolved.cid).await,
            Some(Format::DagJson | Format::DagCbor) => {
                let block = self.fetch.fetch(&resolved.cid, self.deadline).await?;
                crate::codec::answer(self, content, &resolved, &block)
            }
            _ => self.serve_default(content, &resolved).await,
        };
        served.map_err(|problem| problem.context(&format!("failed to read {}", content.path)).with(X_IPFS_ROOTS, roots))
    }

    /// 304 without a look at the content, where its CID alone says what would be sent, and the client names that. What
    /// matches everything (`*`) is weighed once it is known that there is something.
    fn known(&self, content: &Content, cid: &Cid) -> Option<Response<Body>> {
        let etag = match content.asked.format {
            Some(format @ (Format::Raw | Format::Tar)) => reply::etag(cid, Some(format)),
            None | Some(Format::Json | Format::Cbor) if cid.codec() == codec::RAW => reply::etag(cid, None),
            _ => return None,
        };
        let headers = &self.head.headers;
        let other = headers.contains_key(IF_MATCH) || headers.contains_key(IF_UNMODIFIED_SINCE);
        let list = self.head.text(IF_NONE_MATCH).filter(|_| !other)?;
        if !condition::names(&list, &etag) {
            return None;
        }
        let mut reply = Reply::default();
        reply.set(ETAG, &etag).cache(&content.path, content.ttl);
        Some(reply.not_modified())
    }

    /// Serves whatever suits the content.
    async fn serve_default(&self, content: &mut Content, resolved: &Resolved) -> Result<Response<Body>, Problem> {
        if Format::of_codec(resolved.cid.codec()).is_some() {
            let block = self.fetch.fetch(&resolved.cid, self.deadline).await?;
            return crate::codec::answer(self, content, resolved, &block);
        }
        if !matches!(resolved.cid.codec(), codec::RAW | codec::DAG_PB) {
            let message = format!(
                "{} is of codec 0x{:x}, which is neither a file nor a directory: fetch the block with ?format=raw",
                resolved.cid,
                resolved.cid.codec()
            );
            return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, message));
        }
        let block = self.fetch.fetch(&resolved.cid, self.deadline).await?;
        self.serve_unixfs(content, block).await
    }

    async fn serve_unixfs(&self, content: &mut Content, block: Block) -> Result<Response<Body>, Problem> {
        let (block, meta, entity) = entity::decode_aside(&self.blocks(), block, self.deadline).await?;
        match entity {
            Entity::File(node) => {
                let name = self.head.query.given("filename").map_or_else(|| file_name(&content.path), Cow::Borrowed);
                let name = name.into_owned();
                let file = File { cid: *block.cid(), tag: *block.cid(), node, meta, name, media_type: None };
                // What is waited for from now on may take long, and this block may be large.
                drop(block);
                file::answer(self, content, file).await
            }
            Entity::Symlink(target) => file::symlink(self, content, block.cid(), meta, target),
            Entity::Directory(_) | Entity::Shard(_) => {
                crate::directory::answer(self, content, block, meta, entity).await
            }
        }
    }

    /// What a website says is to be done with a path that it does not have.
    async fn missing(&self, mut content: Content, problem: Problem) -> Result<Response<Body>, Problem> {
        crate::website::answer(self, &mut content, problem).await
    }

    /// How pages show where they are.
    pub fn page_origin(&self) -> pages::Origin<'_> {
        page_origin(self.origin)
    }
}

/// How pages show where they are.
pub fn page_origin(origin: &Origin) -> pages::Origin<'_> {
    match origin {
        Origin::Path => pages::Origin::Path,
        Origin::Subdomain(host) => pages::Origin::Subdomain { gateway: host },
        Origin::DnsLink(host) => pages::Origin::DnsLink { gateway: host },
    }
}

/// Refuses paths that are on a denylist.
pub fn check(denied: &Denylists, path: &Path) -> Result<(), Problem> {
    match denied.check_path(path) {
        None => Ok(()),
        Some(blocked) => {
            tracing::info!(target: "gateway", %path, list = %blocked.list.display(), line = blocked.line, "blocked");
            let status = StatusCode::from_u16(blocked.status.code()).unwrap_or(StatusCode::GONE);
            Err(Problem::new(status, format!("{path} is blocked and cannot be provided")))
        }
    }
}

/// What follows the root of a path, with the slash at its end.
fn after_root(path: &Path) -> String {
    let mut rest = String::new();
    for segment in path.segments() {
        rest.push('/');
        rest.push_str(segment);
    }
    if path.to_string().ends_with('/') {
        rest.push('/');
    }
    rest
}

fn failed(path: &Path, error: ResolveError) -> Problem {
    Problem::from(error).context(&format!("failed to resolve {path}"))
}

/// A file's name: the last segment of its path, unless that is a CID or a domain.
pub fn file_name(path: &Path) -> Cow<'_, str> {
    Cow::Borrowed(path.segments().last().map_or("", String::as_str))
}

/// Whether a client can verify the response to such a request (trustless gateway specification).
fn is_trustless(path: &Path, format: Option<Format>) -> bool {
    let bare = path.segments().is_empty();
    match (path.namespace(), format) {
        (Namespace::Ipns, Some(Format::IpnsRecord)) => {
            bare && (label::key(path.root()).is_some() || cid::parse(path.root()).is_ok())
        }
        (Namespace::Ipfs, Some(Format::Raw)) => bare,
        (Namespace::Ipfs, Some(Format::Car)) => true,
        _ => false,
    }
}
