//! What the reading commands share: paths from the command line or stdin, and progress bars.

use crate::{ctx::Ctx, exit::Usage};
use anyhow::Context as _;
use cairn_store::{Cid, fetch::Fetch, path::Path, resolve};
use std::{
    io::{BufRead as _, BufReader, Read as _},
    sync::Arc,
};

/// A progress bar of bytes.
pub const BAR: &str = "{msg}{bytes} / {total_bytes} {bar:30} {percent}% {bytes_per_sec} {eta}";
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
    let missing = || Usage("argument \"ipfs-path\" is required".into());
    if ctx.input.is_absent() {
        return Err(missing().into());
    }
    let mut stdin = BufReader::new(ctx.input.stdin()).take(MAX_BYTES);
    let lines = stdin.by_ref().lines().take(MAX_LINES + 1);
    let lines: Vec<String> = lines.collect::<Result<_, _>>().context("cannot read paths from stdin")?;
    anyhow::ensure!(
        lines.len() <= MAX_LINES && stdin.limit() > 0,
        "stdin holds more than {MAX_LINES} lines or {MAX_BYTES} bytes: use xargs to give them in parts"
    );
    let lines: Vec<String> = lines.into_iter().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect();
    if lines.is_empty() { Err(missing().into()) } else { Ok(lines) }
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
    Ok(resolve::resolve_block(fetch, &*ctx.names(), path, None).await?)
}
