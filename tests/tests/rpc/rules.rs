//! Who may ask, and how.

use crate::node;
use cairn_tests::{
    daemon::{Answer, Daemon},
    harness::Node,
};
use std::io::{BufReader, Write as _};

#[test]
fn only_post_is_answered() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let answer = daemon.raw(format!("{method} /api/v0/version HTTP/1.0\r\nHost: localhost\r\n\r\n"));
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("OPTIONS, POST"));
    }
    let mut stream = daemon.connect();
    stream.write_all(b"HEAD /api/v0/version HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("sends");
    assert_eq!(Answer::read_head(&mut BufReader::new(stream)).expect("a head").status, 405);
    assert_eq!(daemon.post("version").status, 200);
}

#[test]
fn pages_of_strangers_are_refused() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let own = format!("Origin: http://{}\r\n", daemon.address);
    for (status, headers) in [
        (403, "Origin: http://evil.example\r\n"),
        (403, "Origin: null\r\n"),
        (403, "Referer: http://evil.example/page\r\n"),
        (403, "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"),
        (200, "User-Agent: curl/8.0\r\n"),
        (200, "User-Agent: Mozilla/5.0 Electron/30\r\n"),
        (200, own.as_str()),
    ] {
        assert_eq!(daemon.post_with("version", headers).status, status, "{headers:?}");
    }
    assert_eq!(daemon.post_with("version", &own).header("access-control-allow-origin"), own[8..].trim().into());
}

#[test]
fn a_page_whose_name_was_made_to_lead_here_is_refused() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let ask =
        |host: &str| daemon.raw(format!("POST /api/v0/version HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"));
    for host in ["evil.example:5001", "127.0.0.1.evil.example", ""] {
        assert_eq!(ask(host).status, 403, "{host:?}");
    }
    for host in ["localhost:5001", "127.0.0.1", "[::1]:5001", "node.localhost"] {
        assert_eq!(ask(host).status, 200, "{host:?}");
    }
}

#[test]
fn listed_pages_may_ask_and_read() {
    let node = Node::new();
    let headers = r#"{"Access-Control-Allow-Origin": ["http://app.example"], "X-Special": ["so special :)"]}"#;
    node.ok(["config", "--json", "API.HTTPHeaders", headers]);
    let daemon = Daemon::start(&node);
    let answer = daemon.post_with("version", "Origin: http://app.example\r\n");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://app.example"));
    assert_eq!(answer.header("x-special"), Some("so special :)"));
    let ask = |origin: &str| {
        daemon.raw(format!(
            "OPTIONS /api/v0/add HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n\r\n"
        ))
    };
    let answer = ask("http://app.example");
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, Some("POST")));
    assert_eq!(answer.header("access-control-allow-headers"), Some("content-type"));
    assert_eq!(ask("http://evil.example").header("access-control-allow-origin"), None);
}

#[test]
fn what_is_no_command_is_not_found_and_bad_arguments_are_refused() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    for path in
        ["nope", "pin/nope", "init", "daemon", "config/edit", "repo/migrate", "commands/man", "pin/../version", "", "/"]
    {
        assert_eq!(daemon.post(path).status, 404, "{path}");
    }
    for path in
        ["pin", "cat", "pin/ls?type=a&type=b", "pin/ls?stream=perhaps", "config", "block/stat", "add", "version?arg=x"]
    {
        assert_eq!(daemon.post(path).status, 400, "{path}: {}", daemon.post(path).text());
    }
    let answer = daemon.post("pin");
    assert_eq!(answer.json()["Code"], 1, "{}", answer.text());
}

#[test]
fn errors_are_json_or_come_behind_the_body() {
    let node = node();
    let daemon = Daemon::start(&node);
    let missing = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
    let answer = daemon.post(&format!("cat?arg={missing}"));
    assert_eq!((answer.status, answer.header("content-type")), (500, Some("application/json")));
    let error = answer.json();
    assert_eq!((&error["Code"], &error["Type"]), (&0.into(), &"error".into()));
    assert!(error["Message"].as_str().is_some_and(|m| m.contains("could not find")), "{error}");
    // A clean beginning, then the error: in a trailer, although the client did not ask for trailers.
    let answer = daemon.post(&format!("pin/ls?arg={missing}&stream=true"));
    assert_eq!(answer.status, 500);
    let folder = node.work().join("d");
    std::fs::create_dir(&folder).expect("a folder");
    for (name, len) in [("a", 300_000), ("b", 2_000_000)] {
        std::fs::write(folder.join(name), vec![name.as_bytes()[0]; len]).expect("a file");
    }
    let root = node.add(&["-r", "--raw-leaves", "--pin=false"], &folder.join("b"));
    let leaves = daemon.post(&format!("refs?arg={root}")).events();
    let last = leaves.last().expect("links")["Ref"].as_str().expect("a CID").to_owned();
    assert_eq!(daemon.post(&format!("block/rm?arg={last}")).status, 200);
    let answer = daemon.post(&format!("cat?arg={root}"));
    assert_eq!((answer.status, answer.header("trailer")), (200, Some("X-Stream-Error")));
    assert!(
        answer.trailers.get("x-stream-error").is_some_and(|m| m.contains("could not find")),
        "{:?}",
        answer.trailers
    );
    assert!(answer.body.len() >= 1_000_000 && answer.body.iter().all(|&b| b == b'b'));
}

#[test]
fn a_secret_is_needed_where_there_are_any() {
    let node = Node::new();
    let scopes = r#"{"Pins": {"AuthSecret": "bearer:p", "AllowedPaths": ["/api/v0/pin"]}, "All": {"AuthSecret": "basic:u:w", "AllowedPaths": ["/api/v0"]}}"#;
    node.ok(["config", "--json", "API.Authorizations", scopes]);
    let daemon = Daemon::start(&node);
    assert!(daemon.printed.iter().any(|l| l.contains("limited by the rules defined in API.Authorizations")));
    let basic = "Authorization: Basic dTp3\r\n";
    for (status, path, headers) in [
        (403, "version", ""),
        (403, "version", "Authorization: Bearer x\r\n"),
        (200, "version", "Authorization: Bearer p\r\n"),
        (200, "pin/ls", "Authorization: Bearer p\r\n"),
        (403, "repo/stat", "Authorization: Bearer p\r\n"),
        (403, "pin/../repo/stat", "Authorization: Bearer x\r\n"),
        (404, "pin/../repo/stat", "Authorization: Bearer p\r\n"),
        (200, "repo/stat", basic),
        (200, "%72epo/stat", basic),
    ] {
        assert_eq!(daemon.post_with(path, headers).status, status, "{path} {headers}");
    }
    let api = format!("--api=/ip4/127.0.0.1/tcp/{}", daemon.address.port());
    assert!(!node.run(["repo", "stat", &api]).status.success(), "no secret");
    assert!(node.ok(["repo", "stat", &api, "--api-auth=basic:u:w"]).contains("RepoSize"));
}

#[test]
fn metrics_are_for_everybody_who_may_ask() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let ask = |headers: &str| {
        daemon.raw(format!("GET /debug/metrics/prometheus HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"))
    };
    let answer = ask("");
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("\ncairn_rpc_requests_total "), "{}", answer.text());
    assert_eq!(ask("Origin: http://evil.example\r\n").status, 403);
}
