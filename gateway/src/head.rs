//! The head of a request, read once.

use crate::{condition, problem::Problem, query::Query};
use http::{HeaderMap, HeaderName, Method, Version, header::HOST, request::Parts, uri::Scheme};
use percent_encoding::percent_decode_str;
use std::net::{IpAddr, Ipv6Addr};

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The head of a request.
#[derive(Debug, Clone)]
pub struct Head {
    /// GET, HEAD, …
    pub method: Method,
    /// The path as it came.
    pub raw_path: String,
    /// The path, decoded; what is no UTF-8 is replaced.
    pub path: String,
    /// Whether nothing of it had to be: a path of content is text.
    pub is_text: bool,
    /// The query as it came, without `?`.
    pub raw_query: Option<String>,
    /// The query, decoded.
    pub query: Query,
    /// All headers.
    pub headers: HeaderMap,
    /// The host that the client means, with its port and without a last dot: as a proxy before this gateway says, or as the
    /// request does.
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
fn host(parts: &Parts) -> Result<String, Problem> {
    // RFC 9112, section 3.2: exactly one, even where the first line names a host too.
    let count = parts.headers.get_all(HOST).iter().count();
    if count > 1 || count == 0 && parts.version == Version::HTTP_11 {
        return Err(Problem::bad_request(format!("a request has one Host header, and this one has {count}")));
    }
    if parts.headers.get_all(&FORWARDED_HOST).iter().count() > 1 {
        return Err(Problem::bad_request("there is more than one X-Forwarded-Host header"));
    }
    // A request to a proxy names the host in its first line, which then counts (RFC 9112, section 3.2.2).
    let named = [
        stated(parts, FORWARDED_HOST),
        parts.uri.authority().map(|authority| authority.as_str().to_owned()),
        stated(parts, HOST),
    ];
    if let Some(wrong) = named.iter().flatten().find(|host| !is_host(host)) {
        return Err(Problem::bad_request(format!("{wrong:?} is no host: write for example example.com:8080")));
    }
    let host = named.into_iter().flatten().next().unwrap_or_default();
    let bare = crate::host::without_port(&host);
    Ok(match bare.strip_suffix('.') {
        // The same host, as DNS writes it.
        Some(name) => format!("{name}{}", &host[bare.len()..]),
        None => host,
    })
}

/// Whether a text is a host, possibly with a port (RFC 3986, section 3.2).
fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => (address.parse::<Ipv6Addr>().is_ok(), after.strip_prefix(':').or(Some(after))),
        None => {
            let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&b);
            (!name.is_empty() && name.bytes().all(allowed), port)
        }
    };
    name && port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

