//! `cairn dag`: IPLD objects and CAR files.

mod export;
mod get;
mod import;
mod put;
mod resolve;
mod stat;

use crate::ctx::Ctx;
use clap::Subcommand;
use serde::Serialize;

/// Options of `cairn dag`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  echo '{\"hello\": \"world\"}' | cairn dag put")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// A command of `cairn dag`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Write a DAG as a CAR to stdout
    Export(export::Args),
    /// Print an object, or a value inside it
    Get(get::Args),
    /// Store the blocks of CAR files, and pin their roots
    Import(import::Args),
    /// Store objects
    Put(put::Args),
    /// Print the last block on a path, and what is left of the path
    Resolve(resolve::Args),
    /// Count the blocks and bytes of DAGs
    Stat(stat::Args),
}

/// Runs `cairn dag`.
///
/// # Errors
/// Whatever the command could not do.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Export(args) => export::run(ctx, &args),
        Command::Get(args) => get::run(ctx, args),
        Command::Import(args) => import::run(ctx, args),
        Command::Put(args) => put::run(ctx, args),
        Command::Resolve(args) => resolve::run(ctx, args),
        Command::Stat(args) => stat::run(ctx, args),
    }
}

/// A CID as dag-json writes it.
#[derive(Debug, Serialize)]
struct Link {
    #[serde(rename = "/")]
    cid: String,
}
