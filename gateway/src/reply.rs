//! Putting a response together: entity tags, caching, names of downloads.

use crate::{body::Body, format::Format, problem::Problem, query};
use cairn_store::{
    Cid,
    path::{Namespace, Path},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        LAST_MODIFIED, LOCATION, X_CONTENT_TYPE_OPTIONS,
    },
};
use std::{
    fmt::Write as _,
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Content under a CID never changes.
pub const IMMUTABLE: &str = "public, max-age=29030400, immutable";
/// Pages about content change with the program: a week, and a month while a newer one is fetched.
const PAGE: &str = "public, max-age=604800, stale-while-revalidate=2678400";

/// A response that is being put together.
#[derive(Debug, Default)]
pub struct Reply {
    /// Headers so far.
    pub headers: HeaderMap,
}

/// A header's value; control characters, which none may hold, are percent-encoded.
pub fn value(text: &str) -> HeaderValue {
    if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
        return value;
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            let _ = write!(safe, "%{:02X}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    HeaderValue::from_bytes(safe.as_bytes()).unwrap_or(HeaderValue::from_static(""))
}

impl Reply {
    /// Sets a header.
    pub fn set(&mut self, name: HeaderName, text: &str) -> &mut Self {
        self.headers.insert(name, value(text));
        self
    }

    /// The entity tag so far.
    pub fn etag(&self) -> &str {
        self.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default()
    }

    /// Sets how long content may be kept: for good if its path is immutable, else as long as the name's answer.
    pub fn cache(&mut self, path: &Path, ttl: Option<Duration>) -> &mut Self {
        if let Some(text) = content_cache(path, ttl) {
            self.set(CACHE_CONTROL, &text);
        }
        self
    }

    /// Sets when content changed last: what its author says, or now if only its name may change.
    pub fn modified(&mut self, path: &Path, time: Option<SystemTime>) -> Option<SystemTime> {
        let mutable = path.namespace() == Namespace::Ipns;
        let time = time.or_else(|| mutable.then(SystemTime::now)).filter(|&time| time > UNIX_EPOCH);
        if let Some(time) = time {
            self.set(LAST_MODIFIED, &httpdate::fmt_http_date(time));
        }
        time
    }

    /// Sets a download's name.
    pub fn disposition(&mut self, kind: &str, name: &str) -> &mut Self {
        let ascii: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
        let (ascii, utf8) = (query::encode_value(&ascii), query::encode_value(name));
        self.set(CONTENT_DISPOSITION, &format!("{kind}; filename=\"{ascii}\"; filename*=UTF-8''{utf8}"))
    }

    /// Sets the media type; `sniff` says whether a browser may guess another one.
    pub fn media_type(&mut self, media_type: &str, sniff: bool) -> &mut Self {
        if !sniff {
            self.set(X_CONTENT_TYPE_OPTIONS, "nosniff");
        }
        self.set(CONTENT_TYPE, media_type)
    }

    /// Sets what tells a client that it may ask for ranges, and which one this is.
    pub fn range(&mut self, range: Option<&Range<u64>>, size: u64) -> &mut Self {
        if let Some(range) = range {
            self.set(CONTENT_RANGE, &format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1)));
        }
        let length = range.map_or(size, |range| range.end - range.start);
        self.set(ACCEPT_RANGES, "bytes").set(CONTENT_LENGTH, &length.to_string())
    }

    /// The response.
    pub fn send(self, status: StatusCode, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = self.headers;
        response
    }

    /// 301 to where the content is, with what is known of it so far.
    pub fn redirect(self, location: &str) -> Response<Body> {
        let mut response = redirect(StatusCode::MOVED_PERMANENTLY, location);
        response.headers_mut().extend(self.headers);
        response
    }

    /// 304: what the client has still holds.
    pub fn not_modified(mut self) -> Response<Body> {
        for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_DISPOSITION] {
            self.headers.remove(name);
        }
        if self.headers.contains_key(ETAG) {
            self.headers.remove(LAST_MODIFIED);
        }
        self.send(StatusCode::NOT_MODIFIED, Body::empty())
    }
}

/// A redirect, with a line for those who read it.
pub fn redirect(status: StatusCode, location: &str) -> Response<Body> {
    let mut reply = Reply::default();
    reply.set(LOCATION, location).media_type("text/plain; charset=utf-8", false);
    reply.send(status, Body::full(format!("{}: {location}\n", status.canonical_reason().unwrap_or_default())))
}

/// A TTL in whole seconds: a part of one is rounded up, since an answer that was kept for a moment is as good as new.
fn seconds(ttl: Duration) -> u64 {
    ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)
}

/// `Cache-Control` of content: `None` where nothing is known.
pub fn content_cache(path: &Path, ttl: Option<Duration>) -> Option<String> {
    match (path.namespace(), ttl) {
        (Namespace::Ipns, Some(ttl)) if seconds(ttl) > 0 => Some(format!("public, max-age={}", seconds(ttl))),
        (Namespace::Ipns, _) => None,
        _ => Some(IMMUTABLE.to_owned()),
    }
}

/// `Cache-Control` of a page that was made of a directory.
pub fn page_cache(path: &Path, ttl: Option<Duration>) -> Option<String> {
    match (path.namespace(), ttl) {
        (Namespace::Ipns, Some(ttl)) if seconds(ttl) > 0 => {
            Some(format!("public, max-age={}, stale-while-revalidate=2678400", seconds(ttl)))
        }
        (Namespace::Ipns, _) => None,
        _ => Some(PAGE.to_owned()),
    }
}

/// The entity tag of a block or file in a form; CARs and records have tags of their own.
pub fn etag(cid: &Cid, format: Option<Format>) -> String {
    match format.or_else(|| Format::of_codec(cid.codec())) {
        None => format!("\"{cid}\""),
        // Its bytes may differ from one version of the program to the next.
        Some(Format::Tar) => format!("W/\"{cid}.x-tar\""),
        Some(format) => {
            let media_type = format.media_type();
            let short = media_type.rfind(['/', '.']).map_or(media_type, |at| &media_type[at + 1..]);
            format!("\"{cid}.{short}\"")
        }
    }
}

/// 412, as text.
pub fn precondition_failed() -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "the content is not what the request's conditions name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_rounded_up() {
        let path = Path::parse("/ipns/example.com").expect("a path");
        let of = |ttl: Duration| content_cache(&path, Some(ttl));
        assert_eq!(of(Duration::from_millis(599_001)).as_deref(), Some("public, max-age=600"));
        assert_eq!(of(Duration::from_secs(600)).as_deref(), Some("public, max-age=600"));
        assert_eq!(of(Duration::ZERO), None);
        let page = page_cache(&path, Some(Duration::from_millis(599_001)));
        assert!(page.is_some_and(|text| text.starts_with("public, max-age=600,")));
    }
}
