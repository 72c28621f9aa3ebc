//! `cairn pin add`.

use super::{Changed, pins};
use crate::{cmd::source::arguments, ctx::Ctx, target::target, units::decimal};
use anyhow::Context as _;
use cairn_store::pin::{PinMode, Progress, check_name};
use serde::Serialize;
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
                show(ctx, before.nodes + progress.nodes, before.bytes + progress.bytes);
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
    if args.progress && !ctx.out.json() {
        ctx.out.note("\n");
    }
    let how = if args.recursive { "recursively" } else { "directly" };
    let event = Changed { pins: done };
    if args.progress && ctx.out.json() {
        if let Ok(before) = before.lock() {
            show(ctx, before.nodes, before.bytes);
        }
        return ctx.out.emit(&event, |_| String::new());
    }
    ctx.out.emit_once(&event, |event| event.pins.iter().map(|p| format!("pinned {p} {how}\n")).collect())
}

/// Kubo's event while pins are made.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reached {
    #[serde(skip_serializing_if = "is_zero")]
    progress: u64,
    #[serde(skip_serializing_if = "is_zero")]
    bytes: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Shows how far it is: to people on stderr, to programs as an event.
fn show(ctx: &Ctx, nodes: u64, bytes: u64) {
    if ctx.out.json() {
        // A reader that went away is met again at the next line.
        let _ = ctx.out.emit(&Reached { progress: nodes, bytes }, |_| String::new());
    } else {
        ctx.out.note(&format!("Fetched/Processed {nodes} nodes ({})\r", decimal(bytes)));
    }
}
