//! The mount: with `mount` among the words of the benchmark.
//!
//! The same work is done with the mount of a daemon of Cairn's, with a local directory through a bare FUSE file system of
//! this program, and with the mount of Kubo's daemon, one after another. Each begins with a fresh daemon and mount.

pub mod through;
mod work;

use super::{
    fixture::{Fixture, Fixtures},
    settle,
};
use crate::{harness::Program, mount::Point, network::Online};
use anyhow::{Context as _, ensure};
use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use work::{Amount, Reached, Tree};

/// Entries of the large folder.
const HUGE: usize = 100_000;
/// Files of the tree that is searched.
const FILES: usize = 10_000;
/// Reads at random.
const RANDOM: usize = 20_000;
/// Files that are read at once, and the part of the large file that all together are as long as.
const READERS: usize = 16;
const READERS_PART: u64 = 2;
/// The part of the large file that is written.
const WRITTEN_PART: u64 = 4;
/// Small files that are made.
const CREATED: usize = 10_000;
/// Kubo makes so many times fewer, and reads so many times fewer pages: what counts is how many a second.
const FEWER: usize = 10;
/// What the kernel shall read ahead in the bare file system, in KiB: as Cairn's mount asks for.
const READ_AHEAD_KIB: u32 = 4096;

/// Measures all of it, and gives the table.
///
/// # Errors
/// When a program fails, or there is no room for the files.
pub fn measure(fixtures: &mut Fixtures, runs: usize, divide: usize) -> anyhow::Result<String> {
    ensure!(crate::mount::can_mount(), "there is no /dev/fuse to mount with");
    let divide = divide.max(1);
    let local = local(fixtures, divide)?;
    let amount = Amount {
        big: fixtures.big(),
        random: RANDOM / divide,
        files: FILES / divide,
        huge: HUGE / divide,
        write: fixtures.big() / WRITTEN_PART,
        create: CREATED / divide,
    };
    let mut cairn = Side::new("Cairn", Program::under_test(), &local)?;
    let mut kubo = Program::kubo().map(|kubo| Side::new("Kubo", kubo, &local)).transpose()?;
    let mut results = Results::default();
    for number in 0..runs {
        results.through.push(through(&cairn.node, &local, &amount, number)?);
        results.cairn.push(cairn.run(&amount, number).context("Cairn's mount")?);
        if let Some(kubo) = &mut kubo {
            let fewer = Amount { random: amount.random / FEWER, create: amount.create / FEWER, ..amount };
            results.kubo.push(kubo.run(&fewer, number).context("Kubo's mount")?);
        }
    }
    Ok(results.table(&amount))
}

/// The files.
fn local(fixtures: &mut Fixtures, divide: usize) -> anyhow::Result<Tree> {
    let (big, files) = (fixtures.path(Fixture::Big)?.into(), fixtures.path(Fixture::Files)?.into());
    let dir = fixtures.dir();
    let [huge, many, writable] = ["entries", "many", "writable"].map(|name| dir.join(name));
    for folder in [&huge, &many, &writable] {
        fs::create_dir(folder)?;
    }
    for number in 0..HUGE / divide {
        fs::write(huge.join(format!("entry-{number:06}.txt")), number.to_string())?;
    }
    let len = fixtures.big() / READERS_PART / READERS as u64;
    for number in 0..READERS {
        let mut file = fs::File::create(many.join(format!("file-{number:02}")))?;
        std::io::copy(&mut crate::keystream::reader(&format!("reader {number}"), len), &mut file)?;
    }
    Ok(Tree { big, files, huge, many, writable, below: dir.to_owned() })
}

/// A program with its repository, which holds the files.
struct Side {
    name: &'static str,
    node: Online,
    roots: [String; 4],
}

/// What a run gave: memory of the daemon at its end and at most, in bytes.
struct Run {
    reached: Reached,
    resident: u64,
    peak: u64,
}

