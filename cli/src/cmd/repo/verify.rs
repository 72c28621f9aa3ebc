//! `cairn repo verify`.

use super::{Message, end, spinner};
use crate::ctx::Ctx;
use anyhow::bail;
use cairn_store::check::verify;

const EXAMPLES: &str = "Examples:
  cairn repo verify
  cairn repo verify --drop";

/// Options of `cairn repo verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Delete corrupt blocks
    #[arg(long)]
    drop: bool,
    /// Delete corrupt blocks and fetch them again: refused, since this needs the network
    #[arg(long)]
    heal: bool,
}

/// Runs `cairn repo verify`.
///
/// # Errors
/// When blocks are corrupt and were not deleted.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    if args.heal {
        bail!("--heal fetches blocks from the network, and there is none here: use --drop, then add them again");
    }
    let blocks = ctx.blocks()?;
    let bar = spinner(ctx, true);
    let (mut seen, mut corrupt) = (0_u64, 0_u64);
    let whole = verify::verify(blocks, args.drop, &ctx.cancel.flag(), &mut |checked| -> anyhow::Result<()> {
        seen += 1;
        if let Some(why) = checked.error {
            corrupt += 1;
            let mut text = format!("block {} was corrupt ({why})", ctx.out.cid(&checked.cid));
            if args.drop {
                text.push_str(", removed");
            }
            bar.suspend(|| Message::new(text).emit(ctx))?;
        }
        // For people, progress is a line on the terminal.
        if ctx.out.json() {
            return ctx.out.emit(&Message { text: String::new(), progress: seen }, |_| String::new());
        }
        if seen.is_multiple_of(256) {
            bar.set_message(format!("{seen} blocks processed"));
        }
        Ok(())
    })?;
    end(&bar, whole)?;
    if corrupt == 0 {
        return Message::new("verify complete, all blocks validated.").emit(ctx);
    }
    let summary = format!("verify complete, {corrupt} blocks corrupt");
    if args.drop {
        return Message::new(format!("{summary}, {corrupt} removed")).emit(ctx);
    }
    bail!("{summary}")
}
