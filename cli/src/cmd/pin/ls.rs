//! `cairn pin ls`.

use super::pins;
use crate::{ctx::Ctx, target::target};
use anyhow::bail;
use cairn_store::pin::{Found, Kind, Which, check_name};
use serde::Serialize;
use std::collections::BTreeMap;

const EXAMPLES: &str = "Examples:
  cairn pin ls --type=recursive --names
  cairn pin ls QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB
  cairn pin ls -n holidays -q";

/// Options of `cairn pin ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// CIDs or paths to look for; all pins, if there are none
    #[arg(value_name = "IPFS-PATH")]
    paths: Vec<String>,
    /// Which pins: direct, indirect, recursive or all
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "all")]
    kind: String,
    /// Print CIDs only
    #[arg(short, long)]
    quiet: bool,
    /// Only pins whose name contains this; implies --names
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    name: String,
    /// In JSON, print each pin as it is found
    #[arg(short, long)]
    stream: bool,
    /// Print names
    #[arg(long)]
    names: bool,
}

/// Kubo's event for one pin.
#[derive(Debug, Serialize)]
struct Pin {
    #[serde(rename = "Cid")]
    cid: String,
    #[serde(rename = "Name", skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(rename = "Type")]
    kind: String,
}

/// Kubo's answer for all pins together.
#[derive(Debug, Default, Serialize)]
struct All {
    #[serde(rename = "Keys", skip_serializing_if = "BTreeMap::is_empty")]
    keys: BTreeMap<String, Key>,
}

/// One of them.
#[derive(Debug, Serialize)]
struct Key {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Name")]
    name: String,
}

/// Runs `cairn pin ls`.
///
/// # Errors
/// When one of the arguments is not pinned as asked, or a pin is not complete.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    check_name(&args.name)?;
    let which = match args.kind.as_str() {
        "all" => Which::All,
        "direct" => Which::Direct,
        "indirect" => Which::Indirect,
        "recursive" => Which::Recursive,
        other => bail!("invalid type '{other}', must be one of {{direct, indirect, recursive, all}}"),
    };
    let names = args.names || !args.name.is_empty();
    let mut all = All::default();
    let mut emit = |found: Found| -> anyhow::Result<()> {
        ctx.cancel.check()?;
        let pin = shown(ctx, found, names);
        if ctx.out.json() && !args.stream {
            all.keys.insert(pin.cid, Key { kind: pin.kind, name: pin.name });
            return Ok(());
        }
        ctx.out.emit(&pin, |pin| {
            if args.quiet {
                format!("{}\n", pin.cid)
            } else if pin.name.is_empty() {
                format!("{} {}\n", pin.cid, pin.kind)
            } else {
                format!("{} {} {}\n", pin.cid, pin.kind, ctx.out.escape(&pin.name))
            }
        })
    };
    if args.paths.is_empty() {
        pins(ctx)?.list(which, &args.name, &ctx.cancel.flag(), &mut emit)?;
    } else {
        for found in find(ctx, &args.paths, which)? {
            emit(found)?;
        }
    }
    if ctx.out.json() && !args.stream {
        ctx.out.emit_once(&all, |_| String::new())?;
    }
    Ok(())
}

fn shown(ctx: &Ctx, found: Found, names: bool) -> Pin {
    let kind = match found.kind {
        Kind::Recursive => "recursive".to_owned(),
        Kind::Direct => "direct".to_owned(),
        Kind::Indirect(None) => "indirect".to_owned(),
        Kind::Indirect(Some(via)) => format!("indirect through {}", ctx.out.cid(&via)),
    };
    Pin { cid: ctx.out.cid(&found.cid), name: if names { found.name } else { String::new() }, kind }
}

fn find(ctx: &Ctx, paths: &[String], which: Which) -> anyhow::Result<Vec<Found>> {
    let cids = paths.iter().map(|path| target(ctx, path)).collect::<anyhow::Result<Vec<_>>>()?;
    let found = pins(ctx)?.find(&cids, which, &ctx.cancel.flag())?;
    let named = found.into_iter().zip(paths);
    named.map(|(found, path)| found.ok_or_else(|| anyhow::anyhow!("path '{path}' is not pinned"))).collect()
}
