//! Mutable names: records that a key signs, found through routing, and domains with a DNSLink.
//!
//! [`Names`] answers for both. It works without a network too: from the records that this node published or was given.

mod cache;
mod config;
mod local;
mod name;
mod publisher;
pub mod pubsub;
mod record;
mod republish;
mod resolver;
mod time;
mod validate;

pub use config::{CACHE_SIZE, MAX_CACHE_SIZE, MAX_STATIC, NamesConfig, REPUBLISH_PERIOD, STATIC_MAP, static_map};
pub use name::Name;
pub use publisher::{Network, Publish, PublishError};
pub use record::{Content, DEFAULT_LIFETIME, DEFAULT_TTL, MAX_RECORD, Record};
pub use republish::{Keys, republish_forever};
pub use resolver::{MAX_SEARCH, ResolveOptions};
pub use time::{NotATime, Timestamp};
pub use validate::{
    RecordError, compare, compare_values, parse_valid, public_key, select, validate, validate_at_any_time,
    validate_value,
};

use crate::{dnslink::TextSource, routing::Routing};
use cache::Cache;
use cairn_store::{kv::Kv, path::Path};
use local::Local;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::SystemTime};

/// Names by key and by domain. Clones share their caches.
#[derive(Clone)]
pub struct Names {
    inner: Arc<Inner>,
}

struct Inner {
    local: Local,
    routing: Option<Arc<dyn Routing>>,
    dns: Option<Arc<dyn TextSource>>,
    pubsub: Option<Arc<pubsub::Follower>>,
    /// HTTP servers that records are given to besides, and all that may be asked to take one.
    publishers: [Option<Arc<dyn Routing>>; 2],
    fixed: HashMap<String, Path>,
    cache: Mutex<Cache>,
    /// Held while a sequence number is chosen, so that no two records of a name have the same.
    publishing: tokio::sync::Mutex<()>,
}

impl Names {
    /// From its parts. Without `routing` only the records in `kv` are known; without `dns` no domain is, but for those
    /// of the configuration's map.
    pub fn new(
        config: &NamesConfig,
        kv: Arc<dyn Kv>,
        routing: Option<Arc<dyn Routing>>,
        dns: Option<Arc<dyn TextSource>>,
    ) -> Self {
        Self::with_pubsub(config, kv, routing, dns, None)
    }

    /// The same, with IPNS over PubSub.
    pub fn with_pubsub(
        config: &NamesConfig,
        kv: Arc<dyn Kv>,
        routing: Option<Arc<dyn Routing>>,
        dns: Option<Arc<dyn TextSource>>,
        pubsub: Option<Arc<pubsub::Follower>>,
    ) -> Self {
        let inner = Inner {
            local: Local::new(kv),
            routing,
            dns,
            pubsub,
            // Their addresses were looked at when the configuration was read.
            publishers: [false, true].map(|public| config.publisher(public).ok().flatten()),
            fixed: config.fixed.clone(),
            cache: Mutex::new(Cache::new(config.cache_size, config.max_cache_ttl)),
            publishing: tokio::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Names that are followed on PubSub, if there is one.
    pub fn pubsub(&self) -> Option<&Arc<pubsub::Follower>> {
        self.inner.pubsub.as_ref()
    }

    fn now() -> Timestamp {
        SystemTime::now().into()
    }
}

#[cfg(test)]
mod tests;
