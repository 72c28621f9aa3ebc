//! `cairn block rm`.

use super::locate;
use crate::{cmd::pin, ctx::Ctx, exit::AlreadyReported};
use cairn_store::{
    Cid,
    gc::{self, Removal},
    pin::{Found, Kind},
};
use serde::Serialize;

/// Options of `cairn block rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  cairn block rm bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am

Pinned blocks are not removed: `cairn pin rm` first.")]
pub struct Args {
    /// CIDs or paths of the blocks
    #[arg(value_name = "CID", required = true)]
    cids: Vec<String>,
    /// Do not mind blocks that are not here
    #[arg(short, long)]
    force: bool,
    /// Print only what went wrong
    #[arg(short, long)]
    quiet: bool,
}

/// What became of a block, in Kubo's shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Removed {
    hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Runs `cairn block rm`.
///
/// # Errors
/// When a CID can't be read, or a block was not removed.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let cids = args.cids.iter().map(|text| locate(ctx, text)).collect::<anyhow::Result<Vec<Cid>>>()?;
    let hashes: Vec<_> = cids.iter().map(|cid| *cid.hash()).collect();
    let removals = gc::remove(ctx.blocks()?, pin::pins(ctx)?, &hashes, &ctx.cancel.flag())?;
    let mut failed = false;
    for (cid, removal) in cids.iter().zip(removals) {
        let error = match removal {
            Removal::Removed => None,
            Removal::Missing if args.force => None,
            Removal::Missing => Some(format!("ipld: could not find {cid}")),
            Removal::Pinned(found) => Some(format!("pinned{}", keeper(ctx, &found))),
            Removal::InUse => Some("in use: something that is being added or pinned may need it".to_owned()),
        };
        failed |= error.is_some();
        report(ctx, args.quiet, &Removed { hash: ctx.out.cid(cid), error })?;
    }
    if failed && !ctx.out.json() {
        anyhow::bail!("some blocks not removed");
    }
    if failed { Err(AlreadyReported.into()) } else { Ok(()) }
}

/// What keeps a block, under whatever name.
fn keeper(ctx: &Ctx, found: &Found) -> String {
    match found.kind {
        Kind::Recursive => ": recursive".to_owned(),
        Kind::Direct => ": direct".to_owned(),
        Kind::Indirect(Some(via)) => format!(" via {}", ctx.out.cid(&via)),
        Kind::Indirect(None) => ": indirect".to_owned(),
    }
}

fn report(ctx: &Ctx, quiet: bool, removed: &Removed) -> anyhow::Result<()> {
    match &removed.error {
        Some(error) if !ctx.out.json() => {
            ctx.out.note(&format!("cannot remove {}: {error}\n", removed.hash));
            Ok(())
        }
        None if quiet => Ok(()),
        _ => ctx.out.emit(removed, |removed| format!("removed {}\n", removed.hash)),
    }
}