impl Side {
    fn new(name: &'static str, program: Program, local: &Tree) -> anyhow::Result<Self> {
        let mut node = Online::of(program, &[("Routing.Type", "\"none\"")]);
        node.stop();
        let paths = [&local.big, &local.files, &local.huge, &local.many];
        let roots = paths.map(|path| node.ok(["add", "-Q", "-r", &path.to_string_lossy()]));
        ensure!(roots.iter().all(|root| !root.is_empty()), "nothing was added");
        Ok(Self { name, node, roots })
    }

    /// Does all the work in a mount of a fresh daemon.
    fn run(&mut self, amount: &Amount, number: usize) -> anyhow::Result<Run> {
        let [ipfs, ipns, files] =
            ["ipfs", "ipns", "files"].map(|name| Point::new(&self.node, &format!("{name}-{number}")));
        settle();
        let dirs = [("ipfs", &ipfs), ("ipns", &ipns), ("mfs", &files)]
            .map(|(name, point)| format!("--mount-{name}={}", point.path().display()));
        self.node.start_with(&["--mount", &dirs[0], &dirs[1], &dirs[2]]);
        let below = self.node.repo();
        let [big, tree, huge, many] = self.roots.each_ref().map(|root| ipfs.path().join(root));
        let tree = Tree { big, files: tree, huge, many, writable: files.path().to_owned(), below };
        let reached = work::all(&tree, amount, self.node.pid(), number).with_context(|| self.node.log())?;
        let (resident, peak) = (self.node.resident(), self.node.peak());
        self.node.stop();
        println!("{}: {reached:.3?}, {} MiB, at most {} MiB", self.name, resident >> 20, peak >> 20);
        Ok(Run { reached, resident, peak })
    }
}

/// The bare file system, ended when dropped.
struct Through {
    child: Child,
    point: Point,
}

impl Through {
    fn start(of: &Path, point: Point) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(through::WORD).arg(of).arg(point.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut line)?;
        let through = Self { child, point };
        ensure!(through.point.is_mounted(), "the bare file system is not mounted");
        let device = fs::metadata(through.point.path())?.dev();
        let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
        let file = format!("/sys/class/bdi/{number}/read_ahead_kb");
        if let Err(error) = fs::write(&file, READ_AHEAD_KIB.to_string()) {
            // Cairn's mount may not either.
            println!("{file}: {error}");
        }
        Ok(through)
    }
}

impl Drop for Through {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn through(node: &Online, local: &Tree, amount: &Amount, number: usize) -> anyhow::Result<Reached> {
    settle();
    let through = Through::start(&local.below, Point::new(node, &format!("through-{number}")))?;
    let at =
        |path: &Path| -> anyhow::Result<PathBuf> { Ok(through.point.path().join(path.strip_prefix(&local.below)?)) };
    let tree = Tree {
        big: at(&local.big)?,
        files: at(&local.files)?,
        huge: at(&local.huge)?,
        many: at(&local.many)?,
        writable: at(&local.writable)?,
        below: local.below.clone(),
    };
    let reached = work::all(&tree, amount, through.child.id(), number).context("the bare file system")?;
    println!("pass-through: {reached:.3?}");
    Ok(reached)
}

/// All runs.
#[derive(Default)]
struct Results {
    cairn: Vec<Run>,
    through: Vec<Reached>,
    kubo: Vec<Run>,
}

/// In what something is measured.
#[derive(Clone, Copy)]
enum Unit {
    /// Seconds for so many bytes, or for no bytes in particular.
    Seconds(u64),
    /// So many a second.
    Rate,
    /// Bytes a second.
    Bytes,
    Cores,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds(0) => format!("{value:.2} s"),
            Self::Seconds(bytes) => format!("{value:.2} s, {:.2} GB/s", bytes as f64 / value.max(1e-9) / 1e9),
            Self::Rate => format!("{value:.0}/s"),
            Self::Bytes => format!("{:.2} GB/s", value / 1e9),
            Self::Cores => format!("{value:.1} cores"),
        }
    }

    /// How many times as fast the first one is; nothing where that says nothing.
    fn faster(self, value: f64, other: f64) -> String {
        match self {
            Self::Seconds(_) => format!("{:.2}", other / value.max(1e-9)),
            Self::Rate | Self::Bytes => format!("{:.2}", value / other.max(1e-9)),
            Self::Cores => String::new(),
        }
    }
}