impl Head {
    /// Reads a head.
    ///
    /// # Errors
    /// When it names no host, several, or what is none: 400.
    pub fn read(parts: &Parts, client: IpAddr) -> Result<Self, Problem> {
        let host = host(parts)?;
        let raw_path = parts.uri.path();
        let raw_path = if raw_path.is_empty() { "/" } else { raw_path };
        let raw_query = parts.uri.query();
        let decoded = percent_decode_str(raw_path);
        Ok(Self {
            method: parts.method.clone(),
            raw_path: raw_path.to_owned(),
            path: decoded.clone().decode_utf8_lossy().into_owned(),
            is_text: decoded.decode_utf8().is_ok(),
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

    /// The path without empty segments, `.` and `..`, however they are written, with the query; `None` if it has none of
    /// these. What is decoded must be clean: an escaped slash is one to whoever looks for the segments of a path.
    pub fn clean_path(&self) -> Option<String> {
        let decoded: Vec<u8> = percent_decode_str(&self.raw_path).collect();
        let path = decoded.strip_prefix(b"/").unwrap_or(&decoded);
        let mut clean: Vec<&[u8]> = Vec::new();
        let mut changed = false;
        let mut segments = path.split(|&byte| byte == b'/').peekable();
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            match segment {
                b"" if !last => changed = true,
                b"." | b".." => {
                    changed = true;
                    if segment == b".." {
                        clean.pop();
                    }
                    if last {
                        clean.push(b"");
                    }
                }
                _ => clean.push(segment),
            }
        }
        let query = self.raw_query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        // Browsers take a backslash for a slash, and two of them would name another host: none stays unescaped.
        changed.then(|| format!("/{}{query}", crate::query::encode_path(clean.join(&b'/'))))
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
        Head::read(&parts, [127, 0, 0, 1].into()).expect("a head")
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
            ("/..%2fx", Some("/x")),
            ("/%2e%2E%2Fx/", Some("/x/")),
            ("/a%2f..%2f..%2fb%20c/", Some("/b%20c/")),
            ("/ipfs/x%2f%2fy", Some("/ipfs/x/y")),
            ("/ipfs/x%2fy", None),
            ("/ipfs/x/..%5cy", None),
            ("/./..%5cy", Some("/..%5Cy")),
            ("/ipfs/x/%252e%252e%252fy", None),
            ("/%ff/..%2f%fe", Some("/%FE")),
        ] {
            assert_eq!(head(uri).clean_path().as_deref(), clean, "{uri}");
        }
    }

    #[test]
    fn the_host_is_that_of_the_proxy_then_of_the_first_line() {
        let uri = "http://in.line:8080/x?y";
        let mut request = HttpRequest::get(uri).header("Host", "h").body(()).expect("a request");
        let read = |request: &HttpRequest<()>| {
            Head::read(&request.clone().into_parts().0, [127, 0, 0, 1].into()).expect("a head")
        };
        assert_eq!(read(&request).host, "in.line:8080");
        assert_eq!(read(&request).raw_path, "/x");
        request.headers_mut().insert(FORWARDED_HOST, http::HeaderValue::from_static("proxied"));
        assert_eq!(read(&request).host, "proxied");
        assert!(!head("/%ff").is_text);
    }

    #[test]
    fn a_request_has_one_host() {
        let read = |version: Version, hosts: &[&'static str], forwarded: &[&'static str], uri: &str| {
            let mut parts = HttpRequest::get(uri).version(version).body(()).expect("a request").into_parts().0;
            for (name, values) in [(HOST, hosts), (FORWARDED_HOST, forwarded)] {
                for value in values {
                    parts.headers.append(name.clone(), http::HeaderValue::from_static(value));
                }
            }
            Head::read(&parts, [127, 0, 0, 1].into()).map(|head| head.host).map_err(|problem| problem.status.as_u16())
        };
        let (old, usual, new) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        for (version, hosts, forwarded, uri, expected) in [
            (usual, &["a.b:80"][..], &[][..], "/", Ok("a.b:80")),
            (usual, &["a.b."], &[], "/", Ok("a.b")),
            (usual, &["a.b.:80"], &[], "/", Ok("a.b:80")),
            (usual, &["[::1]:80"], &[], "/", Ok("[::1]:80")),
            (usual, &[""], &[], "/", Ok("")),
            (usual, &[], &[], "/", Err(400)),
            (old, &[], &[], "/", Ok("")),
            (new, &[], &[], "http://a.b/", Ok("a.b")),
            (usual, &["a.b", "c.d"], &[], "/", Err(400)),
            (usual, &["a.b", "a.b"], &[], "/", Err(400)),
            (usual, &[], &[], "http://a.b/", Err(400)),
            (usual, &["a.b c.d"], &[], "/", Err(400)),
            (usual, &["a.b/c"], &[], "/", Err(400)),
            (usual, &["x@a.b"], &[], "/", Err(400)),
            (usual, &["a.b:x"], &[], "/", Err(400)),
            (usual, &["a.b:80:80"], &[], "/", Err(400)),
            (usual, &["[::1"], &[], "/", Err(400)),
            (usual, &["a.b"], &["c.d"], "/", Ok("c.d")),
            (usual, &["a.b"], &["c.d, e.f"], "/", Err(400)),
            (usual, &["a.b"], &["c.d", "e.f"], "/", Err(400)),
            (usual, &["a b"], &["c.d"], "/", Err(400)),
        ] {
            assert_eq!(
                read(version, hosts, forwarded, uri),
                expected.map(str::to_owned),
                "{hosts:?} {forwarded:?} {uri}"
            );
        }
    }
}
