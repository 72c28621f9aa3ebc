//! `cairn repo`: looking after the repository.

mod fsck;
mod gc;
mod ls;
mod migrate;
pub mod stat;
mod verify;
mod version;

use crate::{
    ctx::Ctx,
    exit::Interrupted,
    progress::{Bar, End},
};
use clap::Subcommand;
use serde::Serialize;

/// Options of `cairn repo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cairn repo stat -H\n  cairn repo gc")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// A command of `cairn repo`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Delete what is not pinned
    Gc(gc::Args),
    /// Print how large the repository is
    Stat(stat::Args),
    /// Read and hash every block
    Verify(verify::Args),
    /// List all blocks
    Ls(ls::Args),
    /// Print the version of the repository
    Version(version::Args),
    /// Bring the repository to another version
    Migrate(migrate::Args),
    /// Compare the tables of the repository with each other
    Fsck(fsck::Args),
}

/// Runs `cairn repo`.
///
/// # Errors
/// Whatever the command could not do.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Gc(args) => gc::run(ctx, &args),
        Command::Stat(args) => stat::run(ctx, &args),
        Command::Verify(args) => verify::run(ctx, &args),
        Command::Ls(args) => ls::run(ctx, &args),
        Command::Version(args) => version::run(ctx, &args),
        Command::Migrate(args) => migrate::run(ctx, &args),
        Command::Fsck(args) => fsck::run(ctx, &args),
    }
}

/// Kubo's event of `repo verify`.
#[derive(Debug, Default, Serialize)]
struct Message {
    #[serde(rename = "Msg")]
    text: String,
    #[serde(rename = "Progress")]
    progress: u64,
}

impl Message {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), progress: 0 }
    }

    fn emit(&self, ctx: &Ctx) -> anyhow::Result<()> {
        ctx.out.emit(self, |m| format!("{}\n", m.text))
    }
}

/// Ends a check's progress line; an error if the check was stopped before its end.
fn end(bar: &Bar, whole: bool) -> anyhow::Result<()> {
    bar.end(End::Clear);
    if whole { Ok(()) } else { Err(Interrupted.into()) }
}

/// A progress line: on a terminal's stderr, and only if stdout does not go there as well.
fn spinner(ctx: &Ctx, quiet: bool) -> Bar {
    let shown = ctx.out.err_tty && (!ctx.out.tty || quiet);
    ctx.out.bar(shown, "{spinner} {msg}", None)
}
