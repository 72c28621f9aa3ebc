//! Load on an HTTP/1.1 server: connections that ask for the same again and again, readers that take little, and clients
//! that never finish their requests.

use anyhow::{Context as _, ensure};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
    task::JoinSet,
};

/// Requests in this time are not counted.
const WARM_UP: Duration = Duration::from_millis(500);
/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 64 << 10;
/// What is read at once from a connection that is to be quick.
const BUFFER: usize = 256 << 10;
/// What a slow reader takes at once, and how often.
const SIP: (usize, Duration) = (16 << 10, Duration::from_millis(200));
/// Receive buffer of a slow reader, so that what it does not take waits at the server.
const SMALL_WINDOW: u32 = 32 << 10;
/// How often a client that never finishes its request sends a byte.
const DRIP: Duration = Duration::from_millis(500);

/// How much of an answer has come.
#[derive(Debug)]
pub struct Framing {
    state: State,
    line: Vec<u8>,
    /// The status, once the head is there.
    pub status: u16,
    /// Bytes of the body so far.
    pub body: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Left(u64),
    Size,
    Chunk(u64),
    Trailer,
    Done,
}

impl Default for Framing {
    fn default() -> Self {
        Self { state: State::Head, line: Vec::new(), status: 0, body: 0 }
    }
}

impl Framing {
    /// Takes what came; `true` when that was the end of the answer.
    ///
    /// # Errors
    /// When it is no answer, or one without framing.
    pub fn feed(&mut self, mut bytes: &[u8]) -> anyhow::Result<bool> {
        while !bytes.is_empty() && self.state != State::Done {
            match self.state {
                State::Left(left) | State::Chunk(left) => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[n..];
                    self.body += n as u64;
                    let left = left - n as u64;
                    self.state = match self.state {
                        State::Left(_) if left == 0 => State::Done,
                        State::Left(_) => State::Left(left),
                        // The line's end after a chunk is an empty line before the next size.
                        _ if left == 0 => State::Size,
                        _ => State::Chunk(left),
                    };
                }
                State::Head | State::Size | State::Trailer => bytes = self.text(bytes)?,
                State::Done => {}
            }
        }
        Ok(self.state == State::Done)
    }

    /// Takes a part of the head, a chunk's size or a trailer; gives what is left.
    fn text<'b>(&mut self, bytes: &'b [u8]) -> anyhow::Result<&'b [u8]> {
        let to = bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| at + 1);
        self.line.extend_from_slice(&bytes[..to]);
        ensure!(self.line.len() < MAX_HEAD, "a head beyond all measure");
        if !self.line.ends_with(b"\n") {
            return Ok(&bytes[to..]);
        }
        match self.state {
            State::Head if self.line.ends_with(b"\r\n\r\n") => {
                self.head()?;
                self.line.clear();
            }
            State::Head => {}
            State::Size => {
                let text = String::from_utf8_lossy(&self.line).trim().to_owned();
                self.line.clear();
                if !text.is_empty() {
                    let size = u64::from_str_radix(&text, 16).with_context(|| format!("a chunk of {text:?}"))?;
                    self.state = if size == 0 { State::Trailer } else { State::Chunk(size) };
                }
            }
            _ => {
                if self.line == b"\r\n" {
                    self.state = State::Done;
                }
                self.line.clear();
            }
        }
        Ok(&bytes[to..])
    }

    fn head(&mut self) -> anyhow::Result<()> {
        let text = String::from_utf8_lossy(&self.line).to_ascii_lowercase();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        self.status = status.with_context(|| format!("no answer: {text:?}"))?;
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        self.state = match length {
            Some(length) => State::Left(length.trim().parse().context("a length")?),
            None if text.contains("\r\ntransfer-encoding: chunked") => State::Size,
            None => anyhow::bail!("an answer whose end can't be told: {text:?}"),
        };
        if self.state == State::Left(0) {
            self.state = State::Done;
        }
        Ok(())
    }
}

/// What connections measured.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Answers per second.
    pub rate: f64,
    /// How long each took in microseconds, in order.
    times: Vec<u32>,
}

impl Measured {
    /// The time that so many of a hundred did not pass.
    pub fn percentile(&self, percent: usize) -> Duration {
        let at = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
        Duration::from_micros(self.times.get(at).copied().unwrap_or_default().into())
    }
}

