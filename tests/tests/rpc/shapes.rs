//! What clients of Kubo's RPC see.

use crate::{HELLO, HELLO_CID, node};
use cairn_tests::{daemon::Daemon, harness::Node};
use serde_json::json;
use std::io::Read as _;

const FILE: &str = "application/octet-stream";

#[test]
fn answers_say_what_they_are() {
    let node = node();
    let daemon = Daemon::start(&node);
    let stat = format!("block/stat?arg={HELLO_CID}");
    for (path, media, chunked, stream, length) in [
        ("version".to_owned(), "application/json", None, None, None),
        ("version?encoding=text".to_owned(), "text/plain", None, None, None),
        (stat, "application/json", None, None, None),
        (format!("cat?arg={HELLO_CID}"), "text/plain", None, Some("1"), Some("11")),
        (format!("block/get?arg={HELLO_CID}"), "application/vnd.ipld.raw", None, Some("1"), Some("19")),
        (format!("dag/export?arg={HELLO_CID}"), "application/vnd.ipld.car", None, Some("1"), None),
        (format!("get?arg={HELLO_CID}"), "application/x-tar", None, Some("1"), Some("11")),
        (format!("get?arg={HELLO_CID}&compress=true"), "application/gzip", None, Some("1"), Some("11")),
        ("refs/local".to_owned(), "application/json", Some("1"), None, None),
        ("pin/ls?stream=true".to_owned(), "application/json", Some("1"), None, None),
        ("pin/ls".to_owned(), "application/json", None, None, None),
    ] {
        let answer = daemon.post(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let headers =
            ["content-type", "x-chunked-output", "x-stream-output", "x-content-length"].map(|h| answer.header(h));
        assert_eq!(headers, [Some(media), chunked, stream, length], "{path}");
    }
}

#[test]
fn bytes_come_as_they_are() {
    let node = node();
    let daemon = Daemon::start(&node);
    assert_eq!(daemon.post(&format!("cat?arg={HELLO_CID}")).body, HELLO);
    assert_eq!(daemon.post(&format!("cat/{HELLO_CID}")).body, HELLO, "the last part of a path is an argument");
    assert_eq!(daemon.post(&format!("cat?arg={HELLO_CID}&offset=6&length=3")).body, b"wor");
    let car = daemon.post(&format!("dag/export?arg={HELLO_CID}")).body;
    assert_eq!(car, node.bytes(["dag", "export", HELLO_CID]));
    let tar = daemon.post(&format!("get?arg={HELLO_CID}")).body;
    let mut tar = tar::Archive::new(&tar[..]);
    let mut entry = tar.entries().expect("a tar").next().expect("an entry").expect("well-formed");
    let mut content = Vec::new();
    entry.read_to_end(&mut content).expect("content");
    assert_eq!((entry.path_bytes().as_ref(), content.as_slice()), (HELLO_CID.as_bytes(), HELLO));
}

#[test]
fn uploads_become_files_folders_and_symlinks() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let answer = daemon.upload("add", &[("file", "hello.txt", FILE, HELLO)]);
    assert_eq!(answer.header("x-chunked-output"), Some("1"));
    assert_eq!(answer.json(), json!({"Name": "hello.txt", "Hash": HELLO_CID, "Size": "19"}));
    let answer = daemon.upload(
        "add?progress=true&cid-version=1",
        &[
            ("file", "top", "application/x-directory", b""),
            ("file", "top%2Fa", FILE, b"a"),
            ("file", "top%2Flink", "application/symlink", b"a"),
            ("file", "top%2Fsub%2Fb", FILE, b"b"),
        ],
    );
    let events = answer.events();
    assert!(events.iter().any(|e| e["Bytes"].is_u64()), "progress: {events:?}");
    let added: Vec<(&str, &str)> =
        events.iter().filter_map(|e| Some((e["Name"].as_str()?, e["Hash"].as_str()?))).collect();
    let folder = node.work().join("top");
    std::fs::create_dir_all(folder.join("sub")).expect("folders");
    std::fs::write(folder.join("a"), "a").expect("a file");
    std::fs::write(folder.join("sub/b"), "b").expect("a file");
    std::os::unix::fs::symlink("a", folder.join("link")).expect("a symlink");
    let expected = node.ok(["add", "-r", "--cid-version=1", "-n", folder.to_str().expect("UTF-8")]);
    let expected: Vec<(&str, &str)> = expected
        .lines()
        .filter_map(|line| line.strip_prefix("added ")?.split_once(' ').map(|(cid, name)| (name, cid)))
        .collect();
    assert_eq!(added, expected);
}

