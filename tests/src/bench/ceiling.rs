//! What the machine does when nothing but the unavoidable is done.
//!
//! Each ceiling is measured in a process of its own: this program again, with a word that says which.

use super::{
    fixture::{Fixture, Fixtures},
    median,
};
use crate::process;
use anyhow::{Context as _, ensure};
use cairn_store::hash::HashFn;
use std::{
    fs,
    io::Write as _,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

/// Bytes hashed or written at once.
const WINDOW: usize = 4 << 20;
/// A block.
const BLOCK: usize = 256 << 10;

/// A ceiling, for the bytes of the big file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ceiling {
    /// Hashing all blocks on all cores.
    Hash,
    /// Writing in order, and one sync at the end.
    Write,
    /// The slower of the two.
    HashOrWrite,
    /// Copying the file through a pipe.
    Cat,
}

impl Ceiling {
    /// Measures it once: each part by itself.
    ///
    /// # Errors
    /// When it can't be measured.
    pub fn measure(self, fixtures: &mut Fixtures) -> anyhow::Result<Vec<Duration>> {
        let parts = if self == Self::HashOrWrite { vec![Self::Hash, Self::Write] } else { vec![self] };
        parts.into_iter().map(|part| once(part, fixtures)).collect()
    }
}

/// The ceiling, from several measurements: the slowest part, each by its median.
pub fn slowest_part(rounds: &[Vec<Duration>]) -> Option<Duration> {
    let parts = rounds.first()?.len();
    (0..parts).map(|part| median(rounds.iter().filter_map(|round| round.get(part).copied()).collect())).max()
}

fn once(ceiling: Ceiling, fixtures: &mut Fixtures) -> anyhow::Result<Duration> {
    super::settle();
    let scratch = fixtures.dir().join("scratch");
    let mut command = match ceiling {
        Ceiling::Cat => {
            let mut command = Command::new("cat");
            command.arg(fixtures.path(Fixture::Big)?);
            command
        }
        Ceiling::Hash | Ceiling::Write | Ceiling::HashOrWrite => {
            let mut command = Command::new(std::env::current_exe()?);
            let word = if ceiling == Ceiling::Hash { "ceiling-hash" } else { "ceiling-write" };
            command.arg(word).arg(fixtures.big().to_string()).arg(&scratch);
            command
        }
    };
    let (status, usage, _) = process::run_drained(&mut command)?;
    let _ = fs::remove_file(&scratch);
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(usage.wall)
}

/// Runs a ceiling in this process, if the first word asks for one.
///
/// # Errors
/// When the disk refuses.
pub fn run_if_asked(words: &[String]) -> anyhow::Result<bool> {
    match words {
        [word, len, _] if word == "ceiling-hash" => hash(len.parse().context("a length")?),
        [word, len, path] if word == "ceiling-write" => write(len.parse().context("a length")?, Path::new(path))?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Every thread hashes windows of its own until all were taken.
fn hash(len: u64) {
    let windows = len.div_ceil(WINDOW as u64);
    let taken = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let bytes = vec![0x5a; WINDOW];
                let blocks: Vec<&[u8]> = bytes.chunks(BLOCK).collect();
                while taken.fetch_add(1, Ordering::Relaxed) < windows {
                    std::hint::black_box(HashFn::SHA2_256.digest_many(&blocks));
                }
            });
        }
    });
}

fn write(len: u64, path: &Path) -> anyhow::Result<()> {
    let bytes = crate::keystream::bytes("ceiling", WINDOW);
    let mut file = fs::File::create(path)?;
    let mut left = usize::try_from(len)?;
    while left > 0 {
        let n = left.min(WINDOW);
        file.write_all(&bytes[..n])?;
        left -= n;
    }
    file.sync_data()?;
    Ok(())
}
