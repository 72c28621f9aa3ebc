//! A daemon for a test, and a plain HTTP client to ask it.

use crate::{harness::Node, process};
use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Longest time that a daemon may take to become ready.
const START: Duration = Duration::from_secs(60);
/// Longest time that a daemon may take to end.
const END: Duration = Duration::from_secs(10);

/// A daemon of a node's repository, offline, on a port of its own. It is ended when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// Where it answers.
    pub address: SocketAddr,
    /// What it printed until it was ready.
    pub printed: Vec<String>,
    /// From its start until it was ready.
    pub ready_after: Duration,
}

impl Daemon {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start(node: &Node) -> Self {
        Self::with(node, &[])
    }

    /// Starts one with more arguments.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn with(node: &Node, args: &[&str]) -> Self {
        let begun = Instant::now();
        let mut command = node.command(["daemon", "--offline", "--api=/ip4/127.0.0.1/tcp/0"]);
        let mut child = command.args(args).stdout(Stdio::piped()).spawn().expect("the program can be started");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (heard, line) = mpsc::sync_channel(16);
        // To its end, so that it can go on printing.
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(heard.send(line))));
        let mut printed: Vec<String> = Vec::new();
        while printed.last().is_none_or(|line| line != "Daemon is ready") {
            let Ok(next) = line.recv_timeout(START.saturating_sub(begun.elapsed())) else {
                let _ = child.kill();
                panic!("the daemon ended, or is not ready after {START:?}: {printed:?}");
            };
            printed.push(next);
        }
        let ready_after = begun.elapsed();
        let api = printed.iter().find_map(|l| l.strip_prefix("RPC API server listening on /ip4/127.0.0.1/tcp/"));
        let port: u16 = api.and_then(|p| p.parse().ok()).unwrap_or_else(|| panic!("no address in {printed:?}"));
        Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)), printed, ready_after }
    }

    /// Its process number.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process number")
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Greatest resident memory so far, in bytes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// A size that the kernel gives in KiB, in bytes.
    fn status(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|l| l.strip_prefix(what)).expect("a size");
        line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).expect("a number") * 1024
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it is not there.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).expect("a process number");
        rustix::process::kill_process(pid, signal).expect("it is there");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait(mut self) -> ExitStatus {
        self.ended().expect("it ends within 10 s")
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + END;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// A connection.
    ///
    /// # Panics
    /// When it is refused.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the daemon listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
        stream
    }

    /// Sends a request as it stands and reads the answer.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn raw(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect();
        // A server may refuse before it has read everything.
        let _ = stream.write_all(request.as_ref());
        Answer::read(&mut BufReader::new(stream)).expect("an answer")
    }

    /// POSTs to a command, with more headers.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn post_with(&self, command: &str, headers: &str) -> Answer {
        self.raw(format!(
            "POST /api/v0/{command} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n{headers}\r\n",
            self.address
        ))
    }

    /// POSTs to a command.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn post(&self, command: &str) -> Answer {
        self.post_with(command, "")
    }

    /// POSTs parts: form name, file name, media type and content of each.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn upload(&self, command: &str, parts: &[(&str, &str, &str, &[u8])]) -> Answer {
        let mut body = Vec::new();
        for (name, file, kind, content) in parts {
            let head = format!(
                "--b0\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\nContent-Type: {kind}\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--b0--\r\n");
        self.raw([self.upload_head(command, body.len()).as_bytes(), &body].concat())
    }

    /// The head of a request with a multipart body, whose boundary is `b0`.
    pub fn upload_head(&self, command: &str, len: usize) -> String {
        format!(
            "POST /api/v0/{command} HTTP/1.1\r\nHost: {}\r\nContent-Type: multipart/form-data; boundary=b0\r\n\
             Content-Length: {len}\r\n\r\n",
            self.address
        )
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal(rustix::process::Signal::TERM);
        if self.ended().is_none() {
            let _ = self.child.kill();
            let _ = process::wait(&self.child);
            assert!(thread::panicking(), "the daemon did not end within 10 s");
        }
    }
}

/// An answer over HTTP.
#[derive(Debug, Default, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers; names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
    /// Trailers; names in lower case.
    pub trailers: BTreeMap<String, String>,
}

impl Answer {
    /// Reads one.
    ///
    /// # Errors
    /// When the connection breaks off, or it is none.
    pub fn read(stream: &mut impl io::BufRead) -> io::Result<Self> {
        let mut answer = Self::read_head(stream)?;
        answer.read_body(stream)?;
        Ok(answer)
    }

    /// Reads status and headers.
    ///
    /// # Errors
    /// As [`Answer::read`].
    pub fn read_head(stream: &mut impl io::BufRead) -> io::Result<Self> {
        let first = line(stream)?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in {first:?}")))?;
        Ok(Self { status, headers: fields(stream)?, ..Self::default() })
    }

    fn read_body(&mut self, stream: &mut impl io::BufRead) -> io::Result<()> {
        if self.headers.get("transfer-encoding").is_some_and(|t| t == "chunked") {
            loop {
                let size = line(stream)?;
                let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
                if size == 0 {
                    self.trailers = fields(stream)?;
                    return Ok(());
                }
                let at = self.body.len();
                self.body.resize(at + size, 0);
                stream.read_exact(&mut self.body[at..])?;
                line(stream)?;
            }
        }
        match self.headers.get("content-length").and_then(|l| l.parse().ok()) {
            Some(len) => {
                self.body.resize(len, 0);
                stream.read_exact(&mut self.body)
            }
            None if self.status == 204 => Ok(()),
            None => stream.read_to_end(&mut self.body).map(drop),
        }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as one JSON value.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {:?}", self.text()))
    }

    /// The body as lines of JSON.
    ///
    /// # Panics
    /// When one is none.
    #[track_caller]
    pub fn events(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e} in {l:?}"))).collect()
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

fn line(stream: &mut impl io::BufRead) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn fields(stream: &mut impl io::BufRead) -> io::Result<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    loop {
        let line = line(stream)?;
        if line.is_empty() {
            return Ok(fields);
        }
        if let Some((name, value)) = line.split_once(':') {
            fields.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}
