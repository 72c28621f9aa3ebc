//! A daemon with its gateway, started as an operator starts it, and ended with the test in any case.

use crate::harness::{Node, Program};
use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Longest time that a daemon may take to become ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest time that it may take to end, and its repository to be removed: a hundred thousand files, if it is Kubo's.
const END: Duration = Duration::from_secs(240);
/// File for what a daemon says of errors, in the node's working directory.
const ERRORS: &str = "daemon-errors";
/// Runs a command until standard input ends, then ends it and removes a directory. A test process may go in any way, and
/// statics are never dropped: its end of the pipe closes all the same.
const KEEPER: &str =
    r#"trap '' INT; dir=$1; shift; "$@" & pid=$!; exec >/dev/null; cat; kill "$pid"; wait "$pid"; rm -rf "$dir""#;

/// A daemon of a node's repository, offline, with its gateway.
#[derive(Debug)]
pub struct Gateway {
    keeper: Child,
    open: Option<ChildStdin>,
    node: Node,
    /// Where the gateway answers.
    pub address: SocketAddr,
}

/// A fresh repository of the program under test, as `init --profile=test` makes it. Its resolver of domains is a port
/// where nobody listens, so no look-up leaves the machine.
///
/// # Panics
/// When it can't be made.
pub fn node() -> Node {
    node_of(Program::under_test())
}

/// The same of another program.
///
/// # Panics
/// When it can't be made.
pub fn node_of(program: Program) -> Node {
    let node = Node::with_profile(program, "test");
    node.ok(["config", "--json", "DNS.Resolvers", r#"{".":"https://127.0.0.1:1/dns-query"}"#]);
    node
}

impl Gateway {
    /// Starts the daemon of a node with a map of domains to paths.
    ///
    /// # Panics
    /// When it does not become ready, or does not say where its gateway is.
    pub fn start(node: Node, map: &[(&str, &str)]) -> Self {
        Self::with(node, map, &["daemon", "--offline"])
    }

    /// The same with other arguments.
    ///
    /// # Panics
    /// As [`Gateway::start`].
    pub fn with(node: Node, map: &[(&str, &str)], args: &[&str]) -> Self {
        let daemon = node.command(args);
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper"]).arg(node.repo().parent().expect("it lies in a directory"));
        command.arg(daemon.get_program()).args(daemon.get_args()).current_dir(node.work());
        command.envs(daemon.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let map: Vec<String> = map.iter().map(|(name, path)| format!("{name}:{path}")).collect();
        // Denylists of whoever runs the tests are no part of them.
        command.env("IPFS_NS_MAP", map.join(",")).env("XDG_CONFIG_HOME", node.work().join("xdg"));
        let errors = std::fs::File::create(node.work().join(ERRORS)).expect("the directory is writable");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut keeper = command.spawn().expect("a shell can be started");
        let open = keeper.stdin.take();
        let lines = BufReader::new(keeper.stdout.take().expect("a pipe")).lines();
        let (heard, line) = mpsc::sync_channel(64);
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(heard.try_send(line))));
        let until = Instant::now() + PATIENCE;
        let mut printed: Vec<String> = Vec::new();
        while printed.last().is_none_or(|line| line != "Daemon is ready") {
            match line.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => printed.push(line),
                Err(error) => panic!("{error}; the daemon ended, or is not ready: {printed:#?}"),
            }
        }
        let url = std::fs::read_to_string(node.repo().join("gateway"))
            .unwrap_or_else(|e| panic!("no file that says where the gateway is: {e}; {printed:#?}"));
        let address = url.trim().strip_prefix("http://").and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("{url:?} is no address of a gateway"));
        Self { keeper, open, node, address }
    }

    /// The daemon's process number.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        let keeper = self.keeper.id();
        let children = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).expect("it runs");
        // The daemon was started first.
        children.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("the daemon runs")
    }

    /// What the daemon wrote to standard error so far.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(self.node.work().join(ERRORS)).unwrap_or_default()
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.errors());
        }
        drop(self.open.take());
        let until = Instant::now() + END;
        while Instant::now() < until {
            match self.keeper.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(10)),
                _ => return,
            }
        }
        let _ = self.keeper.kill();
        assert!(thread::panicking(), "the daemon did not end in time");
    }
}
