//! `cairn block rm`.

use super::locate;
use crate::{cmd::pin, ctx::Ctx, exit::AlreadyReported};
use cairn_store::{Cid, blockstore::Blockstore as _, pin::Kind};
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
    let blocks = ctx.blocks()?;
    let mut failed = false;
    for (cid, pinned) in cids.iter().zip(keepers(ctx, &cids)?) {
        ctx.cancel.check()?;
        let error = match pinned {
            Some(why) => Some(format!("pinned{why}")),
            None if !args.force && !blocks.has(cid.hash())? => Some(format!("ipld: could not find {cid}")),
            None => {
                blocks.delete_many(&[*cid.hash()])?;
                None
            }
        };
        failed |= error.is_some();
        report(ctx, args.quiet, &Removed { hash: ctx.out.cid(cid), error })?;
    }
    if failed && !ctx.out.json() {
        anyhow::bail!("some blocks not removed");
    }
    if failed { Err(AlreadyReported.into()) } else { Ok(()) }
}

/// What keeps each of these blocks, under whatever name, if anything does.
fn keepers(ctx: &Ctx, cids: &[Cid]) -> anyhow::Result<Vec<Option<String>>> {
    let hashes: Vec<_> = cids.iter().map(|cid| *cid.hash()).collect();
    let found = pin::pins(ctx)?.keepers(&hashes)?;
    Ok(found
        .into_iter()
        .map(|found| {
            found.map(|found| match found.kind {
                Kind::Recursive => ": recursive".to_owned(),
                Kind::Direct => ": direct".to_owned(),
                Kind::Indirect(Some(via)) => format!(" via {}", ctx.out.cid(&via)),
                Kind::Indirect(None) => ": indirect".to_owned(),
            })
        })
        .collect())
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
