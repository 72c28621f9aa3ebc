//! What the host of a request says: a gateway of paths, a subdomain with an origin of its own, or a website by DNSLink
//! (subdomain gateway and DNSLink gateway specifications).

use crate::{
    config::{Config, HostConfig},
    label::{self, LabelError},
    query,
};
use cairn_store::{
    cid::{self, codec},
    fetch::Deadline,
    names::{NameError, Names},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// How long all look-ups of one request may take that only ask whether hosts have a DNSLink.
pub const DNSLINK_PATIENCE: Duration = Duration::from_secs(10);
/// How long it is remembered that a host has none.
const ABSENT: Duration = Duration::from_secs(5);
/// Hosts of which that is remembered. When there are as many, all of them are forgotten.
const MAX_ABSENT: usize = 4096;

/// Whose origin the content of a response is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origin {
    /// One origin for everything: whoever serves scripts there could read what others serve.
    #[default]
    Path,
    /// `CID.ipfs.HOST`: where other content is, which is the host with its port: `//HOST`.
    Subdomain(String),
    /// The host is a website by DNSLink: `//HOST`.
    DnsLink(String),
}

impl Origin {
    /// Whether no other content has this origin.
    pub fn is_isolated(&self) -> bool {
        *self != Self::Path
    }
}

/// A request as host names and proxies present it.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// The host, with its port: of a proxy's header if there is one.
    pub host: &'a str,
    /// The path, decoded.
    pub path: &'a str,
    /// The query, not decoded.
    pub query: Option<&'a str>,
    /// Whether the client speaks HTTPS, to whoever stands before this gateway.
    pub https: bool,
}

/// Where a request leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To content: the path with its namespace.
    Content {
        /// `/ipfs/…`, `/ipns/…`, or any other path that the host serves.
        path: String,
        /// Its origin.
        origin: Origin,
    },
    /// 301 to another URL.
    Redirect(String),
    /// 404: not served on this host.
    Nothing,
}

/// Where it is asked whether hosts have a DNSLink, and until when.
pub struct Asked<'a> {
    /// The source of names.
    pub names: &'a dyn Names,
    /// When to give up: [`DNSLINK_PATIENCE`] from the beginning of the request.
    pub deadline: Deadline,
}

/// The hosts with rules of their own.
#[derive(Debug)]
pub struct Hosts {
    exact: Vec<(String, HostConfig)>,
    /// Labels after a `*`; longest first.
    wildcard: Vec<(Vec<String>, HostConfig)>,
    no_dnslink: bool,
    /// Hosts that have no DNSLink, and until when that is believed.
    absent: Mutex<HashMap<String, Instant>>,
}

impl Hosts {
    /// The hosts of the configuration. Subdomains of IP addresses are no hosts, so those rules are left out.
    pub fn new(config: &Config) -> Self {
        let (mut exact, mut wildcard) = (Vec::new(), Vec::new());
        for (host, rules) in &config.hosts {
            if rules.subdomains && without_port(host).parse::<IpAddr>().is_ok() {
                tracing::warn!("Gateway.PublicGateways: {host} is an address and can't have subdomains: left out");
            } else if host.contains('*') {
                wildcard
                    .push((host.to_ascii_lowercase().split('.').map(str::to_owned).collect::<Vec<_>>(), rules.clone()));
            } else {
                exact.push((host.to_ascii_lowercase(), rules.clone()));
            }
        }
        wildcard.sort_by_key(|(labels, _)| std::cmp::Reverse(labels.len()));
        Self { exact, wildcard, no_dnslink: config.no_dnslink, absent: Mutex::default() }
    }