fn request(address: SocketAddr, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n")
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // One thread: the server shall have the other core.
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Asks for a target over so many connections, each again as soon as it was answered, for a time.
///
/// # Errors
/// When a connection breaks, or an answer is none of 200.
pub fn run(address: SocketAddr, target: &str, connections: usize, time: Duration) -> anyhow::Result<Measured> {
    let request = request(address, target);
    runtime()?.block_on(async {
        let mut set = JoinSet::new();
        let begun = Instant::now() + WARM_UP;
        for _ in 0..connections {
            set.spawn(repeat(address, request.clone(), begun, begun + time));
        }
        let mut times = Vec::new();
        while let Some(done) = set.join_next().await {
            times.extend(done??);
        }
        times.sort_unstable();
        Ok(Measured { rate: times.len() as f64 / time.as_secs_f64(), times })
    })
}

async fn repeat(address: SocketAddr, request: String, from: Instant, to: Instant) -> anyhow::Result<Vec<u32>> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 << 10];
    let mut times = Vec::new();
    loop {
        let asked = Instant::now();
        if asked >= to {
            return Ok(times);
        }
        stream.write_all(request.as_bytes()).await?;
        let mut framing = Framing::default();
        loop {
            let n = stream.read(&mut buffer).await?;
            ensure!(n > 0, "the server closed a connection");
            if framing.feed(&buffer[..n])? {
                break;
            }
        }
        ensure!(framing.status == 200, "an answer was {}", framing.status);
        if asked >= from {
            times.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }
}

/// One answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fetched {
    /// From the request to the first byte of the body.
    pub first: Duration,
    /// From the request to the end.
    pub total: Duration,
    /// Bytes of the body.
    pub bytes: u64,
}

/// Fetches a target once, over a connection of its own, and throws it away.
///
/// # Errors
/// When it can't be had whole.
pub fn fetch(address: SocketAddr, target: &str) -> anyhow::Result<Fetched> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER];
    let mut framing = Framing::default();
    let mut fetched = Fetched::default();
    let begun = Instant::now();
    stream.write_all(request(address, target).as_bytes())?;
    loop {
        let n = stream.read(&mut buffer)?;
        ensure!(n > 0, "the answer broke off after {} bytes", framing.body);
        let done = framing.feed(&buffer[..n])?;
        if fetched.first.is_zero() && framing.body > 0 {
            fetched.first = begun.elapsed();
        }
        if done {
            ensure!(framing.status == 200, "the answer to {target} was {}", framing.status);
            return Ok(Fetched { total: begun.elapsed(), bytes: framing.body, ..fetched });
        }
    }
}

/// Reads a target slowly over so many connections until `until` is over; gives how many answers had begun.
///
/// # Errors
/// When one can't connect.
pub fn sip(
    address: SocketAddr,
    target: &str,
    connections: usize,
    until: impl Future<Output = ()>,
) -> anyhow::Result<usize> {
    let request = request(address, target);
    let (begun, mut answers) = tokio::sync::mpsc::channel(connections.max(1));
    runtime()?.block_on(async {
        let mut set = JoinSet::new();
        for _ in 0..connections {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(SMALL_WINDOW)?;
            let mut stream = socket.connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            let begun = begun.clone();
            set.spawn(async move {
                let mut buffer = vec![0; SIP.0];
                let mut first = true;
                while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                    if std::mem::take(&mut first) && buffer.starts_with(b"HTTP/1.1 200") {
                        let _ = begun.try_send(());
                    }
                    tokio::time::sleep(SIP.1).await;
                }
            });
        }
        until.await;
        set.abort_all();
        let mut count = 0;
        while answers.try_recv().is_ok() {
            count += 1;
        }
        Ok(count)
    })
}

/// Clients that send the head of a request byte by byte and never finish it; they come again when they are sent away.
pub struct Slowloris {
    _runtime: tokio::runtime::Runtime,
}

impl Slowloris {
    /// Lets them begin, on a thread of their own; they end when this is dropped.
    ///
    /// # Errors
    /// When one can't connect.
    pub fn start(address: SocketAddr, clients: usize) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let connected: anyhow::Result<()> = runtime.block_on(async {
            for _ in 0..clients {
                let stream = tokio::net::TcpStream::connect(address).await?;
                tokio::spawn(drip(address, stream));
            }
            Ok(())
        });
        connected?;
        Ok(Self { _runtime: runtime })
    }
}

async fn drip(address: SocketAddr, mut stream: tokio::net::TcpStream) {
    let head = format!("GET / HTTP/1.1\r\nHost: {address}\r\nX-Slow: ");
    loop {
        let mut sent = stream.write_all(head.as_bytes()).await;
        while sent.is_ok() {
            tokio::time::sleep(DRIP).await;
            sent = stream.write_all(b"x").await;
        }
        match tokio::net::TcpStream::connect(address).await {
            Ok(next) => stream = next,
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_where_their_framing_says_however_they_are_cut() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc".as_slice();
        let chunked = b"HTTP/1.1 206 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n";
        for (answer, status, body) in [(plain, 200, 3), (chunked.as_slice(), 206, 5)] {
            for piece in [1, 2, 7, answer.len()] {
                let mut framing = Framing::default();
                let done: Vec<bool> =
                    answer.chunks(piece).map(|piece| framing.feed(piece).expect("an answer")).collect();
                assert_eq!(done.iter().filter(|done| **done).count(), 1, "pieces of {piece}");
                assert_eq!((done.last(), framing.status, framing.body), (Some(&true), status, body));
            }
        }
        assert!(Framing::default().feed(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Framing::default().feed(b"junk\r\n\r\n").is_err());
    }
}
