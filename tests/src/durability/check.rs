//! Looking at a repository after something happened to it.

use super::model::Model;
use crate::{
    harness::Program,
    process::{self, Outcome},
};
use anyhow::{Context as _, bail, ensure};
use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

/// What a reopening is to take. More is reported, and no failure: the machine may have been busy.
pub const REOPEN: Duration = Duration::from_secs(5);
/// What a reopening may take before it counts as hanging.
const HANGS: Duration = Duration::from_secs(60);

/// How thoroughly to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Pins, the completeness of what is below them, and the bytes of all that is owed.
    Owed,
    /// All that, and every block against its hash, and the tables against each other.
    Everything,
}

/// The program on a repository that something happened to.
pub struct Checker<'a> {
    /// The program.
    pub program: &'a Program,
    /// The repository.
    pub repo: &'a Path,
    /// The pins that a fresh repository has by itself.
    pub native: &'a BTreeSet<String>,
}

impl Checker<'_> {
    /// Runs a command that must succeed.
    ///
    /// # Errors
    /// When it does not.
    pub fn ok(&self, args: &[&str]) -> anyhow::Result<Outcome> {
        let outcome = process::run(self.program.command(self.repo).args(args), None)?;
        ensure!(
            outcome.status.success(),
            "{} ended with {}: {}",
            args[..args.len().min(4)].join(" "),
            outcome.status,
            outcome.errors()
        );
        Ok(outcome)
    }

    /// The recursive pins, without those of a fresh repository, and the time until they were known.
    ///
    /// # Errors
    /// When the repository can't be opened.
    pub fn pins(&self) -> anyhow::Result<(BTreeSet<String>, Duration)> {
        let start = Instant::now();
        let text = self.ok(&["pin", "ls", "--type=recursive", "-q"])?.text();
        let pins = text.lines().map(str::to_owned).filter(|c| !self.native.contains(c)).collect();
        Ok((pins, start.elapsed()))
    }

    /// Judges the repository against the notes, settles what was in doubt, and gives the time of the reopening.
    ///
    /// # Errors
    /// What is lost, incomplete or wrong.
    pub fn judge(&self, model: &mut Model, depth: Depth) -> anyhow::Result<Duration> {
        let (found, took) = self.pins().context("the repository does not open")?;
        ensure!(took < HANGS, "reopening took {took:?}");
        let unknown = model.settle(&found).map_err(anyhow::Error::msg)?;
        self.adopt(model, &unknown)?;
        self.compare(model)?;
        self.ok(&["pin", "verify"]).context("a pin is dangling")?;
        if depth == Depth::Everything {
            self.ok(&["repo", "verify"]).context("a block is bad")?;
            if !self.program.is_kubo() {
                self.ok(&["repo", "fsck"]).context("the tables do not agree")?;
            }
        }
        Ok(took)
    }

    /// A pin that nobody acknowledged must be that of the content which was on its way.
    fn adopt(&self, model: &mut Model, unknown: &[String]) -> anyhow::Result<()> {
        match (unknown, &model.coming) {
            ([], _) => model.coming = None,
            ([cid], Some(content)) => {
                ensure!(self.cat(cid, content)? == content.bytes(), "the unacknowledged {cid} has wrong bytes");
                model.arrived(cid.clone());
            }
            _ => bail!("pins from nowhere: {unknown:?}"),
        }
        Ok(())
    }

    fn cat(&self, cid: &str, content: &super::model::Content) -> anyhow::Result<Vec<u8>> {
        let paths: Vec<String> = content.0.iter().map(|p| format!("/ipfs/{cid}{}", p.suffix)).collect();
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let args: Vec<&str> = std::iter::once("cat").chain(paths.iter().map(String::as_str)).collect();
        Ok(self.ok(&args)?.stdout)
    }

    /// Reads all that is owed in one go; when that fails, one after the other to say which.
    fn compare(&self, model: &Model) -> anyhow::Result<()> {
        let mut paths = vec!["cat".to_owned()];
        let mut want = Vec::new();
        for (cid, object) in model.owed() {
            paths.extend(object.content.0.iter().map(|p| format!("/ipfs/{cid}{}", p.suffix)));
            want.extend(object.content.bytes());
        }
        if paths.len() == 1 {
            return Ok(());
        }
        let args: Vec<&str> = paths.iter().map(String::as_str).collect();
        if self.ok(&args).is_ok_and(|outcome| outcome.stdout == want) {
            return Ok(());
        }
        for (cid, object) in model.owed() {
            let got =
                self.cat(cid, &object.content).with_context(|| format!("{cid} ({:?}) is incomplete", object.pin))?;
            ensure!(got == object.content.bytes(), "{cid} has wrong bytes");
        }
        bail!("all objects are whole one by one, but not when read together")
    }
}
