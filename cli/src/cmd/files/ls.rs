//! `cairn files ls`.

use super::tree::{self, Tree, shown, split, words};
use crate::{ctx::Ctx, output};
use cairn_store::{
    fetch::Fetch,
    mfs::{Cursor, Held, Kind, Listed},
    unixfs::entity::{self, Entity},
};
use serde::Serialize;
use std::{ffi::OsString, io::Write as _, ops::Range, sync::Arc};

/// Entries that are asked for at once.
const PAGE: usize = 1024;

/// Options of `cairn files ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cairn files ls\n  cairn files ls -l /photos")]
pub struct Args {
    /// File or directory
    #[arg(default_value = "/")]
    path: OsString,
    /// Print CIDs and sizes too
    #[arg(short, long)]
    long: bool,
    /// In the order of the directory, not of the names
    #[arg(short = 'U', long = "U")]
    unsorted: bool,
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
    ctx.block_on(async {
        let tree = Tree::open(ctx).await?;
        let found = tree.find(&path).await?;
        let mut printer = Printer { ctx, long: args.long, begun: false };
        match found.attr().kind {
            Kind::Directory => list(ctx, args, &tree, &found, &mut printer).await?,
            Kind::File | Kind::Symlink => {
                printer.print([one(ctx, args, &tree, &found, &shown(split(&path).1)).await?])?;
            }
        }
        printer.end()
    })
}

/// Prints a listing piece by piece, in Kubo's shape: an object with all entries, or `null` if there are none.
struct Printer<'a> {
    ctx: &'a Ctx,
    long: bool,
    /// Whether an entry was printed.
    begun: bool,
}

impl Printer<'_> {
    fn print(&mut self, entries: impl IntoIterator<Item = Entry>) -> anyhow::Result<()> {
        let mut text = String::new();
        for entry in entries {
            if self.ctx.out.json() {
                text.push_str(if std::mem::replace(&mut self.begun, true) { "," } else { "{\"Entries\":[" });
                text.push_str(&serde_json::to_string(&entry)?);
                continue;
            }
            text.push_str(&self.ctx.out.escape(&entry.name));
            if self.long {
                let slash = if entry.r#type == DIRECTORY { "/" } else { "" };
                text.push_str(&format!("{slash}\t{}\t{}", entry.hash, entry.size));
            }
            text.push('\n');
        }
        Ok(self.ctx.out.begin(output::Kind::Single, None).write_all(text.as_bytes())?)
    }

    fn end(self) -> anyhow::Result<()> {
        let end = match (self.ctx.out.json(), self.begun) {
            (true, true) => "]}\n",
            (true, false) => "{\"Entries\":null}\n",
            (false, _) => "",
        };
        Ok(self.ctx.out.begin(output::Kind::Single, None).write_all(end.as_bytes())?)
    }
}

/// Entries that wait to be sorted: about a hundred bytes for each.
#[derive(Default)]
struct Sorted {
    /// Names and CIDs, one behind the other.
    pages: Vec<String>,
    index: Vec<Place>,
}

/// Where an entry is kept.
struct Place {
    page: u32,
    start: u32,
    /// Ends of the name and of the CID behind it.
    name: u32,
    hash: u32,
    size: u64,
    r#type: u8,
}

impl Sorted {
    /// Adds the entries of a page, of far less than 4 GiB.
    fn add(&mut self, entries: Vec<Entry>) {
        let mut text = String::with_capacity(entries.iter().map(|entry| entry.name.len() + entry.hash.len()).sum());
        for Entry { name, r#type, size, hash } in entries {
            let start = text.len() as u32;
            text.push_str(&name);
            let end = text.len() as u32;
            text.push_str(&hash);
            let page = self.pages.len() as u32;
            self.index.push(Place { page, start, name: end, hash: text.len() as u32, size, r#type });
        }
        self.pages.push(text);
    }

    fn text(&self, place: &Place, range: Range<u32>) -> &str {
        &self.pages[place.page as usize][range.start as usize..range.end as usize]
    }

    /// All of them, by name.
    fn sorted(&mut self) -> impl Iterator<Item = Entry> {
        let mut index = std::mem::take(&mut self.index);
        // Equal names stay in the directory's order.
        index.sort_by(|a, b| self.text(a, a.start..a.name).cmp(self.text(b, b.start..b.name)));
        index.into_iter().map(|place| Entry {
            name: self.text(&place, place.start..place.name).to_owned(),
            r#type: place.r#type,
            size: place.size,
            hash: self.text(&place, place.name..place.hash).to_owned(),
        })
    }
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

async fn list(ctx: &Ctx, args: &Args, tree: &Tree, dir: &Held, printer: &mut Printer<'_>) -> anyhow::Result<()> {
    // A directory with changes in it has no CIDs for all of its entries yet.
    let cid = tree.mfs.flush(dir.ino()).await.map_err(words)?;
    let fetch: Arc<dyn Fetch> = ctx.fetch()?;
    // The tree lists by hashes, as a sharded directory is laid out; a small one is laid out by names.
    let sharded = matches!(entity::decode(&fetch.fetch(&cid, None).await?)?.1, Entity::Shard(_));
    let as_it_comes = sharded && (args.unsorted || ctx.out.json());
    let mut sorted = Sorted::default();
    let mut cursor = Cursor::START;
    loop {
        ctx.cancel.check()?;
        let page = tree.mfs.list(dir.ino(), &cursor, PAGE).await.map_err(words)?;
        let Some(last) = page.last() else { break };
        cursor = last.cursor.clone();
        let mut entries = Vec::with_capacity(page.len());
        for listed in page {
            entries.push(entry(ctx, args, tree, dir, listed).await?);
        }
        if as_it_comes {
            printer.print(entries)?;
        } else {
            sorted.add(entries);
        }
    }
    let mut entries = sorted.sorted().peekable();
    while entries.peek().is_some() {
        printer.print(entries.by_ref().take(PAGE))?;
    }
    Ok(())
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
