//! `cairn name get`.

use crate::ctx::Ctx;
use cairn_net::ipns::{Name, ResolveOptions};
use std::io::Write as _;

/// Options of `cairn name get`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  cairn name get k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k > record")]
pub struct Args {
    /// The name of a key
    name: String,
}

/// Runs `cairn name get`.
///
/// # Errors
/// When there is no valid record.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let name = Name::parse(&args.name)?;
    let names = ctx.ipns()?;
    let record = ctx.block_on(async { Ok(names.best(name, ResolveOptions::default()).await?) })?;
    Ok(ctx.out.stdout().write_all(record.bytes())?)
}
