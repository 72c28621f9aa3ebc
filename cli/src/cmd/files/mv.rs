//! `cairn files mv`.

use super::tree::{self, Tree, entry_words, shown, split, words};
use crate::ctx::Ctx;
use cairn_store::mfs::{Held, Ino, Kind, MfsError, RenameMode};
use std::ffi::OsString;

/// Options of `cairn files mv`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn files mv /notes/today /notes/2026-11-21")]
pub struct Args {
    /// What to move
    source: OsString,
    /// Where to: a file there is replaced, a directory takes it in
    dest: OsString,
}

/// Runs `cairn files mv`.
///
/// # Errors
/// When there is nothing to move, or no place for it.
pub fn run(ctx: &Ctx, args: &Args, flush: bool) -> anyhow::Result<()> {
    let (from, to) = (tree::check(&args.source)?, tree::check(&args.dest)?);
    ctx.block_on(async {
        let tree = Tree::open(ctx).await?;
        rename(&tree, &from, &to).await?;
        tree.end(ctx, flush).await
    })
}

async fn rename(tree: &Tree, from: &[u8], to: &[u8]) -> anyhow::Result<()> {
    let (from_dir, from_name) = split(from);
    let (to_dir, to_name) = if to.ends_with(b"/") { (to, from_name) } else { split(to) };
    let to_dir = tree.directory(to_dir).await?;
    let from_dir = tree.directory(from_dir).await?;
    if from_name.is_empty() {
        return Err(words(MfsError::NotFound(shown(from).into_owned())));
    }
    let moved = tree.mfs.hold(tree.mfs.lookup(from_dir.ino(), from_name).await.map_err(words)?);
    let there = match tree.mfs.lookup(to_dir.ino(), to_name).await {
        Ok(attr) => Some(tree.mfs.hold(attr)),
        Err(MfsError::NotFound(_)) => None,
        Err(error) => return Err(words(error)),
    };
    let from = (from_dir.ino(), from_name);
    match there.as_ref().map(Held::attr) {
        None => step(tree, from, (to_dir.ino(), to_name), RenameMode::NoReplace).await,
        Some(there) if there.ino == moved.ino() => Ok(()),
        Some(there) if there.kind == Kind::Directory => {
            step(tree, from, (there.ino, from_name), RenameMode::NoReplace).await
        }
        Some(_) => step(tree, from, (to_dir.ino(), to_name), RenameMode::ReplaceFile).await,
    }
}

async fn step(tree: &Tree, from: (Ino, &[u8]), to: (Ino, &[u8]), mode: RenameMode) -> anyhow::Result<()> {
    tree.mfs.rename(from.0, from.1, to.0, to.1, mode).await.map_err(entry_words)
}
