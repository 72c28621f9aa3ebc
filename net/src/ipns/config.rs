//! What the configuration says of names.

use super::{DEFAULT_LIFETIME, DEFAULT_TTL};
use crate::{
    delegated::{self, Client, ClientConfig, ClientError, Filter},
    dht,
    routing::Routing,
};
use cairn_store::{
    config::{Config, ConfigError},
    path::Path,
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Variable that maps names to paths without any look-up: `name:path,name:path`.
pub const STATIC_MAP: &str = "IPFS_NS_MAP";
/// Most entries of [`STATIC_MAP`].
pub const MAX_STATIC: usize = 10_000;
/// Answers that are kept where `Ipns.ResolveCacheSize` says nothing.
pub const CACHE_SIZE: usize = 128;
/// Most answers that are kept, whatever the configuration says: an answer takes about 300 bytes.
pub const MAX_CACHE_SIZE: usize = 65_536;
/// How often records are published again where `Ipns.RepublishPeriod` says nothing.
pub const REPUBLISH_PERIOD: Duration = Duration::from_secs(4 * 3600);
/// Shortest and longest `Ipns.RepublishPeriod`; as in Kubo.
const REPUBLISH_RANGE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));

/// Settings of [`super::Names`] and of republishing.
#[derive(Debug, Clone)]
pub struct NamesConfig {
    /// Answers that are kept: `Ipns.ResolveCacheSize`.
    pub cache_size: usize,
    /// How long an answer is kept at most: `Ipns.MaxCacheTTL`.
    pub max_cache_ttl: Option<Duration>,
    /// How often records are published again: `Ipns.RepublishPeriod`.
    pub republish_period: Duration,
    /// How long records are valid that are published again: `Ipns.RecordLifetime`.
    pub record_lifetime: Duration,
    /// How long answers of new records may be kept.
    pub record_ttl: Duration,
    /// Names that are answered from here: `IPFS_NS_MAP`.
    pub fixed: HashMap<String, Path>,
    /// HTTP servers that records can be given to, by their addresses, and whether the public one is among them:
    /// `Ipns.DelegatedPublishers`.
    pub publishers: Vec<String>,
    /// See [`NamesConfig::publishers`].
    pub publishers_auto: bool,
}

impl Default for NamesConfig {
    fn default() -> Self {
        Self {
            cache_size: CACHE_SIZE,
            max_cache_ttl: None,
            republish_period: REPUBLISH_PERIOD,
            record_lifetime: DEFAULT_LIFETIME,
            record_ttl: DEFAULT_TTL,
            fixed: HashMap::new(),
            publishers: Vec::new(),
            publishers_auto: false,
        }
    }
}

impl NamesConfig {
    /// From the configuration of a repository and the variable `IPFS_NS_MAP`.
    ///
    /// # Errors
    /// When a key has a value that makes no sense, or the variable is no such map.
    pub fn load(config: &Config) -> Result<Self, ConfigError> {
        let mut names = Self::default();
        let key = "Ipns.ResolveCacheSize";
        if let Some(size) = config.get_int(key)? {
            let size = usize::try_from(size).map_err(|_| value(key, "must not be negative"))?;
            names.cache_size = size.min(MAX_CACHE_SIZE);
        }
        names.max_cache_ttl = config.get_duration("Ipns.MaxCacheTTL")?;
        let key = "Ipns.RepublishPeriod";
        if let Some(period) = config.get_duration(key)? {
            if !(REPUBLISH_RANGE.0..=REPUBLISH_RANGE.1).contains(&period) {
                return Err(value(key, "must be between 1 minute and 1 day"));
            }
            names.republish_period = period;
        }
        let key = "Ipns.RecordLifetime";
        if let Some(lifetime) = config.get_duration(key)? {
            names.record_lifetime = lifetime;
        }
        if names.record_lifetime < names.republish_period {
            let why = "must not be shorter than Ipns.RepublishPeriod, or records end before they are published again";
            return Err(value(key, why));
        }
        let publishers = config.get_strings(PUBLISHERS)?.unwrap_or_default();
        names.publishers_auto = publishers.contains(&"auto") && config.get_bool("AutoConf.Enabled")?.unwrap_or(true);
        names.publishers = publishers.into_iter().filter(|url| *url != "auto").map(str::to_owned).collect();
        if let Err(error) = names.publisher(true) {
            return Err(value(PUBLISHERS, &error.to_string()));
        }
        if let Some(map) = std::env::var_os(STATIC_MAP).filter(|map| !map.is_empty()) {
            names.fixed = static_map(&map.to_string_lossy()).map_err(ConfigError::Refused)?;
        }
        Ok(names)
    }

