//! TXT records from DNS servers: those of the operating system, or those that `DNS.Resolvers` names for a domain and
//! all below it.

use super::{TextError, TextSource, Texts};
use async_trait::async_trait;
use cairn_store::config::{Config, ConfigError};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    lookup::Lookup,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::RData,
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// Answers that each resolver keeps.
const CACHE: u64 = 256;
/// How long a server may take for an answer, and how often it is asked again.
const TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPTS: usize = 2;
/// How long what asks counts as new: younger, its failure is the servers' and not its own.
const NEW: Duration = Duration::from_secs(5);
/// Most entries of `DNS.Resolvers`.
pub const MAX_RESOLVERS: usize = 1000;
/// Where a DNS-over-HTTPS server listens when its URL says nothing.
const HTTPS_PORT: u16 = 443;

/// A server that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Server {
    /// Those of the operating system.
    System,
    /// DNS over HTTPS.
    Https { host: String, port: u16, path: String },
    /// Plain DNS.
    Plain(SocketAddr),
}

impl Server {
    /// `https://host[:port][/path]`, `dns://ip[:port]`, or `auto` for those of the system.
    fn parse(url: &str) -> Result<Self, String> {
        if matches!(url, "" | "auto") {
            return Ok(Self::System);
        }
        if let Some(rest) = url.strip_prefix("dns://") {
            let address = rest.parse().or_else(|_| rest.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
            return address.map(Self::Plain).map_err(|_| "must be dns://IP or dns://IP:PORT".into());
        }
        let rest = url.strip_prefix("https://").ok_or("must begin with https:// or dns://, or be \"auto\"")?;
        let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| "has a wrong port")?),
            _ => (authority, HTTPS_PORT),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains('@') {
            return Err("names no host".into());
        }
        let path = if path.is_empty() { "dns-query" } else { path };
        Ok(Self::Https { host: host.to_owned(), port, path: format!("/{path}") })
    }

    async fn connect(&self, most: Option<Duration>) -> Result<TokioResolver, TextError> {
        let failed = |e: NetError| TextError::Failed(e.to_string());
        let provider = TokioRuntimeProvider::default;
        let of = |servers| TokioResolver::builder_with_config(ResolverConfig::from_name_servers(servers), provider());
        let mut builder = match self {
            Self::System => TokioResolver::builder_tokio().map_err(failed)?,
            Self::Plain(address) => {
                let at = |mut connection: ConnectionConfig| {
                    connection.port = address.port();
                    connection
                };
                let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
                of(vec![NameServerConfig::new(address.ip(), true, connections)])
            }
            Self::Https { host, port, path } => {
                let addresses = tokio::net::lookup_host((host.as_str(), *port)).await;
                let addresses = addresses.map_err(|e| TextError::Failed(format!("cannot find {host}: {e}")))?;
                let servers = addresses.map(|address| {
                    let mut connection =
                        ConnectionConfig::https(Arc::from(host.as_str()), Some(Arc::from(path.as_str())));
                    connection.port = *port;
                    NameServerConfig::new(address.ip(), true, vec![connection])
                });
                of(servers.collect())
            }
        };
        let options = builder.options_mut();
        (options.cache_size, options.timeout, options.attempts) = (CACHE, TIMEOUT, ATTEMPTS);
        options.positive_max_ttl = most;
        builder.build().map_err(failed)
    }
}

/// Which servers are asked for which domains.
#[derive(Debug, Clone, Default)]
pub struct DnsConfig {
    /// Suffix with its dot (`eth.`; empty is the root) and server.
    servers: Vec<(String, Server)>,
    /// How long an answer is kept at most.
    max_cache_ttl: Option<Duration>,
}

impl DnsConfig {
    /// From `DNS.Resolvers` and `DNS.MaxCacheTTL`.
    ///
    /// # Errors
    /// When a resolver is no URL that can be asked.
    pub fn load(config: &Config) -> Result<Self, ConfigError> {
        let mut servers = Vec::new();
        if let Some(map) = config.get("DNS.Resolvers").ok().and_then(|value| value.as_object()) {
            for (suffix, url) in map.iter().take(MAX_RESOLVERS) {
                let key = || format!("DNS.Resolvers.{suffix}");
                let url = url.as_str().unwrap_or_default();
                let server = Server::parse(url).map_err(|why| ConfigError::Value { key: key(), why })?;
                let suffix = suffix.trim_end_matches('.').to_lowercase();
                servers.push((if suffix.is_empty() { suffix } else { format!("{suffix}.") }, server));
            }
        }
        // The longest suffix that fits counts.
        servers.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        Ok(Self { servers, max_cache_ttl: config.get_duration("DNS.MaxCacheTTL")? })
    }

    fn server(&self, name: &str) -> Option<usize> {
        let name = format!("{}.", name.trim_end_matches('.').to_lowercase());
        self.servers.iter().position(|(suffix, _)| {
            let before = name.strip_suffix(suffix.as_str());
            before.is_some_and(|before| before.is_empty() || before.ends_with('.') || suffix.is_empty())
        })
    }
}

/// A resolver, and when it was made.
type Made = (TokioResolver, Instant);

/// Asks DNS servers. Connections are made at first use, and anew when they fail: the machine may be in another network,
/// with other servers.
pub struct Resolver {
    config: DnsConfig,
    /// One for each server of the configuration, then that of the system.
    resolvers: Vec<Mutex<Option<Made>>>,
}

impl Resolver {
    /// With that configuration; nothing is asked yet.
    pub fn new(config: DnsConfig) -> Self {
        let resolvers = (0..=config.servers.len()).map(|_| Mutex::default()).collect();
        Self { config, resolvers }
    }

    /// What asks for a name. `failed`: when that was made which did not work; it is given up unless it is new.
    async fn resolver(&self, name: &str, failed: Option<Instant>, now: Instant) -> Result<Made, TextError> {
        let system = self.config.servers.len();
        let at = self.config.server(name).unwrap_or(system);
        let server = self.config.servers.get(at).map_or(&Server::System, |(_, server)| server);
        let mut kept = self.resolvers[at].lock().await;
        if let Some(made) = &*kept
            && (failed != Some(made.1) || now.saturating_duration_since(made.1) < NEW)
        {
            return Ok(made.clone());
        }
        let made = (server.connect(self.config.max_cache_ttl).await?, now);
        *kept = Some(made.clone());
        Ok(made)
    }
}

async fn ask(resolver: &TokioResolver, name: &str) -> Result<Lookup, TextError> {
    resolver.txt_lookup(name).await.map_err(|error| match error {
        error if error.is_no_records_found() || error.is_nx_domain() => TextError::NotFound,
        NetError::Timeout => TextError::TimedOut,
        error => TextError::Failed(error.to_string()),
    })
}

#[async_trait]
impl TextSource for Resolver {
    async fn texts(&self, name: &str) -> Result<Texts, TextError> {
        // With a dot at its end, so that no search domain of the system is added.
        let name = format!("{}.", name.trim_end_matches('.'));
        let (resolver, made) = self.resolver(&name, None, Instant::now()).await?;
        let found = match ask(&resolver, &name).await {
            Err(TextError::TimedOut | TextError::Failed(_)) if made.elapsed() >= NEW => {
                ask(&self.resolver(&name, Some(made), Instant::now()).await?.0, &name).await?
            }
            found => found?,
        };
        let texts = found.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            _ => None,
        });
        let texts: Vec<String> = texts.take(super::MAX_TEXTS).collect();
        Ok(Texts { texts, ttl: found.valid_until().saturating_duration_since(Instant::now()) })
    }
}

#[cfg(test)]
mod tests;
