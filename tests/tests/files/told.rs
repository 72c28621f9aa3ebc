//! What is said of entries, and how they are named.

use super::{ask, refused};
use cairn_tests::{daemon::Daemon, harness::Node, keystream};
use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt as _};

#[test]
fn names_need_not_be_text() {
    let node = Node::new();
    let name = OsStr::from_bytes(b"\xff\xfe");
    std::fs::create_dir(node.work().join("od")).expect("makes a folder");
    std::fs::write(node.work().join("od").join(name), "bytes").expect("writes");
    let root = node.ok(["add", "-rQ", "od"]);
    node.ok(["files", "cp", &format!("/ipfs/{root}"), "/od"]);
    let path = OsStr::from_bytes(b"/od/\xff\xfe");
    let read = [OsStr::new("files"), OsStr::new("read"), path];
    assert_eq!(node.ok(read), "bytes");
    let daemon = Daemon::start(&node);
    assert_eq!(node.ok(read), "bytes");
    assert_eq!(ask(&daemon, "read?arg=/od/%FF%FE", None), (200, "bytes".into()));
    let (status, stat) = ask(&daemon, "stat?arg=/od/%FF%FE", None);
    assert!(status == 200 && stat.contains("\"Size\":5"), "{stat}");
    assert_eq!(ask(&daemon, "stat?arg=/od/%FF%FD", None).0, 500);
    assert_eq!(ask(&daemon, "cp?arg=/od/%FF%FE&arg=/od/%FD", None).0, 200);
    assert_eq!(ask(&daemon, "mv?arg=/od/%FD&arg=/%FC", None).0, 200);
    assert_eq!(ask(&daemon, "write?arg=/%FC&offset=2&flush=false", Some("!")).0, 200);
    assert_eq!(ask(&daemon, "read?arg=/%FC", None).1, "by!es");
    assert_eq!(ask(&daemon, "rm?arg=/%FC", None).0, 200);
    assert_eq!(ask(&daemon, "rm?arg=/%FC", None).1, "\"/\u{fffd}: file does not exist\"\n");
    assert_eq!(node.ok(["files", "ls"]), "od");
}

#[test]
fn large_directories_are_listed() {
    let node = Node::new();
    std::fs::create_dir(node.work().join("many")).expect("makes a folder");
    for i in 0..8000 {
        node.file(&format!("many/{i}"), i.to_string());
    }
    let root = node.ok(["add", "-rQ", "many"]);
    node.ok(["files", "cp", &format!("/ipfs/{root}"), "/many"]);
    let sorted = node.ok(["files", "ls", "/many"]);
    let names: Vec<&str> = sorted.lines().collect();
    assert!(names.is_sorted());
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 8000);
    let unsorted = node.ok(["files", "ls", "-U", "/many"]);
    assert!(!unsorted.lines().is_sorted(), "it is sharded");
    assert_eq!(node.ok(["files", "ls", "--U", "/many"]), unsorted);
    let long = node.ok(["files", "ls", "-l", "/many"]);
    assert_eq!(long.lines().map(|line| line.split('\t').next().expect("a name")).collect::<Vec<_>>(), names);
    let hash = node.ok(["files", "stat", "--hash", "/many/77"]);
    assert!(long.lines().any(|line| line == format!("77\t{hash}\t2")));
    // A program gets one object, in the order of the directory.
    let json: serde_json::Value =
        serde_json::from_str(&node.ok(["files", "ls", "-l", "--enc=json", "/many"])).expect("JSON");
    let entries = json["Entries"].as_array().expect("entries");
    let listed: Vec<&str> = entries.iter().map(|entry| entry["Name"].as_str().expect("a name")).collect();
    assert_eq!(listed, unsorted.lines().collect::<Vec<_>>());
    assert!(entries.iter().all(|entry| entry["Type"] == 0 && entry["Hash"].as_str().is_some_and(|h| h.len() == 46)));
    // One that a change made needs to be sealed first.
    node.feed_bytes(["files", "write", "-e", "/many/0.5"], "new");
    assert_eq!(node.ok(["files", "ls", "/many"]).lines().count(), 8001);
}

#[test]
fn what_is_here_is_counted_as_often_as_it_is_linked() {
    let node = Node::new();
    let bytes = keystream::bytes("local", 700_000);
    std::fs::create_dir_all(node.work().join("tree/sub")).expect("makes a folder");
    for name in ["tree/a", "tree/b", "tree/sub/c"] {
        node.file(name, &bytes);
    }
    let root = node.ok(["add", "-rQ", "--pin=false", "tree"]);
    node.ok(["files", "cp", &format!("/ipfs/{root}"), "/t"]);
    let stat = || {
        let json = node.ok(["files", "stat", "--with-local", "--enc=json", "/t"]);
        serde_json::from_str::<serde_json::Value>(&json).expect("JSON")
    };
    let whole = stat();
    assert_eq!(whole["Local"], true);
    assert_eq!(whole["SizeLocal"], whole["CumulativeSize"]);
    let file = node.ok(["files", "stat", "--hash", "/t/a"]);
    let leaf = node.ok(["refs", &file]).lines().next().expect("a leaf").to_owned();
    let size = node.ok(["block", "stat", &leaf]);
    let size: u64 = size.rsplit(' ').next().and_then(|size| size.parse().ok()).expect("a size");
    node.ok(["block", "rm", "--force", &leaf]);
    let partial = stat();
    assert_eq!(partial["Local"], serde_json::Value::Null);
    let here = |stat: &serde_json::Value| stat["SizeLocal"].as_u64().expect("a size");
    assert_eq!(here(&partial), here(&whole) - 3 * size);
}

#[test]
fn odd_arguments_mean_what_they_mean_in_kubo() {
    let node = Node::new();
    node.feed_bytes(["files", "write", "-e", "/f"], "x");
    node.ok(["files", "chmod", "--", "-1", "/f"]);
    assert_eq!(node.ok(["files", "stat", "--format=<mode>", "/f"]), "ugtrwxrwxrwx");
    assert_eq!(refused(&node, &["files", "rm", "--force", "/f/x"]), "Error: can't remove some files\n");
    node.ok(["files", "rm", "--force", "/nope/x"]);
    node.feed_bytes(["files", "write", "/f/"], "y");
    assert_eq!(node.ok(["files", "read", "/f"]), "y");
}