    /// For a private swarm, of which public servers must not learn.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.publishers_auto = false;
        self
    }

    /// Who takes records over HTTP, if anybody does; without the public server unless `public`.
    pub(super) fn publisher(&self, public: bool) -> Result<Option<Arc<dyn Routing>>, ClientError> {
        let mut endpoints = self.publishers.clone();
        endpoints.extend((public && self.publishers_auto).then(|| delegated::PUBLIC.to_owned()));
        if endpoints.is_empty() {
            return Ok(None);
        }
        let client = ClientConfig {
            endpoints,
            filter: Filter::default(),
            timeout: PATIENCE,
            user_agent: concat!("cairn/", env!("CARGO_PKG_VERSION")).to_owned(),
            validator: Arc::new(dht::Names),
        };
        Ok(Some(Arc::new(Client::new(client)?)))
    }
}

/// Where publishers stand in the configuration.
const PUBLISHERS: &str = "Ipns.DelegatedPublishers";
/// For one request to a publisher.
const PATIENCE: Duration = Duration::from_secs(15);

fn value(key: &str, why: &str) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), why: why.to_owned() }
}

/// Reads `name:path,name:path`.
///
/// # Errors
/// A sentence that names what is wrong.
pub fn static_map(text: &str) -> Result<HashMap<String, Path>, String> {
    let mut map = HashMap::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let refuse = |why: String| format!("{STATIC_MAP}: {pair:?}: {why}; it is written name:path,name:path");
        let (name, path) = pair.split_once(':').ok_or_else(|| refuse("there is no colon".into()))?;
        let path = Path::parse_strict(path).map_err(|e| refuse(e.to_string()))?;
        if map.len() == MAX_STATIC {
            return Err(format!("{STATIC_MAP} has more than {MAX_STATIC} names"));
        }
        map.insert(name.to_owned(), path);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_map_is_read_as_kubo_reads_it() {
        let map = static_map("a.example:/ipns/b.example/y,b.example:/ipfs/bafkqaaa").expect("a map");
        assert_eq!(map["a.example"].to_string(), "/ipns/b.example/y");
        assert_eq!(map["b.example"].to_string(), "/ipfs/bafkqaaa");
        for bad in ["a.example", "a.example:bafkqaaa", "a.example:/ipfs/nope", "a:/ipfs/bafkqaaa,b"] {
            assert!(static_map(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_of_the_configuration_count() {
        let mut config = Config::defaults("", "");
        let names = NamesConfig::load(&config).expect("defaults");
        assert_eq!((names.cache_size, names.max_cache_ttl), (CACHE_SIZE, None));
        assert_eq!(names.republish_period, REPUBLISH_PERIOD);
        for (key, good) in [
            ("Ipns.ResolveCacheSize", json!(7)),
            ("Ipns.MaxCacheTTL", json!("1m")),
            ("Ipns.RepublishPeriod", json!("1h")),
            ("Ipns.RecordLifetime", json!("72h")),
        ] {
            config.set(key, good).expect("of the right type");
        }
        let names = NamesConfig::load(&config).expect("sensible");
        assert_eq!((names.cache_size, names.max_cache_ttl), (7, Some(Duration::from_secs(60))));
        assert_eq!(names.republish_period, Duration::from_secs(3600));
        assert_eq!(names.record_lifetime, Duration::from_secs(72 * 3600));
        for (key, bad) in [
            ("Ipns.ResolveCacheSize", json!(-1)),
            ("Ipns.RepublishPeriod", json!("1s")),
            ("Ipns.RecordLifetime", json!("30m")),
        ] {
            let mut config = config.clone();
            config.set(key, bad).expect("of the right type");
            assert!(NamesConfig::load(&config).is_err(), "{key}");
        }
    }
}
