//! `cairn dag export`.

use crate::{ctx::Ctx, output::Out};
use cairn_store::{
    car::{self, ExportOptions},
    path::Path,
    resolve::resolve_block,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, Write};

/// Bytes that are collected before they are written to stdout.
const BUFFER: usize = 1 << 20;

/// Options of `cairn dag export`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  cairn dag export bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi > folder.car\n
The CAR is of version 1; blocks stand depth first, each once, in the order of first sight."
)]
pub struct Args {
    /// Path or CID of the root to export with all that is below it
    #[arg(value_name = "PATH")]
    root: String,
    /// Show progress on stderr [default: when stderr is a terminal]
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    progress: Option<bool>,
    /// Leave out what is not here or can't be read, and what only it leads to
    #[arg(long)]
    local_only: bool,
}

/// Runs `cairn dag export`.
///
/// # Errors
/// When a block is missing, or stdout can't be written.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let path = Path::parse(&args.root)?;
    let fetch = ctx.fetch()?;
    let options = ExportOptions { partial: args.local_only, deadline: None };
    let bar = bar(&ctx.out, args.progress);
    ctx.block_on(async {
        let root = resolve_block(&fetch, ctx.names()?, &path, None).await?;
        let mut out = io::BufWriter::with_capacity(BUFFER, io::stdout());
        let result = car::export(fetch, root, options, &mut out, &mut |bytes| bar.set_position(bytes)).await;
        if result.is_err() {
            bar.abandon();
        }
        result?;
        out.flush()?;
        bar.finish();
        Ok(())
    })
}

/// Bytes, rate and time; how much is to come is not known.
fn bar(out: &Out, wanted: Option<bool>) -> ProgressBar {
    if !wanted.unwrap_or(out.err_tty) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bytes} {bytes_per_sec} {elapsed}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
