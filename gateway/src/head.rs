//! The head of a request, read once.

use crate::{condition, query::Query};
use http::{HeaderMap, HeaderName, Method, header::HOST, request::Parts, uri::Scheme};
use percent_encoding::percent_decode_str;
use std::net::IpAddr;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The head of a request.
#[derive(Debug, Clone)]
pub struct Head {
    /// GET, HEAD, …
    pub method: Method,
    /// The path as it came.
    pub raw_path: String,
    /// The path, decoded.
    pub path: String,
    /// The query as it came, without `?`.
    pub raw_query: Option<String>,
    /// The query, decoded.
    pub query: Query,
    /// All headers.
    pub headers: HeaderMap,
    /// The host that the client means, with its port: as a proxy before this gateway says, or as the request does.
    pub host: String,
    /// Whether a proxy before this gateway says that the client speaks HTTPS.
    pub https: bool,
    /// Who asks.
    pub client: IpAddr,
}

fn stated(parts: &Parts, name: HeaderName) -> Option<String> {
    condition::text(&parts.headers, name).filter(|text| !text.is_empty())
}

/// The host that a request means, with its port: as a proxy before this gateway says, or as the request does.
pub fn host(parts: &Parts) -> String {
    // A request to a proxy names the host in its first line, which then counts (RFC 9112, section 3.2.2).
    stated(parts, FORWARDED_HOST)
        .or_else(|| parts.uri.authority().map(|authority| authority.as_str().to_owned()))
        .or_else(|| stated(parts, HOST))
        .unwrap_or_default()
}

impl Head {
    /// Reads a head. `None` if the path, decoded, is no UTF-8, which no path of content is.
    pub fn read(parts: &Parts, client: IpAddr) -> Option<Self> {
        let host = host(parts);
        let raw_path = parts.uri.path();
        let raw_path = if raw_path.is_empty() { "/" } else { raw_path };
        let raw_query = parts.uri.query();
        Some(Self {
            method: parts.method.clone(),
            raw_path: raw_path.to_owned(),
            path: percent_decode_str(raw_path).decode_utf8().ok()?.into_owned(),
            raw_query: raw_query.map(str::to_owned),
            query: raw_query.map(Query::parse).unwrap_or_default(),
            headers: parts.headers.clone(),
            host,
            https: stated(parts, FORWARDED_PROTO)
                .map_or(parts.uri.scheme() == Some(&Scheme::HTTPS), |proto| proto.eq_ignore_ascii_case("https")),
            client,
        })
    }

    /// Whether only the head of the response is wanted.
    pub fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Whether whoever asks is a browser that would show a page to somebody.
    pub fn accepts_html(&self) -> bool {
        condition::text(&self.headers, http::header::ACCEPT).is_some_and(|accept| accept.contains("text/html"))
    }

    /// A header as text.
    pub fn text(&self, name: HeaderName) -> Option<String> {
        condition::text(&self.headers, name)
    }

    /// The path without empty segments, `.`, `..` and backslashes, with the query; `None` if it has none of these.
    pub fn clean_path(&self) -> Option<String> {
        let mut clean: Vec<&str> = Vec::new();
        let mut changed = false;
        let segments = self.raw_path.strip_prefix('/').unwrap_or(&self.raw_path);
        let last = segments.split('/').count() - 1;
        for (at, segment) in segments.split('/').enumerate() {
            let dots = segment.replace("%2e", ".").replace("%2E", ".");
            match dots.as_str() {
                "" if at < last => changed = true,
                "." | ".." => {
                    changed = true;
                    if dots == ".." {
                        clean.pop();
                    }
                    if at == last {
                        clean.push("");
                    }
                }
                _ => clean.push(segment),
            }
        }
        let query = self.raw_query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        // Browsers take a backslash for a slash: two of them would name another host.
        changed.then(|| format!("/{}{query}", clean.join("/").replace('\\', "%5C")))
    }

    /// The path with a slash at its end, and the query: where directories are.
    pub fn with_slash(&self) -> String {
        let query = self.raw_query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}/{query}", self.raw_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request as HttpRequest;

    fn head(uri: &str) -> Head {
        let (parts, ()) = HttpRequest::get(uri).header("Host", "h").body(()).expect("a request").into_parts();
        Head::read(&parts, [127, 0, 0, 1].into()).expect("UTF-8")
    }

    #[test]
    fn paths_are_cleaned() {
        for (uri, clean) in [
            ("/ipfs/x/y", None),
            ("/ipfs/x/", None),
            ("/", None),
            ("/ipfs/x/.hidden..", None),
            ("//evil.com/", Some("/evil.com/")),
            ("/ipfs/x//y?a=//b", Some("/ipfs/x/y?a=//b")),
            ("/ipfs/x/./y", Some("/ipfs/x/y")),
            ("/ipfs/x/../y/", Some("/ipfs/y/")),
            ("/ipfs/x/%2E%2e", Some("/ipfs/")),
            ("/../..//", Some("/")),
        ] {
            assert_eq!(head(uri).clean_path().as_deref(), clean, "{uri}");
        }
    }

    #[test]
    fn the_host_is_that_of_the_proxy_then_of_the_first_line() {
        let uri = "http://in.line:8080/x?y";
        let mut request = HttpRequest::get(uri).header("Host", "h").body(()).expect("a request");
        let read = |request: &HttpRequest<()>| {
            Head::read(&request.clone().into_parts().0, [127, 0, 0, 1].into()).expect("UTF-8")
        };
        assert_eq!(read(&request).host, "in.line:8080");
        assert_eq!(read(&request).raw_path, "/x");
        request.headers_mut().insert(FORWARDED_HOST, http::HeaderValue::from_static("proxied"));
        assert_eq!(read(&request).host, "proxied");
        assert!(
            Head::read(&HttpRequest::get("/%ff").body(()).expect("a request").into_parts().0, [127, 0, 0, 1].into())
                .is_none()
        );
    }
}
