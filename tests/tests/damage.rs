//! What the program says when the repository is damaged or full, and how it goes on.

use cairn_tests::{harness::Node, keystream};
use std::{fs, path::PathBuf};

fn newest_log(node: &Node) -> PathBuf {
    let names = fs::read_dir(node.repo().join("datastore")).expect("lists").map(|e| e.expect("an entry").path());
    names.filter(|path| path.extension().is_some_and(|e| e == "log")).max().expect("there is a log")
}

#[track_caller]
fn refused(node: &Node, args: &[&str]) -> String {
    let outcome = node.run(args);
    assert_eq!(outcome.status.code(), Some(1), "{args:?}: {}", outcome.text());
    outcome.errors()
}

#[test]
fn a_log_that_rotted_is_said_and_opened_again_by_repair() {
    let node = Node::new();
    let kept = node.feed_bytes(["add", "-Q"], "kept");
    // The next process moves it from the log to the tables.
    let last = node.feed_bytes(["add", "-Q"], "the last thing that was acknowledged");
    let log = newest_log(&node);
    let mut bytes = fs::read(&log).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).expect("writes");

    for args in [&["pin", "ls"][..], &["cat", &kept], &["repo", "fsck"]] {
        let message = refused(&node, args);
        assert!(message.contains("is damaged") && message.contains("cairn repo fsck --repair"), "{message}");
    }
    assert!(node.ok(["repo", "fsck", "--repair"]).contains("the log was damaged"));
    assert_eq!(node.ok(["cat", &kept]), "kept");
    assert!(!node.ok(["pin", "ls", "-q"]).contains(&last), "it was in the log alone");
    assert_eq!(node.feed_bytes(["add", "-Q"], "the last thing that was acknowledged"), last);
    assert_eq!(node.ok(["repo", "fsck", "--repair"]), "fsck complete, no problems found.");
}

#[test]
fn one_large_add_does_not_pass_the_limit_of_the_repository() {
    let node = Node::new();
    node.ok(["config", "Datastore.StorageMax", "30MB"]);
    let kept = node.feed_bytes(["add", "-Q"], "kept");
    let large = node.file("large", keystream::bytes("large", 200 << 20));
    let message = refused(&node, &["add", "-Q", &large.to_string_lossy()]);
    assert!(message.contains("Datastore.StorageMax is 30000000"), "{message}");
    assert_eq!(node.ok(["pin", "ls", "-q", "--type=recursive"]), kept, "nothing of it is pinned");
    let size: u64 = node
        .ok(["repo", "stat", "--size-only", "--enc=json"])
        .split([':', ','])
        .nth(1)
        .expect("a size")
        .parse()
        .expect("a number");
    assert!(size < 158 << 20, "it took {size} bytes");
    node.ok(["repo", "gc", "-q"]);
    node.feed_bytes(["add", "-Q"], "there is room again");
}
