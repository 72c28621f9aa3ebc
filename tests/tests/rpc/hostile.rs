//! Requests that break others.

use crate::node;
use cairn_tests::{
    daemon::{Answer, Daemon},
    harness::Node,
    network::eventually,
};
use std::io::{BufReader, Write as _};

/// What a daemon may take more than at rest, whatever is thrown at it, in bytes.
const BOUND: u64 = 96 << 20;

#[test]
fn heads_without_end_are_cut_off() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let before = daemon.resident();
    for line in ["X: ", "GET /"] {
        let mut stream = daemon.connect();
        let _ = stream.write_all(b"POST /api/v0/version HTTP/1.1\r\n");
        let _ = stream.write_all(line.as_bytes());
        let junk = vec![b'x'; 1 << 16];
        let mut sent = 0;
        while sent < 64 << 20 && stream.write_all(&junk).is_ok() {
            sent += junk.len();
        }
        assert!(sent < 64 << 20, "{line:?}");
    }
    let many = (0..1000).map(|i| format!("X-{i}: y\r\n")).collect::<String>();
    assert!(daemon.post_with("version", &many).status >= 400);
    assert!(daemon.peak() < before + BOUND);
    assert_eq!(daemon.post("version").status, 200);
}

#[test]
fn bodies_that_are_no_multipart_are_refused() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let ask = |kind: &str, body: &str| {
        let head = format!("POST /api/v0/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n");
        daemon.raw(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
    };
    for kind in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\u{1}\"",
        "text/plain",
    ] {
        assert_eq!(ask(kind, "--b0--\r\n").status, 400, "{kind:?}");
    }
    let kind = "multipart/form-data; boundary=b0";
    for body in ["", "junk", "--b0", "--b0\r\n", "--b0\r\nno colon\r\n\r\n", "--b0\r\n\r\nhalf a file", "--b0x\r\n"] {
        let answer = ask(kind, body);
        assert!(answer.status >= 400 || answer.trailers.contains_key("x-stream-error"), "{body:?}: {answer:?}");
    }
    assert_eq!(daemon.post("pin/ls").text().trim(), "{}", "nothing of it is kept");
}

#[test]
fn parts_without_end_take_no_memory() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let before = daemon.resident();
    for begin in ["", "--b0\r\nX-Y: ", "--b0\r\nContent-Disposition: form-data; filename=\"x\"\r\n\r\n"] {
        let mut stream = daemon.connect();
        stream.write_all(daemon.upload_head("add?only-hash=true", 1 << 30).as_bytes()).expect("sends");
        let _ = stream.write_all(begin.as_bytes());
        let junk = vec![b'x'; 1 << 20];
        for _ in 0..256 {
            if stream.write_all(&junk).is_err() {
                break;
            }
        }
    }
    assert!(daemon.peak() < before + BOUND, "{} MiB at most", daemon.peak() >> 20);
}

#[test]
fn a_large_upload_takes_no_memory() {
    const LEN: usize = 256 << 20;
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let before = daemon.resident();
    let (head, tail) = ("--b0\r\nContent-Disposition: form-data; filename=\"x\"\r\n\r\n", "\r\n--b0--\r\n");
    let mut stream = daemon.connect();
    let len = head.len() + LEN + tail.len();
    stream.write_all((daemon.upload_head("add?only-hash=true", len) + head).as_bytes()).expect("sends");
    let piece = vec![7; 1 << 20];
    for _ in 0..LEN >> 20 {
        stream.write_all(&piece).expect("sends");
    }
    stream.write_all(tail.as_bytes()).expect("sends");
    let answer = Answer::read(&mut BufReader::new(stream)).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(daemon.peak() < before + BOUND, "{} MiB at most", daemon.peak() >> 20);
}

#[test]
fn a_client_that_does_not_read_takes_no_memory() {
    let node = Node::new();
    let file = node.file("x", vec![7; 64 << 20]);
    let root = node.add(&["--chunker=size-1000000"], &file);
    let daemon = Daemon::start(&node);
    let before = daemon.resident();
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = daemon.connect();
        let head = format!("POST /api/v0/cat?arg={root} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sends");
        streams.push(stream);
    }
    eventually("all of them run", || {
        let active = daemon.post("diag/cmds").text().matches("\"Active\":true,\"Command\":\"cat\"").count();
        active == 4
    });
    assert!(daemon.peak() < before + BOUND, "{} MiB at most", daemon.peak() >> 20);
    assert_eq!(daemon.post("version").status, 200);
}

#[test]
fn paths_do_not_lead_out() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let answer = daemon.upload("add", &[("file", "..%2F..%2Fetc%2Fpasswd", "application/octet-stream", b"x")]);
    assert_eq!(answer.events()[0]["Name"], "etc/passwd");
    let answer = daemon.upload("add?wrap-with-directory=true", &[("file", "a%00b", "application/octet-stream", b"x")]);
    assert!(answer.status == 500 || answer.trailers.contains_key("x-stream-error"), "{answer:?}");
    assert_eq!(
        daemon.post("add?arg=/etc/passwd").status,
        400,
        "files of the daemon's machine are not named by clients"
    );
    for path in ["..%2fversion", "%2e%2e/version", "pin/%2e%2e/version", "version%00", "pin%5cls"] {
        assert_eq!(daemon.post(path).status, 404, "{path}");
    }
}

#[test]
fn two_requests_in_one_piece_are_two_requests() {
    let node = node();
    let daemon = Daemon::start(&node);
    let one = format!("POST /api/v0/version HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", daemon.address);
    let mut stream = daemon.connect();
    stream.write_all(one.repeat(2).as_bytes()).expect("sends");
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    for _ in 0..2 {
        assert_eq!(Answer::read(&mut reader).expect("an answer").status, 200);
    }
    // The connection is used again, byte by byte.
    for byte in one.as_bytes() {
        stream.write_all(&[*byte]).expect("sends");
    }
    assert_eq!(Answer::read(&mut reader).expect("an answer").status, 200);
    // A second request hidden in the body of the first is never seen.
    let hidden =
        format!("POST /api/v0/version HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{one}", one.len());
    let mut stream = daemon.connect();
    stream.write_all(hidden.as_bytes()).expect("sends");
    let mut reader = BufReader::new(stream);
    assert_eq!(Answer::read(&mut reader).expect("an answer").status, 200);
    assert!(Answer::read(&mut reader).is_err(), "the connection is closed");
}
