//! How time grows with the data: per byte from 1 MiB on, per block from 1,000 on.

use super::{fixture, settle};
use crate::{
    harness::{Node, Program},
    process,
};
use anyhow::ensure;
use std::fmt::Write as _;
use tempfile::TempDir;

/// Bytes of a block when blocks are counted.
const SMALL_BLOCK: u64 = 256;

/// Adds files of growing length, then files in a growing number of blocks, and gives both tables.
///
/// # Errors
/// When a command fails or the disk is full.
pub fn measure(runs: usize, max_mib: u64, max_blocks: u64) -> anyhow::Result<String> {
    let mut text = String::from("| File | Time | ns per byte | Peak memory |\n|---|---|---|---|\n");
    let sizes = [1, 4, 16, 64, 256, 1 << 10, 4 << 10, 20 << 10].into_iter().filter(|mib| *mib <= max_mib);
    for mib in sizes {
        let (seconds, rss) = add(runs, mib << 20, &[])?;
        let per_byte = seconds * 1e9 / (mib << 20) as f64;
        writeln!(text, "| {mib} MiB | {seconds:.3} s | {per_byte:.2} | {} MiB |", rss >> 20)?;
    }
    text.push_str("\n| Blocks | Time | µs per block | Peak memory |\n|---|---|---|---|\n");
    for blocks in [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|n| *n <= max_blocks) {
        let chunker = format!("--chunker=size-{SMALL_BLOCK}");
        let (seconds, rss) = add(runs, blocks * SMALL_BLOCK, &[&chunker, "--raw-leaves"])?;
        writeln!(text, "| {blocks} | {seconds:.3} s | {:.2} | {} MiB |", seconds * 1e6 / blocks as f64, rss >> 20)?;
    }
    Ok(text)
}

/// Median of the seconds and greatest memory.
fn add(runs: usize, len: u64, flags: &[&str]) -> anyhow::Result<(f64, u64)> {
    let dir = TempDir::new()?;
    let path = dir.path().join("file");
    fixture::big_file(&path, len)?;
    let mut times = Vec::new();
    let mut peak = 0;
    for _ in 0..runs {
        let node = Node::with(Program::under_test());
        settle();
        let mut command = node.command(["add", "-Q"]);
        let (status, usage, _) = process::run_drained(command.args(flags).arg(&path))?;
        ensure!(status.success(), "add of {len} bytes ended with {status}");
        times.push(usage.wall);
        peak = peak.max(usage.peak_rss);
    }
    Ok((super::median(times).as_secs_f64(), peak))
}
