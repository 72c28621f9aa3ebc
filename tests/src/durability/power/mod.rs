//! Cutting the power at random points.
//!
//! Commands run on a real directory while a shim records every write, sync and change of a name ([`record`]). Any
//! number of points of the record are then chosen; for each, a directory is built as a power cut at that point
//! could have left it ([`disk`]), and the program opens it. An acknowledgement counts from the moment it was
//! printed, not from the end of the process, which syncs things by the way.
//!
//! The next session starts from one of those directories, so that recoveries are interrupted as well.

pub mod disk;
pub mod record;

use super::{
    check::{Checker, Depth},
    model::{Model, Op},
    work::{self, Work},
};
use crate::{harness::Node, process};
use anyhow::{Context as _, bail, ensure};
use disk::{Disk, Names};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use record::{Event, Record};
use std::{
    collections::BTreeSet,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Commands recorded in a session.
const COMMANDS: usize = 8;
/// Power cuts that are tried on a session's record.
const CUTS: u64 = 25;

/// Bytes of a file that is committed in several batches. All of it is recorded and written again for each cut.
pub const BULK: Range<usize> = 5 << 20..9 << 20;

const SHIM: &str = include_str!("../../../powerloss/shim.c");

/// What to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// Power cuts.
    pub cuts: u64,
    /// Seed of all choices.
    pub seed: u64,
    /// Whether the disk lies about syncs. Losses must be seen then: this checks the test.
    pub lies: bool,
}

/// What was seen.
#[derive(Debug, Default, Clone)]
pub struct Report {
    /// Power cuts.
    pub cuts: u64,
    /// Commands that were recorded.
    pub commands: u64,
    /// Things that they did to the directory.
    pub events: usize,
    /// Acknowledged objects that were looked for, over all cuts.
    pub owed: usize,
    /// The longest time to an opened repository.
    pub slowest: Duration,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} power cuts in the {} events of {} commands, {} objects owed and found whole, 0 losses, reopened in {:?} at worst",
            self.cuts, self.events, self.commands, self.owed, self.slowest
        )
    }
}

/// Compiles the shim and gives its path.
///
/// # Errors
/// When there is no C compiler.
pub fn compile_shim(dir: &Path) -> anyhow::Result<PathBuf> {
    let source = dir.join("shim.c");
    let library = dir.join("shim.so");
    fs::write(&source, SHIM)?;
    let status = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-lpthread")
        .status()
        .context("cc does not run: install gcc")?;
    ensure!(status.success(), "cc does not compile the shim");
    Ok(library)
}

/// A command of a session: from which event it ran, from which it was acknowledged, and as what.
struct Step {
    op: Op,
    from: usize,
    acknowledged: usize,
    cid: String,
}

struct Driver {
    node: Node,
    shim: PathBuf,
    native: BTreeSet<String>,
    rng: StdRng,
    work: Work,
    config: Config,
    report: Report,
}

/// Records sessions and cuts the power in them.
///
/// # Errors
/// The first thing that was lost, with the session and the event.
pub fn run(config: &Config) -> anyhow::Result<Report> {
    let node = Node::new();
    ensure!(!node.program().is_kubo(), "Kubo does not write through the C library: nothing to record");
    let mut rng = StdRng::seed_from_u64(config.seed);
    let shim = compile_shim(&node.work())?;
    let work = Work::new(&node.work().join("files"), BULK, &mut rng);
    let native = node.ok(["pin", "ls", "--type=recursive", "-q"]).lines().map(str::to_owned).collect();
    let (config, report) = (config.clone(), Report::default());
    let mut driver = Driver { node, shim, native, rng, work, config, report };
    let mut model = Model::default();
    for session in 0.. {
        model = driver.session(&model).with_context(|| format!("session {session}, seed {}", driver.config.seed))?;
        if driver.report.cuts >= driver.config.cuts {
            break;
        }
    }
    Ok(driver.report)
}

