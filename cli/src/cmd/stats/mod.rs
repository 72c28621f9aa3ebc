//! `cairn stats`: figures of the node.

mod bw;

use crate::{cmd::repo, ctx::Ctx};

/// Options of `cairn stats`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cairn stats bw --poll\n  cairn stats repo")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print bytes received and sent
    Bw(bw::Args),
    /// As `cairn repo stat`
    Repo(repo::stat::Args),
}

/// Runs `cairn stats`.
///
/// # Errors
/// When there is no daemon.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Bw(args) => bw::run(ctx, &args),
        Command::Repo(args) => repo::stat::run(ctx, &args),
    }
}
