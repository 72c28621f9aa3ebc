//! From a name to what it stands for.

use super::{Name, Names, Record, Timestamp, compare, local::Row, parse_valid};
use crate::{dnslink, routing::RoutingError};
use async_trait::async_trait;
use bytes::Bytes;
use cairn_store::{
    fetch::Deadline,
    names::{NameError, SignedRecord, Target},
    path::{Namespace, Path},
    resolve::MAX_NAMES,
};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use std::{
    cmp::Ordering,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a record is searched for at most, unless the caller says otherwise.
pub const MAX_SEARCH: Duration = Duration::from_secs(60);

/// How a name is resolved.
#[derive(Debug, Clone, Copy)]
pub struct ResolveOptions {
    /// Names that may lead to names. 1: one step, and the answer may be a name.
    pub depth: usize,
    /// Whether answers that are still good are given again.
    pub cache: bool,
    /// Records, each better than the one before, after which a search ends; 0: when routing ends it.
    pub records: usize,
    /// When to give up.
    pub deadline: Deadline,
}

impl Default for ResolveOptions {
    fn default() -> Self {
        Self { depth: MAX_NAMES, cache: true, records: 0, deadline: None }
    }
}

impl Names {
    /// Follows an `/ipns` path until it is immutable, or as many steps as the options allow.
    ///
    /// # Errors
    /// When a name on the way has no valid answer before the deadline, or there are too many.
    pub async fn resolve(&self, path: &Path, options: &ResolveOptions) -> Result<Target, NameError> {
        let first = self.step(path, options).await?;
        self.follow(first, options).await
    }

    /// The same, with every better answer as it is found; the last one counts.
    pub fn search(&self, path: Path, options: ResolveOptions) -> BoxStream<'static, Result<Target, NameError>> {
        let Ok(name) = Name::parse(path.root()) else {
            let names = self.clone();
            return stream::once(async move { names.resolve(&path, &options).await }).boxed();
        };
        let names = self.clone();
        let records = stream::once(async move { names.records(name, options).await }).flatten();
        let names = self.clone();
        let follow = move |record: Result<Record, NameError>| {
            let (names, path) = (names.clone(), path.clone());
            async move {
                let target = target(&record?, Names::now()).map_err(|why| invalid(path.root(), why))?;
                names.follow(join(target, &path)?, &options).await
            }
        };
        records.then(follow).boxed()
    }

    /// Goes on from an answer of one step.
    async fn follow(&self, mut target: Target, options: &ResolveOptions) -> Result<Target, NameError> {
        if options.depth == 1 {
            return Ok(target);
        }
        for _ in 1..options.depth.min(MAX_NAMES) {
            if target.path.namespace() != Namespace::Ipns {
                return Ok(target);
            }
            let next = self.step(&target.path, options).await?;
            target = Target { ttl: shorter(target.ttl, next.ttl), path: next.path };
        }
        if target.path.namespace() == Namespace::Ipns {
            let reason = "could not resolve name (recursion limit exceeded)".to_owned();
            return Err(NameError::Invalid { name: target.path.root().to_owned(), reason });
        }
        Ok(target)
    }

    /// One step, with what follows the name appended to the answer.
    async fn step(&self, path: &Path, options: &ResolveOptions) -> Result<Target, NameError> {
        join(self.answer(path.root(), options).await?, path)
    }

    /// What a name stands for: by the fixed map, the cache, its record, or DNS.
    async fn answer(&self, name: &str, options: &ResolveOptions) -> Result<Target, NameError> {
        if let Some(path) = self.inner.fixed.get(name) {
            return Ok(Target { path: path.clone(), ttl: Duration::ZERO });
        }
        let key = Name::parse(name).ok();
        let kept = key.map(|key| key.to_string()).or_else(|| dnslink::domain(name));
        let kept = kept.ok_or_else(|| invalid(name, "it is neither a key nor a domain"))?;
        let remembered = {
            let cache = self.inner.cache.lock();
            if let Some(target) = cache.get(&kept, Instant::now()).filter(|_| options.cache) {
                return Ok(target);
            }
            cache.remembered()
        };
        let (mut target, own) = match key {
            Some(key) => {
                let record = self.best(key, *options).await?;
                let stored = self.inner.local.get(Row::Record, key).await;
                let is_own = stored.is_ok_and(|stored| stored.as_ref() == Some(record.bytes()));
                let now = Self::now();
                let own = if is_own { Instant::now().checked_add(record.valid_for(now)) } else { None };
                (target(&record, now).map_err(|why| invalid(name, why))?, own)
            }
            None => (self.domain(name, options.deadline).await?, None),
        };
        let mut cache = self.inner.cache.lock();
        // What this node published in the meantime is newer than what was found.
        if cache.remembered() == remembered {
            cache.set(kept, target.clone(), own, Instant::now());
        }
        target.ttl = cache.cap(target.ttl);
        Ok(target)
    }

    async fn domain(&self, name: &str, deadline: Deadline) -> Result<Target, NameError> {
        let dns = self.inner.dns.as_ref().ok_or_else(|| NameError::Offline(name.to_owned()))?;
        let found = dnslink::lookup(dns.as_ref(), name);
        match deadline {
            None => found.await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), found)
                .await
                .unwrap_or_else(|_| Err(NameError::TimedOut(name.to_owned()))),
        }
    }

    /// The best record that can be had.
    ///
    /// # Errors
    /// When there is no valid one before the deadline.
    pub async fn best(&self, name: Name, options: ResolveOptions) -> Result<Record, NameError> {
        let mut records = self.records(name, options).await;
        let mut last = None;
        while let Some(record) = records.next().await {
            last = Some(record);
        }
        last.unwrap_or_else(|| Err(NameError::NotFound(name.to_string())))
    }

    /// Valid records, each better than the one before: first what this node has itself. If there is none, an error.
    pub async fn records(&self, name: Name, options: ResolveOptions) -> BoxStream<'static, Result<Record, NameError>> {
        let now = Self::now();
        let mut failure = match &self.inner.routing {
            Some(_) => NameError::NotFound(name.to_string()),
            None => NameError::Offline(name.to_string()),
        };
        let local = match self.own(name).await {
            Ok(None) => None,
            Ok(Some(bytes)) => match parse_valid(&bytes, name, now) {
                Ok(record) => Some(record),
                Err(why) => {
                    failure = invalid(&name.to_string(), why);
                    None
                }
            },
            Err(error) => {
                failure = invalid(&name.to_string(), error);
                None
            }
        };
        let latest = Instant::now() + MAX_SEARCH;
        let deadline = options.deadline.unwrap_or(latest);
        let source = self
            .inner
            .routing
            .as_ref()
            .map(|routing| Arc::clone(routing).search_value(name.routing_key().into(), Some(deadline)));
        let left = if options.records == 0 { usize::MAX } else { options.records };
        let search =
            Search { name, now, deadline, source, first: local.clone(), best: local, left, failure, over: false };
        stream::unfold(search, |mut search| async move { search.next().await.map(|item| (item, search)) }).boxed()
    }

    /// The record that this node published, was given, or heard of on PubSub; it may be invalid.
    async fn own(&self, name: Name) -> Result<Option<Bytes>, cairn_store::StoreError> {
        let stored = self.inner.local.get(Row::Record, name).await?;
        let Some(pubsub) = &self.inner.pubsub else { return Ok(stored) };
        let heard = pubsub.follow(name, stored.clone());
        Ok(heard.or(stored))
    }
}

