//! `cairn dag`: IPLD objects and CAR files.

mod export;
mod import;

use crate::ctx::Ctx;
use clap::Subcommand;

/// Options of `cairn dag`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// A command of `cairn dag`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Write a DAG as a CAR to stdout
    Export(export::Args),
    /// Store the blocks of CAR files, and pin their roots
    Import(import::Args),
}

/// Runs `cairn dag`.
///
/// # Errors
/// Whatever the command could not do.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Export(args) => export::run(ctx, args),
        Command::Import(args) => import::run(ctx, args),
    }
}
