//! `cairn files chcid`, `chmod`, `touch` and `flush`.

use super::{
    NamingFlags,
    tree::{self, Tree, words},
};
use crate::ctx::Ctx;
use anyhow::{anyhow, bail};
use cairn_store::{
    mfs::{Change, Kind},
    unixfs::node::Mtime,
};
use serde::Serialize;
use std::{
    ffi::OsString,
    num::IntErrorKind,
    os::unix::ffi::OsStrExt as _,
    time::{SystemTime, UNIX_EPOCH},
};

const NANOS: i64 = 1_000_000_000;

/// Options of `cairn files chcid`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  cairn files chcid --cid-version=1 /photos

The directory's own nodes are named anew; what is in it stays. The root follows Import.CidVersion and
Import.HashFunction.")]
pub struct ChcidArgs {
    /// The directory
    path: OsString,
    #[command(flatten)]
    naming: NamingFlags,
}

/// Options of `cairn files chmod`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn files chmod 0644 /notes/today")]
pub struct ChmodArgs {
    /// Permission bits, octal; 0 stores none
    mode: String,
    /// File or directory
    path: OsString,
}

/// Options of `cairn files touch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn files touch /notes/today
  cairn files touch --mtime=1630937926 /notes/today")]
pub struct TouchArgs {
    /// File or directory
    path: OsString,
    /// Seconds since 1970 [default: now]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, default_value_t = 0, hide_default_value = true)]
    mtime: i64,
    /// Fraction of --mtime in nanoseconds
    #[arg(long, value_name = "NANOSECONDS", default_value_t = 0, hide_default_value = true)]
    mtime_nsecs: u64,
}

/// Options of `cairn files flush`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn files flush /photos")]
pub struct FlushArgs {
    /// What to print the CID of: all of the tree is made durable
    #[arg(default_value = "/")]
    path: OsString,
}

/// Kubo's answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Flushed {
    cid: String,
}

/// Runs `cairn files chcid`.
///
/// # Errors
/// When the path leads to no directory, or to the root.
pub fn chcid(ctx: &Ctx, args: &ChcidArgs, flush: bool) -> anyhow::Result<()> {
    if args.path == "/" {
        bail!(
            "cannot change CID format of the MFS root; use 'cairn config Import.CidVersion' and 'cairn config \
             Import.HashFunction' instead"
        );
    }
    let naming = args.naming.given()?;
    ctx.block_on(async {
        let tree = Tree::open(ctx).await?;
        let found = tree.find(args.path.as_bytes()).await?;
        if naming.is_some() {
            anyhow::ensure!(found.attr().kind == Kind::Directory, "can only update directories");
            tree.mfs.set_attr(found.ino(), Change { naming, ..Change::default() }).await.map_err(words)?;
        }
        tree.end_at(ctx, flush, args.path.as_bytes()).await
    })
}

/// Runs `cairn files chmod`.
///
/// # Errors
/// When the mode is none, or the path leads nowhere.
pub fn chmod(ctx: &Ctx, args: &ChmodArgs, flush: bool) -> anyhow::Result<()> {
    let path = tree::check(&args.path)?;
    let mode = octal(&args.mode)?;
    set(ctx, &path, Change { mode: Some(mode), ..Change::default() }, flush)
}

/// Permission bits, in Go's words if they are none.
fn octal(text: &str) -> anyhow::Result<u32> {
    let refuse = |why: &str| anyhow!("strconv.ParseInt: parsing {text:?}: {why}");
    match i32::from_str_radix(text, 8) {
        // Of a negative one as in Kubo, which takes all bits that there are.
        Ok(mode) => Ok(mode.cast_unsigned() & 0o7777),
        Err(error) => match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => Err(refuse("value out of range")),
            _ => Err(refuse("invalid syntax")),
        },
    }
}

/// Runs `cairn files touch`.
///
/// # Errors
/// When the path leads nowhere.
pub fn touch(ctx: &Ctx, args: &TouchArgs, flush: bool) -> anyhow::Result<()> {
    let path = tree::check(&args.path)?;
    let mtime = if args.mtime == 0 { now() } else { time(args.mtime, args.mtime_nsecs) };
    set(ctx, &path, Change { mtime: Some(mtime), ..Change::default() }, flush)
}

/// A time whose nanoseconds may be more than a second.
fn time(seconds: i64, nanos: u64) -> Mtime {
    let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
    // Below 10⁹, so it fits.
    Mtime { seconds: seconds.saturating_add(nanos / NANOS), nanos: (nanos % NANOS) as u32 }
}

fn now() -> Mtime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Mtime { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() }
}

fn set(ctx: &Ctx, path: &[u8], change: Change, flush: bool) -> anyhow::Result<()> {
    ctx.block_on(async {
        let tree = Tree::open(ctx).await?;
        let found = tree.find(path).await?;
        tree.mfs.set_attr(found.ino(), change).await.map_err(words)?;
        tree.end_at(ctx, flush, path).await
    })
}

/// Runs `cairn files flush`.
///
/// # Errors
/// When the path leads nowhere, or nothing can be written.
pub fn flush(ctx: &Ctx, args: &FlushArgs) -> anyhow::Result<()> {
    let cid = ctx.block_on(async {
        let tree = Tree::open(ctx).await?;
        let found = tree.find(args.path.as_bytes()).await?;
        let cid = tree.mfs.flush(found.ino()).await.map_err(words)?;
        tree.end(ctx, true).await?;
        Ok(cid)
    })?;
    // Kubo prints the same to people.
    let text = |flushed: &Flushed| format!("{{\"Cid\":\"{}\"}}\n", flushed.cid);
    ctx.out.emit_once(&Flushed { cid: ctx.out.cid(&cid) }, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        assert_eq!(octal("0644").ok(), Some(0o644));
        assert_eq!(octal("755").ok(), Some(0o755));
        assert_eq!(octal("1777").ok(), Some(0o1777));
        assert_eq!(octal("-1").ok(), Some(0o7777));
        let refusal = |text| octal(text).expect_err("no mode").to_string();
        assert_eq!(refusal("x"), "strconv.ParseInt: parsing \"x\": invalid syntax");
        assert_eq!(refusal(""), "strconv.ParseInt: parsing \"\": invalid syntax");
        assert_eq!(refusal("777777777777"), "strconv.ParseInt: parsing \"777777777777\": value out of range");
    }

    #[test]
    fn nanoseconds_carry_over() {
        assert_eq!(time(-5, 2_000_000_001), Mtime { seconds: -3, nanos: 1 });
    }
}
