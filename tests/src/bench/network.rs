//! What daemons give each other, on the loopback address: with `network` among the words of the benchmark.
//!
//! The ceiling is one stream of libp2p between two ends in one process, over TCP with Noise and Yamux, that carries
//! the same bytes and does nothing with them.

use super::{
    first_byte,
    fixture::{Fixture, Fixtures},
    median, settle,
};
use crate::{
    harness::{Node, Program},
    network::Online,
    process,
};
use anyhow::{Context as _, ensure};
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::{
    Transport as _,
    core::{
        muxing::{StreamMuxerBox, StreamMuxerExt as _},
        transport::{DialOpts, ListenerId, PortUse, TransportEvent},
        upgrade,
    },
    identity::Keypair,
    noise, tcp, yamux,
};
use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Calls of the RPC that are timed.
const CALLS: usize = 200;
/// Piece of what the ceiling writes.
const PIECE: usize = 64 << 10;

/// Measures all of it, and gives the table.
///
/// # Errors
/// When a command fails, or there is no room for the files.
pub fn measure(fixtures: &mut Fixtures, runs: usize) -> anyhow::Result<String> {
    let mut table = Table::default();
    let kubo = Program::kubo();
    big(&mut table, fixtures, runs, kubo.as_ref())?;
    four(&mut table, fixtures, runs)?;
    tree(&mut table, fixtures, runs, kubo.as_ref())?;
    first_byte::measure(&mut table, runs)?;
    daemon(&mut table, runs)?;
    Ok(table.0)
}

/// The rows so far, in Markdown.
pub struct Table(pub(super) String);

impl Default for Table {
    fn default() -> Self {
        Self("| What | Cairn | compared with | ratio | to reach |\n|---|---|---|---|---|\n".to_owned())
    }
}

impl Table {
    /// Adds a row, and prints it.
    pub fn row(&mut self, what: &str, cairn: &str, other: &str, ratio: &str, target: &str) {
        println!("{what}: {cairn}; {other} {ratio}");
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "| {what} | {cairn} | {other} | {ratio} | {target} |");
    }

    pub(super) fn against(&mut self, what: &str, cairn: Duration, name: &str, other: Duration, target: &str) {
        let ratio = format!("{:.2}", other.as_secs_f64() / cairn.as_secs_f64().max(1e-9));
        self.row(what, &seconds(cairn), &format!("{name} {}", seconds(other)), &ratio, target);
    }
}

pub(super) fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

fn repeated(runs: usize, mut once: impl FnMut() -> anyhow::Result<Duration>) -> anyhow::Result<Duration> {
    Ok(median((0..runs).map(|_| once()).collect::<anyhow::Result<_>>()?))
}

/// Fetches what one node has from it, on a fresh node each time.
fn fetched(program: &Program, from: &[&Online], args: &[String]) -> anyhow::Result<(Duration, Online)> {
    let to = Online::of(program.clone(), &[]);
    for node in from {
        to.connect(node);
    }
    settle();
    let (status, usage, _) = process::run_drained(&mut to.command(args))?;
    ensure!(status.success(), "{args:?} ended with {status}:\n{}", to.log());
    Ok((usage.wall, to))
}

fn holder(program: &Program, path: &str) -> anyhow::Result<(Online, String)> {
    let node = Online::of(program.clone(), &[]);
    let root = node.ok(["add", "-Q", "-r", "--raw-leaves", path]);
    ensure!(!root.is_empty(), "nothing was added");
    Ok((node, root))
}

fn big(table: &mut Table, fixtures: &mut Fixtures, runs: usize, kubo: Option<&Program>) -> anyhow::Result<()> {
    let (path, len) = (fixtures.path(Fixture::Big)?, fixtures.big());
    let what = format!("`cat` of {} MiB from one peer", len >> 20);
    let stream = repeated(runs, || stream(len))?;
    let program = Program::under_test();
    let (node, root) = holder(&program, &path)?;
    let mut last = None;
    let cairn = repeated(runs, || {
        let (time, to) = fetched(&program, &[&node], &["cat".to_owned(), root.clone()])?;
        last = Some((to.resident(), to.peak()));
        Ok(time)
    })?;
    table.against(&what, cairn, "a stream of libp2p", stream, "≥ 0.5");
    if let Some((now, peak)) = last {
        let text = format!("{} MiB, at most {} MiB", now >> 20, peak >> 20);
        table.row("memory of the daemon that fetched it", &text, "", "", "< 150 MiB");
    }
    if let Some(kubo) = kubo {
        let (node, root) = holder(kubo, &path)?;
        let other = repeated(runs, || Ok(fetched(kubo, &[&node], &["cat".to_owned(), root.clone()])?.0))?;
        table.against(&what, cairn, "Kubo", other, "≥ 4");
    }
    Ok(())
}

/// One holder, and four of them.
fn four(table: &mut Table, fixtures: &mut Fixtures, runs: usize) -> anyhow::Result<()> {
    let path = fixtures.path(Fixture::Big)?;
    let program = Program::under_test();
    let mut nodes: Vec<Online> = Vec::new();
    let mut root = String::new();
    for _ in 0..4 {
        let (node, added) = holder(&program, &path)?;
        nodes.push(node);
        root = added;
    }
    let args = ["cat".to_owned(), root];
    let all: Vec<&Online> = nodes.iter().collect();
    let one = repeated(runs, || Ok(fetched(&program, &all[..1], &args)?.0))?;
    let four = repeated(runs, || Ok(fetched(&program, &all, &args)?.0))?;
    table.against("the same from four peers", four, "from one of them", one, "≥ 1");
    Ok(())
}

