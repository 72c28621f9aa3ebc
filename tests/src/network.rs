//! Daemons that talk with each other on the loopback address. With `CAIRN_BIN` they are Kubo's, which checks the tests.

use crate::{
    harness::{Node, Program},
    process,
};
use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::TcpStream,
    ops::Deref,
    process::{Child, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

/// Longest time that a daemon may take to become ready, or to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest time until other nodes must have heard of something.
const NEWS: Duration = Duration::from_secs(20);
/// Bytes of a daemon's output that are kept for messages.
const LOG: usize = 64 << 10;

/// A node whose daemon is in a network. It is ended when this is dropped.
#[derive(Debug)]
pub struct Online {
    node: Node,
    child: Option<Child>,
    log: Arc<Mutex<String>>,
}

impl Online {
    /// A daemon of the program under test, which knows nobody.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// The same with keys of the configuration and their values in JSON.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn with(config: &[(&str, &str)]) -> Self {
        Self::of(Program::under_test(), config)
    }

    /// A daemon of another program.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn of(program: Program, config: &[(&str, &str)]) -> Self {
        let node = Node::with_profile(program, "test");
        let common = [
            ("Bootstrap", "[]"),
            ("Routing.Type", "\"dht\""),
            ("Pubsub.Enabled", "true"),
            ("Swarm.RelayClient.Enabled", "false"),
        ];
        for (key, value) in common.iter().chain(config) {
            node.ok(["config", "--json", key, value]);
        }
        let mut online = Self { node, child: None, log: Arc::default() };
        online.start();
        online
    }

    /// Starts the daemon.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Starts the daemon with these options.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start_with(&mut self, options: &[&str]) {
        let mut command = self.node.command(["daemon"]);
        command.args(options);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program can be started");
        let (ready, is_ready) = mpsc::sync_channel(1);
        self.listen(child.stdout.take().expect("a pipe"), Some(ready));
        self.listen(child.stderr.take().expect("a pipe"), None);
        self.child = Some(child);
        assert!(is_ready.recv_timeout(PATIENCE).is_ok(), "the daemon is not ready:\n{}", self.log());
    }

    /// Keeps what the daemon prints, and says when it is ready.
    fn listen(&self, pipe: impl Read + Send + 'static, ready: Option<mpsc::SyncSender<()>>) {
        let log = Arc::clone(&self.log);
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if let Some(ready) = ready.as_ref().filter(|_| line == "Daemon is ready") {
                    let _ = ready.try_send(());
                }
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                if log.len() < LOG {
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        });
    }

    /// The daemon's process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// Resident memory of the daemon in bytes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Greatest resident memory so far, in bytes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, what: &str) -> u64 {
        process::memory(self.child.as_ref().expect("it runs").id(), what)
    }

    /// Asks the daemon at its gateway's address: the head and the body of the answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn gateway(&self, path: &str) -> (String, String) {
        let url = std::fs::read_to_string(self.node.repo().join("gateway")).expect("it says where");
        let host = url.strip_prefix("http://").expect("a URL");
        let mut stream = TcpStream::connect(host).expect("it listens there");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), body.to_owned())
    }

    /// What the daemon printed.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the daemon as a service manager does.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self) -> ExitStatus {
        self.end(rustix::process::Signal::TERM).expect("it runs and ends")
    }

    /// Ends the daemon as a power cut does.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill(&mut self) {
        self.end(rustix::process::Signal::KILL).expect("it runs and ends");
    }

    fn end(&mut self, signal: rustix::process::Signal) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).ok()?)?;
        rustix::process::kill_process(pid, signal).ok()?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        None
    }

    /// Its name.
    ///
    /// # Panics
    /// When the daemon does not say.
    pub fn peer(&self) -> String {
        self.ok(["config", "Identity.PeerID"])
    }

    /// Where it listens over TCP, with its name.
    ///
    /// # Panics
    /// When it listens nowhere.
    pub fn address(&self) -> String {
        let all = self.ok(["swarm", "addrs", "local"]);
        let tcp = all.lines().find(|l| l.starts_with("/ip4/127.0.0.1/tcp/") && !l.ends_with("/ws"));
        format!("{}/p2p/{}", tcp.unwrap_or_else(|| panic!("no address in {all:?}")), self.peer())
    }

    /// Connects with another node, until both list the other.
    ///
    /// # Panics
    /// When it can't.
    pub fn connect(&self, other: &Self) {
        let said = self.ok(["swarm", "connect", &other.address()]);
        assert_eq!(said, format!("connect {} success", other.peer()));
        eventually("both list the other", || self.is_connected(other) && other.is_connected(self));
    }

    /// Whether another node is listed as a connected peer.
    ///
    /// # Panics
    /// When the daemon does not answer.
    pub fn is_connected(&self, other: &Self) -> bool {
        let peer = other.peer();
        self.ok(["swarm", "peers"]).lines().any(|line| line.ends_with(&format!("/p2p/{peer}")))
    }
}

impl Default for Online {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Online {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        if self.child.is_some() {
            let ended = self.end(rustix::process::Signal::TERM).is_some();
            assert!(ended || thread::panicking(), "the daemon did not end within {PATIENCE:?}");
        }
    }
}

/// Asks again until it is so: for what other nodes must hear of first.
///
/// # Panics
/// When it never is.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + NEWS;
    while !is_so() {
        assert!(Instant::now() < until, "not within {NEWS:?}: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A command that goes on until this is dropped, which asks it to end, and the lines of its standard output so far.
#[derive(Debug)]
pub struct Following {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Following {
    /// Starts a command.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(node: &Node, args: &[&str]) -> Self {
        let mut child = node.command(args).stdout(Stdio::piped()).spawn().expect("the program can be started");
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (pipe, heard) = (child.stdout.take().expect("a pipe"), Arc::clone(&lines));
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child, lines }
    }

    /// Whether a line was printed.
    pub fn has(&self, wanted: impl Fn(&str) -> bool) -> bool {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|line| wanted(line))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let asked = pid.is_some_and(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok());
        if !asked {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