    /// The rules of a host, with its port or without.
    pub fn known(&self, host: &str) -> Option<&HostConfig> {
        let host = host.to_ascii_lowercase();
        let exactly = |name: &str| self.exact.iter().find(|(known, _)| known == name).map(|(_, rules)| rules);
        let bare = without_port(&host);
        let fits = |labels: &[String]| {
            let mut given = bare.split('.');
            labels.iter().all(|label| given.next().is_some_and(|g| label_fits(label, g))) && given.next().is_none()
        };
        exactly(&host)
            .or_else(|| exactly(bare))
            .or_else(|| self.wildcard.iter().find(|(labels, _)| fits(labels)).map(|(_, rules)| rules))
    }

    /// `{root}.{namespace}.{known host}`: rules, known host, namespace and root.
    fn subdomain<'a>(&self, host: &'a str) -> Option<(&HostConfig, &'a str, &'static str, &'a str)> {
        let dots: Vec<usize> = host.match_indices('.').map(|(at, _)| at).collect();
        // From the shortest host on: a root may be a domain and have dots.
        (1..dots.len()).rev().find_map(|i| {
            let known = &host[dots[i] + 1..];
            let rules = self.known(known)?;
            let namespace = &host[dots[i - 1] + 1..dots[i]];
            let namespace =
                ["ipfs", "ipns", "p2p", "ipld"].into_iter().find(|ns| ns.eq_ignore_ascii_case(namespace))?;
            Some((rules, known, namespace, &host[..dots[i - 1]]))
        })
    }

    /// The rules of the host that a host is a subdomain of.
    pub fn of_subdomain(&self, host: &str) -> Option<&HostConfig> {
        self.subdomain(host).map(|(rules, ..)| rules)
    }

    /// Where a request leads. `asked` says where to look for their DNSLinks.
    ///
    /// # Errors
    /// When a CID or domain is too long for a host name: 400.
    pub async fn route(&self, target: &Target<'_>, asked: &Asked<'_>) -> Result<Route, LabelError> {
        let content = |path: &str, origin| Ok(Route::Content { path: path.to_owned(), origin });
        if let Some(rules) = self.known(target.host) {
            if serves(rules, target.path) {
                if rules.subdomains
                    && let Some(url) = self.subdomain_url(target.host, target.path, target, rules, asked).await?
                {
                    return Ok(Route::Redirect(url));
                }
                return content(target.path, Origin::Path);
            }
            if !rules.no_dnslink && self.has_dnslink(asked, target.host).await {
                return content(&website(target), Origin::DnsLink(format!("//{}", target.host)));
            }
            return Ok(Route::Nothing);
        }
        if let Some((rules, host, namespace, root)) = self.subdomain(target.host) {
            return self.in_subdomain(target, rules, host, namespace, root, asked).await;
        }
        if !self.no_dnslink && self.has_dnslink(asked, target.host).await {
            return content(&website(target), Origin::DnsLink(format!("//{}", target.host)));
        }
        content(target.path, Origin::Path)
    }

    async fn in_subdomain(
        &self,
        target: &Target<'_>,
        rules: &HostConfig,
        host: &str,
        namespace: &'static str,
        root: &str,
        asked: &Asked<'_>,
    ) -> Result<Route, LabelError> {
        let mut prefix = format!("/{namespace}/{root}");
        if !rules.subdomains || !serves(rules, &prefix) {
            return Ok(Route::Nothing);
        }
        if let Ok(cid) = cid::parse(root) {
            // One CID has one origin, so there is one way to write it.
            let label = label::fit(root.to_owned(), &cid)?;
            let canonical =
                label == root && (namespace == "ipfs" || namespace == "ipld" || cid.codec() == codec::LIBP2P_KEY);
            let path = format!("/{namespace}/{label}{}", target.path);
            if !canonical && let Some(url) = self.subdomain_url(host, &path, target, rules, asked).await? {
                return Ok(Route::Redirect(url));
            }
        } else if namespace == "ipns" && !root.contains('.') && root.contains('-') {
            let domain = label::uninline(root);
            // If neither is one, the error should name the domain that was meant.
            if self.has_dnslink(asked, &domain).await || !self.has_dnslink(asked, root).await {
                prefix = format!("/ipns/{domain}");
            }
        }
        Ok(Route::Content { path: format!("{prefix}{}", target.path), origin: Origin::Subdomain(format!("//{host}")) })
    }

    /// The URL of a path on a subdomain; `None` if it has no root that could be one.
    async fn subdomain_url(
        &self,
        host: &str,
        path: &str,
        target: &Target<'_>,
        rules: &HostConfig,
        asked: &Asked<'_>,
    ) -> Result<Option<String>, LabelError> {
        let mut parts = path.splitn(4, '/').skip(1);
        let (Some(namespace), Some(root)) = (parts.next(), parts.next()) else { return Ok(None) };
        let rest = parts.next().unwrap_or_default();
        let keys = match namespace {
            "ipfs" | "ipld" => false,
            "ipns" | "p2p" => true,
            _ => return Ok(None),
        };
        let peer = if keys { label::key(root) } else { None };
        let label = match peer.or_else(|| cid::parse(root).ok()) {
            Some(cid) if keys => label::key_label(&cid)?,
            Some(cid) => label::cid_label(&cid)?,
            None if namespace == "ipns" => self.domain_label(root, target.https || rules.inline_dnslink, asked).await?,
            None => return Ok(None),
        };
        if label.is_empty() {
            return Ok(None);
        }
        let scheme = if target.https { "https" } else { "http" };
        let query = target.query.map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Some(format!("{scheme}://{label}.{namespace}.{host}/{}{query}", query::encode_path(rest))))
    }

    /// A domain as it stands before `.ipns.`: as one label where certificates want that.
    async fn domain_label(&self, root: &str, one_label: bool, asked: &Asked<'_>) -> Result<String, LabelError> {
        let mut domain = root.to_owned();
        if !root.contains('.') && root.contains('-') {
            let meant = label::uninline(root);
            if self.has_dnslink(asked, &meant).await {
                domain = meant;
            }
        }
        if one_label && domain.contains('.') && self.has_dnslink(asked, &domain).await {
            return label::inline(&domain);
        }
        Ok(domain)
    }
}