/// A line: what, in which unit, where it is, and what is to be reached.
type Line = (String, Unit, fn(&Reached) -> f64, &'static str);

impl Results {
    fn table(&self, amount: &Amount) -> String {
        let mut table =
            "| What | Cairn | pass-through | of it | Kubo | × Kubo | to reach |\n|---|---|---|---|---|---|---|\n"
                .to_owned();
        for (what, unit, field, target) in lines(amount) {
            let middle = |runs: &mut dyn Iterator<Item = &Reached>| middle(runs.map(field).collect());
            let cairn = middle(&mut self.cairn.iter().map(|run| &run.reached)).unwrap_or_default();
            let through = middle(&mut self.through.iter());
            let kubo = middle(&mut self.kubo.iter().map(|run| &run.reached));
            let show = |other: Option<f64>| other.map_or_else(String::new, |other| unit.show(other));
            let faster = |other: Option<f64>| other.map_or_else(String::new, |other| unit.faster(cairn, other));
            // Writing to a String does not fail.
            let _ = writeln!(
                table,
                "| {what} | {} | {} | {} | {} | {} | {target} |",
                unit.show(cairn),
                show(through),
                faster(through),
                show(kubo),
                faster(kubo)
            );
        }
        let memory = |runs: &[Run], field: fn(&Run) -> u64| {
            runs.iter().map(field).max().map_or_else(String::new, |bytes| format!("{} MiB", bytes >> 20))
        };
        for (what, field, target) in [
            ("memory of the daemon after all of it", (|run| run.resident) as fn(&Run) -> u64, "< 250 MiB"),
            ("the same at most", |run| run.peak, ""),
        ] {
            let (cairn, kubo) = (memory(&self.cairn, field), memory(&self.kubo, field));
            let _ = writeln!(table, "| {what} | {cairn} | | | {kubo} | | {target} |");
        }
        println!("{table}");
        table
    }
}

fn lines(amount: &Amount) -> [Line; 10] {
    let mib = |bytes: u64| bytes >> 20;
    let Amount { big, write, .. } = *amount;
    [
        (
            format!("reading {} MiB that the kernel has nothing of, fresh daemon", mib(big)),
            Unit::Seconds(big),
            |reached| reached.cold,
            "1 GB/s or 0.5 of pass-through; 8 × Kubo",
        ),
        ("the same, nor of what is below it".to_owned(), Unit::Seconds(big), |reached| reached.disk, ""),
        (
            format!("reading 4 KiB of it at random, {} times", amount.random),
            Unit::Rate,
            |reached| reached.random,
            "0.5 of pass-through",
        ),
        (format!("`find` of {} files", amount.files), Unit::Seconds(0), |reached| reached.find, "3 × Kubo"),
        (format!("`ls -l` of {} entries", amount.huge), Unit::Seconds(0), |reached| reached.list, "< 1.5 s"),
        (
            format!("{READERS} files of {} MiB, one after another", mib(big / READERS_PART / READERS as u64)),
            Unit::Bytes,
            |reached| reached.one,
            "",
        ),
        ("the same at once".to_owned(), Unit::Bytes, |reached| reached.all, "more than one after another"),
        ("processors at work meanwhile, of daemon and readers".to_owned(), Unit::Cores, |reached| reached.cores, "all"),
        (format!("writing {} MiB, and `fsync`", mib(write)), Unit::Seconds(write), |reached| reached.write, "4 × Kubo"),
        (
            format!("making {} files of 4 KiB, and one `fsync` of their directory", amount.create),
            Unit::Rate,
            |reached| reached.create,
            "≥ 1,000/s",
        ),
    ]
}

/// The middle one of some values.
fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
