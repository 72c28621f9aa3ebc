//! `cairn pin update`.

use super::{Changed, pins};
use crate::{cmd::fast_provide, ctx::Ctx, target::target};
use cairn_net::bitswap::Order;

const EXAMPLES: &str = "Example:
  cairn pin update QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB";

/// Options of `cairn pin update`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What is pinned recursively now
    #[arg(value_name = "FROM-PATH")]
    from: String,
    /// What to pin under the same name
    #[arg(value_name = "TO-PATH")]
    to: String,
    /// Remove the old pin; with --unpin=false both stay
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    unpin: bool,
    #[command(flatten)]
    provide: fast_provide::Args,
}

/// Runs `cairn pin update`.
///
/// # Errors
/// When the old one is not pinned recursively, the new one is, or something of it is not here.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let provide = args.provide.of(ctx)?;
    let (from, to) = (target(ctx, &args.from)?, target(ctx, &args.to)?);
    let (pins, fetch) = (pins(ctx)?, ctx.fetch_in(Order::Rarest)?);
    ctx.block_on(async { Ok(pins.update(fetch, &from, &to, args.unpin).await?) })?;
    provide.announce(ctx, vec![to])?;
    let changed = Changed { pins: vec![ctx.out.cid(&from), ctx.out.cid(&to)] };
    ctx.out.emit_once(&changed, |event| format!("updated {} to {}\n", event.pins[0], event.pins[1]))
}
