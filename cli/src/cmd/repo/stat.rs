//! `cairn repo stat`.

use super::VERSION;
use crate::{ctx::Ctx, units};
use anyhow::{Context as _, bail};
use cairn_store::blockstore::Blockstore as _;
use serde::Serialize;

/// `Datastore.StorageMax` where the configuration does not say.
const STORAGE_MAX: &str = "10GB";

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
        max: storage_max(ctx)?,
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
    ctx.out.emit(&stat, |stat| text(ctx, stat, args))
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

/// `Datastore.StorageMax` in bytes.
fn storage_max(ctx: &Ctx) -> anyhow::Result<u64> {
    let path = match &ctx.global.config_file {
        Some(path) => path.clone(),
        None => ctx.repo_path()?.join("config"),
    };
    let config: serde_json::Value = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => serde_json::Value::Null,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let text = match &config["Datastore"]["StorageMax"] {
        serde_json::Value::Null => STORAGE_MAX,
        serde_json::Value::String(text) if text.is_empty() => STORAGE_MAX,
        serde_json::Value::String(text) => text,
        _ => bail!("Datastore.StorageMax in {} is not a text", path.display()),
    };
    units::parse(text).with_context(|| format!("Datastore.StorageMax is {text:?}: write for example 50GB"))
}
