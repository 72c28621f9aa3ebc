//! `cairn pin add`.

use super::{change, pins};
use crate::{cmd::fast_provide, ctx::Ctx, units::decimal};
use anyhow::Context as _;
use cairn_net::bitswap::Order;
use cairn_store::{
    Cid,
    pin::{PinMode, Progress, check_name},
};
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
    #[command(flatten)]
    provide: fast_provide::Args,
}

/// Runs `cairn pin add`.
///
/// # Errors
/// When something is not here, or can't be pinned.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    check_name(&args.name)?;
    let provide = args.provide.of(ctx)?;
    let mode = if args.recursive { PinMode::Recursive } else { PinMode::Direct };
    let (pins, fetch) = (pins(ctx)?, ctx.fetch_in(Order::Rarest)?);
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
    let one = |cid: &Cid| {
        ctx.block_on(async { pins.add(fetch.clone(), cid, mode, &args.name, &report).await.context("pin") })?;
        provide.announce(ctx, vec![*cid])?;
        if let (Ok(mut before), Ok(now)) = (before.lock(), now.lock()) {
            before.nodes += now.nodes;
            before.bytes += now.bytes;
        }
        Ok(())
    };
    let changed = change(ctx, args.paths, one)?;
    if args.progress && ctx.out.json() {
        if let Ok(before) = before.lock() {
            show(ctx, before.nodes, before.bytes);
        }
        return ctx.out.emit(&changed, |_| String::new());
    }
    if args.progress {
        ctx.out.note("\n");
    }
    let how = if args.recursive { "recursively" } else { "directly" };
    changed.print(ctx, |pin| format!("pinned {pin} {how}\n"))
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
