//! `cairn dag export`.

use crate::{ctx::Ctx, output::Kind, progress::End};
use cairn_store::{
    car::{self, ExportOptions},
    path::Path,
    resolve::resolve_block,
};
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
    // How much is to come is not known.
    let shown = args.progress.unwrap_or(ctx.out.err_tty);
    let bar = ctx.out.bar(shown, "{bytes} {bytes_per_sec} {elapsed}", None);
    let names = ctx.names();
    ctx.block_on(async {
        let root = resolve_block(&fetch, &*names, &path, None).await?;
        drop(ctx.out.begin(Kind::Bytes("application/vnd.ipld.car"), None));
        let mut out = io::BufWriter::with_capacity(BUFFER, ctx.out.writer());
        let result = car::export(fetch, root, options, &mut out, &mut |bytes| bar.set_position(bytes)).await;
        if result.is_err() {
            bar.end(End::Abandon);
        }
        result?;
        out.flush()?;
        bar.end(End::Finish);
        Ok(())
    })
}
