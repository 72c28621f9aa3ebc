//! `cairn block get` and `cairn block stat`.

use super::{Stat, locate};
use crate::{cmd::source::arguments, ctx::Ctx, output::Kind};
use cairn_store::Block;

/// Options of `cairn block get` and `cairn block stat`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn block get bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am > block
  cairn block stat QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB")]
pub struct Args {
    /// CID or path of the block [default: the first line of stdin]
    #[arg(value_name = "CID")]
    cid: Option<String>,
}

fn fetch(ctx: &Ctx, args: Args) -> anyhow::Result<Block> {
    let given = arguments(ctx, args.cid.into_iter().collect())?;
    let cid = locate(ctx, &given[0])?;
    let fetch = ctx.fetch()?;
    ctx.block_on(async { Ok(fetch.fetch(&cid, None).await?) })
}

/// Runs `cairn block get`.
///
/// # Errors
/// When the block can't be had.
pub fn get(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let block = fetch(ctx, args)?;
    let kind = Kind::Bytes("application/vnd.ipld.raw");
    let size = block.data().len() as u64;
    Ok(ctx.out.begin(kind, Some(size)).whole(block.into_data())?)
}

/// Runs `cairn block stat`.
///
/// # Errors
/// When the block can't be had.
pub fn stat(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let block = fetch(ctx, args)?;
    let stat = Stat { key: ctx.out.cid(block.cid()), size: block.data().len() };
    ctx.out.emit_once(&stat, |stat| format!("Key: {}\nSize: {}\n", stat.key, stat.size))
}
