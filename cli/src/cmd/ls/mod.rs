//! `cairn ls`: the entries of directories.

mod table;
pub mod time;

use crate::{cmd::source, ctx::Ctx};
use cairn_store::{
    path::Path,
    unixfs::{
        listing::{EntryKind, Listed, Listing},
        meta::FileMeta,
    },
};
use serde::Serialize;
use table::{Form, Table};

/// Options of `cairn ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn ls QmQPeNsJPyVWPFDVHb77w8G42Fvo15z4bG2X8D2GhfbSXc
  cairn ls -l /ipfs/bafy…/photos
  cairn ls -s --size=false --resolve-type=false /ipfs/bafy…   (huge directories: names only, at once)")]
pub struct Args {
    /// Paths of the directories [default: one per line of stdin]
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Print a line of headers
    #[arg(short = 'v', long)]
    headers: bool,
    /// Look at the entries to find out what they are
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value = "true", default_missing_value = "true"
    )]
    resolve_type: bool,
    /// Look at the entries to find out how long the files are
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value = "true", default_missing_value = "true"
    )]
    size: bool,
    /// Print entries as they are found, in the order of the DAG, not by name
    #[arg(short, long)]
    stream: bool,
    /// Print permissions and modification time too, where they were stored
    #[arg(short, long)]
    long: bool,
}

/// Kubo's `LsOutput`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    objects: Vec<Object>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Object {
    hash: String,
    links: Vec<Link>,
}

/// Kubo's `LsLink`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Link {
    name: String,
    hash: String,
    size: u64,
    /// Number of the UnixFS type.
    r#type: u8,
    target: String,
    /// As Go's `os.FileMode`.
    mode: u32,
    mod_time: String,
    #[serde(skip)]
    meta: FileMeta,
}

/// Number of UnixFS type `Directory`.
const TYPE_DIRECTORY: u8 = 1;

/// Runs `cairn ls`.
///
/// # Errors
/// When a path leads nowhere, or an entry can't be looked at.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let given = source::arguments(ctx, args.paths)?;
    let paths: Vec<Path> = given.iter().map(|text| Path::parse(text)).collect::<Result<_, _>>()?;
    let fetch = ctx.fetch()?;
    let form = Form { headers: args.headers, long: args.long, size: args.size, stream: args.stream };
    let mut table = Table::new(form, given.len() > 1);
    ctx.block_on(async {
        let mut objects = Vec::new();
        for (text, path) in given.iter().zip(&paths) {
            let cid = source::resolve(ctx, &fetch, path).await?;
            let mut listing = Listing::open(fetch.clone(), &cid, args.size || args.resolve_type, None).await?;
            let mut links = Vec::new();
            while let Some(listed) = listing.next().await? {
                ctx.cancel.check()?;
                links.push(link(ctx, listed));
                if args.stream {
                    let objects = vec![Object { hash: text.clone(), links: std::mem::take(&mut links) }];
                    ctx.out.emit(&Output { objects }, |o| table.print(o))?;
                }
            }
            links.sort_by(|a, b| a.name.cmp(&b.name));
            objects.push(Object { hash: text.clone(), links });
        }
        if args.stream { Ok(()) } else { ctx.out.emit_once(&Output { objects }, |o| table.print(o)) }
    })
}

fn link(ctx: &Ctx, listed: Listed) -> Link {
    let Listed { entry, kind, size, target, meta } = listed;
    let (number, kind_bits) = match kind {
        EntryKind::Unknown => (0, 0),
        EntryKind::Directory => (TYPE_DIRECTORY, 1 << 31),
        EntryKind::File => (2, 0),
        EntryKind::Symlink => (4, 1 << 27),
    };
    Link {
        name: String::from_utf8_lossy(&entry.name).into_owned(),
        hash: ctx.out.cid(&entry.cid),
        size,
        r#type: number,
        target: String::from_utf8_lossy(&target).into_owned(),
        mode: meta.mode.map_or(0, |mode| go_mode(mode) | kind_bits),
        mod_time: time::rfc3339(meta.mtime),
        meta,
    }
}

/// Permission bits of Unix as Go's `os.FileMode` has them.
pub fn go_mode(mode: u32) -> u32 {
    [(0o4000, 23), (0o2000, 22), (0o1000, 20)]
        .iter()
        .fold(mode & 0o777, |out, &(bit, shift)| if mode & bit == 0 { out } else { out | 1 << shift })
}
