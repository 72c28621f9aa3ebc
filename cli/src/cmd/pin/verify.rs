//! `cairn pin verify`.

use super::pins;
use crate::ctx::Ctx;
use anyhow::bail;
use cairn_store::pin::Status;
use serde::Serialize;

const EXAMPLES: &str = "Examples:
  cairn pin verify --verbose
  cairn pin verify -q";

/// Options of `cairn pin verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Print complete pins as well
    #[arg(short, long)]
    verbose: bool,
    /// Print only the CIDs of broken pins
    #[arg(short, long)]
    quiet: bool,
}

/// Kubo's event for one pin.
#[derive(Debug, Serialize)]
struct Verified {
    #[serde(rename = "Cid")]
    cid: String,
    #[serde(rename = "Ok", skip_serializing_if = "std::ops::Not::not")]
    ok: bool,
    #[serde(rename = "BadNodes", skip_serializing_if = "Vec::is_empty")]
    bad: Vec<Bad>,
}

/// A block that is missing or can't be read.
#[derive(Debug, Serialize)]
struct Bad {
    #[serde(rename = "Cid")]
    cid: String,
    #[serde(rename = "Err")]
    error: String,
}

/// Runs `cairn pin verify`.
///
/// # Errors
/// When the store fails. A broken pin is a result.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    if args.verbose && args.quiet {
        bail!("the --verbose and --quiet options can not be used at the same time");
    }
    pins(ctx)?.verify(&ctx.cancel.flag(), &mut |status: Status| {
        ctx.cancel.check()?;
        let ok = status.bad.is_empty();
        if ok && !args.verbose {
            return Ok(());
        }
        let bad = if args.quiet { Vec::new() } else { status.bad };
        let bad = bad.iter().map(|b| Bad { cid: ctx.out.cid(&b.cid), error: b.error.to_string() }).collect();
        let verified = Verified { cid: ctx.out.cid(&status.cid), ok, bad };
        ctx.out.emit(&verified, |v| text(v, args.quiet))
    })
}

fn text(verified: &Verified, quiet: bool) -> String {
    if quiet {
        return format!("{}\n", verified.cid);
    }
    if verified.ok {
        return format!("{} ok\n", verified.cid);
    }
    let bad = verified.bad.iter().map(|b| format!("  {}: {}\n", b.cid, b.error));
    format!("{} broken\n{}", verified.cid, bad.collect::<String>())
}
