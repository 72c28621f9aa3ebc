//! How mounts begin and end.

use cairn_tests::{
    daemon::Daemon,
    harness::Node,
    mount::{Mounted, Point, can_mount},
    network::eventually,
};
use rustix::process::Signal;
use std::{fs, process::Command};

#[test]
fn a_daemon_mounts_and_unmounts() {
    if !can_mount() {
        return;
    }
    let node = Node::new();
    let cid = node.add(&[], &node.file("file", "hello\n"));
    let daemon = Daemon::start(&node);
    let point = Point::new(&node, "mount");
    let said = node.ok(["mount", "mount"]);
    let dir = point.path().display();
    assert_eq!(said, format!("IPFS mounted at: {dir}/ipfs\nIPNS mounted at: {dir}/ipns\nMFS  mounted at: {dir}/files"));
    assert_eq!(fs::read(point.path().join("ipfs").join(&cid)).expect("reads"), b"hello\n");
    fs::write(point.path().join("files/new"), "written").expect("writes");
    assert_eq!(node.ok(["files", "read", "/new"]), "written");
    node.feed_bytes(["files", "write", "--create", "/from-outside"], "seen");
    assert_eq!(fs::read(point.path().join("files/from-outside")).expect("reads"), b"seen");
    assert_eq!(node.ok(["umount", "mount"]), format!("Unmounted {dir}"));
    assert!(!point.is_mounted());
    assert!(!node.run(["umount", "mount"]).status.success(), "nothing is mounted any more");

    let places = ["ipfs", "ipns", "mfs"].map(|name| Point::new(&node, name));
    let args: Vec<_> = ["-f", "-n", "-m"]
        .iter()
        .zip(&places)
        .flat_map(|(flag, at)| [(*flag).into(), at.path().as_os_str().to_owned()])
        .collect();
    node.ok(std::iter::once("mount".into()).chain(args));
    assert_eq!(fs::read(places[0].path().join(&cid)).expect("reads"), b"hello\n");
    assert_eq!(fs::read_to_string(places[2].path().join("new")).expect("reads"), "written");
    assert!(fs::read_dir(places[1].path()).expect("lists").count() >= 2, "the node's own name");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(places.iter().all(|place| !place.is_mounted()));
    assert_eq!(node.ok(["--offline", "files", "read", "/new"]), "written");
}

#[test]
fn a_daemon_begins_with_mounts() {
    if !can_mount() {
        return;
    }
    let node = Node::new();
    let places = ["ipfs", "ipns", "mfs"].map(|name| Point::new(&node, name));
    for (key, place) in ["Mounts.IPFS", "Mounts.IPNS"].iter().zip(&places) {
        node.ok(["config", key, place.path().to_str().expect("text")]);
    }
    let mfs = format!("--mount-mfs={}", places[2].path().display());
    let daemon = Daemon::with(&node, &["--mount", &mfs]);
    assert!(daemon.printed.iter().any(|line| line.starts_with("IPFS mounted at: ")), "{:?}", daemon.printed);
    assert!(places.iter().all(Point::is_mounted));
    node.ok(["umount"]);
    assert!(places.iter().all(|place| !place.is_mounted()));
    drop(daemon);
}

#[test]
fn a_process_of_its_own_ends_with_its_mount() {
    if !can_mount() {
        return;
    }
    let node = Node::new();
    let mut mounted = Mounted::new(&node);
    fs::write(mounted.path("files/new"), "written").expect("writes");
    let other = Node::new();
    let refused = other.run(["--offline", "mount", mounted.point().path().to_str().expect("text")]);
    assert!(!refused.status.success() && refused.errors().contains("is mounted already"), "{}", refused.errors());
    assert!(mounted.point().is_mounted(), "the one that is alive stays");
    assert!(Command::new("umount").arg(mounted.point().path()).status().expect("starts").success());
    assert_eq!(mounted.wait().code(), Some(0));
    assert_eq!(node.ok(["--offline", "files", "read", "/new"]), "written");
}

#[test]
fn what_is_in_use_is_unmounted_all_the_same() {
    if !can_mount() {
        return;
    }
    let node = Node::new();
    let mounted = Mounted::new(&node);
    fs::write(mounted.path("files/new"), "written").expect("writes");
    let held = fs::File::open(mounted.path("files/new")).expect("opens");
    mounted.end();
    drop(held);
    assert_eq!(node.ok(["--offline", "files", "read", "/new"]), "written");
}

#[test]
fn what_another_process_has_mounted_is_durable_when_it_is_unmounted() {
    if !can_mount() {
        return;
    }
    let node = Node::new();
    let mounted = Mounted::new(&node);
    fs::write(mounted.path("files/new"), "written").expect("writes");
    // The mount goes on for whoever has it open: its process does not end.
    let held = fs::File::open(mounted.path("files/new")).expect("opens");
    node.ok(["--offline", "umount", mounted.point().path().to_str().expect("text")]);
    mounted.kill();
    drop(held);
    assert_eq!(node.ok(["--offline", "files", "read", "/new"]), "written");
}

#[test]
fn umount_clears_away_what_was_left_behind() {
    if !can_mount() {
        return;
    }
    let node = Node::new();
    let left = Mounted::new(&node).kill();
    assert!(left.is_mounted());
    node.ok(["--offline", "umount"]);
    assert!(!left.is_mounted());
}

#[test]
fn space_is_that_of_the_store() {
    if !can_mount() {
        return;
    }
    let node = Node::new();
    node.ok(["config", "Datastore.StorageMax", "3GB"]);
    let mounted = Mounted::new(&node);
    let space = rustix::fs::statvfs(mounted.path("files")).expect("says");
    let (total, free) = (space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize);
    assert!(total <= 3_000_000_000 && free <= total && free > 0, "{total} {free}");
}

#[test]
fn a_mount_can_be_read_only() {
    if !can_mount() {
        return;
    }
    let node = Node::new();
    let point = Point::new(&node, "mount");
    let mounted = Mounted::on(&node, point, &["--offline", "--read-only"]);
    let error = fs::write(mounted.path("files/new"), "x").expect_err("is refused").raw_os_error();
    assert_eq!(error, Some(libc::EROFS));
    eventually("it is listed", || fs::read_dir(mounted.path("files")).is_ok());
}
