//! Who may ask: the rules that keep web pages away from the node of whoever looks at them.
//!
//! A browser sends `Origin` or `Referer` with every POST of a page; both have to be on the list. A request that says
//! it comes from a browser and has neither is refused. The name in `Host` has to be one under which the node is known,
//! since a page's own name can be made to lead to 127.0.0.1 (DNS rebinding).

use cairn_store::config::Config;
use hyper::http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{self, HOST, ORIGIN, REFERER, USER_AGENT},
};
use std::net::IpAddr;

/// Origins of the node itself; `<port>` is its own.
const OWN: [&str; 6] = [
    "http://127.0.0.1:<port>",
    "https://127.0.0.1:<port>",
    "http://[::1]:<port>",
    "https://[::1]:<port>",
    "http://localhost:<port>",
    "https://localhost:<port>",
];
/// The browser extension IPFS Companion, released and beta.
const COMPANION: [&str; 2] =
    ["chrome-extension://nibjojkomfdiaoajekhjakgkdhaomnch", "chrome-extension://hjoieblefckbooibpepigmacodalfndh"];
/// Headers that a page may send.
const MAY_SEND: [&str; 5] = ["accept", "authorization", "content-type", "origin", "x-requested-with"];
/// Headers that a page may read.
pub const MAY_READ: &str = "X-Stream-Output, X-Chunked-Output, X-Content-Length";

/// The rules, from `API.HTTPHeaders` and the address of a listener.
#[derive(Debug, Clone)]
pub struct Rules {
    origins: Vec<String>,
    any: bool,
    hosts: Vec<String>,
    methods: Vec<String>,
    credentials: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Rules {
    /// Reads the rules. `port` is that of the listener, if it has one; `names` are those under which it is addressed.
    ///
    /// # Errors
    /// When a header can't be sent.
    pub fn new(config: &Config, port: Option<u16>, names: &[String]) -> anyhow::Result<Self> {
        let mut rules = Self {
            origins: Vec::new(),
            any: false,
            hosts: names.to_vec(),
            methods: vec!["POST".into()],
            credentials: false,
            headers: Vec::new(),
        };
        let configured = config.get("API.HTTPHeaders").ok().and_then(serde_json::Value::as_object);
        for (name, values) in configured.into_iter().flatten() {
            let values = values.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
            match name.to_ascii_lowercase().as_str() {
                "access-control-allow-origin" => rules.origins.extend(values.map(str::to_owned)),
                "access-control-allow-methods" => rules.methods.extend(values.map(str::to_ascii_uppercase)),
                "access-control-allow-credentials" => rules.credentials = values.into_iter().any(|v| v == "true"),
                lower => {
                    let wrong = |_| anyhow::anyhow!("API.HTTPHeaders: {name} can't be sent as a header");
                    let header: HeaderName = lower.parse().map_err(|_| wrong(()))?;
                    for value in values {
                        rules.headers.push((header.clone(), value.parse().map_err(|_| wrong(()))?));
                    }
                }
            }
        }
        rules.hosts.extend(rules.origins.iter().filter_map(|origin| host_of_origin(origin)));
        rules.any = rules.origins.iter().any(|origin| origin == "*");
        let port = port.map(|p| p.to_string()).unwrap_or_default();
        rules.origins.extend(OWN.iter().map(|origin| origin.replace("<port>", &port)));
        rules.origins.extend(COMPANION.map(str::to_owned));
        Ok(rules)
    }

    /// Whether a request may be answered.
    pub fn allow(&self, method: &Method, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).map(|v: &HeaderValue| v.to_str().unwrap_or("?"));
        let (origin, referer) = (text(ORIGIN), text(REFERER).filter(|r| !r.is_empty()));
        if let Some(origin) = origin.filter(|o| !o.is_empty())
            && !self.knows(origin)
        {
            return false;
        }
        if let Some(referer) = referer
            && !origin_of_url(referer).is_some_and(|origin| self.knows(&origin))
        {
            return false;
        }
        if method == Method::POST && origin.is_none() && referer.is_none() {
            let agent = text(USER_AGENT).unwrap_or_default();
            // Electron's renderer sends neither, and is no page of a stranger.
            return !agent.starts_with("Mozilla") || agent.contains("Electron");
        }
        true
    }

    fn knows(&self, origin: &str) -> bool {
        self.any || self.origins.iter().any(|known| known == origin)
    }

    /// Whether the name in `Host` is one of the node's. Numbers are: nobody's page has them for a name.
    pub fn allow_host(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(HOST) else { return true };
        let Ok(host) = host.to_str() else { return false };
        let name = without_port(host).to_ascii_lowercase();
        let name = name.trim_end_matches('.');
        self.any
            || name == "localhost"
            || name.ends_with(".localhost")
            || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            || self.hosts.iter().any(|known| known == name)
    }