fn tree(table: &mut Table, fixtures: &mut Fixtures, runs: usize, kubo: Option<&Program>) -> anyhow::Result<()> {
    let path = fixtures.path(Fixture::Files)?;
    let once = |program: &Program, node: &Online, root: &str| -> anyhow::Result<Duration> {
        let out = tempfile::tempdir()?;
        let out = out.path().join("out").to_string_lossy().into_owned();
        let args = ["get".to_owned(), "-o".to_owned(), out, root.to_owned()];
        Ok(fetched(program, &[node], &args)?.0)
    };
    let program = Program::under_test();
    let (node, root) = holder(&program, &path)?;
    let cairn = repeated(runs, || once(&program, &node, &root))?;
    match kubo {
        Some(kubo) => {
            let (node, root) = holder(kubo, &path)?;
            // It takes minutes: once.
            let other = once(kubo, &node, &root)?;
            table.against("`get` of 10,000 files from one peer", cairn, "Kubo", other, "≥ 30");
        }
        None => table.row("`get` of 10,000 files from one peer", &seconds(cairn), "", "", "≥ 30 × Kubo"),
    }
    Ok(())
}

fn daemon(table: &mut Table, runs: usize) -> anyhow::Result<()> {
    let mut node = Online::of(Program::under_test(), &[]);
    let ready = repeated(runs.max(5), || {
        node.stop();
        let begun = Instant::now();
        node.start();
        Ok(begun.elapsed())
    })?;
    table.row("`daemon` until it is ready", &seconds(ready), "", "", "< 300 ms");
    table.row("memory of a daemon at rest", &format!("{} MiB", node.resident() >> 20), "", "", "< 50 MiB");
    let call = call(&node)?;
    table.row("a call of the RPC (`version`)", &format!("{:.2} ms", call.as_secs_f64() * 1e3), "", "", "< 2 ms");
    Ok(())
}

/// Median time of calls over one connection.
pub(super) fn call(node: &Node) -> anyhow::Result<Duration> {
    let api = std::fs::read_to_string(node.repo().join("api")).context("the daemon's address")?;
    let port: u16 = api.trim().rsplit('/').next().and_then(|port| port.parse().ok()).context("a port")?;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let mut times = Vec::new();
    for _ in 0..CALLS {
        let begun = Instant::now();
        stream.write_all(b"POST /api/v0/version HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")?;
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        // The last chunk, and the end of the trailers.
        while !(answer.ends_with(b"\r\n\r\n") && answer.windows(5).any(|w| w == b"\r\n0\r\n")) {
            let n = stream.read(&mut buffer)?;
            ensure!(n > 0, "the daemon closed the connection");
            answer.extend_from_slice(&buffer[..n]);
        }
        times.push(begun.elapsed());
    }
    Ok(median(times))
}

type Transport = libp2p::core::transport::Boxed<(libp2p::PeerId, StreamMuxerBox)>;

fn transport() -> anyhow::Result<Transport> {
    let transport = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true));
    let upgraded = transport
        .upgrade(upgrade::Version::V1)
        .authenticate(noise::Config::new(&Keypair::generate_ed25519())?)
        .multiplex(yamux::Config::default());
    Ok(upgraded.boxed())
}

/// Time in which a stream carries so many bytes, from its opening on.
fn stream(len: u64) -> anyhow::Result<Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut listener = transport()?;
        listener.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse()?)?;
        let addr = match listener.next().await {
            Some(TransportEvent::NewAddress { listen_addr, .. }) => listen_addr,
            other => anyhow::bail!("not listening: {other:?}"),
        };
        let reader = tokio::spawn(async move {
            let upgrade = loop {
                match listener.next().await {
                    Some(TransportEvent::Incoming { upgrade, .. }) => break upgrade,
                    Some(_) => {}
                    None => anyhow::bail!("the listener ended"),
                }
            };
            let (_, mut muxer) = upgrade.await?;
            let mut stream = std::future::poll_fn(|cx| muxer.poll_inbound_unpin(cx)).await?;
            let driven = tokio::spawn(drive(muxer));
            let (mut buffer, mut got) = (vec![0; PIECE], 0);
            while got < len {
                let n = stream.read(&mut buffer).await?;
                ensure!(n > 0, "the stream ended after {got} bytes");
                got += n as u64;
            }
            driven.abort();
            Ok(())
        });
        let mut dialer = transport()?;
        let opts = DialOpts { role: libp2p::core::Endpoint::Dialer, port_use: PortUse::New };
        let (_, mut muxer) = dialer.dial(addr, opts)?.await?;
        let begun = Instant::now();
        let mut stream = std::future::poll_fn(|cx| muxer.poll_outbound_unpin(cx)).await?;
        let driven = tokio::spawn(drive(muxer));
        let (piece, mut left) = (vec![7; PIECE], len);
        while left > 0 {
            let n = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
            stream.write_all(&piece[..n]).await?;
            left -= n as u64;
        }
        stream.flush().await?;
        reader.await??;
        driven.abort();
        Ok(begun.elapsed())
    })
}

/// Keeps a connection going while its stream is used.
async fn drive(mut muxer: StreamMuxerBox) {
    while std::future::poll_fn(|cx| muxer.poll_unpin(cx)).await.is_ok() {}
}
