//! `cairn repo version`.

use crate::ctx::Ctx;
use cairn_store::repo::VERSION;
use serde::Serialize;

const EXAMPLES: &str = "Example:
  cairn repo version -q";

/// Options of `cairn repo version`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Print the version only
    #[arg(short, long)]
    quiet: bool,
}

/// Kubo's answer.
#[derive(Debug, Serialize)]
struct Version {
    #[serde(rename = "Version")]
    version: String,
}

/// Runs `cairn repo version`.
///
/// # Errors
/// When stdout can't be written.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let head = if args.quiet { "" } else { "cairn repo version " };
    ctx.out.emit_once(&Version { version: VERSION.to_string() }, |v| format!("{head}fs-repo@{}\n", v.version))
}
