//! `cairn files cp`.

use super::{
    configured,
    tree::{self, Source, Tree, base, entry_words, parent, shown, split, words},
};
use crate::{cmd::source, ctx::Ctx};
use anyhow::{anyhow, bail};
use cairn_store::{
    Cid,
    mfs::{Held, Kind, MfsError},
};
use std::ffi::OsString;

const NOT_UNIXFS: &str = "cp: source must be a valid UnixFS (dag-pb or raw codec)";

/// Options of `cairn files cp`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing is copied but a reference: of what comes from elsewhere only the root is fetched, the rest when it is read.

Examples:
  cairn files cp /ipfs/QmQPeNsJPyVWPFDVHb77w8G42Fvo15z4bG2X8D2GhfbSXc /docs
  cairn files cp /docs/readme /notes/")]
pub struct Args {
    /// What to copy: a path of the tree, /ipfs/<cid>/…, /ipns/<name>/…, or ipfs://…
    source: OsString,
    /// Where to, in the tree; into a directory if it ends with a slash
    dest: OsString,
    /// Replace a file
    #[arg(long)]
    force: bool,
    /// Make the directories around the destination
    #[arg(short, long)]
    parents: bool,
}

enum From {
    Content(Cid),
    Entry(Held),
}

/// Runs `cairn files cp`.
///
/// # Errors
/// When there is nothing to copy, or no place for it.
pub fn run(ctx: &Ctx, args: &Args, flush: bool) -> anyhow::Result<()> {
    let from = Source::parse(&args.source)?;
    let text = match &from {
        Source::Content(path) => path.to_string().into_bytes(),
        Source::Tree(path) => path.clone(),
    };
    let mut to = tree::check(&args.dest)?;
    if to.ends_with(b"/") {
        to.extend_from_slice(base(&text));
    }
    let text = shown(&text);
    let text = text.trim_end_matches('/');
    ctx.check_capacity()?;
    ctx.block_on(async {
        let tree = Tree::open(ctx).await?;
        let from =
            find(ctx, &tree, &from).await.map_err(|error| anyhow!("cp: cannot get node from path {text}: {error}"))?;
        if args.parents && parent(&to) != b"/" {
            tree.mkdir(parent(&to), true, configured(ctx)?).await?;
        }
        if args.force {
            check(&tree, &to).await.map_err(|error| anyhow!("cp: cannot unlink existing file: {error}"))?;
        }
        put(&tree, &from, &to, args.force).await?;
        tree.end_at(ctx, flush, &to).await
    })
}

async fn find(ctx: &Ctx, tree: &Tree, from: &Source) -> anyhow::Result<From> {
    match from {
        Source::Content(path) => Ok(From::Content(source::resolve(ctx, &ctx.fetch()?, path).await?)),
        Source::Tree(path) => Ok(From::Entry(tree.find(path).await?)),
    }
}

async fn put(tree: &Tree, from: &From, to: &[u8], force: bool) -> anyhow::Result<()> {
    let refuse = |error: anyhow::Error| anyhow!("cp: cannot put node in path {}: {error}", shown(to));
    let (dir, name) = split(to);
    let dir = tree.directory(dir).await.map_err(refuse)?;
    let put = match (from, force) {
        (From::Content(cid), false) => tree.mfs.link_cid(dir.ino(), name, cid).await,
        (From::Content(cid), true) => tree.mfs.link_cid_over(dir.ino(), name, cid).await,
        (From::Entry(entry), false) => tree.mfs.copy(entry.ino(), dir.ino(), name).await,
        (From::Entry(entry), true) => tree.mfs.copy_over(entry.ino(), dir.ino(), name).await,
    };
    put.map_err(|error| match error {
        MfsError::NotUnixfs(_) => anyhow!(NOT_UNIXFS),
        MfsError::Malformed(error) => anyhow!("{NOT_UNIXFS}: {error}"),
        other => refuse(entry_words(other)),
    })
}

/// Refuses to replace what is no file.
async fn check(tree: &Tree, path: &[u8]) -> anyhow::Result<()> {
    let (dir, name) = split(path);
    let dir = match tree.find(dir).await {
        Err(error) if tree::is_missing(&error) => return Ok(()),
        other => other?,
    };
    if dir.attr().kind != Kind::Directory {
        bail!("not a directory: {}", shown(split(path).0));
    }
    let child = match tree.mfs.lookup(dir.ino(), name).await {
        Ok(attr) => tree.mfs.hold(attr),
        Err(MfsError::NotFound(_)) => return Ok(()),
        Err(error) => return Err(words(error)),
    };
    if child.attr().kind == Kind::Directory {
        bail!("not a file: {}", shown(path));
    }
    Ok(())
}
