//! Failing the program's writes and syncs, one after the other.
//!
//! The shim of [`super::power`] counts the program's writes and syncs in the repository, and fails one of them and
//! all later ones, halves one, or kills the process before it. Unlike a kill after some time, this reaches every
//! single point, and the same one again.

use super::{
    check::{Checker, Depth},
    model::{Model, Op},
    power,
    work::{self, Work},
};
use crate::{harness::Node, process};
use anyhow::{Context as _, ensure};
use rand::{SeedableRng as _, rngs::StdRng};
use std::{collections::BTreeSet, fs, os::unix::process::ExitStatusExt as _, path::PathBuf};

/// Writes and syncs of one command at most: beyond, something loops.
const MAX_POINTS: u64 = 5_000;

/// What happens at the chosen write or sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails for the device's sake, and so do all later ones.
    Io,
    /// It fails for lack of space, and so do all later ones.
    NoSpace,
    /// Only half of it is written, and the caller is told so.
    Short,
    /// The process dies before it.
    Kill,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Io => "EIO",
            Self::NoSpace => "ENOSPC",
            Self::Short => "SHORT",
            Self::Kill => "KILL",
        }
    }
}

/// A repository whose commands can be failed.
pub struct Faults {
    node: Node,
    shim: PathBuf,
    native: BTreeSet<String>,
    work: Work,
    rng: StdRng,
    model: Model,
}

impl Faults {
    /// A fresh repository.
    ///
    /// # Errors
    /// When there is no C compiler.
    pub fn new(seed: u64) -> anyhow::Result<Self> {
        let node = Node::new();
        let mut rng = StdRng::seed_from_u64(seed);
        let shim = power::compile_shim(&node.work())?;
        let work = Work::new(&node.work().join("files"), power::BULK, &mut rng);
        let native = node.ok(["pin", "ls", "--type=recursive", "-q"]).lines().map(str::to_owned).collect();
        Ok(Self { node, shim, native, work, rng, model: Model::default() })
    }

    /// Runs a random command over and over with the fault one `step` later each time, until it is too late to
    /// hit anything; looks for losses after each. Gives the number of faults that were met.
    ///
    /// # Errors
    /// The first loss, crash or unclear message, with its point.
    pub fn walk(&mut self, fault: Fault, step: u64) -> anyhow::Result<u64> {
        let mut met = 0;
        let mut point = 0;
        loop {
            let (op, args) = self.work.choose(&mut self.model, &mut self.rng);
            let hit = self
                .once(fault, point, &op, &args)
                .with_context(|| format!("{} at {point}: {args:?}", fault.name()))?;
            met += u64::from(hit);
            ensure!(point < MAX_POINTS, "{args:?} wrote {MAX_POINTS} times");
            // A short write is no error, so nothing tells that it was too late: the span of one command must do.
            let over = if fault == Fault::Short { point > 80 } else { !hit };
            if over {
                return Ok(met);
            }
            point += step;
        }
    }

    /// Whether the fault was met.
    fn once(&mut self, fault: Fault, point: u64, op: &Op, args: &[String]) -> anyhow::Result<bool> {
        let repo = fs::canonicalize(self.node.repo())?;
        let mut command = self.node.command(args);
        command.env("LD_PRELOAD", &self.shim).env("POWERLOSS_DIR", &repo);
        command.env("POWERLOSS_FAIL", format!("{} {point}", fault.name()));
        self.model.begin(op);
        let outcome = process::run(&mut command, None)?;
        let errors = outcome.errors();
        let well = outcome.status.success();
        ensure!(!errors.contains("panicked"), "it panicked: {errors}");
        match (fault, outcome.status.signal()) {
            (Fault::Kill, Some(libc::SIGKILL)) | (_, None) => {}
            (_, Some(signal)) => anyhow::bail!("it died of signal {signal}: {errors}"),
        }
        if fault == Fault::Short {
            ensure!(well, "a short write is no error, but: {errors}");
        } else if !well && fault != Fault::Kill {
            ensure!(errors.starts_with("Error: "), "the message is unclear: {errors:?}");
        }
        if let Some(cid) = work::acknowledged(op, &outcome.stdout, well) {
            self.model.acknowledge(op, &cid);
        }
        let checker = Checker { program: self.node.program(), repo: &repo, native: &self.native };
        let depth = if point.is_multiple_of(8) { Depth::Everything } else { Depth::Owed };
        checker.judge(&mut self.model, depth)?;
        Ok(!well || fault == Fault::Short)
    }
}
