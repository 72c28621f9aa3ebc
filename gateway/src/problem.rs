//! Why a request is not answered with what it asks for, and the one place that says which status that is.

use crate::{condition::RangeError, format::FormatError, label::LabelError};
use cairn_store::{
    Cid,
    fetch::FetchError,
    names::NameError,
    path::PathError,
    resolve::ResolveError,
    unixfs::{ReadError, archive::ArchiveError},
};
use http::{HeaderName, HeaderValue, StatusCode};
use std::borrow::Cow;

/// A response that is an error.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Status.
    pub status: StatusCode,
    /// What happened, to what.
    pub message: String,
    /// The block that could not be had.
    pub missing: Option<Box<Cid>>,
    /// Headers besides those of every response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A status and a sentence.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), missing: None, headers: Vec::new() }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 500.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// Says before the message what was tried.
    #[must_use]
    pub fn context(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// What to try.
    pub fn hints(&self) -> Vec<Cow<'static, str>> {
        let hints: &[&str] = match self.status {
            StatusCode::GATEWAY_TIMEOUT => &[
                "Try again: a node that has the content may be away for the moment.",
                "Ask whoever published it to keep a node with it online.",
            ],
            StatusCode::NOT_FOUND if self.missing.is_some() => &[
                "This gateway serves what its own node has. Fetch the content there first, for example with “cairn pin add”.",
            ],
            StatusCode::NOT_FOUND => {
                &["Check the path: names in it are told apart by upper and lower case.", "Look into the folder above."]
            }
            StatusCode::BAD_REQUEST => &["Check the address: a CID must be copied whole."],
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                &["Try again in a minute.", "Run a node of your own."]
            }
            StatusCode::NOT_ACCEPTABLE | StatusCode::NOT_IMPLEMENTED => {
                &["Fetch the block as it is, with “?format=raw”."]
            }
            _ => &[],
        };
        hints.iter().map(|&hint| Cow::Borrowed(hint)).collect()
    }

    /// Whether it means that nothing has that path, so that `_redirects` may say what to do; what there is, and is missing
    /// here, is no reason for that.
    pub fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.missing.is_none()
    }
}

impl From<FetchError> for Problem {
    fn from(error: FetchError) -> Self {
        let (status, missing) = match &error {
            FetchError::NotFound(cid) => (StatusCode::NOT_FOUND, Some(cid.clone())),
            FetchError::TimedOut(cid) => (StatusCode::GATEWAY_TIMEOUT, Some(cid.clone())),
            FetchError::Denied { legal: true, .. } => (StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS, None),
            FetchError::Denied { legal: false, .. } => (StatusCode::GONE, None),
            FetchError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        Self { missing, ..Self::new(status, error.to_string()) }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Fetch(error) => error.into(),
            ReadError::NotUnixfs { .. } => Self::new(StatusCode::NOT_ACCEPTABLE, error.to_string()),
            // Whoever made the content made a mistake, and asking again won't help.
            other => Self::internal(other.to_string()),
        }
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        let status = match &error {
            NameError::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
            // As deployed gateways answer: the name may be there, and whoever knows it may be away.
            NameError::Offline(_) | NameError::NotFound(_) | NameError::Invalid { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, error.to_string())
    }
}

impl From<ResolveError> for Problem {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Fetch(error) => error.into(),
            ResolveError::Read(error) => error.into(),
            ResolveError::Name(error) => error.into(),
            ResolveError::NoLink { .. } | ResolveError::Select(_) => Self::not_found(error.to_string()),
            ResolveError::TooManyNames(_) => Self::bad_request(error.to_string()),
            ResolveError::InsideBlock { .. } => Self::new(StatusCode::NOT_IMPLEMENTED, error.to_string()),
            ResolveError::Dag(_) => Self::internal(error.to_string()),
        }
    }
}

impl From<ArchiveError> for Problem {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Read(error) => error.into(),
            other => Self::internal(other.to_string()),
        }
    }
}

impl From<PathError> for Problem {
    fn from(error: PathError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<LabelError> for Problem {
    fn from(error: LabelError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<FormatError> for Problem {
    fn from(error: FormatError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<RangeError> for Problem {
    fn from(error: RangeError) -> Self {
        let status = match error {
            RangeError::Malformed => StatusCode::BAD_REQUEST,
            RangeError::Beyond => StatusCode::RANGE_NOT_SATISFIABLE,
        };
        Self::new(status, error.to_string())
    }
}
