//! `cairn files read`.

use super::tree::{self, Tree, words};
use crate::{ctx::Ctx, output::Kind};
use anyhow::{Context as _, bail};
use std::ffi::OsString;

/// Options of `cairn files read`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn files read -o 1000 -n 24 /notes/today")]
pub struct Args {
    /// The file
    path: OsString,
    /// Byte at which to begin
    #[arg(short, long, value_name = "BYTES", allow_negative_numbers = true, default_value_t = 0)]
    offset: i64,
    /// Number of bytes at most
    #[arg(short = 'n', long, value_name = "BYTES", allow_negative_numbers = true)]
    count: Option<i64>,
}

/// Runs `cairn files read`.
///
/// # Errors
/// When the path leads to no file, or its bytes can't be had.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let path = tree::check(&args.path)?;
    ctx.block_on(async {
        let tree = Tree::open(ctx).await?;
        let file = match tree.file(&path).await {
            Err(error) if tree::is_missing(&error) => Err(error).context(tree::shown(&path).into_owned()),
            other => other,
        }?;
        // Whoever writes into it meanwhile is not seen.
        let mut content = tree.mfs.snapshot(file.ino()).await.map_err(words)?;
        let size = content.len();
        let Ok(at) = u64::try_from(args.offset) else { bail!("cannot specify negative offset") };
        if at > size {
            bail!("offset was past end of file ({at} > {size})");
        }
        let Ok(count) = args.count.map(u64::try_from).transpose() else { bail!("cannot specify negative 'count'") };
        content.set_range(at..at.saturating_add(count.unwrap_or(u64::MAX)));
        drop(ctx.out.begin(Kind::Bytes("text/plain"), None));
        while let Some(bytes) = content.next().await.map_err(words)? {
            ctx.cancel.check()?;
            ctx.out.stdout().whole(bytes)?;
        }
        Ok(())
    })
}
