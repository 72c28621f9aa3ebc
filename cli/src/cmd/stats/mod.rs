//! `cairn stats`: figures of the node.

mod bw;
mod dht;

use crate::{
    cmd::{bitswap, provide, repo},
    ctx::Ctx,
};

/// Options of `cairn stats`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cairn stats bw --poll\n  cairn stats dht lan")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print bytes received and sent
    Bw(bw::Args),
    /// As `cairn bitswap stat`
    Bitswap(bitswap::StatArgs),
    /// Print the routing tables
    Dht(dht::Args),
    /// As `cairn provide stat`
    Provide(provide::StatArgs),
    /// As `cairn provide stat`
    Reprovide(provide::StatArgs),
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
        Command::Bitswap(args) => bitswap::stat(ctx, &args),
        Command::Dht(args) => dht::run(ctx, &args),
        Command::Provide(args) | Command::Reprovide(args) => provide::stat(ctx, &args),
        Command::Repo(args) => repo::stat::run(ctx, &args),
    }
}
