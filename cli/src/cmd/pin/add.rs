//! `cairn pin add`.

use super::{Changed, pins};
use crate::{cmd::source::arguments, ctx::Ctx, target::target, units::decimal};
use anyhow::Context as _;
use cairn_store::pin::{PinMode, Progress, check_name};
use std::sync::Mutex;

const EXAMPLES: &str = "Examples:
  cairn pin add QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB
  cairn pin add --name holidays bafybeigrf2dwtpjkiovnigysyto3d55opf6qkdikx6d65onrqnfzwgdkfa
  cairn refs local | cairn pin add -r=false";

/// Options of `cairn pin add`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// CIDs or paths of what to pin; from stdin, one a line, if there are none
    #[arg(value_name = "IPFS-PATH")]
    paths: Vec<String>,
    /// Pin everything below as well; with -r=false the block alone
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    recursive: bool,
    /// Name of the pins
    #[arg(short, long, value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
    /// Show on stderr how far it is
    #[arg(long)]
    progress: bool,
}

/// Runs `cairn pin add`.
///
/// # Errors
/// When something is not here, or can't be pinned.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    check_name(&args.name)?;
    let mode = if args.recursive { PinMode::Recursive } else { PinMode::Direct };
    let paths = arguments(ctx, args.paths)?;
    let (pins, fetch) = (pins(ctx)?, ctx.fetch()?);
    let mut done = Vec::with_capacity(paths.len());
    // What was pinned before, and what the present pin has reached.
    let (before, now) = (Mutex::new(Progress::default()), Mutex::new(Progress::default()));
    let report = |progress: Progress| {
        if let (Ok(before), Ok(mut now)) = (before.lock(), now.lock()) {
            *now = progress;
            if args.progress {
                let (nodes, bytes) = (before.nodes + progress.nodes, before.bytes + progress.bytes);
                eprint!("Fetched/Processed {nodes} nodes ({})\r", decimal(bytes));
            }
        }
    };
    for path in paths {
        let cid = target(ctx, &path)?;
        ctx.block_on(async {
            pins.add(fetch.clone(), &cid, mode, &args.name, &report).await.context("pin")?;
            Ok(())
        })?;
        if let (Ok(mut before), Ok(now)) = (before.lock(), now.lock()) {
            before.nodes += now.nodes;
            before.bytes += now.bytes;
        }
        done.push(ctx.out.cid(&cid));
    }
    if args.progress {
        eprintln!();
    }
    let how = if args.recursive { "recursively" } else { "directly" };
    ctx.out.emit(&Changed { pins: done }, |event| event.pins.iter().map(|p| format!("pinned {p} {how}\n")).collect())
}
