//! `cairn key rename` and `cairn key rm`.

use super::{BaseArg, Key, print};
use crate::{cmd::source, ctx::Ctx, names};
use anyhow::{anyhow, ensure};
use cairn_net::keystore::{KeyError, SELF};
use serde::Serialize;

/// Options of `cairn key rename`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn key rename blog old-blog")]
pub struct RenameArgs {
    /// Name of the key
    name: String,
    /// Its new name
    new_name: String,
    /// Replace a key that has the new name
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    base: BaseArg,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Renamed {
    was: String,
    now: String,
    id: String,
    overwrite: bool,
}

/// Runs `cairn key rename`.
///
/// # Errors
/// When there is no such key, the new name is taken or can't be one, or the disk refuses.
pub fn rename(ctx: &Ctx, args: RenameArgs) -> anyhow::Result<()> {
    ensure!(args.name != SELF, "cannot rename key with name 'self'");
    ensure!(args.new_name != SELF, "cannot overwrite key with name 'self'");
    let (store, _) = names::keys(ctx)?;
    let (key, overwrite) = store.rename(&args.name, &args.new_name, args.force).map_err(|e| missing(e, &args.name))?;
    let id = args.base.ipns_base.encode(key.peer_id());
    let event = Renamed { was: args.name, now: args.new_name, id, overwrite };
    ctx.out.emit(&event, |event| {
        let with = if event.overwrite { " with overwriting" } else { "" };
        format!("Key {} renamed to {}{with}\n", event.id, ctx.out.escape(&event.now))
    })
}

/// Options of `cairn key rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "A key that was removed can't be made again: `cairn key export` keeps a copy.

Example:
  cairn key rm old-blog")]
pub struct RmArgs {
    /// Names of the keys [default: the lines of stdin]
    names: Vec<String>,
    /// Show the names' IDs too
    #[arg(short)]
    long: bool,
    #[command(flatten)]
    base: BaseArg,
}

/// Runs `cairn key rm`.
///
/// # Errors
/// When there is no such key, or the disk refuses. Those before it are gone by then.
pub fn rm(ctx: &Ctx, args: RmArgs) -> anyhow::Result<()> {
    let given = source::arguments(ctx, args.names)?;
    ensure!(!given.iter().any(|name| name == SELF), "cannot remove key with name 'self'");
    let (store, _) = names::keys(ctx)?;
    let mut removed = Vec::new();
    for name in given {
        let key = store.remove(&name).map_err(|e| missing(e, &name))?;
        removed.push(Key { name, id: args.base.ipns_base.encode(key.peer_id()) });
    }
    print(ctx, removed, args.long)
}

fn missing(error: KeyError, name: &str) -> anyhow::Error {
    match error {
        KeyError::NotFound => anyhow!("no key named {name} was found"),
        other => other.into(),
    }
}
