//! `cairn diag`: looking into a node.

mod cmds;
mod datastore;
mod profile;
mod sys;

use crate::ctx::Ctx;
use anyhow::{Context as _, bail};
use cairn_store::blockstore::Blockstore as _;
use std::path::PathBuf;

/// The empty directory: asking for it goes through the whole of the block store.
const PROBE: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";

/// Options of `cairn diag`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn diag sys")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the requests that run, or ran lately
    Cmds(cmds::Args),
    /// Look at rows of the repository's tables
    Datastore(datastore::Args),
    /// Say whether the node works: for container health checks
    #[command(after_help = "Example:\n  cairn diag healthy || exit 1")]
    Healthy,
    /// Collect what a running daemon does with processor, memory and files
    Profile(profile::Args),
    /// Print what the machine is
    #[command(after_help = "Example:\n  cairn diag sys --enc=json")]
    Sys,
}

impl Args {
    /// The file that the command line shall write the daemon's answer to, instead of printing it.
    pub fn output(&self) -> Option<PathBuf> {
        match &self.command {
            Command::Profile(args) => args.output(),
            _ => None,
        }
    }
}

/// Runs `cairn diag`.
///
/// # Errors
/// Whatever the command could not do.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Cmds(args) => cmds::run(ctx, args),
        Command::Datastore(args) => datastore::run(ctx, args),
        Command::Healthy => healthy(ctx),
        Command::Profile(args) => profile::run(ctx, &args),
        Command::Sys => sys::run(ctx),
    }
}

fn healthy(ctx: &Ctx) -> anyhow::Result<()> {
    if ctx.daemon().is_ok_and(|daemon| daemon.stop.is_cancelled()) {
        bail!("daemon is shutting down");
    }
    let probe = cairn_store::cid::parse(PROBE)?;
    let blocks = ctx.blocks()?;
    if blocks.has(probe.hash()).context("probe")? {
        blocks.get(&probe).context("probe")?;
    }
    ctx.repo()?.kv().usage().context("probe")?;
    ctx.out.emit_once(&"ok", |ok| format!("{ok}\n"))
}
