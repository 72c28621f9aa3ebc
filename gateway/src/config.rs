//! Settings of a gateway, and how Kubo's configuration names them.

use cairn_store::config::{self, ConfigError};
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

/// Settings of a gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// `Gateway.DeserializedResponses`: whether files and directories are served as such; else only what a client can
    /// verify.
    pub deserialized: bool,
    /// `Gateway.AllowCodecConversion`: whether blocks are converted to another codec when one is asked for.
    pub convert_codecs: bool,
    /// Not `Gateway.DisableHTMLErrors`: whether people in a browser get errors as pages.
    pub html_errors: bool,
    /// `Gateway.NoDNSLink`: no look-ups of the host that a request names, unless it is among `hosts`.
    pub no_dnslink: bool,
    /// `Gateway.PublicGateways`, and `localhost`: host names with their rules. A `*` stands for one label.
    pub hosts: BTreeMap<String, HostConfig>,
    /// `Gateway.HTTPHeaders`: headers of every response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// `Gateway.RootRedirect`: where `/` leads.
    pub root_redirect: Option<String>,
    /// `Gateway.RetrievalTimeout`: how long the first byte, or the next one, may take.
    pub retrieval_timeout: Option<Duration>,
    /// `Gateway.MaxRequestDuration`: how long a whole request may take.
    pub max_duration: Option<Duration>,
    /// `Gateway.MaxConcurrentRequests`; more are answered with 429. `None`: no limit.
    pub max_requests: Option<usize>,
    /// `Gateway.MaxRangeRequestFileSize`: ranges of larger files are refused.
    pub max_range_file: Option<u64>,
    /// `Gateway.DiagnosticServiceURL`: a page that tells whether a CID can be retrieved, with `?cid=`.
    pub diagnostics: Option<String>,
    /// Folders with denylists (`*.deny`).
    pub denylists: Vec<PathBuf>,
}

/// Rules for one host name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// Prefixes of paths that are served there.
    pub paths: Vec<String>,
    /// Whether `/ipfs/CID` leads to `CID.ipfs.HOST`.
    pub subdomains: bool,
    /// Whether the host's own DNSLink is ignored.
    pub no_dnslink: bool,
    /// Whether domains are always written as one label: `en-wikipedia--on--ipfs-org`.
    pub inline_dnslink: bool,
    /// In place of [`Config::deserialized`].
    pub deserialized: bool,
}

/// Kubo's default for [`Config::retrieval_timeout`].
pub const RETRIEVAL_TIMEOUT: Duration = Duration::from_secs(30);
/// Kubo's default for [`Config::max_duration`].
pub const MAX_DURATION: Duration = Duration::from_secs(3600);
/// Kubo's default for [`Config::max_requests`].
pub const MAX_REQUESTS: usize = 4096;
/// Kubo's default for [`Config::diagnostics`].
pub const DIAGNOSTICS: &str = "https://check.ipfs.network";
/// Paths that `localhost` serves unless the configuration says otherwise.
const PATHS: [&str; 3] = ["/ipfs/", "/ipns/", "/p2p/"];

impl Default for Config {
    fn default() -> Self {
        Self {
            deserialized: true,
            convert_codecs: false,
            html_errors: true,
            no_dnslink: false,
            hosts: BTreeMap::from([("localhost".to_owned(), HostConfig::localhost())]),
            headers: Vec::new(),
            root_redirect: None,
            retrieval_timeout: Some(RETRIEVAL_TIMEOUT),
            max_duration: Some(MAX_DURATION),
            max_requests: Some(MAX_REQUESTS),
            max_range_file: None,
            diagnostics: Some(DIAGNOSTICS.to_owned()),
            denylists: Vec::new(),
        }
    }
}

impl HostConfig {
    /// The implicit rules of `localhost`: each CID has an origin of its own there.
    pub fn localhost() -> Self {
        Self {
            paths: PATHS.iter().map(|&path| path.to_owned()).collect(),
            subdomains: true,
            no_dnslink: false,
            inline_dnslink: false,
            deserialized: true,
        }
    }
}

