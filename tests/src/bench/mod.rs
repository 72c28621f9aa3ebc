//! Measuring whole commands against ceilings of the machine and against Kubo, in the same run.
//!
//! A ceiling is what the hardware does when nothing but the unavoidable is done: hashing the bytes on all cores,
//! writing them in order and syncing once, or copying the file through a pipe. Runs of the programs alternate, so
//! that a change in the machine's mood falls on all; the median counts.

pub mod bare;
pub mod ceiling;
pub mod first_byte;
pub mod fixture;
pub mod gateway;
pub mod growth;
pub mod item;
pub mod load;
pub mod mount;
pub mod network;
pub mod report;
pub mod soak;

use crate::{
    harness::{Node, Program},
    process::{self, Printed, Usage},
};
use anyhow::{Context as _, ensure};
use fixture::{Fixture, Fixtures};
use item::{Item, Start};
use report::{Measured, Row};
use std::{collections::HashMap, path::PathBuf, process::Command, time::Duration};

/// What to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// Runs of each program.
    pub runs: usize,
    /// Length of the big file in MiB.
    pub big_mib: u64,
    /// Divides the numbers of files and blocks: for trying the benchmark itself.
    pub divide: usize,
    /// Whether Kubo with Pebble is measured as well; it is slow.
    pub pebble: bool,
}

/// A program in the race.
#[derive(Debug, Clone)]
pub struct Racer {
    /// `cairn`, `kubo` or `pebble`.
    pub name: &'static str,
    program: Program,
    profile: &'static str,
}

/// The race.
pub struct Bench {
    config: Config,
    racers: Vec<Racer>,
    fixtures: Fixtures,
    /// Repositories that hold a fixture, by racer.
    loaded: HashMap<(&'static str, Fixture), (Node, String)>,
    /// Repositories and output of the item that is being measured: removed when it is done.
    spent: (Vec<Node>, Vec<PathBuf>),
}

/// How long after files were deleted the next item begins. For five seconds ext4 does not use their inodes again
/// and searches past them, one by one, whenever a file is made.
const REST: Duration = Duration::from_secs(6);

impl Bench {
    /// Sets up the racers that are there.
    ///
    /// # Errors
    /// When there is no room for the fixtures.
    pub fn new(config: Config) -> anyhow::Result<Self> {
        let mut racers = vec![Racer { name: "cairn", program: Program::under_test(), profile: "server" }];
        if let Some(kubo) = Program::kubo() {
            racers.push(Racer { name: "kubo", program: kubo.clone(), profile: "server" });
            if config.pebble {
                racers.push(Racer { name: "pebble", program: kubo, profile: "server,pebbleds" });
            }
        }
        let fixtures = Fixtures::new(&config)?;
        Ok(Self { config, racers, fixtures, loaded: HashMap::new(), spent: Default::default() })
    }

    /// Measures an item with every racer.
    ///
    /// # Errors
    /// When a command fails or the racers disagree in what they print.
    pub fn measure(&mut self, item: &Item) -> anyhow::Result<Row> {
        let racers: Vec<Racer> = self.racers.iter().filter(|r| item.pebble || r.name != "pebble").cloned().collect();
        let mut times: HashMap<&'static str, Vec<Usage>> = HashMap::new();
        let mut printed: HashMap<&'static str, Printed> = HashMap::new();
        let mut ceilings = Vec::new();
        for _ in 0..self.config.runs {
            // In turn with the programs: the speed of a shared disk changes from minute to minute.
            ceilings.extend(item.ceiling.map(|c| c.measure(&mut self.fixtures)).transpose()?);
            for racer in &racers {
                let (usage, output) =
                    self.once(item, racer).with_context(|| format!("{} with {}", item.key, racer.name))?;
                times.entry(racer.name).or_default().push(usage);
                printed.insert(racer.name, output);
            }
        }
        if item.same_output {
            for racer in &racers {
                ensure!(
                    printed.get(racer.name) == printed.get("cairn"),
                    "{}: {} prints something else",
                    item.key,
                    racer.name
                );
            }
        }
        let ceiling = ceiling::slowest_part(&ceilings);
        self.rest();
        let measured = times.into_iter().map(|(name, runs)| (name, Measured::median(runs))).collect();
        Ok(Row { item: *item, measured, ceiling })
    }

