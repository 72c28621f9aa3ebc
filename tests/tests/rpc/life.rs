//! The life of a daemon.

use crate::{HELLO, HELLO_CID, node};
use cairn_tests::{daemon::Daemon, harness::Node, network::eventually};
use rustix::process::Signal;
use std::{
    io::{BufRead as _, BufReader, Cursor, Read as _, Write as _},
    os::unix::net::UnixDatagram,
    process::Stdio,
    time::Duration,
};

#[test]
fn a_daemon_says_what_kubos_clients_wait_for() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    assert_eq!(daemon.printed[0], "Initializing daemon...");
    assert!(daemon.printed[1].starts_with("Cairn version: "), "{:?}", daemon.printed);
    let api = format!("RPC API server listening on /ip4/127.0.0.1/tcp/{}", daemon.address.port());
    let [.., rpc, gateway, ready] = daemon.printed.as_slice() else { panic!("{:?}", daemon.printed) };
    assert_eq!((rpc, ready.as_str()), (&api, "Daemon is ready"));
    assert!(gateway.starts_with("Gateway server listening on /ip4/127.0.0.1/tcp/"), "{gateway}");
}

#[test]
fn signals_and_shutdown_end_it_cleanly() {
    let node = node();
    for signal in [Signal::TERM, Signal::INT] {
        let daemon = Daemon::start(&node);
        daemon.signal(signal);
        assert_eq!(daemon.wait().code(), Some(0), "{signal:?}");
        assert!(!node.repo().join("api").exists());
    }
    let daemon = Daemon::start(&node);
    node.ok(["shutdown"]);
    assert_eq!(daemon.wait().code(), Some(0));
    let daemon = Daemon::start(&node);
    assert_eq!(daemon.post("shutdown").status, 200);
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(node.bytes(["cat", HELLO_CID]), HELLO, "the repository is free again");
}

#[test]
fn requests_that_never_end_do_not_keep_it() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let mut stream = daemon.connect();
    stream.write_all(b"POST /api/v0/log/tail HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").expect("sends");
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).expect("an answer begins");
    assert!(line.contains("200"), "{line}");
    // Sends no end of its body.
    let mut upload = daemon.connect();
    upload.write_all(daemon.upload_head("add", 1 << 30).as_bytes()).expect("sends");
    eventually("both run", || daemon.post("diag/cmds").text().matches("\"Active\":true").count() >= 3);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_client_that_goes_away_ends_its_command() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let mut stream = daemon.connect();
    stream.write_all(b"POST /api/v0/log/tail HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").expect("sends");
    let running = || daemon.post("diag/cmds").text().contains("\"Active\":true,\"Command\":\"log/tail\"");
    eventually("it runs", running);
    drop(stream);
    eventually("it ends", || !running());
    let mut child = node.command(["log", "tail"]).spawn().expect("the program can be started");
    eventually("it runs", running);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    eventually("it ends", || !running());
}

#[test]
fn the_time_of_a_request_can_be_limited() {
    let node = Node::new();
    let daemon = Daemon::start(&node);
    let answer = daemon.post("log/tail?timeout=50ms");
    assert!(answer.trailers.get("x-stream-error").is_some_and(|e| e.contains("--timeout")), "{answer:?}");
    let run = node.run(["log", "tail", "--timeout=50ms"]);
    assert!(run.status.code() == Some(1) && run.errors().contains("--timeout"), "{}", run.errors());
}

