//! DNSLink: a domain's content path, from the TXT records of `_dnslink.<domain>` (specification: dnslink.dev).

mod resolver;

pub use resolver::{DnsConfig, Resolver};

use async_trait::async_trait;
use cairn_store::{
    cid,
    names::{NameError, Target},
    path::{Namespace, Path},
};
use std::time::Duration;

/// What stands before a domain whose link is asked for.
pub const LABEL: &str = "_dnslink.";
/// What a TXT record of a link begins with.
const KEY: &str = "dnslink=";
/// Most TXT records that are looked at; further ones do not count.
pub const MAX_TEXTS: usize = 64;
/// Most bytes of a TXT record that are looked at; a longer one is no link.
pub const MAX_TEXT: usize = 4096;
/// Longest domain, and longest of its labels, in bytes (RFC 1035).
const MAX_DOMAIN: usize = 253;
const MAX_LABEL: usize = 63;

/// The TXT records of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// Their texts; the strings of one record joined.
    pub texts: Vec<String>,
    /// How long they may be kept.
    pub ttl: Duration,
}

/// Why there are no TXT records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The domain has none, or is not there.
    #[error("no TXT records")]
    NotFound,
    /// The servers did not answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The look-up failed.
    #[error("{0}")]
    Failed(String),
}

/// A source of TXT records.
#[async_trait]
pub trait TextSource: Send + Sync {
    /// The TXT records of exactly that name.
    ///
    /// # Errors
    /// When there are none, or they can't be had.
    async fn texts(&self, name: &str) -> Result<Texts, TextError>;
}

/// Why the TXT records of a domain are no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// None of them is one.
    #[error("DNSLink lookup could not find a TXT record (https://docs.ipfs.tech/concepts/dnslink/)")]
    Missing,
    /// More than one of them is.
    #[error(
        "DNSLink lookup returned more than one IPFS content path; ask domain owner to remove duplicate TXT records"
    )]
    Several,
}

/// The link in the TXT records of a domain: `dnslink=/ipfs/…` or `dnslink=/ipns/…`. Records that hold something else
/// are skipped. As in Kubo, `dnslink=<CID>` and records without `dnslink=` are read too, and two links are none.
///
/// # Errors
/// [`LinkError`].
pub fn link<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Path, LinkError> {
    let mut found = None;
    for text in texts.into_iter().take(MAX_TEXTS) {
        let Some(path) = entry(text) else { continue };
        if found.replace(path).is_some() {
            return Err(LinkError::Several);
        }
    }
    found.ok_or(LinkError::Missing)
}

/// The path in one TXT record.
fn entry(text: &str) -> Option<Path> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let read = |text: &str| {
        let path = Path::parse_strict(text).ok();
        path.or_else(|| cid::parse(text).ok().map(|cid| Path::from_cid(&cid)))
    };
    let path = read(text).or_else(|| text.strip_prefix(KEY).and_then(read))?;
    matches!(path.namespace(), Namespace::Ipfs | Namespace::Ipns).then_some(path)
}

/// A domain in the form in which it is looked up: lower case, without a dot at its end. `None` if it can't be one.
pub fn domain(text: &str) -> Option<String> {
    let domain = text.strip_suffix('.').unwrap_or(text);
    let fits = |label: &str| {
        let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || !(c.is_ascii() || c.is_control());
        !label.is_empty() && label.len() <= MAX_LABEL && label.chars().all(fit)
    };
    (domain.len() <= MAX_DOMAIN - LABEL.len() && domain.split('.').all(fits)).then(|| domain.to_lowercase())
}

