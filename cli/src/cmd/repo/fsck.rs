//! `cairn repo fsck`.

use super::{Message, end, spinner};
use crate::{cmd::pin::pins, ctx::Ctx};
use anyhow::bail;
use cairn_store::check::fsck;

const EXAMPLES: &str = "Examples:
  cairn repo fsck
  cairn repo fsck --repair";

/// Options of `cairn repo fsck`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Put right what can be put right without losing anything
    #[arg(long)]
    repair: bool,
}

/// Runs `cairn repo fsck`.
///
/// # Errors
/// When problems are left.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    if args.repair && ctx.repo_or_salvage()?.1 {
        Message::new("the log was damaged: what could not be read of it is lost").emit(ctx)?;
    }
    let bar = spinner(ctx, true);
    let (mut found, mut repairable) = (0_u64, 0_u64);
    let mut printed = Ok(());
    let whole = fsck::fsck(ctx.blocks()?, pins(ctx)?, args.repair, &ctx.cancel.flag(), &mut |problem| {
        found += 1;
        let mut text = problem.to_string();
        if problem.repairable() {
            repairable += 1;
            text.push_str(if args.repair { ": repaired" } else { ": can be repaired" });
        }
        if printed.is_ok() {
            printed = bar.suspend(|| Message::new(text).emit(ctx));
        }
    })?;
    end(&bar, whole)?;
    printed?;
    if found == 0 {
        return Message::new("fsck complete, no problems found.").emit(ctx);
    }
    let summary = format!("fsck complete, {found} problems found");
    if args.repair && found == repairable {
        return Message::new(format!("{summary}, {repairable} repaired")).emit(ctx);
    }
    if args.repair {
        bail!("{summary}, {repairable} repaired; `cairn repo verify` and `cairn pin verify` say more of the others");
    }
    bail!("{summary}, {repairable} of which `cairn repo fsck --repair` can repair")
}
