//! `cairn repo ls`.

use crate::ctx::Ctx;
use cairn_store::{Cid, blockstore::Blockstore as _, cid::codec};
use serde::Serialize;

const EXAMPLES: &str = "Example:
  cairn repo ls | wc -l";

/// Options of `cairn repo ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

/// Kubo's event.
#[derive(Debug, Serialize)]
struct Ref {
    #[serde(rename = "Ref")]
    cid: String,
    #[serde(rename = "Err")]
    error: &'static str,
}

/// Runs `cairn repo ls`: all blocks as CIDv1 and raw, since the store knows multihashes only.
///
/// # Errors
/// When the repository can't be read.
pub fn run(ctx: &Ctx, _args: &Args) -> anyhow::Result<()> {
    for block in ctx.blocks()?.list() {
        ctx.cancel.check()?;
        let (hash, entry) = block?;
        if !entry.bad {
            let cid = ctx.out.cid(&Cid::new_v1(codec::RAW, hash));
            ctx.out.emit(&Ref { cid, error: "" }, |event| format!("{}\n", event.cid))?;
        }
    }
    Ok(())
}