/// Why a configuration makes no gateway.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A key has a value of another kind.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A header that HTTP can't carry.
    #[error("Gateway.HTTPHeaders.{0}: it is no header, or its value can't be sent in one")]
    Header(String),
    /// A value of another kind than the gateway's.
    #[error("{key} must be {want}")]
    Kind {
        /// The key.
        key: String,
        /// What it must be.
        want: &'static str,
    },
    /// A number that makes no sense.
    #[error("{key}: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl Config {
    /// Reads `Gateway.*` of a repository's configuration; `repo` is where the repository is.
    ///
    /// # Errors
    /// When a value makes no sense.
    pub fn from_repo(config: &config::Config, repo: &Path) -> Result<Self, SettingsError> {
        let usual = Self::default();
        let flag = |key: &str, usual: bool| Ok::<_, ConfigError>(config.get_bool(key)?.unwrap_or(usual));
        let deserialized = flag("Gateway.DeserializedResponses", usual.deserialized)?;
        let max_requests = match config.get_int("Gateway.MaxConcurrentRequests")? {
            None => usual.max_requests,
            Some(0) => None,
            Some(max) => Some(usize::try_from(max).map_err(|_| SettingsError::Value {
                key: "Gateway.MaxConcurrentRequests",
                reason: format!("{max} is no number of requests: 0 is no limit"),
            })?),
        };
        let duration = |key: &str, usual: Option<Duration>| {
            Ok::<_, ConfigError>(config.get_duration(key)?.map_or(usual, |d| Some(d).filter(|d| !d.is_zero())))
        };
        Ok(Self {
            deserialized,
            convert_codecs: flag("Gateway.AllowCodecConversion", usual.convert_codecs)?,
            html_errors: !flag("Gateway.DisableHTMLErrors", !usual.html_errors)?,
            no_dnslink: flag("Gateway.NoDNSLink", usual.no_dnslink)?,
            hosts: hosts(config, deserialized)?,
            headers: headers(config)?,
            root_redirect: config.get_str("Gateway.RootRedirect")?.filter(|to| !to.is_empty()).map(str::to_owned),
            retrieval_timeout: duration("Gateway.RetrievalTimeout", usual.retrieval_timeout)?,
            // Zero is the default here, and not "no limit".
            max_duration: duration("Gateway.MaxRequestDuration", None)?.or(usual.max_duration),
            max_requests,
            max_range_file: config.get_size("Gateway.MaxRangeRequestFileSize")?.filter(|&size| size > 0),
            diagnostics: match config.get_str("Gateway.DiagnosticServiceURL")? {
                Some(url) => Some(url.to_owned()).filter(|url| !url.is_empty()),
                None => usual.diagnostics,
            },
            denylists: denylists(repo),
        })
    }
}

/// Folders in which denylists are looked for, as other nodes do: the system's, the user's, and the repository's.
fn denylists(repo: &Path) -> Vec<PathBuf> {
    let user = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    let user = user.map(|folder| folder.join("ipfs/denylists"));
    [Some(PathBuf::from("/etc/ipfs/denylists")), user, Some(repo.join("denylists"))].into_iter().flatten().collect()
}

/// The map at a key; `None` if there is nothing.
fn map<'a>(config: &'a config::Config, key: &str) -> Result<Option<&'a Map<String, Value>>, SettingsError> {
    match config.get(key) {
        Err(ConfigError::NotFound(_)) | Ok(Value::Null) => Ok(None),
        Ok(Value::Object(map)) => Ok(Some(map)),
        Ok(_) => Err(SettingsError::Kind { key: key.to_owned(), want: "a map" }),
        Err(error) => Err(error.into()),
    }
}

/// A list of strings, or nothing.
fn strings<'a>(key: &str, value: &'a Value) -> Result<Vec<&'a str>, SettingsError> {
    let list = match value {
        Value::Null => Some(Vec::new()),
        Value::Array(list) => list.iter().map(Value::as_str).collect(),
        _ => None,
    };
    list.ok_or_else(|| SettingsError::Kind { key: key.to_owned(), want: "a list of strings" })
}