/// A search that goes on.
struct Search {
    name: Name,
    now: Timestamp,
    deadline: Instant,
    source: Option<BoxStream<'static, Result<Bytes, RoutingError>>>,
    /// What was here, until it is given.
    first: Option<Record>,
    best: Option<Record>,
    left: usize,
    failure: NameError,
    over: bool,
}

impl Search {
    async fn next(&mut self) -> Option<Result<Record, NameError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        while self.left > 0 {
            let Some(source) = &mut self.source else { break };
            match tokio::time::timeout_at(self.deadline.into(), source.next()).await {
                Ok(Some(Ok(bytes))) => {
                    if let Some(record) = self.better(&bytes) {
                        self.left -= 1;
                        return Some(Ok(record));
                    }
                }
                Ok(Some(Err(error))) => self.note(&error),
                Ok(None) => break,
                Err(_) => {
                    self.failure = NameError::TimedOut(self.name.to_string());
                    break;
                }
            }
        }
        self.source = None;
        let over = std::mem::replace(&mut self.over, true);
        (!over && self.best.is_none()).then(|| Err(self.failure.clone()))
    }

    /// The record in those bytes if it is valid and better than what was found before.
    fn better(&mut self, bytes: &Bytes) -> Option<Record> {
        match parse_valid(bytes, self.name, self.now) {
            Ok(record) if self.best.as_ref().is_none_or(|best| compare(&record, best) == Ordering::Greater) => {
                self.best = Some(record.clone());
                Some(record)
            }
            Ok(_) => None,
            Err(why) => {
                self.failure = invalid(&self.name.to_string(), why);
                None
            }
        }
    }

    fn note(&mut self, error: &RoutingError) {
        let name = self.name.to_string();
        self.failure = match error {
            RoutingError::NotFound => return,
            RoutingError::TimedOut => NameError::TimedOut(name),
            RoutingError::NoPeers | RoutingError::Invalid(_) | RoutingError::Failed(_) => invalid(&name, error),
        };
    }
}

fn invalid(name: &str, reason: impl ToString) -> NameError {
    NameError::Invalid { name: name.to_owned(), reason: reason.to_string() }
}

/// What a valid record says.
fn target(record: &Record, now: Timestamp) -> Result<Target, super::RecordError> {
    Ok(Target { path: record.value()?, ttl: record.cache_ttl(now) })
}

/// The shorter of two TTLs; zero is an unknown one.
fn shorter(a: Duration, b: Duration) -> Duration {
    if a.is_zero() || b.is_zero() { a.max(b) } else { a.min(b) }
}

/// An answer with what follows the name in `path`, a slash at its end included.
fn join(target: Target, path: &Path) -> Result<Target, NameError> {
    let text = path.to_string();
    let slash = if text.ends_with('/') { "/" } else { "" };
    if path.segments().is_empty() && slash.is_empty() {
        return Ok(target);
    }
    let base = target.path.to_string();
    let base = base.trim_end_matches('/');
    let joined: String = path.segments().iter().flat_map(|segment| ["/", segment]).collect();
    let joined = Path::parse_strict(&format!("{base}{joined}{slash}")).map_err(|why| invalid(path.root(), why))?;
    Ok(Target { path: joined, ttl: target.ttl })
}

#[async_trait]
impl cairn_store::names::Names for Names {
    async fn lookup(&self, name: &str, deadline: Deadline) -> Result<Target, NameError> {
        self.answer(name, &ResolveOptions { deadline, ..ResolveOptions::default() }).await
    }

    async fn record(&self, name: &str, deadline: Deadline) -> Result<SignedRecord, NameError> {
        let key = Name::parse(name).map_err(|why| invalid(name, why))?;
        let options = ResolveOptions { deadline, ..ResolveOptions::default() };
        let record = self.best(key, options).await?;
        let eol = record.eol().map_err(|why| invalid(name, why))?;
        Ok(SignedRecord { bytes: record.bytes().clone(), ttl: record.ttl().ok(), valid_until: eol.to_system_time() })
    }
}