#[test]
fn a_second_daemon_is_refused_and_a_service_manager_told() {
    let node = Node::new();
    let socket = UnixDatagram::bind(node.work().join("notify")).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
    let api = format!("--api=/unix{}", node.work().join("api.sock").display());
    let mut first = node
        .command(["daemon", "--offline", &api])
        .env("NOTIFY_SOCKET", node.work().join("notify"))
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the program can be started");
    let mut buffer = [0; 64];
    let told = |socket: &UnixDatagram, buffer: &mut [u8]| {
        let len = socket.recv(buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    };
    assert_eq!(told(&socket, &mut buffer), "READY=1");
    assert!(node.ok(["repo", "stat"]).contains("RepoSize"), "over a Unix socket");
    let second = node.run(["daemon", "--offline", "--api=/ip4/127.0.0.1/tcp/0"]);
    assert!(!second.status.success() && second.errors().contains("in use"), "{}", second.errors());
    node.ok(["shutdown"]);
    assert_eq!(told(&socket, &mut buffer), "STOPPING=1");
    assert!(first.wait().expect("it ends").success());
    assert!(!node.work().join("api.sock").exists());
}

#[test]
fn it_collects_when_it_is_told_to() {
    let node = Node::new();
    node.ok(["config", "Datastore.GCPeriod", "1s"]);
    node.ok(["config", "Datastore.StorageMax", "20MB"]);
    node.ok(["config", "--json", "Datastore.StorageGCWatermark", "1"]);
    let daemon = Daemon::with(&node, &["--enable-gc"]);
    let bytes: Vec<u8> = (0..3_u32 << 20).map(|i| (i.wrapping_mul(i) >> 7) as u8 ^ (i >> 10) as u8).collect();
    let file = node.file("x", bytes);
    let root = node.add(&["--pin=false", "--chunker=size-1000"], &file);
    eventually("it is collected", || daemon.post(&format!("block/stat?arg={root}")).status == 500);
}

#[test]
fn what_is_logged_can_be_set_and_followed() {
    let node = Node::new();
    let _daemon = Daemon::start(&node);
    assert_eq!(node.ok(["log", "level"]), "warn");
    assert_eq!(node.ok(["log", "level", "store", "debug"]), "Changed log level of 'store' to 'debug'");
    assert_eq!(node.ok(["log", "level", "store"]), "debug");
    assert_eq!(node.ok(["log", "level", "rpc"]), "warn");
    assert!(node.ok(["log", "ls"]).lines().any(|l| l == "store"));
    assert!(!node.run(["log", "level", "nope", "debug"]).status.success());
}

#[test]
fn a_daemon_whose_reader_is_gone_goes_on_and_ends_in_order() {
    let node = Node::new();
    let mut command = node.command(["daemon", "--offline", "--api=/ip4/127.0.0.1/tcp/0", "--debug"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program can be started");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let ready = lines.by_ref().map_while(Result::ok).any(|line| line == "Daemon is ready");
    assert!(ready);
    drop((lines, child.stderr.take()));
    // Something is logged with each; the second would find the first one's thread dead.
    for _ in 0..2 {
        node.ok(["log", "level", "all", "debug"]);
        node.ok(["repo", "stat"]);
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_profile_is_written_where_it_was_asked_for() {
    let node = node();
    let daemon = Daemon::start(&node);
    let file = node.work().join("p.zip");
    let path = file.to_str().expect("UTF-8");
    let said = node.ok(["diag", "profile", "--profile-time=100ms", "-o", path]);
    assert_eq!(said, format!("Wrote profiles to: {path}"));
    let archive = |bytes: Vec<u8>| zip::ZipArchive::new(Cursor::new(bytes)).expect("a zip archive");
    let mut whole = archive(std::fs::read(&file).expect("written"));
    let mut text = |name: &str| {
        let mut text = String::new();
        whole.by_name(name).unwrap_or_else(|e| panic!("{name}: {e}")).read_to_string(&mut text).expect("text");
        text
    };
    assert!(text("version.json").contains("\"Path\": \"libp2p\""));
    assert!(text("sys.json").contains("\"numcpu\""));
    assert!(text("cpu.txt").contains(" s of processor time in 0."));
    assert!(text("memory.txt").contains("VmRSS:") && text("memory.txt").contains("  heap\n"));
    assert!(text("threads.txt").contains("  rocksdb:high\n"), "{}", text("threads.txt"));
    assert!(text("commands.txt").contains("  runs     diag/profile\n"), "{}", text("commands.txt"));
    assert!(text("metrics.txt").contains("process_resident_memory_bytes"));
    assert!(text("files.txt").contains("Max open files"));
    assert!(text("database.txt").contains("blocks rocksdb.estimate-num-keys: "), "{}", text("database.txt"));
    assert!(whole.by_name("log.jsonl").is_err() && whole.by_name("cairn").is_err(), "only if they are named");
    let answer = daemon.post("diag/profile?collectors=commands,cpu&profile-time=0");
    assert_eq!(answer.header("content-type"), Some("application/zip"));
    let answered = archive(answer.body);
    let names: Vec<_> = answered.file_names().map(|name| name.expect("UTF-8")).collect();
    assert_eq!(names, ["commands.txt"]);
    assert_ne!(daemon.post("diag/profile?collectors=mutex").status, 200);
    drop(daemon);
    assert!(!node.run(["diag", "profile", "-o", path]).status.success(), "there is no daemon");
}

#[test]
fn rows_of_the_tables_can_be_looked_at_while_no_daemon_runs() {
    let node = node();
    let count = |prefix: &str| -> u64 { node.ok(["diag", "datastore", "count", prefix]).parse().expect("a number") };
    assert_eq!(count("/blocks"), node.ok(["refs", "local"]).lines().count() as u64);
    assert!(count("/") > count("/blocks") && count("/blocks/01") == count("/blocks") && count("/blocks/02") == 0);
    // The multihash of the block, as docs/FORMAT.md says.
    let cid: cid::Cid = HELLO_CID.parse().expect("a CID");
    let hash: String = cid.hash().to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("/blocks/01{hash}");
    assert_eq!(node.bytes(["diag", "datastore", "get", &key]), node.bytes(["block", "get", HELLO_CID]));
    let dump = node.ok(["diag", "datastore", "get", "--hex", &key]);
    assert!(dump.starts_with(&format!("Key: {key}\nHex Dump:\n00000000  0a ")), "{dump}");
    let missing = node.run(["diag", "datastore", "get", "/blocks/00"]);
    assert!(missing.errors().contains("key not found: /blocks/00"), "{}", missing.errors());
    let daemon = Daemon::start(&node);
    assert!(!node.run(["diag", "datastore", "count", "/"]).status.success());
    assert_eq!(daemon.post("diag/datastore/count?arg=/").status, 404);
}
