//! `cairn cid`.

use crate::ctx::Ctx;

/// Options of `cairn cid`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `cairn cid`.
///
/// # Errors
/// Always, until it is written.
pub fn run(_ctx: &Ctx, _args: Args) -> anyhow::Result<()> {
    anyhow::bail!("not yet written")
}
