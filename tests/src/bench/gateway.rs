//! The HTTP gateway, on the loopback address: with `gateway` among the words of the benchmark.
//!
//! The daemon serves offline what is in its repository. The ceiling is a bare hyper server that sends as many bytes out of
//! memory, in a process of its own. Kubo's gateway, where there is one, does the same work in turn.

use super::{
    bare::Bare,
    fixture::{Fixture, Fixtures},
    load::{self, Fetched, Measured, Slowloris},
    median,
    network::{Table, seconds},
    settle,
};
use crate::{
    gateway::{self, Gateway},
    harness::Program,
    keystream, process,
};
use anyhow::ensure;
use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

/// Bytes of the small file.
const SMALL: usize = 9 << 10;
/// Connections of a load.
const CONNECTIONS: usize = 32;
/// Connections while others are hostile.
const FEW: usize = 8;
/// How long a load lasts.
const LOAD: Duration = Duration::from_secs(5);
/// Clients that never finish a request, and slow readers.
const HOSTILE: usize = 1000;
/// How long the slow readers read.
const SIPPING: Duration = Duration::from_secs(15);
/// Entries of the small folder and of the large one.
const ENTRIES: (usize, usize) = (100, 100_000);

/// Measures all of it, and gives the table.
///
/// # Errors
/// When a program fails, or there is no room for the files.
pub fn measure(fixtures: &mut Fixtures, runs: usize, divide: usize) -> anyhow::Result<String> {
    let paths = Paths::make(fixtures, divide)?;
    let cairn = Side::start(Program::under_test(), &paths)?;
    settle();
    let mut table = Table::default();
    slow_readers(&mut table, &cairn)?;
    let kubo = Program::kubo().map(|kubo| Side::start(kubo, &paths)).transpose()?;
    settle();
    let race = Race { bare: Bare::start()?, cairn, kubo, runs };
    small(&mut table, &race)?;
    big(&mut table, &race, fixtures.big())?;
    listing(&mut table, &race)?;
    huge_listing(&mut table, &race, paths.entries)?;
    car(&mut table, &race)?;
    slowloris(&mut table, &race.cairn)?;
    Ok(table.0)
}

/// What is served.
struct Paths {
    small: PathBuf,
    big: String,
    folder: PathBuf,
    huge: PathBuf,
    entries: usize,
}

impl Paths {
    fn make(fixtures: &mut Fixtures, divide: usize) -> anyhow::Result<Self> {
        let big = fixtures.path(Fixture::Big)?;
        let dir = fixtures.dir();
        let entries = ENTRIES.1 / divide.max(1);
        let paths =
            Self { small: dir.join("small.bin"), big, folder: dir.join("folder"), huge: dir.join("huge"), entries };
        fs::write(&paths.small, keystream::bytes("small", SMALL))?;
        for (folder, entries) in [(&paths.folder, ENTRIES.0), (&paths.huge, entries)] {
            fs::create_dir(folder)?;
            for number in 0..entries {
                fs::write(folder.join(format!("entry-{number:06}.txt")), number.to_string())?;
            }
        }
        Ok(paths)
    }
}

/// A program with its gateway, and the targets there.
struct Side {
    gateway: Gateway,
    small: String,
    big: String,
    folder: String,
    huge: String,
}

impl Side {
    fn start(program: Program, paths: &Paths) -> anyhow::Result<Self> {
        let node = gateway::node_of(program);
        let add = |path: &std::path::Path| {
            let cid = node.add(&["-r", "--cid-version=1", "--raw-leaves"], path);
            ensure!(!cid.is_empty(), "nothing was added");
            Ok(cid)
        };
        let file = |cid| format!("/ipfs/{cid}");
        let folder = |cid| format!("/ipfs/{cid}/");
        Ok(Self {
            small: file(add(&paths.small)?),
            big: file(add(paths.big.as_ref())?),
            folder: folder(add(&paths.folder)?),
            huge: folder(add(&paths.huge)?),
            gateway: Gateway::start(node, &[]),
        })
    }

