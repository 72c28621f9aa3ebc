//! The certificate of secure WebSocket listeners, in a file of the repository.

use super::{ConfigError, refuse};
use crate::node::config::WebSocketTls;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::path::Path;

/// Certificate and key of secure WebSocket listeners, in the repository.
pub(super) const FILE: &str = "swarm-tls.pem";

/// Certificate and key for secure WebSocket, if they are there.
///
/// # Errors
/// When they can't be read.
pub(super) fn load(repo: &Path) -> Result<Option<WebSocketTls>, ConfigError> {
    const KEY: &str = "Addresses.Swarm";
    let path = repo.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refuse(KEY, format!("cannot read {}: {error}", path.display()))),
    };
    let bad = |why: &str| refuse(KEY, format!("{}: {why}", path.display()));
    let chain = pem(&text, "CERTIFICATE").ok_or_else(|| bad("a certificate is not base64"))?;
    let keys = pem(&text, "PRIVATE KEY").ok_or_else(|| bad("the key is not base64"))?;
    let key = keys.into_iter().next().ok_or_else(|| bad("it holds no PRIVATE KEY (PKCS#8)"))?;
    if chain.is_empty() {
        return Err(bad("it holds no CERTIFICATE"));
    }
    Ok(Some(WebSocketTls { key, chain }))
}

/// The sections of that name in a PEM file, decoded (RFC 7468).
fn pem(text: &str, label: &str) -> Option<Vec<Vec<u8>>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let sections = text.split(&begin).skip(1).map(|rest| {
        let body: String = rest.split(&end).next().unwrap_or_default().split_ascii_whitespace().collect();
        STANDARD.decode(body).ok()
    });
    sections.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_chain_are_read_and_their_absence_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(load(dir.path()).expect("no file is fine"), None);
        let section = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        let write = |text: &str| std::fs::write(dir.path().join(FILE), text).expect("written");
        let (key, one, two) =
            (section("PRIVATE KEY", "AQID"), section("CERTIFICATE", "BA\nUG"), section("CERTIFICATE", "BwgJ"));
        write(&[key.as_str(), &one, &two].concat());
        let want = WebSocketTls { key: vec![1, 2, 3], chain: vec![vec![4, 5, 6], vec![7, 8, 9]] };
        assert_eq!(load(dir.path()).expect("valid"), Some(want));
        for text in [key.clone(), one.clone(), format!("{key}{}", section("CERTIFICATE", "%"))] {
            write(&text);
            let error = load(dir.path()).expect_err("something is missing").to_string();
            assert!(error.starts_with("Addresses.Swarm") && error.contains(FILE), "{error}");
        }
    }
}
