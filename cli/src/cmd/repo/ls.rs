//! `cairn repo ls`.

use crate::{cmd::refs, ctx::Ctx};

const EXAMPLES: &str = "Example:
  cairn repo ls | wc -l";

/// Options of `cairn repo ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

/// Runs `cairn repo ls`: all blocks as CIDv1 and raw, since the store knows multihashes only.
///
/// # Errors
/// When the repository can't be read.
pub fn run(ctx: &Ctx, _args: &Args) -> anyhow::Result<()> {
    refs::local(ctx)
}