    /// Headers of every answer: those of the configuration, and those that let a page read it.
    pub fn decorate(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        for (name, value) in &self.headers {
            answer.append(name, value.clone());
        }
        let Some(origin) = request.get(ORIGIN).filter(|o| o.to_str().is_ok_and(|o| self.knows(o))) else { return };
        let everybody = self.any && !self.credentials;
        let allowed = if everybody { HeaderValue::from_static("*") } else { origin.clone() };
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        if self.credentials {
            answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// Answers what a browser asks before it lets a page ask (CORS preflight).
    pub fn preflight(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        let text = |name| request.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).unwrap_or_default();
        let method = text(header::ACCESS_CONTROL_REQUEST_METHOD).to_ascii_uppercase();
        let wanted = text(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let mut names = wanted.split(',').map(|n| n.trim().to_ascii_lowercase()).filter(|n| !n.is_empty());
        if !self.knows(text(ORIGIN)) || !self.methods.contains(&method) || !names.all(|n| MAY_SEND.contains(&n.as_str())) {
            return;
        }
        self.decorate(request, answer);
        if let Ok(method) = HeaderValue::from_str(&method) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method);
        }
        if let (false, Ok(wanted)) = (wanted.is_empty(), HeaderValue::from_str(wanted)) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        }
    }
}

/// Scheme and authority of a URL: `http://localhost:5001`.
fn origin_of_url(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(format!("{scheme}://{authority}"))
}

fn host_of_origin(origin: &str) -> Option<String> {
    let (_, authority) = origin.split_once("://")?;
    let host = without_port(authority).to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(headers: &str) -> Rules {
        let text = format!(r#"{{"API": {{"HTTPHeaders": {headers}}}}}"#);
        Rules::new(&Config::parse(text.as_bytes()).expect("JSON"), Some(5001), &["node.example".into()]).expect("rules")
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().expect("a value"));
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn pages_are_refused_unless_listed() {
        let rules = rules(r#"{"Access-Control-Allow-Origin": ["https://app.example"]}"#);
        for (fine, pairs) in [
            (true, &[][..]),
            (true, &[("user-agent", "curl/8")]),
            (false, &[("user-agent", "Mozilla/5.0")]),
            (true, &[("user-agent", "Mozilla/5.0 Electron/9")]),
            (true, &[("user-agent", "Mozilla/5.0"), ("origin", "http://localhost:5001")]),
            (false, &[("origin", "http://localhost:5002")]),
            (true, &[("origin", "https://app.example")]),
            (false, &[("origin", "https://app.example.evil")]),
            (false, &[("origin", "null")]),
            (true, &[("referer", "https://app.example/page?x")]),
            (false, &[("referer", "https://evil.example/http://localhost:5001")]),
            (false, &[("origin", "http://localhost:5001"), ("referer", "http://evil/")]),
            (true, &[("origin", "chrome-extension://nibjojkomfdiaoajekhjakgkdhaomnch")]),
        ] {
            assert_eq!(rules.allow(&Method::POST, &headers(pairs)), fine, "{pairs:?}");
        }
    }

    #[test]
    fn a_page_whose_name_leads_here_is_refused() {
        let rules = rules(r#"{"Access-Control-Allow-Origin": ["https://app.example:8443"]}"#);
        for (fine, host) in [
            (true, "127.0.0.1:5001"),
            (true, "[::1]:5001"),
            (true, "192.168.1.2"),
            (true, "localhost:5001"),
            (true, "LOCALHOST"),
            (true, "node.example:5001"),
            (true, "app.example"),
            (false, "evil.example:5001"),
            (false, "127.0.0.1.evil.example"),
            (false, "localhost.evil.example:80"),
            (false, ""),
        ] {
            assert_eq!(rules.allow_host(&headers(&[("host", host)])), fine, "{host:?}");
        }
    }

    #[test]
    fn a_preflight_is_answered_for_listed_pages_only() {
        let rules = rules(r#"{"Access-Control-Allow-Methods": ["PUT"], "X-Special": ["so special :)"]}"#);
        let ask = |origin, method| {
            let mut answer = HeaderMap::new();
            let pairs = [("origin", origin), ("access-control-request-method", method)];
            rules.preflight(&headers(&pairs), &mut answer);
            answer
        };
        let answer = ask("http://127.0.0.1:5001", "POST");
        assert_eq!(answer["access-control-allow-origin"], "http://127.0.0.1:5001");
        assert_eq!(answer["access-control-allow-methods"], "POST");
        assert_eq!(answer["x-special"], "so special :)");
        assert!(ask("http://127.0.0.1:5001", "PUT").contains_key("access-control-allow-origin"));
        assert!(ask("http://evil", "POST").is_empty() && ask("http://127.0.0.1:5001", "DELETE").is_empty());
    }
}
