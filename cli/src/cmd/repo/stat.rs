//! `cairn repo stat`.

use crate::{ctx::Ctx, units};
use cairn_store::{blockstore::Blockstore as _, repo::VERSION};
use serde::Serialize;

const EXAMPLES: &str = "Examples:
  cairn repo stat --human
  cairn repo stat --size-only --enc=json";

/// Options of `cairn repo stat`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Print only RepoSize and StorageMax
    #[arg(short, long)]
    size_only: bool,
    /// Print sizes with units: 68 kB, 2.3 GB
    #[arg(short = 'H', long)]
    human: bool,
}

/// Kubo's answer.
#[derive(Debug, Serialize)]
struct Stat {
    #[serde(rename = "RepoSize")]
    size: u64,
    #[serde(rename = "StorageMax")]
    max: u64,
    #[serde(rename = "NumObjects")]
    objects: u64,
    #[serde(rename = "RepoPath")]
    path: String,
    #[serde(rename = "Version")]
    version: String,
}

/// Runs `cairn repo stat`.
///
/// # Errors
/// When the repository can't be read.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let repo = ctx.repo()?;
    let mut stat = Stat {
        size: repo.kv().usage()?.total,
        max: repo.storage_max()?,
        objects: 0,
        path: String::new(),
        version: String::new(),
    };
    if !args.size_only {
        for block in repo.blocks().list() {
            ctx.cancel.check()?;
            stat.objects += u64::from(!block?.1.bad);
        }
        stat.path = repo.path().display().to_string();
        stat.version = format!("fs-repo@{VERSION}");
    }
    ctx.out.emit_once(&stat, |stat| text(ctx, stat, args))
}

fn text(ctx: &Ctx, stat: &Stat, args: &Args) -> String {
    let size = |bytes: u64| if args.human { units::decimal(bytes) } else { bytes.to_string() };
    let sizes = format!("RepoSize:   {}\nStorageMax: {}\n", size(stat.size), size(stat.max));
    if args.size_only {
        return sizes;
    }
    let path = ctx.out.escape(&stat.path);
    format!("NumObjects: {}\n{sizes}RepoPath:   {path}\nVersion:    {}\n", stat.objects, stat.version)
}
