//! `cairn repo gc`.

use super::spinner;
use crate::{cmd::pin::pins, ctx::Ctx, exit::Interrupted, units::decimal};
use anyhow::bail;
use cairn_store::gc::{self, Event, GcError};
use serde::Serialize;

const EXAMPLES: &str = "Examples:
  cairn repo gc
  cairn repo gc -q | wc -l";

/// Options of `cairn repo gc`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Print each error as it is met
    #[arg(long)]
    stream_errors: bool,
    /// Print CIDs only
    #[arg(short, long)]
    quiet: bool,
    /// Print nothing
    #[arg(long)]
    silent: bool,
}

/// Kubo's event.
#[derive(Debug, Serialize)]
struct Collected {
    #[serde(rename = "Key")]
    key: Option<Link>,
    #[serde(rename = "Error", skip_serializing_if = "String::is_empty")]
    error: String,
}

/// A CID in JSON.
#[derive(Debug, Serialize)]
struct Link {
    #[serde(rename = "/")]
    cid: String,
}

/// Runs `cairn repo gc`.
///
/// # Errors
/// When a pin is not complete: nothing is deleted then.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let bar = spinner(ctx, args.silent);
    let mut errors = Vec::new();
    let mut printed: anyhow::Result<()> = Ok(());
    let (repo, stop) = (ctx.repo()?, ctx.cancel.flag());
    let ended = gc::collect(ctx.blocks()?, pins(ctx)?, &|| repo.kept_roots(), &stop, &mut |event| match event {
        Event::Progress(p) => {
            bar.set_message(format!("{} marked, {} removed ({})", p.marked, p.removed, decimal(p.bytes)));
        }
        Event::Removed(cid) if printed.is_ok() && (args.stream_errors || !args.silent) => {
            printed = removed(ctx, args, ctx.out.cid(&cid));
        }
        Event::Removed(_) => {}
        Event::Unreadable { cid, error } => {
            let error = format!("could not retrieve links for {}: {error}", ctx.out.cid(&cid));
            if args.stream_errors && printed.is_ok() {
                printed = failed(ctx, args, &error);
            } else if errors.len() < MAX_ERRORS {
                errors.push(error);
            }
        }
    });
    bar.finish_and_clear();
    printed?;
    match ended {
        Ok(_) => Ok(()),
        Err(GcError::Stopped) => Err(Interrupted.into()),
        Err(error) if args.stream_errors => {
            failed(ctx, args, &error.to_string())?;
            bail!("encountered errors during gc run")
        }
        Err(error) => {
            errors.push(error.to_string());
            bail!("{}", errors.join("; "))
        }
    }
}

/// Errors that are kept for the last message.
const MAX_ERRORS: usize = 1000;

fn removed(ctx: &Ctx, args: &Args, cid: String) -> anyhow::Result<()> {
    let event = Collected { key: Some(Link { cid }), error: String::new() };
    ctx.out.emit(&event, |event| match &event.key {
        Some(key) if !args.silent => format!("{}{}\n", if args.quiet { "" } else { "removed " }, key.cid),
        _ => String::new(),
    })
}

fn failed(ctx: &Ctx, args: &Args, error: &str) -> anyhow::Result<()> {
    let event = Collected { key: None, error: error.to_owned() };
    ctx.out.emit(&event, |event| if args.silent { String::new() } else { format!("Error: {}\n", event.error) })
}
