//! `API.Authorizations`: which secrets may ask for what.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cairn_store::config::Config;

/// What anybody with a secret may ask for.
const VERSION: &str = "/api/v0/version";
/// What Kubo answers, with another name.
pub const DENIED: &str = "Cairn RPC Access Denied: Please provide a valid authorization token as defined in the \
                          API.Authorizations configuration.";

/// The secrets of a configuration. Without any, everybody may ask for everything.
#[derive(Clone, Default)]
pub struct Secrets(Vec<Scope>);

#[derive(Clone)]
struct Scope {
    header: String,
    paths: Vec<String>,
}

/// The header that a secret stands for: `bearer:TOKEN`, `basic:USER:PASSWORD`, `basic:BASE64`, or a bare token.
pub fn header(secret: &str) -> Option<String> {
    match secret.split_once(':') {
        None if secret.is_empty() => None,
        None => Some(format!("Bearer {secret}")),
        Some(("bearer", token)) => Some(format!("Bearer {token}")),
        Some(("basic", pair)) if pair.contains(':') => Some(format!("Basic {}", STANDARD.encode(pair))),
        Some(("basic", encoded)) => Some(format!("Basic {encoded}")),
        Some(_) => None,
    }
}

impl Secrets {
    /// Reads the configuration.
    ///
    /// # Errors
    /// When a secret is of a kind that is not known: ignoring it would open what it should close.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let configured = config.get("API.Authorizations").ok().and_then(serde_json::Value::as_object);
        let mut scopes = Vec::new();
        for (name, scope) in configured.into_iter().flatten() {
            let secret = scope.get("AuthSecret").and_then(serde_json::Value::as_str).unwrap_or_default();
            let Some(header) = header(secret) else {
                anyhow::bail!("API.Authorizations.{name}.AuthSecret must begin with 'bearer:' or 'basic:'");
            };
            let paths = scope.get("AllowedPaths").and_then(serde_json::Value::as_array).into_iter().flatten();
            let paths = paths.filter_map(serde_json::Value::as_str).map(str::to_owned).collect();
            scopes.push(Scope { header, paths });
        }
        Ok(Self(scopes))
    }

    /// Whether everybody may ask for everything.
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a path, percent-decoded, may be asked for with that `Authorization`.
    pub fn allow(&self, authorization: Option<&str>, path: &str) -> bool {
        if self.is_open() {
            return true;
        }
        let given = authorization.unwrap_or_default();
        // All are compared, and each in full: the time taken says nothing of a secret.
        let mut allowed = false;
        for scope in &self.0 {
            let known = same(scope.header.as_bytes(), given.as_bytes());
            allowed |= known && (path == VERSION || scope.paths.iter().any(|prefix| path.starts_with(prefix.as_str())));
        }
        allowed
    }
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(text: &str) -> anyhow::Result<Secrets> {
        Secrets::new(&Config::parse(format!(r#"{{"API": {{"Authorizations": {text}}}}}"#).as_bytes()).expect("JSON"))
    }

    #[test]
    fn secrets_are_written_as_in_kubo() {
        // Values of Kubo's ConvertAuthSecret.
        for (secret, expected) in [
            ("secrettoken", Some("Bearer secrettoken")),
            ("bearer:a:b", Some("Bearer a:b")),
            ("basic:user:pass", Some("Basic dXNlcjpwYXNz")),
            ("basic:dXNlcjpwYXNz", Some("Basic dXNlcjpwYXNz")),
            ("digest:x", None),
            ("", None),
        ] {
            assert_eq!(header(secret).as_deref(), expected, "{secret}");
        }
    }

    #[test]
    fn a_secret_opens_its_paths_and_the_version() {
        let secrets = secrets(r#"{"A": {"AuthSecret": "bearer:a", "AllowedPaths": ["/api/v0/pin/"]}, "B": {"AuthSecret": "basic:b:c", "AllowedPaths": ["/api/v0"]}}"#)
            .expect("valid");
        let b = header("basic:b:c");
        for (fine, given, path) in [
            (true, Some("Bearer a"), "/api/v0/pin/ls"),
            (true, Some("Bearer a"), "/api/v0/version"),
            (false, Some("Bearer a"), "/api/v0/add"),
            (false, Some("Bearer ab"), "/api/v0/pin/ls"),
            (false, None, "/api/v0/version"),
            (true, b.as_deref(), "/api/v0/add"),
        ] {
            assert_eq!(secrets.allow(given, path), fine, "{given:?} {path}");
        }
        assert!(secrets.clone().allow(b.as_deref(), "/api/v0/x"));
    }

    #[test]
    fn without_secrets_all_is_open_and_an_unknown_kind_is_an_error() {
        assert!(secrets("{}").expect("valid").allow(None, "/api/v0/add"));
        assert!(secrets("null").expect("valid").is_open());
        assert!(secrets(r#"{"A": {"AuthSecret": "digest:x"}}"#).is_err());
    }
}
