//! What is done with a mounted tree.

use super::super::settle;
use crate::{keystream, process};
use anyhow::{Context as _, ensure};
use rand::{Rng as _, SeedableRng as _};
use rustix::fs::{Advice, fadvise};
use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Instant,
};

/// What a program reads at once: as `cat`.
const PIECE: usize = 128 << 10;
/// What is read at random.
const PAGE: usize = 4096;
/// Length of a small file that is made.
const SMALL: usize = 4 << 10;
/// Folders below the one whose pages are given up.
const MAX_DEPTH: usize = 8;

/// Where the files of a side are.
#[derive(Debug, Clone)]
pub struct Tree {
    /// A large file.
    pub big: PathBuf,
    /// A tree of small files.
    pub files: PathBuf,
    /// A folder of many entries.
    pub huge: PathBuf,
    /// A folder of files for parallel readers.
    pub many: PathBuf,
    /// A folder that can be written to.
    pub writable: PathBuf,
    /// What the files come from: the disk's.
    pub below: PathBuf,
}

/// How much there is, and is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Bytes of the large file.
    pub big: u64,
    /// Reads at random.
    pub random: usize,
    /// Files of the tree.
    pub files: usize,
    /// Entries of the folder of many.
    pub huge: usize,
    /// Bytes to write.
    pub write: u64,
    /// Small files to make.
    pub create: usize,
}

/// What was reached: seconds, or how many a second.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reached {
    /// Seconds to read the large file, of which the kernel has nothing from this mount.
    pub cold: f64,
    /// The same, and nothing of what lies below in the page cache.
    pub disk: f64,
    /// Reads at random a second.
    pub random: f64,
    /// Seconds to find all files.
    pub find: f64,
    /// Seconds to list the folder of many.
    pub list: f64,
    /// Bytes a second of one reader.
    pub one: f64,
    /// Bytes a second of all readers.
    pub all: f64,
    /// Processors that these kept busy, the server's part among them.
    pub cores: f64,
    /// Seconds to write a file and sync it.
    pub write: f64,
    /// Files made a second, the sync at the end included.
    pub create: f64,
}

/// Does all of it in one mount. `number` is that of the run: files that are written differ.
///
/// # Errors
/// When something fails, or is not what it should be.
pub fn all(tree: &Tree, amount: &Amount, server: u32, number: usize) -> anyhow::Result<Reached> {
    let cold = timed(|| ensure_len(read(&tree.big)?, amount.big)).context("reading the large file")?;
    let mut reached = Reached { cold, ..Reached::default() };
    forget(&tree.big)?;
    reached.random = amount.random as f64 / timed(|| random(&tree.big, amount))?;
    forget(&tree.big)?;
    reached.find = timed(|| find(&tree.files, amount.files)).context("find")?;
    reached.list = timed(|| list(&tree.huge, amount.huge)).context("ls -l")?;
    readers(tree, server, &mut reached).context("parallel readers")?;
    settle();
    forget_below(&tree.below, MAX_DEPTH)?;
    reached.disk = timed(|| ensure_len(read(&tree.big)?, amount.big))?;
    let folder = tree.writable.join(format!("run-{number}"));
    fs::create_dir(&folder)?;
    reached.write = timed(|| write(&folder.join("large"), amount.write, number)).context("writing")?;
    let made = timed(|| create(&folder.join("small"), amount.create, number)).context("making files")?;
    reached.create = amount.create as f64 / made;
    Ok(reached)
}

fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn ensure_len(len: u64, wanted: u64) -> anyhow::Result<()> {
    ensure!(len == wanted, "{len} bytes where there are {wanted}");
    Ok(())
}

/// Reads a file from front to end.
fn read(path: &Path) -> anyhow::Result<u64> {
    let mut file = File::open(path)?;
    let (mut buffer, mut len) = (vec![0; PIECE], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(len),
            n => len += n as u64,
        }
    }
}

/// Has the kernel give up what it holds of a file's content.
fn forget(path: &Path) -> anyhow::Result<()> {
    Ok(fadvise(File::open(path)?, 0, None, Advice::DontNeed)?)
}

fn forget_below(dir: &Path, depth: usize) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            forget_below(&entry.path(), depth - 1)?;
        } else if kind.is_file() {
            forget(&entry.path())?;
        }
    }
    Ok(())
}

fn random(path: &Path, amount: &Amount) -> anyhow::Result<()> {
    let file = File::open(path)?;
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    let mut page = [0; PAGE];
    for _ in 0..amount.random {
        let at = rng.random_range(0..amount.big / PAGE as u64);
        file.read_exact_at(&mut page, at * PAGE as u64)?;
    }
    Ok(())
}

fn find(dir: &Path, files: usize) -> anyhow::Result<()> {
    let mut command = Command::new("find");
    let (status, _, printed) = process::run_drained(command.arg(dir).args(["-type", "f", "-printf", "x"]))?;
    ensure!(status.success(), "find ended with {status}");
    ensure_len(printed.len, files as u64)
}

fn list(dir: &Path, entries: usize) -> anyhow::Result<()> {
    /// The least that a line has.
    const LINE: u64 = 40;
    let (status, _, printed) = process::run_drained(Command::new("ls").arg("-l").arg(dir))?;
    ensure!(status.success(), "ls ended with {status}");
    ensure!(printed.len >= LINE * entries as u64, "{} bytes for {entries} entries", printed.len);
    Ok(())
}

/// One reader of one file after another, then one for each at once.
fn readers(tree: &Tree, server: u32, reached: &mut Reached) -> anyhow::Result<()> {
    let files: Vec<PathBuf> =
        fs::read_dir(&tree.many)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    let mut bytes = 0;
    let one = timed(|| {
        files.iter().try_for_each(|file| {
            bytes += read(file)?;
            Ok(())
        })
    })?;
    files.iter().try_for_each(|file| forget(file))?;
    let busy = || process::cpu(server) + process::cpu(std::process::id());
    let before = busy();
    let all = timed(|| {
        thread::scope(|scope| {
            let readers: Vec<_> = files.iter().map(|file| scope.spawn(|| read(file))).collect();
            let read = readers.into_iter().map(|reader| reader.join().expect("a reader does not panic"));
            ensure_len(read.sum::<anyhow::Result<u64>>()?, bytes)
        })
    })?;
    reached.cores = (busy() - before).as_secs_f64() / all;
    (reached.one, reached.all) = (bytes as f64 / one, bytes as f64 / all);
    Ok(())
}

fn write(path: &Path, len: u64, number: usize) -> anyhow::Result<()> {
    // Made before: the keystream takes its time.
    let mut piece = keystream::bytes(&format!("write {number}"), PIECE);
    let mut file = File::create(path)?;
    for at in 0..len / PIECE as u64 {
        // No two blocks are the same.
        piece[..8].copy_from_slice(&at.to_le_bytes());
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    ensure_len(file.metadata()?.len(), len / PIECE as u64 * PIECE as u64)
}

fn create(dir: &Path, files: usize, number: usize) -> anyhow::Result<()> {
    fs::create_dir(dir)?;
    let mut content = keystream::bytes(&format!("create {number}"), SMALL);
    for at in 0..files {
        content[..8].copy_from_slice(&(at as u64).to_le_bytes());
        fs::write(dir.join(format!("file-{at:06}")), &content)?;
    }
    match File::open(dir)?.sync_all() {
        // Kubo's mount has each file written when it is closed.
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
        synced => Ok(synced?),
    }
}
