//! `cairn files chroot`.

use crate::ctx::Ctx;
use anyhow::{Context as _, bail, ensure};
use cairn_store::{
    Block, Cid,
    blockstore::Blockstore as _,
    cid::parse,
    kv::Durability,
    mfs::{MetaCell, RootCell as _, stored_root},
    unixfs::{
        directory::DirBuilder,
        entity::{self, Entity},
        meta::FileMeta,
        profile::Profile,
    },
};
use serde::Serialize;
use std::sync::Arc;

/// Options of `cairn files chroot`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
For when the tree is damaged, or should be another one. What only the old root leads to is collected some day: pin it
first if it is wanted. No daemon may run.

Examples:
  cairn files chroot --confirm
  cairn files chroot --confirm QmQPeNsJPyVWPFDVHb77w8G42Fvo15z4bG2X8D2GhfbSXc")]
pub struct Args {
    /// The new root, a directory of this repository [default: an empty one]
    cid: Option<String>,
    /// Do it
    #[arg(long)]
    confirm: bool,
}

/// Kubo's answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    message: String,
}

/// Runs `cairn files chroot`.
///
/// # Errors
/// When a daemon runs, or the new root is no directory, or not here.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    ensure!(args.confirm, "this is a potentially destructive operation; pass --confirm to proceed");
    let empty = empty()?;
    let new = match &args.cid {
        Some(text) => parse(text).with_context(|| format!("invalid CID {text:?}"))?,
        None => *empty.cid(),
    };
    let repo = ctx.repo().context("opening repo (is the daemon running?)")?;
    let blocks = repo.blocks();
    match blocks.get(&new)? {
        Some(block) => check(&block)?,
        None if new == *empty.cid() => blocks.put_many(&[empty], Durability::Synced)?,
        None => bail!("new root {} does not exist locally; fetch it first with 'cairn block get'", ctx.out.cid(&new)),
    }
    let old = stored_root(repo.kv().as_ref())?.map(|old| ctx.out.cid(&old));
    MetaCell::new(Arc::clone(blocks)).commit(&new)?;
    let new = ctx.out.cid(&new);
    let message = match old {
        Some(old) => format!(
            "MFS root changed from {old} to {new}\nThe old root {old} will be garbage collected unless pinned.\n"
        ),
        None => format!("MFS root set to {new}\n"),
    };
    ctx.out.emit_once(&Message { message }, |m| m.message.clone())
}

/// The empty directory.
fn empty() -> anyhow::Result<Block> {
    let mut out = Vec::new();
    DirBuilder::new(&Profile::unixfs_v0_2015(), FileMeta::NONE).finish(&mut out)?;
    out.pop().context("an empty directory has a block")
}

fn check(block: &Block) -> anyhow::Result<()> {
    let cid: &Cid = block.cid();
    match entity::decode(block).with_context(|| format!("new root {cid} is not a valid UnixFS node"))?.1 {
        Entity::Directory(_) | Entity::Shard(_) => Ok(()),
        Entity::File(_) => bail!("new root must be a directory, got File"),
        Entity::Symlink(_) => bail!("new root must be a directory, got Symlink"),
    }
}
