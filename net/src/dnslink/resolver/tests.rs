//! Against a DNS server of this process, on loopback.

use super::*;
use crate::dnslink::lookup;
use serde_json::json;
use tokio::net::UdpSocket;

fn config(resolvers: serde_json::Value) -> Result<DnsConfig, ConfigError> {
    let mut config = Config::defaults("", "");
    config.set("DNS.Resolvers", resolvers)?;
    DnsConfig::load(&config)
}

/// Answers every question for TXT records of `_dnslink.site.example` with these texts, others with "no such name".
async fn server(texts: &'static [&'static str]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let reply = answer(&buffer[..len], texts);
            if socket.send_to(&reply, from).await.is_err() {
                break;
            }
        }
    });
    address
}

/// A reply of RFC 1035 to a query with one question.
fn answer(query: &[u8], texts: &[&str]) -> Vec<u8> {
    let labels = query[12..].iter().position(|byte| *byte == 0).expect("a question") + 12;
    let question = &query[12..labels + 5];
    let known = question.to_ascii_lowercase().starts_with(b"\x08_dnslink\x04site\x07example\0");
    let texts = if known { texts } else { &[] };
    let mut out = query[..2].to_vec();
    // A response, recursion desired and available; 3 is "no such name".
    out.extend([0x81, if known { 0x80 } else { 0x83 }, 0, 1, 0, texts.len() as u8, 0, 0, 0, 0]);
    out.extend_from_slice(question);
    for text in texts {
        // The name of the question, TXT, IN, a TTL of 77 seconds.
        out.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 77]);
        let strings: Vec<u8> = text.as_bytes().chunks(20).flat_map(|s| [&[s.len() as u8], s].concat()).collect();
        out.extend((strings.len() as u16).to_be_bytes());
        out.extend(strings);
    }
    out
}

async fn ask(texts: &'static [&'static str], name: &str) -> Result<(String, Duration), String> {
    let address = server(texts).await;
    let config = config(json!({".": format!("dns://{address}")})).expect("a configuration");
    let target = lookup(&Resolver::new(config), name).await.map_err(|e| e.to_string())?;
    Ok((target.path.to_string(), target.ttl))
}

#[tokio::test]
async fn a_link_is_found_with_its_sub_path_and_its_ttl() {
    let (path, ttl) =
        ask(&["v=spf1 -all", "dnslink=/ipfs/bafkqaaa/a/b"], "Site.Example.").await.expect("there is a link");
    assert_eq!(path, "/ipfs/bafkqaaa/a/b");
    assert!(ttl <= Duration::from_secs(77) && ttl > Duration::from_secs(60), "{ttl:?}");
}

#[tokio::test]
async fn no_link_and_two_links_are_errors() {
    let missing = ask(&["v=spf1 -all"], "site.example").await.expect_err("no link");
    assert!(missing.contains("could not find a TXT record"), "{missing}");
    let unknown = ask(&[], "other.example").await.expect_err("no such domain");
    assert!(unknown.contains("could not find a TXT record"), "{unknown}");
    let two = ask(&["dnslink=/ipfs/bafkqaaa", "dnslink=/ipns/a.example"], "site.example").await.expect_err("two");
    assert!(two.contains("more than one"), "{two}");
}

#[tokio::test]
async fn servers_that_fail_are_read_anew_once_they_are_old() {
    let address = server(&[]).await;
    let config = config(json!({".": format!("dns://{address}")})).expect("a configuration");
    let resolver = Resolver::new(config);
    let made = async |failed, now| resolver.resolver("site.example.", failed, now).await.expect("nothing is asked").1;
    let (start, later) = (Instant::now(), Instant::now() + NEW);
    assert_eq!(made(None, start).await, start);
    assert_eq!(made(Some(start), later - Duration::from_secs(1)).await, start, "new");
    assert_eq!(made(None, later).await, start, "nobody says that it fails");
    assert_eq!(made(Some(start), later).await, later);
    assert_eq!(made(Some(start), later + NEW).await, later, "another caller had it made");
}

#[test]
fn the_longest_suffix_counts() {
    let config = config(json!({
        ".": "auto",
        "eth.": "https://dns.example/dns-query",
        "special.eth": "dns://127.0.0.1:5353",
    }));
    let config = config.expect("a configuration");
    let server = |name: &str| config.server(name).map(|at| config.servers[at].1.clone());
    assert_eq!(server("example.com"), Some(Server::System));
    assert!(matches!(server("vitalik.eth."), Some(Server::Https { .. })));
    assert!(matches!(server("a.Special.ETH"), Some(Server::Plain(_))));
    // A suffix is whole labels.
    assert_eq!(server("meth"), Some(Server::System));
}

#[test]
fn urls_are_read_or_refused_with_the_key() {
    let https = |host: &str, port, path: &str| Server::Https { host: host.into(), port, path: path.into() };
    for (url, server) in [
        ("https://dns.example", https("dns.example", 443, "/dns-query")),
        ("https://dns.example:8443/q/x", https("dns.example", 8443, "/q/x")),
        ("https://[::1]:8443/", https("::1", 8443, "/dns-query")),
        ("https://[::1]/q", https("::1", 443, "/q")),
        ("dns://127.0.0.1", Server::Plain(([127, 0, 0, 1], 53).into())),
        ("auto", Server::System),
    ] {
        assert_eq!(Server::parse(url), Ok(server), "{url}");
    }
    for bad in ["http://dns.example", "dns.example", "https://", "https://x:y/", "https://u@h/", "dns://example.com"] {
        let error = config(json!({"eth.": bad})).expect_err(bad).to_string();
        assert!(error.starts_with("DNS.Resolvers.eth.: "), "{error}");
    }
}
