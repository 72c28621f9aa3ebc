//! What commands are pointed at: CIDs and paths in arguments or on stdin.

use crate::ctx::Ctx;
use anyhow::{Context as _, bail};
use cairn_store::{Cid, cid};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

/// Longest line on stdin, in bytes.
const MAX_LINE: u64 = 64 << 10;

/// The CID that an argument names: a CID, `/ipfs/<cid>` or `ipfs://<cid>`.
///
/// # Errors
/// When it names none.
pub fn target(_ctx: &Ctx, text: &str) -> anyhow::Result<Cid> {
    let path = text.strip_prefix("/ipfs/").or_else(|| text.strip_prefix("ipfs://")).unwrap_or(text);
    let path = path.trim_end_matches('/');
    cid::parse(path).with_context(|| format!("invalid path {text:?}"))
}

/// The arguments, or the lines of stdin when there are none.
///
/// # Errors
/// When there are no lines either, or stdin can't be read.
pub fn arguments(ctx: &Ctx, given: Vec<String>) -> anyhow::Result<Vec<String>> {
    if !given.is_empty() {
        return Ok(given);
    }
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        eprintln!("cairn: reading from stdin; end with Ctrl-D");
    }
    let mut all = Vec::new();
    loop {
        ctx.cancel.check()?;
        let mut line = String::new();
        let read = stdin.by_ref().take(MAX_LINE).read_line(&mut line).context("cannot read stdin")?;
        if read == 0 {
            break;
        }
        if read as u64 == MAX_LINE {
            bail!("a line on stdin is longer than {MAX_LINE} bytes");
        }
        let line = line.trim();
        if !line.is_empty() {
            all.push(line.to_owned());
        }
    }
    if all.is_empty() {
        bail!("argument \"ipfs-path\" is required");
    }
    Ok(all)
}
