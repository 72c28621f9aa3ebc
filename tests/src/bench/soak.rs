//! Whether the memory of daemons stays what it is under load: two of them, and everything that people do, again and
//! again. What is stored is bounded by collections, and there are only so many different files: what a node keeps for
//! each name, as the records of providers that it keeps for others, is bounded far above what an hour brings.

use super::network::call;
use crate::{harness::Program, keystream, network::Online};
use anyhow::{Context as _, ensure};
use std::{
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Length of the file of a round.
const FILE: usize = 16 << 20;
/// Small files of a round, and the length of each.
const SMALL: (usize, usize) = (100, 5_000);
/// Different contents: then they come again. Between them they were collected.
const VARIETY: usize = 12;
/// Rounds between two collections.
const COLLECT: usize = 4;
/// Rounds between two times that the nodes part.
const PART: usize = 3;
/// Time between two looks at the memory.
const SAMPLE: Duration = Duration::from_secs(3);
/// Growth from the second tenth of the time to the last one that is no leak yet.
const TOLERATED: f64 = 0.05;

/// What came of it.
pub struct Soaked {
    /// In Markdown.
    pub table: String,
    grown: Vec<(&'static str, f64)>,
}

impl Soaked {
    /// # Errors
    /// When a daemon grew.
    pub fn verdict(&self) -> anyhow::Result<()> {
        for (name, growth) in &self.grown {
            ensure!(*growth <= TOLERATED, "the {name} grew by {:.1} %", 100.0 * growth);
        }
        Ok(())
    }
}

/// Resident bytes of both, one after another.
type Samples = Mutex<Vec<[u64; 2]>>;

/// Loads two daemons for so many minutes.
///
/// # Errors
/// When a command fails.
pub fn measure(minutes: u64) -> anyhow::Result<Soaked> {
    let program = Program::under_test();
    let (holder, fetcher) = (Online::of(program.clone(), &[]), Online::of(program, &[]));
    fetcher.connect(&holder);
    let (samples, ended) = (Samples::default(), AtomicBool::new(false));
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    let mut rounds = 0;
    thread::scope(|scope| {
        let sampling = scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let now = [holder.resident(), fetcher.resident()];
                samples.lock().unwrap_or_else(PoisonError::into_inner).push(now);
                thread::park_timeout(SAMPLE);
            }
        });
        let mut result = Ok(());
        while Instant::now() < until && result.is_ok() {
            result = round(&holder, &fetcher, rounds).with_context(|| format!("round {rounds}"));
            rounds += 1;
        }
        ended.store(true, Ordering::Relaxed);
        sampling.thread().unpark();
        result
    })?;
    let samples = samples.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(report(minutes, rounds, &samples))
}

fn round(holder: &Online, fetcher: &Online, number: usize) -> anyhow::Result<()> {
    let (file, folder) = contents(holder, number)?;
    if number.is_multiple_of(PART) {
        let address = holder.address();
        fetcher.ok(["swarm", "disconnect", &format!("/p2p/{}", holder.peer())]);
        fetcher.ok(["swarm", "connect", &address]);
    }
    ensure!(fetcher.bytes(["cat", &file]).len() == FILE, "something else was read");
    let out = fetcher.work().join("out");
    fetcher.ok(["get", "-o", &out.to_string_lossy(), &folder]);
    std::fs::remove_dir_all(&out)?;
    for root in [&file, &folder] {
        fetcher.ok(["pin", "add", root]);
        fetcher.ok(["dag", "stat", "--progress=false", root]);
        fetcher.ok(["refs", "-r", root]);
    }
    fetcher.ok(["pin", "ls"]);
    fetcher.ok(["routing", "findprovs", "-n", "1", &file]);
    fetcher.ok(["ls", &folder]);
    // What nobody has: the question is given up.
    let missing = format!("bafkreia{:a>51}", "");
    let _ = fetcher.run(["block", "get", "--timeout=200ms", &missing]);
    call(fetcher)?;
    call(holder)?;
    for node in [holder, fetcher] {
        node.ok(["pin", "rm", &file, &folder]);
        if number % COLLECT == COLLECT - 1 {
            node.ok(["repo", "gc", "-q"]);
        }
    }
    Ok(())
}

/// Adds a file and a folder of small files.
fn contents(holder: &Online, number: usize) -> anyhow::Result<(String, String)> {
    let number = number % VARIETY;
    let file = holder.file("file", keystream::bytes(&format!("soak {number}"), FILE));
    let folder = holder.work().join("folder");
    std::fs::create_dir_all(&folder)?;
    let all = keystream::bytes(&format!("soak small {number}"), SMALL.0 * SMALL.1);
    for (n, bytes) in all.chunks(SMALL.1).enumerate() {
        std::fs::write(folder.join(n.to_string()), bytes)?;
    }
    let file = holder.ok(["add", "-Q", "--raw-leaves", &file.to_string_lossy()]);
    Ok((file, holder.ok(["add", "-Q", "-r", "--raw-leaves", &folder.to_string_lossy()])))
}

fn report(minutes: u64, rounds: usize, samples: &[[u64; 2]]) -> Soaked {
    let mut table = format!("{minutes} minutes, {rounds} rounds; medians of each tenth of the time, in MiB.\n\n");
    table.push_str("| The daemon that | medians | growth from the second to the last | most |\n|---|---|---|---|\n");
    let mut grown = Vec::new();
    for (at, name, what) in [(0, "holder", "has it and adds"), (1, "fetcher", "fetches")] {
        let sizes: Vec<u64> = samples.iter().map(|sample| sample[at]).collect();
        let tenths = tenths(&sizes);
        let (second, last) = (tenths.get(1).copied().unwrap_or_default(), tenths.last().copied().unwrap_or_default());
        let growth = last as f64 / second.max(1) as f64 - 1.0;
        let most = sizes.iter().max().copied().unwrap_or_default() >> 20;
        let medians: Vec<String> = tenths.iter().map(|bytes| (bytes >> 20).to_string()).collect();
        // Writing to a String does not fail.
        let _ = writeln!(table, "| {what} | {} | {:+.1} % | {most} |", medians.join(", "), 100.0 * growth);
        grown.push((name, growth));
    }
    println!("{table}");
    Soaked { table, grown }
}

/// The median of each tenth.
fn tenths(sizes: &[u64]) -> Vec<u64> {
    let part = |n: usize| sizes.get(n * sizes.len() / 10..(n + 1) * sizes.len() / 10).unwrap_or_default();
    let median = |part: &[u64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part.get(part.len() / 2).copied().unwrap_or_default()
    };
    (0..10).map(|n| median(part(n))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_told_from_what_only_varies() {
        let flat: Vec<[u64; 2]> = (0..200).map(|n| [(100 + n % 7) << 20, 90 << 20]).collect();
        assert!(report(1, 9, &flat).verdict().is_ok());
        let leaks: Vec<[u64; 2]> = (0..200).map(|n| [100 << 20, (90 << 20) + (n << 16)]).collect();
        let error = report(1, 9, &leaks).verdict().expect_err("it grew").to_string();
        assert!(error.contains("fetcher"), "{error}");
    }
}
