//! `cairn dag import`.

use crate::{cmd::fast_provide, ctx::Ctx, input::Named};
use anyhow::bail;
use cairn_store::{
    Cid,
    car::{Import, ImportError, ImportOptions},
    pin::{PinMode, Pins},
};
use serde::Serialize;
use std::path::PathBuf;

/// Options of `cairn dag import`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cairn dag import folder.car\n  curl https://example.com/folder.car | cairn dag import --stats\n
All blocks of the CARs (version 1 or 2) are stored, each after its bytes were hashed. Roots are pinned once all
of them are durable; a root whose DAG is not complete can't be."
)]
pub struct Args {
    /// CAR files; `-` or none: stdin
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Pin the roots that the headers name [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pin_roots: Option<bool>,
    /// Import partial CARs, as `dag export --local-only` writes them: implies --pin-roots=false
    #[arg(long)]
    local_only: bool,
    /// Print nothing
    #[arg(long)]
    silent: bool,
    /// Print how many blocks and bytes were imported
    #[arg(long)]
    stats: bool,
    /// Store blocks over 2 MiB too, which other nodes will not take
    #[arg(long)]
    allow_big_block: bool,
    #[command(flatten)]
    provide: fast_provide::Args,
}

/// One line of output; in JSON either of the two.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<Root>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Stats>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Root {
    cid: Link,
    pin_error_msg: String,
}

#[derive(Debug, Serialize)]
struct Link {
    #[serde(rename = "/")]
    cid: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stats {
    block_count: u64,
    block_bytes_count: u64,
}

/// Runs `cairn dag import`.
///
/// # Errors
/// When a CAR is malformed, or a root can't be pinned.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    if args.local_only && args.pin_roots == Some(true) {
        bail!("--local-only implies --pin-roots=false and cannot be combined with --pin-roots=true; drop one of them");
    }
    let pin = args.pin_roots.unwrap_or(true) && !args.local_only;
    let provide = args.provide.of(ctx)?;
    let files = if args.files.is_empty() { vec![PathBuf::from("-")] } else { args.files };
    // All lengths are known, or none is shown.
    let sizes = files.iter().map(|f| f.metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len())).sum();
    let sizes: Option<u64> = if ctx.input.upload().is_some() { None } else { sizes };
    let mut sources: Box<dyn Iterator<Item = anyhow::Result<Named>>> = Box::new(ctx.input.files(files)?);
    if ctx.input.upload().is_none() {
        // Opened before anything is read, so that a name that is wrong costs nothing. What is sent has one order.
        sources = Box::new(sources.collect::<anyhow::Result<Vec<_>>>()?.into_iter().map(Ok));
    }
    ctx.check_capacity()?;
    let mut import = Import::new(ctx.blocks()?, ImportOptions { allow_big_blocks: args.allow_big_block });
    let template = if sizes.is_some() {
        "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}"
    } else {
        "{bytes} {bytes_per_sec} {elapsed}"
    };
    let bar = ctx.out.bar(ctx.out.err_tty, template, sizes);
    let stop = || ctx.cancel.requested();
    for source in sources {
        let result = import.read(bar.wrap_read(source?.reader), &stop);
        if let Err(ImportError::Stopped) = result {
            ctx.cancel.check()?;
        }
        result?;
    }
    bar.finish_and_clear();
    // IMPORTANT: `import` guards the blocks until the pins are durable; it is dropped last.
    let imported = import.commit()?;
    if pin {
        let pins = ctx.repo()?.pins();
        // A CAR may name roots that are not here: only what was pinned is announced.
        let mut pinned = Vec::new();
        let result = imported.roots.iter().try_for_each(|root| {
            if pin_root(ctx, pins, root, args.silent)? {
                pinned.push(*root);
            }
            anyhow::Ok(())
        });
        provide.announce(ctx, pinned)?;
        result?;
    }
    if args.stats {
        let stats = Stats { block_count: imported.blocks, block_bytes_count: imported.bytes };
        let text = format!("Imported {} blocks ({} bytes)\n", imported.blocks, imported.bytes);
        emit(ctx, args.silent, &Event { root: None, stats: Some(stats) }, text)?;
    }
    Ok(())
}

/// Pins what sticks: a root that can't be pinned is an event in JSON, and an error in text.
fn pin_root(ctx: &Ctx, pins: &Pins, cid: &Cid, silent: bool) -> anyhow::Result<bool> {
    ctx.cancel.check()?;
    let failure = pins.add_local(cid, PinMode::Recursive, "").err().map(|e| e.to_string()).unwrap_or_default();
    let pinned = failure.is_empty();
    let shown = ctx.out.cid(cid);
    if !failure.is_empty() && !silent && !ctx.out.json() {
        bail!("pinning root \"{shown}\" FAILED: {failure}");
    }
    let text = format!("Pinned root\t{shown}\tsuccess\n");
    let root = Root { cid: Link { cid: shown }, pin_error_msg: failure };
    emit(ctx, silent, &Event { root: Some(root), stats: None }, text)?;
    Ok(pinned)
}

fn emit(ctx: &Ctx, silent: bool, event: &Event, text: String) -> anyhow::Result<()> {
    // As in Kubo, silence is for people: JSON is printed all the same.
    if silent && !ctx.out.json() {
        return Ok(());
    }
    ctx.out.emit(event, |_| text)
}
