//! Content paths: `/ipfs/<cid>/a/b`, `/ipns/<name>/a/b`, the same as URIs, and a bare `<cid>/a/b`.
//!
//! Paths are cleaned before anything is looked up, as text: empty segments and `.` vanish, `..` takes the
//! segment before it away. A `%41` stays as it is, in URIs too: names may hold percent signs, and deployed
//! nodes take everything after the scheme byte for byte.

use crate::cid::{self, Cid};
use std::fmt;
use thiserror::Error;

/// Text that is not a content path.
#[derive(Debug, Clone, Error)]
#[error("invalid path {path:?}: {reason}")]
pub struct PathError {
    /// The text as given.
    pub path: String,
    /// Why it was refused.
    pub reason: String,
}

/// What the root of a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// A CID; segments are names of files and directories.
    Ipfs,
    /// A mutable name.
    Ipns,
    /// A CID; segments are fields of the data model.
    Ipld,
}

impl Namespace {
    const ALL: [Self; 3] = [Self::Ipfs, Self::Ipns, Self::Ipld];

    /// As it stands in a path: `ipfs`, `ipns` or `ipld`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipfs => "ipfs",
            Self::Ipns => "ipns",
            Self::Ipld => "ipld",
        }
    }
}

/// A cleaned content path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    namespace: Namespace,
    root: String,
    cid: Option<Cid>,
    segments: Vec<String>,
    slash: bool,
}

impl Path {
    /// Reads what a user wrote: a content path, a URI (`ipfs://…`, `ipfs:…`), or a bare CID with or without
    /// segments.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let by_scheme = Namespace::ALL.iter().find_map(|ns| {
            let (scheme, rest) = text.split_once(':')?;
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            scheme.eq_ignore_ascii_case(ns.name()).then(|| format!("/{}/{rest}", ns.name()))
        });
        let strict = Self::parse_strict(by_scheme.as_deref().unwrap_or(text));
        strict.or_else(|error| Self::parse_strict(&format!("/ipfs/{text}")).map_err(|_| error))
    }

    /// Reads a content path that begins with its namespace.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse_strict(text: &str) -> Result<Self, PathError> {
        let refuse = |reason: String| PathError { path: text.to_owned(), reason };
        let mut segments = clean(text).into_iter();
        let (Some(namespace), Some(root), true) = (segments.next(), segments.next(), text.starts_with('/')) else {
            return Err(refuse("path does not have enough components".into()));
        };
        let known = Namespace::ALL.into_iter().find(|ns| ns.name() == namespace);
        let namespace = known.ok_or_else(|| refuse(format!("unknown namespace: {namespace:?}")))?;
        let cid = match namespace {
            Namespace::Ipns => None,
            Namespace::Ipfs | Namespace::Ipld => Some(cid::parse(root).map_err(|e| refuse(e.to_string()))?),
        };
        Ok(Self {
            namespace,
            root: root.to_owned(),
            cid,
            segments: segments.map(str::to_owned).collect(),
            slash: text.ends_with('/'),
        })
    }

    /// `/ipfs/<cid>`.
    pub fn from_cid(cid: &Cid) -> Self {
        Self { namespace: Namespace::Ipfs, root: cid.to_string(), cid: Some(*cid), segments: Vec::new(), slash: false }
    }

    /// What the root is.
    pub fn namespace(&self) -> Namespace {
        self.namespace
    }

    /// The root as it was written.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The root's CID; `None` for a mutable name.
    pub fn cid(&self) -> Option<&Cid> {
        self.cid.as_ref()
    }

    /// What follows the root: no segment is empty, `.` or `..`.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The last segment, or the root if there is none.
    pub fn name(&self) -> &str {
        self.segments.last().unwrap_or(&self.root)
    }

    /// The path with more segments at its end.
    #[must_use]
    pub fn join(mut self, segments: impl IntoIterator<Item = String>) -> Self {
        self.segments.extend(segments);
        self
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/{}", self.namespace.name(), self.root)?;
        for segment in &self.segments {
            write!(f, "/{segment}")?;
        }
        if self.slash { f.write_str("/") } else { Ok(()) }
    }
}

/// The segments of a path without empty ones, `.`, and what a `..` takes away.
fn clean(text: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    for segment in text.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    const V0: &str = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD";

    fn parse(text: &str) -> String {
        Path::parse(text).map_or_else(|e| format!("! {}", e.reason), |p| p.to_string())
    }

    #[test]
    fn all_forms_are_read() {
        for (text, path) in [
            (format!("/ipfs/{V0}"), format!("/ipfs/{V0}")),
            (V0.into(), format!("/ipfs/{V0}")),
            (format!("{V0}/a//b/./c/"), format!("/ipfs/{V0}/a/b/c/")),
            (format!("{V0}/a/../b"), format!("/ipfs/{V0}/b")),
            (format!("ipfs://{V0}/a%20b"), format!("/ipfs/{V0}/a%20b")),
            (format!("IPFS:{V0}"), format!("/ipfs/{V0}")),
            ("ipns://example.com/x".into(), "/ipns/example.com/x".into()),
            (format!("/ipld/{V0}/Links/0"), format!("/ipld/{V0}/Links/0")),
            (format!("{V0}/ü:x"), format!("/ipfs/{V0}/ü:x")),
        ] {
            assert_eq!(parse(&text), path, "{text}");
        }
    }

    #[test]
    fn the_rest_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "path does not have enough components"),
            ("nope", "path does not have enough components"),
            ("/ipfs", "path does not have enough components"),
            ("/ipfs/..", "path does not have enough components"),
            ("/foo/bar", "unknown namespace: \"foo\""),
            ("/ipfs/foo", "invalid cid \"foo\""),
        ] {
            let error = Path::parse(text).expect_err(text);
            assert!(error.reason.starts_with(reason), "{text}: {}", error.reason);
        }
    }

    #[test]
    fn the_root_may_not_be_climbed_out_of() {
        assert!(Path::parse(&format!("/ipfs/{V0}/../../etc")).is_err());
        // As in Kubo: what is left after cleaning is read again.
        assert_eq!(parse(&format!("/ipfs/x/../{V0}")), format!("/ipfs/{V0}"));
    }
}
