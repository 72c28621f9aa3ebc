//! `cairn pin`: keeping objects from being collected.

mod add;
mod ls;
mod rm;
mod update;
mod verify;

use crate::ctx::Ctx;
use cairn_store::pin::Pins;
use clap::Subcommand;
use serde::Serialize;

/// Options of `cairn pin`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cairn pin ls --type=recursive\n  cairn pin add --name=photos QmQPeNsJPyVWPFDVHb77w8G42Fvo15z4bG2X8D2GhfbSXc"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// A command of `cairn pin`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Pin objects, so that they are kept
    Add(add::Args),
    /// Remove pins
    Rm(rm::Args),
    /// List what is pinned
    Ls(ls::Args),
    /// Pin a new version in place of an old one
    Update(update::Args),
    /// Check that recursive pins are complete
    Verify(verify::Args),
}

/// Runs `cairn pin`.
///
/// # Errors
/// Whatever the command could not do.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Add(args) => add::run(ctx, args),
        Command::Rm(args) => rm::run(ctx, args),
        Command::Ls(args) => ls::run(ctx, &args),
        Command::Update(args) => update::run(ctx, &args),
        Command::Verify(args) => verify::run(ctx, &args),
    }
}

/// The pins of the repository.
///
/// # Errors
/// When it can't be opened.
pub fn pins(ctx: &Ctx) -> anyhow::Result<&Pins> {
    Ok(ctx.repo()?.pins())
}

/// Kubo's event for pins that changed.
#[derive(Debug, Serialize)]
struct Changed {
    #[serde(rename = "Pins")]
    pins: Vec<String>,
}
