//! `cairn files` and `add --to-files`, alone and in a daemon. Texts, shapes and CIDs are those of Kubo 0.44, but for CIDs
//! of files without raw leaves: those are the ones that `add` gives.

mod told;
mod whole;

use cairn_tests::{daemon::Daemon, harness::Node, keystream};

const HELLO: &str = "QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN";
const TREE: &str = "QmbVc4EdthPE2UHxcr1jbRMPqgzgsfYTnQzsRpw3RGJjC1";
const EMPTY: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";

/// A node with a small tree at `/t` and a file at `/hello`.
fn node() -> Node {
    let node = Node::new();
    fill(&node);
    node
}

fn fill(node: &Node) {
    node.file("hello", "hello\n");
    std::fs::create_dir_all(node.work().join("tree/sub")).expect("makes a folder");
    node.file("tree/a", "a");
    node.file("tree/sub/b", "b");
    std::os::unix::fs::symlink("a", node.work().join("tree/link")).expect("makes a link");
    assert_eq!(node.ok(["add", "-Q", "hello"]), HELLO);
    assert_eq!(node.ok(["add", "-rQ", "tree"]), TREE);
    node.ok(["files", "cp", &format!("/ipfs/{HELLO}"), "/hello"]);
    node.ok(["files", "cp", &format!("/ipfs/{TREE}"), "/t"]);
}

/// Commands and what they say: their output, or their message.
#[track_caller]
fn says(node: &Node, table: &[(&[&str], Result<&str, &str>)]) {
    for (args, want) in table {
        let line = [&["files"][..], args].concat();
        let outcome = node.run(&line);
        match want {
            Ok(text) => {
                assert!(outcome.status.success(), "{line:?}: {}", outcome.errors());
                assert_eq!(outcome.text().trim_end_matches('\n'), *text, "{line:?}");
            }
            Err(message) => {
                assert_eq!(outcome.status.code(), Some(1), "{line:?}: {}", outcome.text());
                assert_eq!(outcome.errors().trim_end(), format!("Error: {message}"), "{line:?}");
            }
        }
    }
}

/// The message of a command that must fail.
#[track_caller]
fn refused(node: &Node, args: &[&str]) -> String {
    let outcome = node.run(args);
    assert_eq!(outcome.status.code(), Some(1), "{args:?}: {}", outcome.text());
    outcome.errors()
}