    fn address(&self) -> SocketAddr {
        self.gateway.address
    }
}

struct Race {
    cairn: Side,
    kubo: Option<Side>,
    bare: Bare,
    runs: usize,
}

/// What the gateway, the bare server and Kubo's gateway measured.
struct Results<T> {
    cairn: T,
    bare: T,
    kubo: Option<T>,
}

impl Race {
    /// Measures all in turn, several times. `len` is what the bare server is asked for.
    fn measure<T>(
        &self,
        target: impl Fn(&Side) -> String,
        len: u64,
        one: impl Fn(SocketAddr, &str) -> anyhow::Result<T>,
        middle: impl Fn(Vec<T>) -> T,
    ) -> anyhow::Result<Results<T>> {
        let (mut cairn, mut bare, mut kubo) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.runs {
            cairn.push(one(self.cairn.address(), &target(&self.cairn))?);
            bare.push(one(self.bare.address, &format!("/{len}"))?);
            if let Some(side) = &self.kubo {
                kubo.push(one(side.address(), &target(side))?);
            }
        }
        let kubo = Some(kubo).filter(|kubo| !kubo.is_empty()).map(&middle);
        Ok(Results { cairn: middle(cairn), bare: middle(bare), kubo })
    }

    fn load(&self, target: impl Fn(&Side) -> String, len: u64) -> anyhow::Result<Results<Measured>> {
        self.measure(target, len, |at, target| load::run(at, target, CONNECTIONS, LOAD), middle_rate)
    }

    fn fetch(&self, target: impl Fn(&Side) -> String, len: u64) -> anyhow::Result<Results<Fetched>> {
        self.measure(target, len, load::fetch, middle_fetch)
    }
}

/// The run with the middle rate.
fn middle_rate(mut runs: Vec<Measured>) -> Measured {
    runs.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let middle = runs.len() / 2;
    runs.into_iter().nth(middle).unwrap_or_default()
}

fn middle_fetch(runs: Vec<Fetched>) -> Fetched {
    Fetched {
        first: median(runs.iter().map(|run| run.first).collect()),
        total: median(runs.iter().map(|run| run.total).collect()),
        bytes: runs.first().map_or(0, |run| run.bytes),
    }
}

