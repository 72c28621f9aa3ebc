//! `cairn pin rm`.

use super::{change, pins};
use crate::ctx::Ctx;

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
    let pins = pins(ctx)?;
    let changed = change(ctx, args.paths, |cid| Ok(pins.remove(cid, args.recursive)?))?;
    changed.print(ctx, |pin| format!("unpinned {pin}\n"))
}
