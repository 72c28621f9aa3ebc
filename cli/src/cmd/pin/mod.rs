//! `cairn pin`: keeping objects from being collected.

mod add;
mod ls;
mod rm;
mod update;
mod verify;

use crate::{cmd::source::arguments, ctx::Ctx, target::target};
use cairn_store::{Cid, pin::Pins};
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

/// Does something to what each of the arguments, or else each line of stdin, leads to.
fn change(ctx: &Ctx, given: Vec<String>, mut one: impl FnMut(&Cid) -> anyhow::Result<()>) -> anyhow::Result<Changed> {
    let mut pins = Vec::new();
    for path in arguments(ctx, given)? {
        ctx.cancel.check()?;
        let cid = target(ctx, &path)?;
        one(&cid)?;
        pins.push(ctx.out.cid(&cid));
    }
    Ok(Changed { pins })
}

/// Kubo's event for pins that changed.
#[derive(Debug, Serialize)]
struct Changed {
    #[serde(rename = "Pins")]
    pins: Vec<String>,
}

impl Changed {
    /// Prints it: as text a line for each.
    fn print(&self, ctx: &Ctx, line: impl Fn(&str) -> String) -> anyhow::Result<()> {
        ctx.out.emit_once(self, |event| event.pins.iter().map(|pin| line(pin)).collect())
    }
}
