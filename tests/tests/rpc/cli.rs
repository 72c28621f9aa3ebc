//! The command line through a daemon does what it does alone.

use crate::{HELLO, HELLO_CID, node};
use cairn_tests::{daemon::Daemon, harness::Node, process};
use std::{io::Cursor, os::unix::fs::PermissionsExt as _, path::Path};

/// The same files in two nodes, one of which has a daemon.
fn files(node: &Node) {
    let work = node.work();
    std::fs::create_dir_all(work.join("tree/sub/empty")).expect("folders");
    for (name, len) in [("tree/a", 0), ("tree/b", 300_000), ("tree/sub/c", 5), ("tree/.hidden", 3), ("lone", 1_000_000)]
    {
        let bytes: Vec<u8> = (0..len).map(|i: u32| (i % 251) as u8).collect();
        std::fs::write(work.join(name), bytes).expect("a file");
    }
    std::fs::set_permissions(work.join("tree/b"), std::fs::Permissions::from_mode(0o751)).expect("a mode");
    std::os::unix::fs::symlink("../lone", work.join("tree/link")).expect("a symlink");
}

/// Commands, with their standard input, in order.
const TABLE: &[(&[&str], &str)] = &[
    (&["add", "-r", "tree"], ""),
    (&["add", "-r", "--hidden", "--cid-version=1", "tree", "lone"], ""),
    (&["add", "-r", "-w", "-Q", "tree", "lone"], ""),
    (&["add", "--enc=json", "lone"], ""),
    (&["add", "-q"], "from stdin"),
    (&["add", "--stdin-name=named", "-"], "from stdin"),
    (&["add", "-r", "--preserve-mode", "tree"], ""),
    (&["add", "-n", "--chunker=size-1000", "lone"], ""),
    (&["add", "tree"], ""),
    (&["add", "lone", "missing"], ""),
    (&["add", "-r", "--ignore=b", "--empty-dirs=false", "tree"], ""),
    (&["ls", "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"], ""),
    (&["cat", "QmNRCQWfgze6AbBCaT1rkrkV5tJ2aP4oTNPb5JZcXYywve"], ""),
    (&["block", "put"], "hello\n"),
    (&["block", "put", "lone", "tree/b"], ""),
    (&["block", "put", "tree"], ""),
    (&["block", "stat", "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"], ""),
    (&["block", "get"], "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am\n"),
    (&["dag", "put"], "{\"a\": [1, 2]}"),
    (&["pin", "add", "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am", "--name=n m"], ""),
    (&["pin", "ls", "--names", "-t", "recursive"], ""),
    (&["pin", "ls", "--enc=json"], ""),
    (&["pin", "rm", "nope"], ""),
    (&["pin", "verify", "-v"], ""),
    (&["refs", "local"], ""),
    (&["repo", "stat", "--size-only", "--enc=json", "--timeout=1h"], ""),
    (&["repo", "verify"], ""),
    (&["repo", "fsck"], ""),
    (&["--offline", "resolve", "/ipns/example.com"], ""),
    (&["cid", "format", "-v", "1", "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"], ""),
    (&["config", "Import.CidVersion", "--json", "1"], ""),
    (&["config", "Import"], ""),
    (&["add", "lone"], ""),
    (&["config", "Nope"], ""),
    (&["cat", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"], ""),
    (&["cat", "x"], ""),
    (&["block", "rm", "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"], ""),
    (&["pin", "rm", "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"], ""),
    (&["repo", "gc", "-q"], ""),
];

#[test]
fn commands_print_and_end_as_they_do_without_a_daemon() {
    let (alone, served) = (Node::new(), Node::new());
    files(&alone);
    files(&served);
    let _daemon = Daemon::start(&served);
    for (args, input) in TABLE {
        let run = |node: &Node| {
            let input = Cursor::new(input.as_bytes().to_vec());
            process::run(&mut node.command(*args), Some(Box::new(input))).expect("the program can be started")
        };
        let (one, other) = (run(&alone), run(&served));
        let places = |node: &Node, text: String| text.replace(&node.repo().display().to_string(), "REPO");
        assert_eq!(places(&alone, one.errors()), places(&served, other.errors()), "errors of {args:?}");
        assert_eq!(one.status.code(), other.status.code(), "{args:?}");
        if args.contains(&"--size-only") {
            continue;
        }
        assert_eq!(one.text(), other.text(), "{args:?}");
    }
}

#[test]
fn get_writes_the_same_files() {
    let (alone, served) = (Node::new(), Node::new());
    files(&alone);
    files(&served);
    let flags = ["-r", "--preserve-mode", "--preserve-mtime", "--chunker=size-1000"];
    let root = alone.add(&flags, Path::new("tree"));
    let times = |node: &Node| node.ok(["add", "-r", "--preserve-mode", "-Q", "-n", "out"]);
    let _daemon = Daemon::start(&served);
    let other = served.add(&flags, Path::new("tree"));
    for (node, root) in [(&alone, &root), (&served, &other)] {
        assert!(node.ok(["get", "-o", "out", root]).starts_with("Saving file(s) to out"));
        node.ok(["get", "-a", "-o", "packed", root]);
        assert!(node.work().join("packed.tar").is_file());
    }
    assert_eq!(times(&alone), times(&served));
    let bytes = std::fs::read(served.work().join("out/b")).expect("a file");
    assert_eq!(bytes, std::fs::read(served.work().join("tree/b")).expect("a file"));
    assert_eq!(std::fs::read_link(served.work().join("out/link")).expect("a symlink"), Path::new("../lone"));
    let missing = served.run(["get", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"]);
    assert!(!missing.status.success() && missing.errors().contains("could not find"), "{}", missing.errors());
}

#[test]
fn a_daemon_is_found_by_its_file_by_an_option_or_by_the_environment() {
    let (node, other) = (Node::new(), Node::new());
    let daemon = Daemon::start(&node);
    assert_eq!(node.feed_bytes(["add", "-Q"], HELLO), HELLO_CID);
    let api = format!("/ip4/127.0.0.1/tcp/{}", daemon.address.port());
    assert_eq!(std::fs::read_to_string(node.repo().join("api")).expect("a file"), api);
    assert_eq!(other.bytes(["cat", &format!("--api={api}"), HELLO_CID]), HELLO);
    assert!(!other.run(["cat", HELLO_CID]).status.success());
    let mut command = other.command(["cat", HELLO_CID]);
    let asked = process::run(command.env("CAIRN_API", format!("http://127.0.0.1:{}", daemon.address.port())), None);
    assert_eq!(asked.expect("the program can be started").stdout, HELLO);
    let refused = other.run(["init", "--api", &api]);
    assert!(!refused.status.success() && refused.errors().contains("--api"), "{}", refused.errors());
    let nobody = other.run(["cat", "--api=/ip4/127.0.0.1/tcp/1", HELLO_CID]);
    assert!(!nobody.status.success() && nobody.errors().contains("cannot connect"), "{}", nobody.errors());
}

#[test]
fn a_file_that_a_killed_daemon_left_is_ignored() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    daemon.signal(rustix::process::Signal::KILL);
    daemon.wait();
    assert!(node.repo().join("api").exists());
    assert_eq!(node.feed_bytes(["add", "-Q"], HELLO), HELLO_CID);
}

#[test]
fn what_needs_a_daemon_says_so() {
    let node = Node::new();
    for args in [&["shutdown"][..], &["log", "ls"], &["diag", "cmds"]] {
        let run = node.run(args);
        assert_eq!(run.status.code(), Some(1), "{args:?}");
        assert!(run.errors().contains("cairn daemon"), "{}", run.errors());
    }
}

#[test]
fn a_command_may_have_more_arguments_than_fit_into_a_uri() {
    let node = node();
    let _daemon = Daemon::start(&node);
    // 64 bytes each: 2,000 are about 128 KiB, what xargs gives at once.
    let missing = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
    let args = std::iter::once("cid").chain(["format"]).chain(std::iter::repeat_n(missing, 2_000));
    assert_eq!(node.ok(args).lines().count(), 2_000);
    let args = ["pin", "add", HELLO_CID].into_iter().chain(std::iter::repeat_n(HELLO_CID, 2_000));
    assert_eq!(node.ok(args).lines().count(), 2_001, "in the daemon");
    let log = node.ok(["diag", "cmds", "-v"]);
    assert!(log.len() < 20_000, "{} bytes to list a few requests", log.len());
}

#[test]
fn output_that_can_not_be_written_is_an_error() {
    let node = node();
    let _daemon = Daemon::start(&node);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let status =
        node.command(["pin", "ls"]).stdout(full).stderr(std::process::Stdio::null()).status().expect("it runs");
    assert_eq!(status.code(), Some(1));
}
