//! Heads of requests that are too large, malformed, or ambiguous, and what stands in their paths.

use crate::world::{World, is_crash};
use cairn_tests::http::Request;

#[test]
fn heads_beyond_measure_are_refused() {
    let w = World::shared();
    let huge = "x".repeat(1 << 20);
    for (what, head, statuses) in [
        ("a long header", format!("GET / HTTP/1.1\r\nHost: x\r\nX-Y: {huge}\r\n\r\n"), [431, 400, 431]),
        ("many headers", format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-Y: z\r\n".repeat(1000)), [431, 400, 431]),
        ("a path of 64 KiB", format!("GET /ipfs/{} HTTP/1.1\r\nHost: x\r\n\r\n", &huge[..64 << 10]), [414, 431, 400]),
        ("a query of 64 KiB", format!("GET /?{} HTTP/1.1\r\nHost: x\r\n\r\n", &huge[..64 << 10]), [414, 431, 400]),
        ("a method of 64 KiB", format!("{} / HTTP/1.1\r\nHost: x\r\n\r\n", &huge[..64 << 10]), [414, 431, 400]),
    ] {
        // It may close before it has read all, which resets the connection; but it may not accept that.
        if let Some(response) = w.raw(head) {
            assert!(statuses.contains(&response.status), "{what}: {}", response.describe());
        }
        w.is_well();
    }
}

#[test]
fn lines_that_are_no_request_are_refused() {
    let w = World::shared();
    for line in [
        "",
        "\r\n\r\n",
        "GET",
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/9.9",
        "GET / HTTP/1.1 x",
        "GET /\u{0} HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "G\u{0}T / HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET http://[::1 HTTP/1.1",
        "GET //[/ HTTP/1.1",
        "GET * HTTP/1.1",
        "GET x:y HTTP/1.1",
        "CONNECT / HTTP/1.1",
        "CONNECT HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}",
    ] {
        let mut client = w.connect();
        client.write(format!("{line}\r\nHost: x\r\nConnection: close\r\n\r\n")).expect("it is connected");
        if let Ok(response) = client.read("GET") {
            assert!(!is_crash(&response), "{line:?}: {}", response.describe());
        }
        w.is_well();
    }
}

/// Two servers that disagree where a request ends can be made to take a part of one for another. So a request whose end
/// can be told in two ways is refused, or the connection is not used again.
#[test]
fn a_request_has_one_end() {
    let w = World::shared();
    let second = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", w.large);
    for (what, headers) in [
        ("two lengths", format!("Content-Length: 0\r\nContent-Length: {}\r\n", second.len())),
        ("a list of lengths", format!("Content-Length: 0, {}\r\n", second.len())),
        ("a length with a sign", "Content-Length: +0\r\n".to_owned()),
        ("a length below zero", "Content-Length: -1\r\n".to_owned()),
        ("a length beyond 64 bits", "Content-Length: 18446744073709551616\r\n".to_owned()),
        ("a coding that is none", "Transfer-Encoding: xchunked\r\n".to_owned()),
        ("chunked, but not last", "Transfer-Encoding: chunked, identity\r\n".to_owned()),
        ("a folded line", "X: y\r\n Transfer-Encoding: chunked\r\n".to_owned()),
        ("a space before the colon", "Transfer-Encoding : chunked\r\n".to_owned()),
    ] {
        let mut client = w.connect();
        let head = format!("GET {} HTTP/1.1\r\nHost: x\r\n{headers}\r\n", w.small);
        client.write(head + &second).expect("it is connected");
        let first = client.read("GET");
        if let Ok(first) = &first {
            assert!(!is_crash(first), "{what}: {}", first.describe());
        }
        if first.is_ok_and(|first| first.status == 200) {
            let next = client.read("GET");
            assert!(!next.is_ok_and(|next| next.status == 200), "{what}: what may be a body was answered");
        }
    }
    // With both, the coding counts: the length is that of another request which is none.
    let both =
        format!("GET {} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", w.small);
    let mut client = w.connect();
    client
        .write(both + "0\r\n\r\n" + "GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("connected");
    let first = client.read("GET").expect("an answer");
    if first.status == 200 {
        let next = client.read("GET");
        assert!(next.is_err() || next.is_ok_and(|next| next.text().contains("Client Version")), "it began in the body");
    }
    w.is_well();
}

/// Two servers that disagree about the host of a request can be made to serve one site under the name of another.
#[test]
fn a_request_has_one_host() {
    let w = World::shared();
    for (version, headers, status) in [
        ("1.1", "Host: x\r\n", 200),
        ("1.0", "", 200),
        ("1.1", "", 400),
        ("1.1", "Host: x\r\nHost: x\r\n", 400),
        ("1.1", "Host: x\r\nHost: y\r\n", 400),
        ("1.1", "Host: x y\r\n", 400),
        ("1.1", "Host: x/y\r\n", 400),
        ("1.1", "Host: x@y\r\n", 400),
        ("1.1", "Host: x:y\r\n", 400),
        ("1.1", "Host: x\r\nX-Forwarded-Host: y, z\r\n", 400),
        ("1.1", "Host: x\r\nX-Forwarded-Host: y\r\nX-Forwarded-Host: z\r\n", 400),
    ] {
        let response = w.raw(format!("GET {} HTTP/{version}\r\n{headers}Connection: close\r\n\r\n", w.small));
        let response = response.expect("an answer");
        assert_eq!(response.status, status, "{version} {headers:?}: {}", response.describe());
    }
}

#[test]
fn bodies_that_nobody_wants_are_not_kept() {
    let w = World::shared();
    let mut client = w.connect();
    let head = format!("GET {} HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n", w.small);
    client.write(head).expect("it is connected");
    let junk = vec![0; 1 << 20];
    let taken = (0..64).take_while(|_| client.write(&junk).is_ok()).count();
    assert!(taken < 64, "it reads bodies without end");
    w.is_well();
}

#[test]
fn tunnels_are_no_way_around_limits() {
    let w = World::shared();
    let connect = || Request { keep: true, ..Request::new("CONNECT", "example.com:80").host("example.com:80") };
    let mut client = w.connect();
    let mut depth = 0;
    while depth < 16 && client.send(&connect()).is_ok_and(|response| response.status == 200) {
        depth += 1;
    }
    assert!((1..16).contains(&depth), "{depth} tunnels in each other");
    let opened: Vec<_> = (0..200).map(|_| (w.connect(), connect())).collect();
    let opened: Vec<_> = opened
        .into_iter()
        .map(|(mut client, connect)| {
            assert_eq!(client.send(&connect).expect("an answer").status, 200);
            client
        })
        .collect();
    w.is_well();
    drop(opened);
    // What follows at once belongs into the tunnel.
    let mut client = w.connect();
    let hello = format!("GET {} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n", w.small);
    client.write(connect().encode(w.gateway.address) + &hello).expect("it is connected");
    let mut statuses = Vec::new();
    while let Ok(response) = client.read(if statuses.is_empty() { "HEAD" } else { "GET" }) {
        statuses.push(response.status);
    }
    assert_eq!(statuses.first(), Some(&200));
    w.is_well();
}

#[test]
fn paths_lead_nowhere_else() {
    let w = World::shared();
    let root = w.folder.trim_end_matches('/');
    for path in [
        format!("{root}/../../../etc/passwd"),
        format!("{root}/..%2f..%2f..%2fetc/passwd"),
        format!("{root}/%2e%2e/%2e%2e/%2e%2e/etc/passwd"),
        format!("{root}/..%5c..%5cetc"),
        format!("{root}/%00"),
        format!("{root}/plain.txt%00.html"),
        format!("{root}/%c0%af..%c0%afetc"),
        format!("{root}/%ff%fe"),
        format!("{root}/%"),
        format!("{root}/%zz"),
        format!("{root}/%2"),
        format!("{root}/plain.txt/deeper"),
        format!("{root}/{}", "a/".repeat(8000)),
        "/ipfs/".to_owned(),
        "/ipfs/%2f".to_owned(),
        "/ipns/..".to_owned(),
        "/ipns/%00".to_owned(),
        "/ipfs/../api/v0/id".to_owned(),
        "/ipfs/QmInvalid".to_owned(),
        "/ipfs/bafyinvalid/x".to_owned(),
    ] {
        let response = w.get(&path);
        assert!(!is_crash(&response), "{path}: {}", response.describe());
        assert!(response.status != 200, "{path}: {}", response.describe());
        assert!(!response.text().contains("root:"), "{path}");
        w.is_well();
    }
}

/// Redirects lead to this host, or to one of its subdomains.
#[test]
fn redirects_lead_nowhere_else() {
    let w = World::shared();
    let root = w.folder.trim_end_matches('/');
    for path in [
        "//evil.com/".to_owned(),
        "//evil.com/%2e%2e".to_owned(),
        "/\\evil.com/".to_owned(),
        "/%5cevil.com/..".to_owned(),
        "/%2fevil.com/".to_owned(),
        "/%2f%2fevil.com/..".to_owned(),
        "/.//evil.com/".to_owned(),
        "/..//evil.com/x".to_owned(),
        "/x/..//evil.com/".to_owned(),
        "/x/../%2fevil.com/".to_owned(),
        "/./%5cevil.com".to_owned(),
        "/./\\evil.com".to_owned(),
        "/./%09/evil.com".to_owned(),
        format!("//evil.com{root}"),
        "/?uri=ipfs://evil.com".to_owned(),
        "/?uri=ipfs:////evil.com".to_owned(),
        "/?uri=http://evil.com".to_owned(),
        "/?uri=ipns:%0d%0aSet-Cookie:x".to_owned(),
        "/?uri=ipfs://x%0d%0aSet-Cookie:%20x=y".to_owned(),
        "/?open=//evil.com".to_owned(),
        "/?open=/ipfs/..//evil.com".to_owned(),
        format!("{root}?x=%0d%0aSet-Cookie:%20x=y"),
    ] {
        for host in [w.gateway.address.to_string(), "localhost".to_owned()] {
            let response = w.ask(&Request::new("GET", &path).host(&host).with("Accept", "text/html"));
            assert!(!is_crash(&response), "{path}: {}", response.describe());
            assert!(response.header("set-cookie").is_none(), "{path}: {}", response.describe());
            let Some(location) = response.header("location") else { continue };
            let rest = location.strip_prefix('/');
            let own = rest.is_some_and(|rest| !rest.starts_with(['/', '\\', '\t']));
            let sub = location.split('/').nth(2).is_some_and(|host| host.ends_with(".localhost"));
            assert!(own || sub && host == "localhost", "{path} on {host} leads to {location}");
        }
    }
    w.is_well();
}

/// No body is compressed: nothing can be decompressed that would grow, and secrets do not leak by lengths.
#[test]
fn compression_is_not_offered() {
    let w = World::shared();
    let plain = w.get(&w.folder);
    for coding in ["gzip", "br, zstd;q=1.0", "*", "identity;q=0, *;q=0", "gzip;q=x"] {
        let response = w.ask(&Request::new("GET", &w.folder).with("Accept-Encoding", coding));
        assert_eq!(response.header("content-encoding"), None, "{coding}");
        assert_eq!(response.body, plain.body, "{coding}");
    }
    let compressed = w.ask(&Request::new("GET", &w.small).with("Content-Encoding", "gzip"));
    assert_eq!(compressed.status, 200);
}