fn headers(config: &config::Config) -> Result<Vec<(HeaderName, HeaderValue)>, SettingsError> {
    let mut headers = Vec::new();
    for (name, values) in map(config, "Gateway.HTTPHeaders")?.into_iter().flatten() {
        let refuse = || SettingsError::Header(name.clone());
        let header: HeaderName = name.parse().map_err(|_| refuse())?;
        for text in strings(&format!("Gateway.HTTPHeaders.{name}"), values)? {
            headers.push((header.clone(), HeaderValue::from_str(text).map_err(|_| refuse())?));
        }
    }
    Ok(headers)
}

/// `localhost`, and what `Gateway.PublicGateways` adds, changes or (with `null`) removes.
fn hosts(config: &config::Config, deserialized: bool) -> Result<BTreeMap<String, HostConfig>, SettingsError> {
    let localhost = HostConfig { deserialized, ..HostConfig::localhost() };
    let mut hosts = BTreeMap::from([("localhost".to_owned(), localhost)]);
    for (host, rules) in map(config, "Gateway.PublicGateways")?.into_iter().flatten() {
        let key = format!("Gateway.PublicGateways.{host}");
        let rules = match rules {
            Value::Null => {
                hosts.remove(host);
                continue;
            }
            Value::Object(rules) => rules,
            _ => return Err(SettingsError::Kind { key, want: "a map, or null" }),
        };
        let flag = |name: &str, usual: bool| match rules.get(name) {
            None | Some(Value::Null) => Ok(usual),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(SettingsError::Kind { key: format!("{key}.{name}"), want: "true, false or null" }),
        };
        let paths = strings(&format!("{key}.Paths"), rules.get("Paths").unwrap_or(&Value::Null))?;
        let rules = HostConfig {
            paths: paths.into_iter().map(str::to_owned).collect(),
            subdomains: flag("UseSubdomains", false)?,
            no_dnslink: flag("NoDNSLink", false)?,
            inline_dnslink: flag("InlineDNSLink", false)?,
            deserialized: flag("DeserializedResponses", deserialized)?,
        };
        hosts.insert(host.clone(), rules);
    }
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(gateway: &str) -> Result<Config, String> {
        let text = format!("{{\"Gateway\": {gateway}}}");
        let config = config::Config::parse(text.as_bytes()).expect("a configuration");
        Config::from_repo(&config, Path::new("/nowhere")).map_err(|e| e.to_string())
    }

    #[test]
    fn values_of_another_kind_are_refused_by_their_names() {
        for (gateway, what) in [
            (r#"{"HTTPHeaders": ["X-A"]}"#, "Gateway.HTTPHeaders must be a map"),
            (r#"{"HTTPHeaders": {"X-A": "b"}}"#, "Gateway.HTTPHeaders.X-A must be a list of strings"),
            (r#"{"HTTPHeaders": {"X-A": [1]}}"#, "Gateway.HTTPHeaders.X-A must be a list of strings"),
            (r#"{"PublicGateways": true}"#, "Gateway.PublicGateways must be a map"),
            (r#"{"PublicGateways": {"a.b": false}}"#, "Gateway.PublicGateways.a.b must be a map, or null"),
            (
                r#"{"PublicGateways": {"a.b": {"Paths": "/ipfs"}}}"#,
                "Gateway.PublicGateways.a.b.Paths must be a list of strings",
            ),
            (
                r#"{"PublicGateways": {"a.b": {"UseSubdomains": "yes"}}}"#,
                "Gateway.PublicGateways.a.b.UseSubdomains must be true, false or null",
            ),
        ] {
            assert_eq!(read(gateway).expect_err(gateway), what);
        }
        let all = r#"{"HTTPHeaders": {"X-A": ["b", "c"], "X-D": null},
            "PublicGateways": {"localhost": null, "a.b": {"Paths": ["/ipfs"], "UseSubdomains": true, "NoDNSLink": null}}}"#;
        let config = read(all).expect("it makes sense");
        assert_eq!((config.headers.len(), config.hosts.len()), (2, 1));
        assert!(config.hosts["a.b"].subdomains && !config.hosts["a.b"].no_dnslink);
        assert_eq!(read("{}").expect("nothing is said").hosts.len(), 1);
    }
}
