//! `cairn block`: raw blocks.

mod put;
mod read;
mod rm;

use crate::ctx::Ctx;
use cairn_store::{Cid, path::Path, resolve};
use clap::Subcommand;
use serde::Serialize;

/// Options of `cairn block`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  echo hello | cairn block put")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// A command of `cairn block`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Write the bytes of a block to stdout
    Get(read::Args),
    /// Store files as blocks, as they are
    Put(put::Args),
    /// Remove blocks that are not pinned
    Rm(rm::Args),
    /// Print the CID and the size of a block
    Stat(read::Args),
}

/// Runs `cairn block`.
///
/// # Errors
/// Whatever the command could not do.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Get(args) => read::get(ctx, args),
        Command::Put(args) => put::run(ctx, args),
        Command::Rm(args) => rm::run(ctx, &args),
        Command::Stat(args) => read::stat(ctx, args),
    }
}

/// A block, in Kubo's shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stat {
    key: String,
    size: usize,
}

/// The block in which a path ends.
fn locate(ctx: &Ctx, text: &str) -> anyhow::Result<Cid> {
    let path = Path::parse(text)?;
    let (fetch, names) = (ctx.fetch()?, ctx.names());
    ctx.block_on(async { Ok(resolve::resolve(&fetch, &*names, &path, None).await?.cid) })
}
