//! Requests as to an HTTP proxy, for browsers whose proxy the gateway is: the absolute form and CONNECT (RFC 9110 §9.3.6,
//! RFC 9112 §3.2), also in HTTP/1.0. The gateway answers them itself and connects to nobody.

use crate::world::{HELLO, World};
use cairn_tests::http::{self, Client, Request, Response};
use std::{io, net::TcpListener};

/// How a request comes.
const WAYS: [&str; 5] = ["origin", "absolute", "absolute, another Host", "absolute, 1.0", "tunnel"];

/// What is asked, and what must come: a URL without its scheme, the status, a location, a body.
struct Asked {
    url: String,
    status: u16,
    location: Option<String>,
    body: Option<&'static str>,
}

/// Sends a GET of `host/path` in one of the ways.
fn send(w: &World, way: &str, url: &str) -> io::Result<Response> {
    let (host, path) = url.split_once('/').unwrap_or((url, ""));
    let origin = Request::new("GET", format!("/{path}")).host(host);
    let absolute = Request::new("GET", format!("http://{host}/{path}")).host(host);
    match way {
        "origin" => http::send(w.address(), &origin),
        "absolute" => http::send(w.address(), &absolute),
        // The target counts, not the header.
        "absolute, another Host" => http::send(w.address(), &absolute.host("127.0.0.1")),
        "absolute, 1.0" => http::send(w.address(), &Request { version: "1.0", ..absolute }),
        _ => {
            let mut client = Client::connect(w.address())?;
            let target = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
            let opened = client.send(&Request { keep: true, ..Request::new("CONNECT", &target).host(&target) })?;
            if opened.status != 200 {
                return Ok(opened);
            }
            client.send(&origin)
        }
    }
}

#[test]
fn every_way_gives_the_same() {
    let w = World::get();
    let (root, file) = (w.cid("files"), w.cid("files/hello.txt"));
    let local = format!("localhost:{}", w.port());
    let body = |url: String| Asked { url, status: 200, location: None, body: Some(HELLO) };
    let to = |url: String, to: String| Asked { url, status: 301, location: Some(to), body: None };
    let status = |url: String, status: u16| Asked { url, status, location: None, body: None };
    let asked = [
        body(format!("127.0.0.1:{}/ipfs/{file}", w.port())),
        body(format!("{file}.ipfs.{local}/")),
        body(format!("{root}.ipfs.{local}/hello.txt")),
        body(format!("{root}.ipfs.example.com/hello.txt")),
        body(format!("{}.ipns.{local}/hello.txt", w.site_key.name())),
        body(format!("dnslink.test.ipns.{local}/hello.txt")),
        body("dnslink.test/hello.txt".to_owned()),
        to(format!("{local}/ipfs/{file}"), format!("http://{file}.ipfs.{local}/")),
        to(format!("{local}/ipfs/{root}/sub?a=b"), format!("http://{root}.ipfs.{local}/sub?a=b")),
        to(format!("{local}/ipfs/{}", w.v0.0), format!("http://{}.ipfs.{local}/", w.v0.1)),
        to(format!("{local}/ipns/{}", w.site_key.peer_id()), format!("http://{}.ipns.{local}/", w.site_key.name())),
        to(format!("example.com/ipfs/{file}"), format!("http://{file}.ipfs.example.com/")),
        to(format!("{root}.ipfs.{local}/sub"), "/sub/".to_owned()),
        status(format!("{root}.ipfs.{local}/ipfs/{file}"), 404),
        status(format!("{root}.ipfs.{local}/no-such"), 404),
        status(format!("{local}/ipfs/{}", w.too_long), 400),
    ];
    let mut failed = Vec::new();
    for asked in &asked {
        for way in WAYS {
            let name = format!("proxy, {way}: {}", asked.url);
            match send(w, way, &asked.url) {
                Ok(response) => {
                    let right = response.status == asked.status
                        && asked.location.as_deref().is_none_or(|to| response.header("location") == Some(to))
                        && asked.body.is_none_or(|body| response.text() == body);
                    if !right {
                        let wanted = (asked.status, &asked.location, asked.body);
                        failed.push(format!("{name}\n  wanted: {wanted:?}\n  got: {}", response.describe()));
                    }
                }
                Err(error) => failed.push(format!("{name}: {error}")),
            }
        }
    }
    let all = asked.len() * WAYS.len();
    assert!(failed.is_empty(), "{} of {all} fail:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn https_in_the_target_stays() {
    let w = World::get();
    let file = w.cid("files/hello.txt");
    let request = Request::new("GET", format!("https://example.com/ipfs/{file}")).host("example.com");
    let response = http::send(w.address(), &request).expect("an answer");
    let wanted = format!("https://{file}.ipfs.example.com/");
    assert_eq!(response.header("location"), Some(&*wanted), "{}", response.describe());
}

#[test]
fn a_tunnel_carries_many_requests() {
    let w = World::get();
    let root = w.cid("files");
    let host = format!("{root}.ipfs.localhost:{}", w.port());
    let mut client = Client::connect(w.address()).expect("it listens");
    let connect = Request { keep: true, ..Request::new("CONNECT", &host).host(&host) };
    let opened = client.send(&connect).expect("an answer");
    assert_eq!(opened.status, 200, "{}", opened.describe());
    for (target, wanted) in [("/hello.txt", HELLO), ("/sub/ascii.txt", "ascii\n"), ("/ipfs/file.txt", "below ipfs\n")] {
        let request = Request { keep: true, ..Request::new("GET", target).host(&host) };
        let response = client.send(&request).expect("the tunnel stays open");
        assert_eq!(response.text(), wanted, "{}", response.describe());
    }
}

/// Somebody else's server, to which a gateway must not connect: it would be a way into networks that a stranger can't
/// reach.
#[test]
fn nobody_is_connected_to() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    other.set_nonblocking(true).expect("a socket");
    let target = other.local_addr().expect("bound").to_string();
    let w = World::get();
    for way in WAYS {
        let response = send(w, way, &format!("{target}/private")).expect("an answer");
        assert!(response.status >= 400, "{way}: {}", response.describe());
        let heard = other.accept().map(|(_, from)| from);
        assert!(
            heard.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock),
            "{way}: the gateway connected to {target}"
        );
    }
}