/// Where a domain links to.
///
/// # Errors
/// [`NameError::Invalid`] if it is no domain, has no link or several, or the look-up fails; [`NameError::TimedOut`].
pub async fn lookup(source: &dyn TextSource, name: &str) -> Result<Target, NameError> {
    let invalid = |reason: String| NameError::Invalid { name: name.to_owned(), reason };
    let domain = domain(name).ok_or_else(|| invalid("it is neither a key nor a domain".into()))?;
    let found = source.texts(&format!("{LABEL}{domain}")).await.map_err(|error| match error {
        TextError::NotFound => invalid(format!("could not resolve name: {}", LinkError::Missing)),
        TextError::TimedOut => NameError::TimedOut(name.to_owned()),
        TextError::Failed(why) => invalid(format!("DNSLink lookup failed: {why}")),
    })?;
    let path = link(found.texts.iter().map(String::as_str))
        .map_err(|why| invalid(format!("could not resolve name: {why}")))?;
    Ok(Target { path, ttl: found.ttl })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am";

    fn read(texts: &[&str]) -> Result<String, LinkError> {
        link(texts.iter().copied()).map(|path| path.to_string())
    }

    /// The cases of boxo's TestDnsEntryParsing, with a valid CID for theirs.
    #[test]
    fn entries_are_read_as_kubo_reads_them() {
        for prefix in ["", "dnslink="] {
            for (entry, path) in [
                (CID.to_owned(), format!("/ipfs/{CID}")),
                (format!("/ipfs/{CID}"), format!("/ipfs/{CID}")),
                (format!("/ipns/{CID}"), format!("/ipns/{CID}")),
                (format!("/ipfs/{CID}/foo"), format!("/ipfs/{CID}/foo")),
                (format!("/ipns/{CID}/bar"), format!("/ipns/{CID}/bar")),
                (format!("/ipfs/{CID}/foo/bar/baz"), format!("/ipfs/{CID}/foo/bar/baz")),
                (format!("/ipfs/{CID}/foo/"), format!("/ipfs/{CID}/foo/")),
            ] {
                assert_eq!(read(&[&format!("{prefix}{entry}")]), Ok(path), "{prefix}{entry}");
            }
        }
        for bad in [
            &format!("{CID}/foo")[..],
            "quux=/ipfs/bafkqaaa",
            "dnslink=",
            "dnslink=/ipns/",
            "dnslink=ipns/bafkqaaa",
            " dnslink=/ipfs/bafkqaaa",
            "DNSLINK=/ipfs/bafkqaaa",
            "dnslink=/ipld/bafkqaaa",
            "dnslink=/foo/bafkqaaa",
            "",
        ] {
            assert_eq!(read(&[bad]), Err(LinkError::Missing), "{bad:?}");
        }
    }

    #[test]
    fn other_records_are_skipped_and_two_links_are_none() {
        let spf = "v=spf1 -all";
        assert_eq!(read(&[spf, "dnslink=/ipfs/bafkqaaa", "x"]), Ok("/ipfs/bafkqaaa".into()));
        assert_eq!(read(&[spf]), Err(LinkError::Missing));
        assert_eq!(read(&["dnslink=/ipfs/bafkqaaa", "dnslink=/ipns/example.com"]), Err(LinkError::Several));
        assert_eq!(read(&["dnslink=/ipfs/bafkqaaa", "/ipfs/bafkqaaa"]), Err(LinkError::Several));
        let many = vec![spf; MAX_TEXTS];
        let texts: Vec<&str> = many.into_iter().chain(["dnslink=/ipfs/bafkqaaa"]).collect();
        assert_eq!(read(&texts), Err(LinkError::Missing), "what follows the last that is looked at does not count");
    }

    #[test]
    fn domains_have_one_form() {
        assert_eq!(domain("Docs.IPFS.tech.").as_deref(), Some("docs.ipfs.tech"));
        assert_eq!(domain("bücher.example").as_deref(), Some("bücher.example"));
        for bad in ["", ".", "a..b", "bad name", "a/b", "a\u{0}b", &"a".repeat(64), &"a.".repeat(130)] {
            assert_eq!(domain(bad), None, "{bad:?}");
        }
    }
}
