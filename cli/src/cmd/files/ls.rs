//! `cairn files ls`.

use super::tree::{self, Tree, split, words};
use crate::ctx::Ctx;
use cairn_store::{
    fetch::Fetch,
    mfs::{Cursor, Held, Kind, Listed},
    unixfs::entity::{self, Entity},
};
use serde::Serialize;
use std::sync::Arc;

/// Entries that are asked for at once.
const PAGE: usize = 1024;

/// Options of `cairn files ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cairn files ls\n  cairn files ls -l /photos")]
pub struct Args {
    /// File or directory
    #[arg(default_value = "/")]
    path: String,
    /// Print CIDs and sizes too
    #[arg(short, long)]
    long: bool,
    /// In the order of the directory, not of the names
    #[arg(short = 'U')]
    unsorted: bool,
}

/// Kubo's answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    /// `null` if there are none.
    entries: Option<Vec<Entry>>,
}

/// Kubo's `NodeListing`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    name: String,
    /// 1 for a directory.
    r#type: u8,
    size: u64,
    hash: String,
}

const DIRECTORY: u8 = 1;

/// Runs `cairn files ls`.
///
/// # Errors
/// When the path leads nowhere, or with `-l` an entry can't be looked at.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let path = tree::check(&args.path)?;
    let mut entries = ctx.block_on(async {
        let tree = Tree::open(ctx).await?;
        let found = tree.find(&path).await?;
        match found.attr().kind {
            Kind::Directory => list(ctx, args, &tree, &found).await,
            Kind::File | Kind::Symlink => Ok(vec![one(ctx, args, &tree, &found, split(&path).1).await?]),
        }
    })?;
    if !args.unsorted && !ctx.out.json() {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let output = Output { entries: (!entries.is_empty()).then_some(entries) };
    ctx.out.emit_once(&output, |output| {
        let mut text = String::new();
        for entry in output.entries.iter().flatten() {
            let name = ctx.out.escape(&entry.name);
            text.push_str(&match (args.long, entry.r#type) {
                (false, _) => format!("{name}\n"),
                (true, DIRECTORY) => format!("{name}/\t{}\t{}\n", entry.hash, entry.size),
                (true, _) => format!("{name}\t{}\t{}\n", entry.hash, entry.size),
            });
        }
        text
    })
}

async fn one(ctx: &Ctx, args: &Args, tree: &Tree, found: &Held, name: &str) -> anyhow::Result<Entry> {
    let name = name.to_owned();
    if !args.long {
        return Ok(Entry { name, ..Entry::default() });
    }
    let attr = found.attr();
    let cid = match attr.cid {
        Some(cid) => cid,
        None => tree.mfs.flush(found.ino()).await.map_err(words)?,
    };
    let directory = attr.kind == Kind::Directory;
    let size = if directory { 0 } else { attr.size };
    Ok(Entry { name, r#type: u8::from(directory), size, hash: ctx.out.cid(&cid) })
}

async fn list(ctx: &Ctx, args: &Args, tree: &Tree, dir: &Held) -> anyhow::Result<Vec<Entry>> {
    // A directory with changes in it has no CIDs for all of its entries yet.
    let cid = tree.mfs.flush(dir.ino()).await.map_err(words)?;
    let mut entries = Vec::new();
    let mut cursor = Cursor::START;
    loop {
        ctx.cancel.check()?;
        let page = tree.mfs.list(dir.ino(), &cursor, PAGE).await.map_err(words)?;
        let Some(last) = page.last() else { break };
        cursor = last.cursor.clone();
        for listed in page {
            entries.push(entry(ctx, args, tree, dir, listed).await?);
        }
    }
    // The tree lists by hashes, as a sharded directory is laid out; a small one is laid out by names.
    let fetch: Arc<dyn Fetch> = ctx.fetch()?;
    if !matches!(entity::decode(&fetch.fetch(&cid, None).await?)?.1, Entity::Shard(_)) {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(entries)
}

async fn entry(ctx: &Ctx, args: &Args, tree: &Tree, dir: &Held, listed: Listed) -> anyhow::Result<Entry> {
    let name = String::from_utf8_lossy(&listed.name).into_owned();
    if !args.long {
        return Ok(Entry { name, ..Entry::default() });
    }
    if let (Some(kind), Some(size), Some(cid)) = (listed.kind, listed.size, listed.cid) {
        let directory = kind == Kind::Directory;
        let size = if directory { 0 } else { size };
        return Ok(Entry { name, r#type: u8::from(directory), size, hash: ctx.out.cid(&cid) });
    }
    let found = tree.mfs.hold(tree.mfs.lookup(dir.ino(), &listed.name).await.map_err(words)?);
    one(ctx, args, tree, &found, &name).await
}
