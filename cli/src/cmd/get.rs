//! `cairn get`.

use crate::ctx::Ctx;

/// Options of `cairn get`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `cairn get`.
///
/// # Errors
/// Always, until it is written.
pub fn run(_ctx: &Ctx, _args: Args) -> anyhow::Result<()> {
    anyhow::bail!("not yet written")
}
