//! The headers of every response: CORS, and the configured.

use crate::reply;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS,
    },
};
use std::collections::BTreeSet;

/// Headers of requests that pages of any origin may send, besides those of the configuration.
const ALLOWED: [&str; 4] = ["Content-Type", "Range", "User-Agent", "X-Requested-With"];
/// Headers of responses that such pages may read.
const EXPOSED: [&str; 6] =
    ["Content-Length", "Content-Range", "X-Chunked-Output", "X-Ipfs-Path", "X-Ipfs-Roots", "X-Stream-Output"];

/// The headers of every response: CORS, so that pages of any origin may read what anybody may read, and the configured.
pub fn headers(configured: &[(HeaderName, HeaderValue)]) -> HeaderMap {
    let mut headers: HeaderMap = HeaderMap::new();
    for (name, value) in configured {
        headers.append(name.clone(), value.clone());
    }
    if !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    if !headers.contains_key(ACCESS_CONTROL_ALLOW_METHODS) {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            headers.append(ACCESS_CONTROL_ALLOW_METHODS, reply::value(method.as_str()));
        }
    }
    for (name, ours) in [(ACCESS_CONTROL_ALLOW_HEADERS, &ALLOWED[..]), (ACCESS_CONTROL_EXPOSE_HEADERS, &EXPOSED[..])] {
        let configured: Vec<String> =
            headers.get_all(&name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect();
        headers.remove(&name);
        let known = |text: &str| ours.iter().any(|our| our.eq_ignore_ascii_case(text));
        let all: BTreeSet<String> =
            ours.iter().map(|&our| our.to_owned()).chain(configured.into_iter().filter(|text| !known(text))).collect();
        for text in all {
            headers.append(name.clone(), reply::value(&text));
        }
    }
    headers
}