#[test]
fn modes_and_times_are_kept_when_asked_for() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let part = [("file?mode=0751&mtime=1700000000&mtime-nsecs=5", "x", FILE, &b"x"[..])];
    let answer = daemon.upload("add?preserve-mode=true&preserve-mtime=true", &part).json();
    assert_eq!(
        (&answer["Mode"], &answer["Mtime"], &answer["MtimeNsecs"]),
        (&json!("0751"), &json!(1_700_000_000), &json!(5))
    );
    assert_eq!(daemon.upload("add", &part).json()["Mode"], json!(null));
}

#[test]
fn objects_are_put_from_the_body() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let put = daemon.upload("block/put", &[("file", "x", FILE, b"hello\n")]).json();
    assert_eq!(put, json!({"Key": "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am", "Size": 6}));
    let put = daemon.upload("dag/put", &[("file", "x", FILE, br#"{"a": [1]}"#)]).json();
    let cid = put["Cid"]["/"].as_str().expect("a CID").to_owned();
    assert_eq!(daemon.post(&format!("dag/get?arg={cid}/a")).text(), "[1]");
    let car = node.bytes(["dag", "export", &cid]);
    let imported = daemon.upload("dag/import?stats=true", &[("file", "x.car", FILE, &car)]).events();
    assert_eq!(imported[0], json!({"Root": {"Cid": {"/": cid}, "PinErrorMsg": ""}}));
    assert_eq!(imported[1]["Stats"]["BlockCount"], json!(1));
}

#[test]
fn pins_are_shown_as_cluster_needs_them() {
    let node = node();
    let daemon = Daemon::start(&node);
    let all = daemon.post("pin/ls").json();
    assert_eq!(all, json!({"Keys": {HELLO_CID: {"Type": "recursive", "Name": ""}}}));
    assert_eq!(daemon.post("pin/ls?stream=true").json(), json!({"Cid": HELLO_CID, "Type": "recursive"}));
    assert_eq!(daemon.post(&format!("pin/rm?arg={HELLO_CID}")).json(), json!({"Pins": [HELLO_CID]}));
    assert_eq!(daemon.post("pin/ls").json(), json!({}));
    let added = daemon.post(&format!("pin/add?arg={HELLO_CID}&progress=true")).events();
    assert_eq!(added.last(), Some(&json!({"Pins": [HELLO_CID]})));
    assert!(added.len() > 1 && added[added.len() - 2]["Progress"] == json!(1), "{added:?}");
}

#[test]
fn the_configuration_changes_while_the_daemon_runs() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let set = daemon.post("config?arg=Import.CidVersion&arg=1&json=true");
    assert_eq!(set.json(), json!({"Key": "Import.CidVersion", "Value": 1}));
    let added = daemon.upload("add", &[("file", "x", FILE, b"hello\n")]).json();
    assert_eq!(added["Hash"], "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am", "it counts at once");
    assert_eq!(node.ok(["config", "Import.CidVersion"]), "1");
}

#[test]
fn what_runs_is_listed() {
    let node = node();
    let daemon = Daemon::start(&node);
    daemon.post(&format!("cat?arg={HELLO_CID}&length=1"));
    let all = daemon.post("diag/cmds").json();
    let all = all.as_array().expect("a list");
    assert_eq!((&all[0]["Command"], &all[0]["Active"]), (&json!("cat"), &json!(false)));
    assert_eq!((&all[0]["Args"], &all[0]["Options"]["length"]), (&json!([HELLO_CID]), &json!("1")));
    assert_eq!((&all[1]["Command"], &all[1]["Active"]), (&json!("diag/cmds"), &json!(true)));
    daemon.post("diag/cmds/clear");
    assert!(daemon.post("diag/cmds").json().as_array().is_some_and(|all| all.len() <= 2));
    assert_eq!(daemon.post("diag/healthy").json(), json!("ok"));
    assert_eq!(daemon.post("diag/sys").json()["net"]["online"], json!(false));
}

#[test]
fn every_command_can_be_reached() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let local = [
        "cairn",
        "cairn init",
        "cairn daemon",
        "cairn completions",
        "cairn commands completion",
        "cairn commands man",
        "cairn config edit",
        "cairn gateway",
        "cairn repo migrate",
        // As in Kubo, which says so with `NoRemote`.
        "cairn key export",
        "cairn files chroot",
        "cairn diag datastore",
        "cairn diag datastore count",
        "cairn diag datastore get",
    ];
    let mut reached = 0;
    for line in node.ok(["commands"]).lines() {
        let path = line.split_whitespace().skip(1).collect::<Vec<_>>().join("/");
        // Those that would end the daemon, or never end.
        if matches!(path.as_str(), "shutdown" | "log/tail")
            || local.iter().any(|l| line == *l || line.starts_with("cairn commands completion"))
        {
            continue;
        }
        let status = daemon.post(&path).status;
        assert_ne!((status, &path), (404, &path), "{path}");
        reached += 1;
    }
    assert!(reached > 40, "only {reached} commands");
}
