//! What a command changes it changes at once, or not at all.

use super::refused;
use cairn_tests::{daemon::Daemon, harness::Node, keystream};
use rustix::process::Signal;
use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, Stdio},
};

/// More than pipes and connections hold on the way.
const MUCH: usize = 24 << 20;

/// A command that is given its input bit by bit.
fn begin(node: &Node, args: &[&str]) -> (Child, ChildStdin) {
    let mut child = node.command(args).stdin(Stdio::piped()).spawn().expect("the program can be started");
    let input = child.stdin.take().expect("a pipe");
    (child, input)
}

#[test]
fn a_file_is_written_at_once() {
    let node = Node::new();
    let (old, new) = (keystream::bytes("old", 1_000_000), keystream::bytes("new", MUCH));
    let daemon = Daemon::start(&node);
    node.feed_bytes(["files", "write", "-e", "/doc"], old.clone());
    for flags in [&["-t"][..], &[], &["-o", "1000"]] {
        let (mut child, mut input) = begin(&node, &[&["files", "write", "/doc"][..], flags].concat());
        input.write_all(&new).expect("it reads");
        node.ok(["files", "flush"]);
        assert!(node.bytes(["files", "read", "/doc"]) == old, "{flags:?}: it shows before its end");
        child.kill().expect("it runs");
        child.wait().expect("it ended");
    }
    // What began and did not end is not there.
    let (mut child, mut input) = begin(&node, &["files", "write", "-e", "/other"]);
    input.write_all(&new).expect("it reads");
    assert_eq!(node.ok(["files", "ls"]), "doc");
    child.kill().expect("it runs");
    child.wait().expect("it ended");
    // Nor after a crash.
    let (mut child, mut input) = begin(&node, &["files", "write", "-t", "/doc"]);
    input.write_all(&new).expect("it reads");
    node.ok(["files", "flush"]);
    daemon.signal(Signal::KILL);
    let _ = daemon.wait();
    assert!(!child.wait().expect("it ended").success());
    assert!(node.bytes(["files", "read", "/doc"]) == old);
    assert_eq!(node.ok(["files", "ls"]), "doc");
    // Alone, the same.
    node.feed_bytes(["files", "write", "-o", "10", "/doc"], new.clone());
    let mut both = old[..10].to_vec();
    both.extend_from_slice(&new);
    assert!(node.bytes(["files", "read", "/doc"]) == both);
}

#[test]
fn one_writes_after_the_other() {
    let node = Node::new();
    let (one, two) = (keystream::bytes("one", MUCH), keystream::bytes("two", MUCH / 8));
    let _daemon = Daemon::start(&node);
    for made in [false, true] {
        let args = ["files", "write", "-et", "/doc"];
        let (mut first, mut input) = begin(&node, &args);
        input.write_all(&one[..MUCH - 10]).expect("it reads");
        let (sent, taken) = std::sync::mpsc::sync_channel(1);
        let second = {
            let (mut child, mut input) = begin(&node, &args);
            let two = two.clone();
            std::thread::spawn(move || {
                input.write_all(&two).expect("it reads");
                drop(input);
                let status = child.wait().expect("it ended");
                sent.send(()).expect("somebody listens");
                status
            })
        };
        // If both were read at once, the second would most likely end by then.
        let _ = taken.recv_timeout(std::time::Duration::from_secs(1));
        input.write_all(&one[MUCH - 10..]).expect("it reads");
        drop(input);
        assert!(first.wait().expect("it ended").success(), "{made}");
        assert!(second.join().expect("it ended").success(), "{made}");
        let content = node.bytes(["files", "read", "/doc"]);
        assert!(content == two, "{made}: it is not that of the last");
    }
}

#[test]
fn a_reader_reads_what_was_there() {
    let node = Node::new();
    let (old, new) = (keystream::bytes("old", MUCH), keystream::bytes("new", MUCH));
    let _daemon = Daemon::start(&node);
    node.feed_bytes(["files", "write", "-e", "/doc"], old.clone());
    let mut reader =
        node.command(["files", "read", "/doc"]).stdout(Stdio::piped()).spawn().expect("the program can be started");
    let mut output = reader.stdout.take().expect("a pipe");
    let mut content = vec![0; 10];
    output.read_exact(&mut content).expect("the beginning");
    node.feed_bytes(["files", "write", "-t", "/doc"], new.clone());
    // What nothing leads to goes.
    node.ok(["repo", "gc", "-q"]);
    node.ok(["repo", "gc", "-q"]);
    output.read_to_end(&mut content).expect("the rest");
    assert!(reader.wait().expect("it ended").success());
    assert!(content == old, "it is mixed");
    assert!(node.bytes(["files", "read", "/doc"]) == new);
}

#[test]
fn what_is_replaced_stays_if_nothing_comes_in_its_place() {
    let node = Node::new();
    // Alone, a command that fails commits nothing.
    let _daemon = Daemon::start(&node);
    let object = node.feed_bytes(["dag", "put"], r#"{"a":1}"#);
    node.feed_bytes(["files", "write", "-e", "/f"], "content");
    node.ok(["files", "mkdir", "/d"]);
    node.feed_bytes(["files", "write", "-e", "/d/file"], "below");
    let message = refused(&node, &["files", "cp", "--force", &format!("/ipfs/{object}"), "/f"]);
    assert_eq!(message, "Error: cp: source must be a valid UnixFS (dag-pb or raw codec)\n");
    assert_eq!(node.ok(["files", "read", "/f"]), "content");
    assert_eq!(refused(&node, &["files", "mv", "/d", "/d/file"]), "Error: cannot move d into itself\n");
    assert_eq!(node.ok(["files", "read", "/d/file"]), "below");
    // What is put in place is.
    node.ok(["files", "cp", "--force", "/d/file", "/f"]);
    assert_eq!(node.ok(["files", "read", "/f"]), "below");
    node.ok(["files", "cp", "--force", "/f", "/f"]);
    node.ok(["files", "cp", "--force", "/d", "/f"]);
    assert_eq!(node.ok(["files", "read", "/f/file"]), "below");
    let message = refused(&node, &["files", "cp", "--force", "/d/file", "/f"]);
    assert_eq!(message, "Error: cp: cannot unlink existing file: not a file: /f\n");
    node.feed_bytes(["files", "write", "-e", "/g"], "x");
    node.ok(["files", "mv", "/f", "/g"]);
    assert_eq!(node.ok(["files", "ls"]), "d\ng");
    assert_eq!(node.ok(["files", "ls", "/g"]), "file");
}

#[test]
fn entries_of_what_was_added_before_an_error_stay() {
    for alone in [true, false] {
        let node = Node::new();
        let daemon = (!alone).then(|| Daemon::start(&node));
        for name in ["fa", "fb", "fc"] {
            node.file(name, name);
        }
        node.feed_bytes(["files", "write", "-e", "/fb"], "there");
        let outcome = node.run(["add", "--to-files=/", "fa", "fb", "fc"]);
        assert_eq!(outcome.status.code(), Some(1));
        assert!(outcome.text().contains(" fa\n"), "{}", outcome.text());
        assert_eq!(node.ok(["files", "ls"]), "fa\nfb", "alone: {alone}");
        drop(daemon);
    }
}
