//! `cairn shutdown`.

use crate::ctx::Ctx;

/// Options of `cairn shutdown`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn shutdown")]
pub struct Args {}

/// Runs `cairn shutdown`: the daemon ends when this request is answered.
///
/// # Errors
/// When no daemon runs.
pub fn run(ctx: &Ctx, _args: &Args) -> anyhow::Result<()> {
    ctx.daemon()?.stop.cancel();
    Ok(())
}
