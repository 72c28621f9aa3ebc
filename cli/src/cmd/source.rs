//! What the reading commands share: paths from the command line or stdin, and progress bars.

use crate::{ctx::Ctx, stdin::Stdin};
use anyhow::Context as _;
use cairn_store::{Cid, fetch::Fetch, path::Path, resolve};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _},
    sync::Arc,
};

/// Lines of stdin that are taken as arguments at most.
const MAX_LINES: usize = 1 << 20;
/// Bytes of stdin that are looked at for arguments at most.
const MAX_BYTES: u64 = 128 << 20;

/// The arguments, or the lines of stdin if there are none.
///
/// # Errors
/// When there are neither.
pub fn arguments(ctx: &Ctx, given: Vec<String>) -> anyhow::Result<Vec<String>> {
    if !given.is_empty() {
        return Ok(given);
    }
    anyhow::ensure!(!io::stdin().is_terminal(), "argument \"ipfs-path\" is required");
    let mut stdin = Stdin::buffered(ctx).take(MAX_BYTES);
    let lines = stdin.by_ref().lines().take(MAX_LINES + 1);
    let lines: Vec<String> = lines.collect::<Result<_, _>>().context("cannot read paths from stdin")?;
    anyhow::ensure!(
        lines.len() <= MAX_LINES && stdin.limit() > 0,
        "stdin holds more than {MAX_LINES} lines or {MAX_BYTES} bytes: use xargs to give them in parts"
    );
    let lines: Vec<String> = lines.into_iter().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect();
    anyhow::ensure!(!lines.is_empty(), "argument \"ipfs-path\" is required");
    Ok(lines)
}

/// The same, read as paths.
///
/// # Errors
/// When there are none, or one is no path.
pub fn paths(ctx: &Ctx, given: Vec<String>) -> anyhow::Result<Vec<Path>> {
    Ok(arguments(ctx, given)?.iter().map(|text| Path::parse(text)).collect::<Result<_, _>>()?)
}

/// The block that a path leads to.
///
/// # Errors
/// When it leads nowhere.
pub async fn resolve(ctx: &Ctx, fetch: &Arc<dyn Fetch>, path: &Path) -> anyhow::Result<Cid> {
    Ok(resolve::resolve_block(fetch, ctx.names()?, path, None).await?)
}

/// A bar of bytes on stderr.
pub fn bar(total: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg}{bytes} / {total_bytes} {bar:30} {percent}% {bytes_per_sec} {eta}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.with_message(what.to_owned())
}
