//! How many round trips the first bytes of a block take, through a line with a delay.

use super::{median, network::Table};
use crate::{harness::Program, keystream, network::Online};
use anyhow::Context as _;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// Time that bytes take each way.
const DELAY: Duration = Duration::from_millis(50);
/// Length of a block.
const BLOCK: usize = 200_000;
/// Pieces that are on the way in one direction.
const UNDER_WAY: usize = 4096;
/// What is carried at once.
const PIECE: usize = 64 << 10;
/// How long two nodes that have just connected get to know each other.
const ACQUAINTED: Duration = Duration::from_secs(2);

/// Measures both rows: with a provider that is connected and has never been asked for anything, and with one that a
/// router tells of, with its address.
///
/// # Errors
/// When a command fails.
pub fn measure(table: &mut Table, runs: usize) -> anyhow::Result<()> {
    let program = Program::under_test();
    let provider = Online::of(program.clone(), &[]);
    let roots: Vec<String> = (0..2 * runs).map(|n| add(&provider, n)).collect();
    let line = Line::to(address(&provider)?)?;
    let via = format!("/ip4/127.0.0.1/tcp/{}", line.port());
    let (near, far) = roots.split_at(runs);
    let connected = near.iter().map(|root| {
        let reader = Online::of(program.clone(), &[]);
        reader.ok(["swarm", "connect", &format!("{via}/p2p/{}", provider.peer())]);
        thread::sleep(ACQUAINTED);
        Ok(first(&reader, root))
    });
    let connected = median(connected.collect::<anyhow::Result<_>>()?);
    row(table, "first bytes of a block of a connected provider", connected, "< 3 round trips");
    let router = router(&format!(
        r#"{{"Providers":[{{"Schema":"peer","ID":"{}","Addrs":["{via}"],"Protocols":["transport-bitswap"]}}]}}"#,
        provider.peer()
    ))?;
    let routers = format!(r#"["http://127.0.0.1:{router}"]"#);
    let told = far.iter().map(|root| {
        let routing = [("Routing.Type", r#""delegated""#), ("Routing.DelegatedRouters", routers.as_str())];
        first(&Online::of(program.clone(), &routing), root)
    });
    let told = median(told.collect());
    row(table, "the same of a provider to be dialed at a known address", told, "");
    Ok(())
}

fn row(table: &mut Table, what: &str, time: Duration, target: &str) {
    let trips = time.as_secs_f64() / (2.0 * DELAY.as_secs_f64());
    let text = format!("{:.0} ms", time.as_secs_f64() * 1e3);
    table.row(what, &text, &format!("a round trip of {} ms", 2 * DELAY.as_millis()), &format!("{trips:.1}"), target);
}

fn add(node: &Online, number: usize) -> String {
    let path = node.file(&format!("block-{number}"), keystream::bytes(&format!("first byte {number}"), BLOCK));
    node.ok(["add", "-Q", "--raw-leaves", &path.to_string_lossy()])
}

fn first(reader: &Online, root: &str) -> Duration {
    let begun = Instant::now();
    let block = reader.bytes(["block", "get", root]);
    let time = begun.elapsed();
    assert_eq!(block.len(), BLOCK);
    time
}

fn address(node: &Online) -> anyhow::Result<SocketAddr> {
    let text = node.address();
    let port = text.split('/').nth(4).and_then(|port| port.parse().ok()).context("a port")?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// A listener that hands connections on, late.
struct Line(SocketAddr);

impl Line {
    fn to(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for here in listener.incoming().flatten() {
                thread::spawn(move || carry(&here, target));
            }
        });
        Ok(Self(address))
    }

    fn port(&self) -> u16 {
        self.0.port()
    }
}

fn carry(here: &TcpStream, target: SocketAddr) {
    // The handshake of TCP.
    thread::sleep(2 * DELAY);
    let Ok(there) = TcpStream::connect(target) else { return };
    let ends = [here.try_clone(), there.try_clone(), there.try_clone(), here.try_clone()];
    let [Ok(a), Ok(b), Ok(c), Ok(d)] = ends else { return };
    for (from, to) in [(a, b), (c, d)] {
        let _ = to.set_nodelay(true);
        let (sender, receiver) = sync_channel(UNDER_WAY);
        thread::spawn(move || take(from, &sender));
        thread::spawn(move || give(to, &receiver));
    }
}

fn take(mut from: TcpStream, sender: &SyncSender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; PIECE];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if sender.send((Instant::now() + DELAY, buffer[..n].to_vec())).is_err() {
            return;
        }
    }
}

fn give(mut to: TcpStream, receiver: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((at, bytes)) = receiver.recv() {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// A router that gives one answer to everything; its port.
fn router(answer: &str) -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ";
    let whole = format!("{head}{}\r\n\r\n{answer}", answer.len());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Ok(reader) = stream.try_clone() else { continue };
            let mut lines = BufReader::new(reader).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let _ = stream.write_all(whole.as_bytes());
        }
    });
    Ok(port)
}
