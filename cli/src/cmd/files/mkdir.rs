//! `cairn files mkdir`.

use super::{
    NamingFlags,
    tree::{self, Tree},
};
use crate::ctx::Ctx;
use std::ffi::OsString;

/// Options of `cairn files mkdir`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn files mkdir -p /photos/2026/11")]
pub struct Args {
    /// The directory
    path: OsString,
    /// Make those around it too, and let it be there already
    #[arg(short, long)]
    parents: bool,
    #[command(flatten)]
    naming: NamingFlags,
}

/// Runs `cairn files mkdir`.
///
/// # Errors
/// When it is there, or one around it is not.
pub fn run(ctx: &Ctx, args: &Args, flush: bool) -> anyhow::Result<()> {
    let path = tree::check(&args.path)?;
    let naming = args.naming.or_configured(ctx)?;
    ctx.block_on(async {
        let tree = Tree::open(ctx).await?;
        tree.mkdir(&path, args.parents, naming).await?;
        tree.end_at(ctx, flush, &path).await
    })
}
