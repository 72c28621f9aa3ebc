//! `cairn repo migrate`.

use super::Message;
use crate::ctx::Ctx;
use anyhow::bail;
use cairn_store::repo::VERSION;

const EXAMPLES: &str = "Example:
  cairn repo migrate";

/// Options of `cairn repo migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Version to bring the repository to
    #[arg(long, value_name = "VERSION", default_value_t = VERSION)]
    to: u32,
    /// Go back to an older version, if there is a way
    #[arg(long)]
    allow_downgrade: bool,
}

/// Runs `cairn repo migrate`. Opening a repository brings it to the present version, so there is nothing left to
/// do, and there is no way back.
///
/// # Errors
/// When another version is wanted.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    ctx.repo()?;
    if args.to < VERSION && !args.allow_downgrade {
        bail!("downgrade from version {VERSION} to {} requires --allow-downgrade flag", args.to);
    }
    if args.to != VERSION {
        bail!("there is no migration from version {VERSION} to version {}", args.to);
    }
    Message::new(format!("Repository is already at version {VERSION}.")).emit(ctx)
}