#[test]
fn directories_are_made() {
    let node = Node::new();
    says(
        &node,
        &[
            (&["ls"], Ok("")),
            (&["ls", "--enc=json"], Ok(r#"{"Entries":null}"#)),
            (&["stat", "--hash", "/"], Ok(EMPTY)),
            (&["mkdir", "/d"], Ok("")),
            (&["mkdir", "/d"], Err("file already exists")),
            (&["mkdir", "-p", "/d"], Ok("")),
            (&["mkdir", "-p", "/d/e/f"], Ok("")),
            (&["mkdir", "/n/o"], Err("file does not exist")),
            (&["mkdir", "/"], Err("cannot create directory '/': Already exists")),
            (&["mkdir", "-p", "/"], Ok("")),
            (&["mkdir", "d"], Err("paths must start with a leading slash")),
            (&["mkdir", ""], Err("paths must not be empty")),
            (&["mkdir", "--cid-version=1", "/v1"], Ok("")),
            (&["stat", "--hash", "/v1"], Ok("bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354")),
            (&["mkdir", "--hash=blake3", "/b3"], Ok("")),
            (&["stat", "--hash", "/b3"], Ok("bafyb4igcwu4aknzxeunla7d6swhtgjcpcdpi7hk5twl4ubnlczrqh3gmme")),
            (&["mkdir", "--hash=nope", "/x"], Err("unrecognized hash function: \"nope\"")),
            (&["mkdir", "--cid-version=2", "/x"], Err("unknown CID version: 2")),
            (&["ls"], Ok("b3\nd\nv1")),
            (&["ls", "//d/../d/./"], Ok("e")),
            (&["chcid", "--cid-version=0", "/v1"], Ok("")),
            (&["stat", "--hash", "/v1"], Ok(EMPTY)),
            (&["chcid", "--hash=blake2b-256", "/v1"], Ok("")),
            (&["stat", "--hash", "/v1"], Ok("bafykbzacebugfutjir6qie7apo5shpry32ruwfi762uytd5g3u2gk7tpscndq")),
            (&["chcid", "--cid-version=1", "/nope"], Err("file does not exist")),
        ],
    );
    assert!(
        refused(&node, &["files", "chcid", "--cid-version=1", "/"])
            .contains("cannot change CID format of the MFS root")
    );
}

#[test]
fn copies_are_references() {
    let node = node();
    let (hello, tree) = (format!("/ipfs/{HELLO}"), format!("/ipfs/{TREE}"));
    let object = node.feed_bytes(["dag", "put"], r#"{"a":1}"#);
    let missing = format!("{tree}/nope");
    let no_link = format!("cp: cannot get node from path {missing}: no link named \"nope\" under {TREE}");
    says(
        &node,
        &[
            (
                &["cp", &hello, "/hello"],
                Err("cp: cannot put node in path /hello: directory already has entry by that name"),
            ),
            (&["cp", "--force", &hello, "/hello"], Ok("")),
            (&["cp", "--force", &hello, "/t"], Err("cp: cannot unlink existing file: not a file: /t")),
            (&["mkdir", "/d"], Ok("")),
            (&["cp", &hello, "/d/"], Ok("")),
            (&["cp", &format!("{tree}/sub"), "/d/"], Ok("")),
            (&["ls", "/d"], Ok(&format!("{HELLO}\nsub"))),
            (&["cp", &format!("/ipfs/{object}"), "/x"], Err("cp: source must be a valid UnixFS (dag-pb or raw codec)")),
            (&["cp", "/nope", "/x"], Err("cp: cannot get node from path /nope: file does not exist")),
            (&["cp", &missing, "/x"], Err(&no_link)),
            (&["cp", "/hello", "/q/w"], Err("cp: cannot put node in path /q/w: file does not exist")),
            (&["cp", "-p", "/hello", "/q/w"], Ok("")),
            (&["cp", "/hello", "/hello/x"], Err("cp: cannot put node in path /hello/x: /hello/ is not a directory")),
            (&["cp", &format!("ipfs://{HELLO}"), "/uri"], Ok("")),
            (&["cp", HELLO, "/x"], Err("paths must start with a leading slash")),
            (&["cp", "/t", "/t2"], Ok("")),
            (&["stat", "--hash", "/t2"], Ok(TREE)),
            (&["cp", "/", "/root"], Ok("")),
            (&["ls", "/root"], Ok("d\nhello\nq\nt\nt2\nuri")),
        ],
    );
}

#[test]
fn listings_and_figures() {
    let node = node();
    let long = "a\tQmfDmsHTywy6L9Ne5RXsj5YumDedfBLMvCvmaxjBoe6w4d\t1\n\
                link\tQmQGdvJc5i8i3wPbkBgwtn91eoNg9cDxMBqaH4RBJVGX8S\t1\n\
                sub/\tQmZfBgt9PZx6JD46UduVQ6o7bzfmuoSNXAJfPmkDUSthTo\t0";
    let json = format!(r#"{{"Entries":[{{"Name":"hello","Type":0,"Size":6,"Hash":"{HELLO}"}}]}}"#);
    let stat = format!(
        "{TREE}\nSize: 0\nCumulativeSize: 210\nChildBlocks: 3\nType: directory\nMode: not set (not set)\nMtime: not set"
    );
    let local = format!("{stat}\nLocal: 210 B of 210 B (100.00%)");
    let link = r#"{"Hash":"QmQGdvJc5i8i3wPbkBgwtn91eoNg9cDxMBqaH4RBJVGX8S","Size":1,"CumulativeSize":7,"Blocks":0,"Type":"file","Mode":"1000000777"}"#;
    let object = node.feed_bytes(["dag", "put"], r#"{"a":1}"#);
    says(
        &node,
        &[
            (&["ls", "/t"], Ok("a\nlink\nsub")),
            (&["ls", "-U", "/t"], Ok("a\nlink\nsub")),
            (&["ls", "-l", "/t"], Ok(long)),
            (&["ls", "/hello"], Ok("hello")),
            (&["ls", "-l", "--enc=json", "/hello"], Ok(&json)),
            (&["ls", "/nope"], Err("file does not exist")),
            (&["ls", "/hello/x"], Err("cannot access hello/x: Not a directory")),
            (&["ls", "hello"], Err("paths must start with a leading slash")),
            (&["stat", "/t"], Ok(&stat)),
            (&["stat", &format!("/ipfs/{TREE}")], Ok(&stat)),
            (&["stat", "--with-local", "/t"], Ok(&local)),
            (&["stat", "--hash", "/t"], Ok(TREE)),
            (&["stat", "--size", "/t"], Ok("210")),
            (&["stat", "--enc=json", "/t/link"], Ok(link)),
            (
                &["stat", "--format=<type> <childs> <size> <mode-octal> <mtime-secs>", "/t/link"],
                Ok("file 0 1 0777 not set"),
            ),
            (
                &["stat", "--hash", "--size", "/t"],
                Err("invalid parameters: format was set by multiple options. Only one format option is allowed"),
            ),
            (&["stat", &format!("/ipfs/{object}")], Err("not unixfs node (proto or raw)")),
            (&["stat", "/nope"], Err("file does not exist")),
            (&["flush", "/t"], Ok(&format!(r#"{{"Cid":"{TREE}"}}"#))),
            (&["flush", "/nope"], Err("file does not exist")),
        ],
    );
}

#[test]
fn content_is_read_and_written() {
    let node = node();
    let bytes = keystream::bytes("files", 600_000);
    let write = |args: &[&str], data: &[u8]| node.feed_bytes([&["files", "write"][..], args].concat(), data.to_vec());
    says(
        &node,
        &[
            (&["read", "/hello"], Ok("hello")),
            (&["read", "-o", "1", "-n", "2", "/hello"], Ok("el")),
            (&["read", "-o", "6", "/hello"], Ok("")),
            (&["read", "-o", "7", "/hello"], Err("offset was past end of file (7 > 6)")),
            (&["read", "-o=-1", "/hello"], Err("cannot specify negative offset")),
            (&["read", "-n=-1", "/hello"], Err("cannot specify negative 'count'")),
            (&["read", "/t"], Err("/t was not a file")),
            (&["read", "/nope"], Err("/nope: file does not exist")),
            (&["read", "/t/link"], Err("symlinks not yet supported")),
            (&["write", "/nope"], Err("file does not exist")),
            (&["write", "-e", "/t"], Err("/t was not a file")),
            (&["write", "-e", "/hello/x"], Err("cannot access hello/x: Not a directory")),
            (&["write", "-e", "-o=-1", "/hello"], Err("cannot have negative write offset")),
            (&["write", "-e", "-n=-1", "/hello"], Err("cannot have negative byte count")),
        ],
    );
    for (path, flags) in [("/v0", &[][..]), ("/v1", &["--cid-version=1"]), ("/raw", &["--raw-leaves"])] {
        write(&[&["-e", path][..], flags].concat(), &bytes);
        let file = node.file("bytes", &bytes);
        let added = node.ok([&["add", "-nQ", file.to_str().expect("UTF-8")][..], flags].concat());
        assert_eq!(node.ok(["files", "stat", "--hash", path]), added, "{path}");
        // Over the boundary of two leaves, beyond the end, and anew.
        write(&["-o", "262000", path], b"0123456789012345678901234567890123456789");
        write(&["-o", "700000", "-n", "3", path], b"abcdef");
        let mut model = bytes.clone();
        model[262_000..262_040].copy_from_slice(b"0123456789012345678901234567890123456789");
        model.resize(700_000, 0);
        model.extend_from_slice(b"abc");
        assert_eq!(node.bytes(["files", "read", path]), model, "{path}");
        assert_eq!(node.bytes(["files", "read", "-o", "699999", path]), b"\0abc");
        node.file("bytes", &model);
        let added = node.ok([&["add", "-nQ", file.to_str().expect("UTF-8")][..], flags].concat());
        assert_eq!(node.ok(["files", "stat", "--hash", path]), added, "{path}");
        write(&["-t", path], b"short");
        assert_eq!(node.bytes(["files", "read", path]), b"short");
    }
    write(&["-e", "-p", "/a/b/c"], b"deep");
    let file = node.file("data", "from a file");
    node.ok(["files", "write", "-e", "/named", file.to_str().expect("UTF-8")]);
    assert_eq!(node.ok(["files", "read", "/named"]), "from a file");
    assert_eq!(node.ok(["files", "ls", "/a/b"]), "c");
}

#[test]
fn things_move_and_go() {
    let node = node();
    says(
        &node,
        &[
            (&["mkdir", "/d"], Ok("")),
            (&["mv", "/hello", "/d"], Ok("")),
            (&["mv", "/d/hello", "/d/two"], Ok("")),
            (&["mv", "/d/two", "/"], Ok("")),
            (&["mv", "/nope", "/x"], Err("file does not exist")),
            (&["mv", "/two", "/n/"], Err("file does not exist")),
            (&["mv", "/two", "/two"], Ok("")),
            (&["mv", "two", "/x"], Err("paths must start with a leading slash")),
            (&["cp", "/two", "/three"], Ok("")),
            (&["mv", "/three", "/two"], Ok("")),
            (&["mv", "/t", "/two"], Ok("")),
            (&["stat", "--hash", "/two"], Ok(TREE)),
            (&["mv", "/two", "/two/sub"], Err("cannot move two into itself")),
            (&["cp", "/two/a", "/two/sub/b2"], Ok("")),
            (&["mv", "/two/a", "/two/sub/b2/x"], Err("/two/sub/b2/ is not a directory")),
            (&["ls"], Ok("d\ntwo")),
            (&["rm", "/two/a"], Ok("")),
            (&["rm", "-r", "/two/sub/"], Ok("")),
            (&["rm", "--force", "/two"], Ok("")),
            (&["rm", "--force", "/two"], Ok("")),
            (&["rm", "--force", "/x/y/z"], Ok("")),
            (
                &["rm", "--flush=false", "/d"],
                Err("files rm always flushes for safety. The --flush flag cannot be set to false for this command"),
            ),
            (&["ls"], Ok("d")),
        ],
    );
    let outcome = node.run(["files", "rm", "/nope", "d", "/", "/d"]);
    assert_eq!(outcome.status.code(), Some(1));
    assert_eq!(
        outcome.text(),
        "\"/nope: file does not exist\"\n\"d is not a valid path: paths must start with a leading slash\"\n\
         \"/: cannot delete root\"\n\"/d: path is a directory, use -r to remove directories\"\n"
    );
    assert_eq!(outcome.errors(), "Error: can't remove some files\n");
}

#[test]
fn permissions_and_times_are_kept() {
    let node = node();
    let bytes = keystream::bytes("meta", 1000);
    node.file("m", &bytes);
    node.ok(["add", "-Q", "--to-files=/m", "m"]);
    let with = |flag: &str| node.ok(["add", "-nQ", flag, "m"]);
    let mode = with("--mode=0644");
    let time = with("--mtime=1700000000");
    says(
        &node,
        &[
            (&["chmod", "0644", "/m"], Ok("")),
            (&["stat", "--hash", "/m"], Ok(&mode)),
            (&["stat", "--format=<mode> <mode-octal>", "/m"], Ok("-rw-r--r-- 0644")),
            (&["chmod", "0", "/m"], Ok("")),
            (&["touch", "--mtime=1700000000", "/m"], Ok("")),
            (&["stat", "--hash", "/m"], Ok(&time)),
            (&["touch", "--mtime=1700000000", "--mtime-nsecs=5", "/m"], Ok("")),
            (
                &["stat", "--format=<mtime> <mtime-secs> <mtime-nsecs>", "/m"],
                Ok("14 Nov 2023, 22:13:20 UTC 1700000000 5"),
            ),
            (&["mkdir", "/c"], Ok("")),
            (&["chmod", "0750", "/c"], Ok("")),
            (&["stat", "--hash", "/c"], Ok("QmYSLBAKT3vRqyVgkyVbsekSig9h9jji6ZhdHiYZxqCTgQ")),
            (&["touch", "--mtime=1", "/c"], Ok("")),
            (
                &["stat", "--format=<hash> <mode> <mtime>", "/c"],
                Ok("QmNs3Jv9FRm2pMVLLACGqvKiyopcJyNSBhnBczXzdZhgKr drwxr-x--- 1 Jan 1970, 00:00:01 UTC"),
            ),
            (&["chmod", "x", "/m"], Err("strconv.ParseInt: parsing \"x\": invalid syntax")),
            (&["chmod", "0644", "/nope"], Err("file does not exist")),
            (&["touch", "/nope"], Err("file does not exist")),
        ],
    );
    node.ok(["files", "touch", "/m"]);
    let now: u64 = node.ok(["files", "stat", "--format=<mtime-secs>", "/m"]).parse().expect("a time");
    assert!(now > 1_700_000_000);
}

#[test]
fn added_files_get_entries() {
    let node = Node::new();
    node.file("one", "1");
    node.file("two", "2");
    std::fs::create_dir(node.work().join("dir")).expect("makes a folder");
    node.ok(["files", "mkdir", "/d"]);
    node.ok(["add", "--to-files=/d/", "one", "two"]);
    node.ok(["add", "--to-files", "/d/name", "one"]);
    node.ok(["add", "-r", "--to-files=/", "dir"]);
    assert_eq!(node.ok(["files", "ls", "/d"]), "name\none\ntwo");
    assert_eq!(node.ok(["files", "ls", "/"]), "d\ndir");
    assert_eq!(node.ok(["files", "read", "/d/two"]), "2");
    for (args, message) in [
        (
            &["--to-files=/d/", "one"][..],
            "to-files: cannot put node in path \"/d/one\": directory already has entry by that name",
        ),
        (&["--to-files=/x/", "one"], "to-files: MFS destination directory \"/x/\" does not exist: file does not exist"),
        (&["--to-files=/d/one/", "one"], "to-files: MFS destination \"/d/one/\" is not a directory"),
        (
            &["--to-files=/x/y", "one"],
            "to-files: MFS destination parent \"/x/y\" \"/x\" does not exist: file does not exist",
        ),
        (
            &["--to-files=/new", "one", "two"],
            "to-files: MFS destination is a file: only one entry can be copied to \"/new\"",
        ),
        (&["--to-files=x", "one"], "to-files: paths must start with a leading slash"),
        (&["-n", "--to-files=/", "one"], "only-hash and to-files options are not compatible"),
        (&["-w", "--to-files=/", "one"], "wrap-with-directory and to-files options are not compatible"),
        (&["--to-files=/"], "to-files: cannot add unnamed files to MFS"),
    ] {
        let outcome = node.run([&["add"][..], args].concat());
        assert_eq!(outcome.status.code(), Some(1), "{args:?}");
        assert_eq!(outcome.errors().trim_end(), format!("Error: {message}"), "{args:?}");
    }
}

#[test]
fn the_root_can_be_replaced() {
    let node = node();
    let root = node.ok(["files", "stat", "--hash", "/"]);
    says(
        &node,
        &[
            (&["chroot"], Err("this is a potentially destructive operation; pass --confirm to proceed")),
            (
                &["chroot", "--confirm"],
                Ok(&format!(
                    "MFS root changed from {root} to {EMPTY}\nThe old root {root} will be garbage collected unless pinned."
                )),
            ),
            (&["ls"], Ok("")),
            (
                &["chroot", "--confirm", &root],
                Ok(&format!(
                    "MFS root changed from {EMPTY} to {root}\nThe old root {EMPTY} will be garbage collected unless pinned."
                )),
            ),
            (&["ls"], Ok("hello\nt")),
            (&["chroot", "--confirm", HELLO], Err("new root must be a directory, got File")),
        ],
    );
    assert!(
        refused(&node, &["files", "chroot", "--confirm", "QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB"])
            .contains("does not exist locally")
    );
    let _daemon = Daemon::start(&node);
    assert!(refused(&node, &["files", "chroot", "--confirm"]).contains("is the daemon running?"));
}

#[test]
fn a_collection_keeps_the_tree() {
    let node = node();
    let bytes = keystream::bytes("kept", 700_000);
    node.feed_bytes(["files", "write", "-e", "/f"], bytes.clone());
    for pinned in [HELLO, TREE] {
        node.ok(["pin", "rm", pinned]);
    }
    node.ok(["repo", "gc", "-q"]);
    assert_eq!(node.bytes(["files", "read", "/f"]), bytes);
    assert_eq!(node.ok(["files", "read", "/t/sub/b"]), "b");
    let daemon = Daemon::start(&node);
    node.feed_bytes(["files", "write", "-e", "--flush=false", "/g"], bytes.clone());
    node.ok(["repo", "gc", "-q"]);
    assert_eq!(node.bytes(["files", "read", "/g"]), bytes);
    node.ok(["files", "rm", "/f"]);
    node.ok(["files", "rm", "-r", "/t"]);
    let gone = node.ok(["repo", "gc", "-q"]);
    assert!(gone.lines().count() >= 4, "the tree's blocks are garbage now: {gone}");
    drop(daemon);
}

#[test]
fn what_a_daemon_was_told_survives_its_end() {
    let node = node();
    let daemon = Daemon::start(&node);
    let bytes = keystream::bytes("daemon", 3_000_000);
    node.feed_bytes(["files", "write", "-e", "-f=false", "/later"], bytes.clone());
    node.ok(["files", "--flush=false", "mkdir", "/made"]);
    node.ok(["shutdown"]);
    assert!(daemon.wait().success());
    assert_eq!(node.bytes(["files", "read", "/later"]), bytes);
    assert_eq!(node.ok(["files", "ls"]), "hello\nlater\nmade\nt");
    let daemon = Daemon::start(&node);
    node.feed_bytes(["files", "write", "-e", "/now"], bytes.clone());
    daemon.signal(rustix::process::Signal::KILL);
    let _ = daemon.wait();
    assert_eq!(node.bytes(["files", "read", "/now"]), bytes);
}

/// One request, and its answer.
fn ask(daemon: &Daemon, target: &str, body: Option<&str>) -> (u16, String) {
    let command = format!("files/{target}");
    let answer = match body {
        Some(body) => daemon.upload(&command, &[("data", "f", "application/octet-stream", body.as_bytes())]),
        None => daemon.post(&command),
    };
    (answer.status, answer.text())
}

#[test]
fn programs_ask_for_it_too() {
    let node = node();
    let daemon = Daemon::start(&node);
    assert_eq!(ask(&daemon, "write?arg=/f&create=true&flush=false", Some("from a program")).0, 200);
    assert_eq!(ask(&daemon, "read?arg=/f&offset=5", None), (200, "a program".into()));
    assert_eq!(
        ask(&daemon, "stat?arg=/hello", None).1.trim_end(),
        format!(r#"{{"Hash":"{HELLO}","Size":6,"CumulativeSize":14,"Blocks":0,"Type":"file"}}"#)
    );
    assert_eq!(
        ask(&daemon, "ls?arg=/", None).1.trim_end(),
        r#"{"Entries":[{"Name":"f","Type":0,"Size":0,"Hash":""},{"Name":"hello","Type":0,"Size":0,"Hash":""},{"Name":"t","Type":0,"Size":0,"Hash":""}]}"#
    );
    assert_eq!(
        ask(&daemon, "mkdir?arg=/t", None),
        (500, "{\"Message\":\"file already exists\",\"Code\":0,\"Type\":\"error\"}\n".into())
    );
    assert_eq!(ask(&daemon, "stat?arg=/t&hash=true&size=true", None).0, 400);
    assert_eq!(
        ask(&daemon, "write?arg=/f&create=true", None),
        (400, "{\"Message\":\"file argument 'data' is required\",\"Code\":1,\"Type\":\"error\"}\n".into())
    );
    assert_eq!(ask(&daemon, "write?arg=/f&arg=/etc/passwd&truncate=true", Some("sent")).0, 200);
    assert_eq!(ask(&daemon, "read?arg=/f", None).1, "sent", "a request names no files of the daemon's machine");
    assert_eq!(ask(&daemon, "rm?arg=/f&flush=false", None).0, 500);
    assert_eq!(ask(&daemon, "chroot?confirm=true", None).0, 404);
    assert_eq!(ask(&daemon, "rm?arg=/nope", None).1, "\"/nope: file does not exist\"\n");
}

/// What is not here is looked for, and named when it can't be had.
#[test]
fn what_is_missing_is_an_error_of_its_own() {
    let node = node();
    let missing = "QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB";
    let message = refused(&node, &["files", "cp", &format!("/ipfs/{missing}"), "/x"]);
    assert!(message.contains(missing) && !message.contains("file does not exist"), "{message}");
}