impl Hosts {
    /// Whether a host has a DNSLink. What can't be found out in time counts as none.
    async fn has_dnslink(&self, asked: &Asked<'_>, host: &str) -> bool {
        let host = without_port(host);
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        // `localhost` is this machine (RFC 6761, section 6.3), of which DNS knows nothing.
        if address || host.eq_ignore_ascii_case("localhost") || !label::is_domain(host) {
            return false;
        }
        let host = host.to_ascii_lowercase();
        let begun = Instant::now();
        if self.absent.lock().get(&host).is_some_and(|&until| begun < until) {
            return false;
        }
        match asked.names.lookup(&host, asked.deadline).await {
            Ok(_) => return true,
            // Who asked for something slow before may not make others believe that this one has none.
            Err(NameError::TimedOut(_)) => {}
            Err(_) => {
                let mut absent = self.absent.lock();
                if absent.len() >= MAX_ABSENT {
                    absent.clear();
                }
                absent.insert(host, Instant::now() + ABSENT);
            }
        }
        false
    }
}

/// Whether a label fits a pattern in which `*` stands for any number of characters, at least one if it stands alone.
fn label_fits(pattern: &str, label: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == label,
        Some((start, end)) => label.len() > start.len() + end.len() && label.starts_with(start) && label.ends_with(end),
    }
}

/// Whether a host serves a path, by its prefixes.
fn serves(rules: &HostConfig, path: &str) -> bool {
    rules.paths.iter().any(|prefix| {
        let prefix = prefix.trim_end_matches('/');
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// The path of a website's content.
fn website(target: &Target<'_>) -> String {
    format!("/ipns/{}{}", without_port(target.host).to_ascii_lowercase(), target.path)
}

/// A host without its port.
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}