impl Driver {
    /// Records some commands, cuts the power in them, leaves the last cut's directory for the next session and
    /// gives what is known of it.
    fn session(&mut self, base: &Model) -> anyhow::Result<Model> {
        let repo = self.node.repo();
        let log = self.node.work().join("record");
        if log.exists() {
            fs::remove_file(&log)?;
        }
        let names = if self.rng.random() { Names::Journalled } else { Names::Strict };
        let before = Disk::load(&repo, names)?;
        let (steps, record) = self.record(base.clone(), &log)?;
        let mut after = before.clone();
        after.play(&record, 0..record.events.len())?;
        compare(&after.seen(), &disk::read(&repo)?).context("the shim missed something")?;
        self.report.commands += steps.len() as u64;
        self.report.events += record.events.len();

        let mut points: Vec<usize> = (0..CUTS.min(self.config.cuts - self.report.cuts))
            .map(|_| self.rng.random_range(0..=record.events.len()))
            .collect();
        points.sort_unstable();
        let mut disk = before;
        let mut played = 0;
        let mut model = base.clone();
        for point in points {
            disk.play(&record, played..point)?;
            played = point;
            let tree = disk.after_power_cut(&mut self.rng);
            model = known_at(base, &steps, point);
            self.look(&repo, &tree, &mut model)
                .with_context(|| format!("power cut after event {point} of {} ({names:?})", record.events.len()))?;
            // The look may have repaired the directory: the next session starts from the damage itself.
            disk::write(&repo, &tree)?;
        }
        Ok(model)
    }

    fn look(&mut self, repo: &Path, tree: &disk::Tree, model: &mut Model) -> anyhow::Result<()> {
        disk::write(repo, tree)?;
        let checker = Checker { program: self.node.program(), repo, native: &self.native };
        let depth = if self.report.cuts.is_multiple_of(4) { Depth::Everything } else { Depth::Owed };
        let took = checker.judge(model, depth)?;
        self.report.cuts += 1;
        self.report.owed += model.owed().count();
        self.report.slowest = self.report.slowest.max(took);
        Ok(())
    }

    fn record(&mut self, mut model: Model, log: &Path) -> anyhow::Result<(Vec<Step>, Record)> {
        let mut steps = Vec::new();
        let mut record = Record::default();
        let repo = fs::canonicalize(self.node.repo())?;
        for _ in 0..COMMANDS {
            let (op, args) = self.work.choose(&mut model, &mut self.rng);
            let mut command = self.node.command(&args);
            command.env("LD_PRELOAD", &self.shim).env("POWERLOSS_DIR", &repo).env("POWERLOSS_LOG", log);
            if self.config.lies {
                command.env("POWERLOSS_FAIL", "LIES 0");
            }
            model.begin(&op);
            let outcome = process::run(&mut command, None)?;
            ensure!(outcome.status.success(), "{args:?} ended with {}: {}", outcome.status, outcome.errors());
            let from = record.events.len();
            record = Record::load(log)?;
            let (acknowledged, cid) = acknowledged(&op, &record, from).with_context(|| format!("{args:?}"))?;
            model.acknowledge(&op, &cid);
            steps.push(Step { op, from, acknowledged, cid });
        }
        Ok((steps, record))
    }
}

/// The number of events after which a command of the record was acknowledged, and as what.
fn acknowledged(op: &Op, record: &Record, from: usize) -> anyhow::Result<(usize, String)> {
    let mut printed = Vec::new();
    for (at, event) in record.events.iter().enumerate().skip(from) {
        if let Event::Printed(data) = event {
            printed.extend_from_slice(&record.bytes[data.clone()]);
            if let Some(cid) = work::acknowledged(op, &printed, false) {
                return Ok((at + 1, cid));
            }
        }
    }
    match work::acknowledged(op, &printed, true) {
        Some(cid) => Ok((record.events.len(), cid)),
        None => bail!("it succeeded without saying so: {}", String::from_utf8_lossy(&printed)),
    }
}

/// What was acknowledged and what was begun when that many events had happened.
fn known_at(base: &Model, steps: &[Step], point: usize) -> Model {
    let mut model = base.clone();
    for step in steps.iter().take_while(|step| step.from <= point) {
        model.begin(&step.op);
        if step.acknowledged <= point {
            model.acknowledge(&step.op, &step.cid);
        }
    }
    model
}

fn compare(replayed: &disk::Tree, real: &disk::Tree) -> anyhow::Result<()> {
    let paths: BTreeSet<&String> = replayed.keys().chain(real.keys()).collect();
    let differ: Vec<&String> = paths.into_iter().filter(|p| replayed.get(*p) != real.get(*p)).collect();
    ensure!(differ.is_empty(), "the replayed record and the directory differ in {differ:?}");
    Ok(())
}