fn rate(measured: &Measured) -> String {
    format!(
        "{:.0} req/s, p50 {}, p99 {}",
        measured.rate,
        millis(measured.percentile(50)),
        millis(measured.percentile(99))
    )
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn speed(fetched: &Fetched) -> String {
    let rate = fetched.bytes as f64 / fetched.total.as_secs_f64().max(1e-9) / 1e9;
    format!("{}, {rate:.2} GB/s", seconds(fetched.total))
}

fn ratio(a: f64, b: f64) -> String {
    format!("{:.2}", a / b.max(1e-9))
}

fn loads(table: &mut Table, what: &str, results: &Results<Measured>, targets: [&str; 2]) {
    let cairn = &results.cairn;
    let others = [("bare hyper", Some(&results.bare)), ("Kubo", results.kubo.as_ref())];
    for ((name, other), target) in others.into_iter().zip(targets) {
        if let Some(other) = other {
            table.row(what, &rate(cairn), &format!("{name} {}", rate(other)), &ratio(cairn.rate, other.rate), target);
        }
    }
}

fn fetches(table: &mut Table, what: &str, results: &Results<Fetched>, targets: [&str; 2]) {
    let cairn = &results.cairn;
    let others = [("bare hyper", Some(&results.bare)), ("Kubo", results.kubo.as_ref())];
    for ((name, other), target) in others.into_iter().zip(targets) {
        if let Some(other) = other {
            let ratio = ratio(other.total.as_secs_f64(), cairn.total.as_secs_f64());
            table.row(what, &speed(cairn), &format!("{name} {}", speed(other)), &ratio, target);
        }
    }
}

fn small(table: &mut Table, race: &Race) -> anyhow::Result<()> {
    let results = race.load(|side| side.small.clone(), SMALL as u64)?;
    loads(table, "a file of 9 KiB, 32 connections", &results, ["≥ 8,000 req/s, p99 < 10 ms", "≥ 4"]);
    Ok(())
}

fn big(table: &mut Table, race: &Race, len: u64) -> anyhow::Result<()> {
    let results = race.fetch(|side| side.big.clone(), len)?;
    let what = format!("a file of {} MiB, one connection", len >> 20);
    fetches(table, &what, &results, ["≥ 1.5 GB/s or 0.6", ""]);
    Ok(())
}

fn listing(table: &mut Table, race: &Race) -> anyhow::Result<()> {
    let page = load::fetch(race.cairn.address(), &race.cairn.folder)?;
    let results = race.load(|side| side.folder.clone(), page.bytes)?;
    loads(table, "a listing of 100 entries, 32 connections", &results, ["", "≥ 8"]);
    Ok(())
}

fn huge_listing(table: &mut Table, race: &Race, entries: usize) -> anyhow::Result<()> {
    let page = load::fetch(race.cairn.address(), &race.cairn.huge)?;
    let results = race.fetch(|side| side.huge.clone(), page.bytes)?;
    let what = format!("a listing of {entries} entries (HAMT), first byte of the body");
    let cairn = results.cairn.first;
    match results.kubo.as_ref().map(|kubo| kubo.first) {
        Some(kubo) => table.against(&what, cairn, "Kubo", kubo, "< 50 ms"),
        None => table.row(&what, &seconds(cairn), "", "", "< 50 ms"),
    }
    fetches(table, "the same, all of it", &results, ["", ""]);
    Ok(())
}

fn car(table: &mut Table, race: &Race) -> anyhow::Result<()> {
    let target = |side: &Side| format!("{}?format=car", side.big);
    let archive = load::fetch(race.cairn.address(), &target(&race.cairn))?;
    let results = race.fetch(target, archive.bytes)?;
    fetches(table, "the same file as a CAR", &results, ["≥ 1 GB/s", ""]);
    Ok(())
}

/// Memory of a daemon that did nothing else yet.
fn slow_readers(table: &mut Table, cairn: &Side) -> anyhow::Result<()> {
    let pid = cairn.gateway.pid();
    let before = process::memory(pid, "VmRSS:");
    let mut now = 0;
    let answered = load::sip(cairn.address(), &cairn.big, HOSTILE, async {
        tokio::time::sleep(SIPPING).await;
        now = process::memory(pid, "VmRSS:");
    })?;
    ensure!(answered == HOSTILE, "only {answered} of {HOSTILE} slow readers were answered");
    let text = format!("{} MiB, at most {} MiB", now >> 20, process::memory(pid, "VmHWM:") >> 20);
    let what = format!("memory with {HOSTILE} slow readers of the large file");
    table.row(&what, &text, &format!("before {} MiB", before >> 20), "", "< 200 MiB");
    Ok(())
}

fn slowloris(table: &mut Table, cairn: &Side) -> anyhow::Result<()> {
    let measure = || load::run(cairn.address(), &cairn.small, FEW, LOAD);
    let before = measure()?;
    let clients = Slowloris::start(cairn.address(), HOSTILE)?;
    let during = measure()?;
    drop(clients);
    let after = measure()?;
    let alone = before.percentile(99).max(after.percentile(99));
    let what = format!("p99 of a file of 9 KiB, {FEW} connections, beside {HOSTILE} of slowloris");
    let ratio = ratio(during.percentile(99).as_secs_f64(), alone.as_secs_f64());
    table.row(&what, &rate(&during), &format!("alone {} and {}", rate(&before), rate(&after)), &ratio, "< 2");
    Ok(())
}
