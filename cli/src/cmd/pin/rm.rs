//! `cairn pin rm`.

use super::{Changed, pins};
use crate::{cmd::source::arguments, ctx::Ctx, target::target};

const EXAMPLES: &str = "Examples:
  cairn pin rm QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB
  cairn pin ls -q -t direct | cairn pin rm";

/// Options of `cairn pin rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// CIDs or paths of pins; from stdin, one a line, if there are none
    #[arg(value_name = "IPFS-PATH")]
    paths: Vec<String>,
    /// Remove recursive pins as well; with -r=false direct ones only
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    recursive: bool,
}

/// Runs `cairn pin rm`.
///
/// # Errors
/// When something has no pin to remove.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let paths = arguments(ctx, args.paths)?;
    let pins = pins(ctx)?;
    let mut done = Vec::with_capacity(paths.len());
    for path in paths {
        ctx.cancel.check()?;
        let cid = target(ctx, &path)?;
        pins.remove(&cid, args.recursive)?;
        done.push(ctx.out.cid(&cid));
    }
    ctx.out.emit_once(&Changed { pins: done }, |event| event.pins.iter().map(|p| format!("unpinned {p}\n")).collect())
}
