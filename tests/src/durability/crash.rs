//! Killing the program at random points.

use super::{
    check::{Checker, Depth, REOPEN},
    model::{Model, Op},
    work::{self, Work},
};
use crate::harness::Node;
use anyhow::{Context as _, bail};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write as _,
    mem::Discriminant,
    ops::Range,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

/// A full comparison comes after this many kills.
const EVERYTHING_EVERY: u64 = 40;
/// The others complete, so that there is something to lose.
const KILLED_OF_TEN: u32 = 7;
/// Bytes of a file that takes a while to be written.
const BULK: Range<usize> = 8 << 20..20 << 20;
/// A command's first run is killed within this time; later ones within what the command took so far.
const FIRST_GUESS: Duration = Duration::from_millis(60);

/// What to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// Kills.
    pub kills: u64,
    /// Seed of all choices.
    pub seed: u64,
    /// Where the log of acknowledgements goes.
    pub log: PathBuf,
}

/// What was seen.
#[derive(Debug, Default, Clone)]
pub struct Report {
    /// Processes that died of the kill.
    pub kills: u64,
    /// Commands that had been acknowledged.
    pub acknowledged: u64,
    /// Commands that were begun.
    pub begun: u64,
    /// Times from a kill to an opened repository with its pins listed.
    pub reopened: Vec<Duration>,
    /// Kills by command.
    pub by_command: HashMap<&'static str, u64>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut times = self.reopened.clone();
        times.sort_unstable();
        let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
        let mut commands: Vec<_> = self.by_command.iter().map(|(name, n)| format!("{name} {n}")).collect();
        commands.sort_unstable();
        write!(
            f,
            "{} kills ({}), {} of {} commands acknowledged, 0 losses, 0 dangling pins, reopened in {:?} (median), {:?} (worst), {} times in more than {REOPEN:?}",
            self.kills,
            commands.join(", "),
            self.acknowledged,
            self.begun,
            at(50).copied().unwrap_or_default(),
            at(100).copied().unwrap_or_default(),
            times.iter().filter(|time| **time > REOPEN).count(),
        )
    }
}

/// Runs commands and kills them until there were enough kills.
///
/// # Errors
/// The first thing that was lost, with the number of the command.
pub fn run(config: &Config) -> anyhow::Result<Report> {
    let node = Node::new();
    let mut rng = StdRng::seed_from_u64(config.seed);
    let mut work = Work::new(&node.work().join("files"), BULK, &mut rng);
    let native = node.ok(["pin", "ls", "--type=recursive", "-q"]).lines().map(str::to_owned).collect();
    let repo = node.repo();
    let checker = Checker { program: node.program(), repo: &repo, native: &native };
    let mut log =
        File::options().create(true).append(true).open(&config.log).context(config.log.display().to_string())?;
    let mut driver =
        Driver { node: &node, typical: HashMap::new(), model: Model::default(), report: Report::default() };
    while driver.report.kills < config.kills {
        let number = driver.report.begun;
        let kills_before = driver.report.kills;
        let (op, args) = work.choose(&mut driver.model, &mut rng);
        writeln!(log, "{number} begin {}", args.join(" "))?;
        let acknowledged = driver.once(&op, &args, &mut rng).with_context(|| format!("command {number}: {args:?}"))?;
        writeln!(
            log,
            "{number} {}",
            acknowledged.map_or_else(|| "cut".to_owned(), |cid| format!("acknowledged {cid}"))
        )?;
        // A command that was left alone changes the notes; what it did is judged after the next kill.
        if driver.report.kills == kills_before && !number.is_multiple_of(EVERYTHING_EVERY) {
            continue;
        }
        let depth = if number.is_multiple_of(EVERYTHING_EVERY) { Depth::Everything } else { Depth::Owed };
        let took = checker.judge(&mut driver.model, depth).with_context(|| {
            format!("after command {number}: {args:?}, seed {}, log {}", config.seed, config.log.display())
        })?;
        driver.report.reopened.push(took);
    }
    checker.judge(&mut driver.model, Depth::Everything)?;
    Ok(driver.report)
}

struct Driver<'a> {
    node: &'a Node,
    /// The longest that a command of each kind took so far.
    typical: HashMap<Discriminant<Op>, Duration>,
    model: Model,
    report: Report,
}

impl Driver<'_> {
    /// Runs a command, kills it at some time, and notes what it acknowledged.
    fn once(&mut self, op: &Op, args: &[String], rng: &mut StdRng) -> anyhow::Result<Option<String>> {
        let output = self.node.work().join("stdout");
        let errors = self.node.work().join("stderr");
        self.model.begin(op);
        self.report.begun += 1;
        let mut command = self.node.command(args);
        command.stdin(Stdio::null()).stdout(File::create(&output)?).stderr(File::create(&errors)?);
        let kind = std::mem::discriminant(op);
        let typical = self.typical.get(&kind).copied().unwrap_or(FIRST_GUESS);
        let start = Instant::now();
        let mut child = command.spawn()?;
        if rng.random_ratio(KILLED_OF_TEN, 10) {
            // Somewhere in its life, or shortly after: a kill that comes too late is a command that completed. The sleep
            // is the draw itself; nothing waits for it to be long enough.
            std::thread::sleep(typical.mul_f64(rng.random_range(0.0..1.05)));
            child.kill()?;
        }
        let status = child.wait()?;
        match status.signal() {
            Some(libc::SIGKILL) => {
                self.report.kills += 1;
                *self.report.by_command.entry(name(op)).or_default() += 1;
                // A killed command lives longer than was thought possible, if it is not done by then.
                let longer = start.elapsed().max(typical.mul_f64(1.02));
                self.typical.insert(kind, longer.min(typical.mul_f64(1.2)));
            }
            None if status.success() => {
                self.typical.insert(kind, typical.mul_f64(0.98));
            }
            _ => bail!("it ended with {status} by itself: {}", fs::read_to_string(&errors)?),
        }
        let acknowledged = work::acknowledged(op, &fs::read(&output)?, status.success());
        if let Some(cid) = &acknowledged {
            self.model.acknowledge(op, cid);
            self.report.acknowledged += 1;
        } else if status.success() {
            bail!("it succeeded without saying so: {}", fs::read_to_string(&output)?);
        }
        Ok(acknowledged)
    }
}

fn name(op: &Op) -> &'static str {
    match op {
        Op::Add { .. } => "add",
        Op::PinAdd(_) => "pin add",
        Op::PinRm(_) => "pin rm",
        Op::Gc => "repo gc",
        Op::Import { .. } => "dag import",
    }
}