    /// What daemons give each other.
    ///
    /// # Errors
    /// When a command fails.
    pub fn network(&mut self) -> anyhow::Result<String> {
        network::measure(&mut self.fixtures, self.config.runs)
    }

    /// The HTTP gateway.
    ///
    /// # Errors
    /// When a program fails.
    pub fn gateway(&mut self) -> anyhow::Result<String> {
        gateway::measure(&mut self.fixtures, self.config.runs, self.config.divide)
    }

    /// The mount.
    ///
    /// # Errors
    /// When a program fails.
    pub fn mount(&mut self) -> anyhow::Result<String> {
        mount::measure(&mut self.fixtures, self.config.runs, self.config.divide)
    }

    fn once(&mut self, item: &Item, racer: &Racer) -> anyhow::Result<(Usage, Printed)> {
        match item.start {
            Start::Nothing => {
                let path = self.fixtures.path(item.fixture)?;
                let node = Node::with_profile(racer.program.clone(), racer.profile);
                let result = timed(&node, &fill(item.args, &path, ""))?;
                let root = String::from_utf8_lossy(&result.1.head).trim().to_owned();
                let key = (racer.name, item.fixture);
                let before =
                    if item.args.contains(&"-n") { Some((node, root)) } else { self.loaded.insert(key, (node, root)) };
                self.spent.0.extend(before.map(|(node, _)| node));
                Ok(result)
            }
            Start::Loaded => {
                let number = self.spent.1.len();
                let (node, root) = self.loaded(item.fixture, racer)?;
                let out = node.work().join(format!("out-{number}"));
                let result = timed(node, &fill(item.args, &out.to_string_lossy(), root))?;
                self.spent.1.push(out);
                Ok(result)
            }
            Start::Garbage => {
                let path = self.fixtures.path(item.fixture)?;
                let node = Node::with_profile(racer.program.clone(), racer.profile);
                node.ok(["add", "-Q", "-r", "--pin=false", &path]);
                let result = timed(&node, &fill(item.args, "", ""));
                self.spent.0.push(node);
                result
            }
            Start::Archive => {
                let car = self.fixtures.archive(item.fixture)?;
                let node = Node::with_profile(racer.program.clone(), racer.profile);
                let result = timed(&node, &fill(item.args, &car, ""));
                self.spent.0.push(node);
                result
            }
        }
    }

    /// Removes what an item left, and lets the file system forget it.
    fn rest(&mut self) {
        let (nodes, outputs) = std::mem::take(&mut self.spent);
        drop(nodes);
        for output in outputs {
            let _ = std::fs::remove_dir_all(output);
        }
        settle();
        std::thread::sleep(REST);
    }

    fn loaded(&mut self, fixture: Fixture, racer: &Racer) -> anyhow::Result<(&Node, &str)> {
        let key = (racer.name, fixture);
        if !self.loaded.contains_key(&key) {
            let path = self.fixtures.path(fixture)?;
            let node = Node::with_profile(racer.program.clone(), racer.profile);
            let mut args = vec!["add", "-Q", "-r"];
            args.extend(fixture.flags());
            args.push(&path);
            let root = node.ok(args);
            self.loaded.insert(key, (node, root));
        }
        let (node, root) = self.loaded.get(&key).context("it was just loaded")?;
        Ok((node, root))
    }
}

fn fill(args: &[&str], path: &str, root: &str) -> Vec<String> {
    args.iter().map(|arg| arg.replace("PATH", path).replace("ROOT", root)).collect()
}

fn timed(node: &Node, args: &[String]) -> anyhow::Result<(Usage, Printed)> {
    settle();
    let (status, usage, printed) = process::run_drained(&mut node.command(args))?;
    ensure!(status.success(), "{args:?} ended with {status}");
    Ok((usage, printed))
}

/// Lets the disk finish what earlier runs left in its cache.
fn settle() {
    let _ = Command::new("sync").status();
}

/// The middle one of some times.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
