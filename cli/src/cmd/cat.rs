//! `cairn cat`: the content of files, one after another.

use crate::{cmd::source, ctx::Ctx, output::Kind, progress::Bar};
use cairn_store::{
    Cid,
    fetch::Fetch,
    unixfs::{
        FileReader,
        entity::{self, Entity, FileNode},
    },
};
use std::sync::Arc;

/// Files from this size on get a progress bar, in bytes.
const PROGRESS_FROM: u64 = 8 << 20;

/// Options of `cairn cat`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn cat QmQPeNsJPyVWPFDVHb77w8G42Fvo15z4bG2X8D2GhfbSXc/readme
  cairn cat -o 1000 -l 24 /ipfs/bafy…/video.mp4 | xxd")]
pub struct Args {
    /// Paths of the files: /ipfs/<cid>/…, ipfs://<cid>/…, or <cid>/… [default: one per line of stdin]
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Byte at which to begin, counted over all files
    #[arg(short, long, value_name = "BYTES", default_value_t = 0)]
    offset: u64,
    /// Number of bytes at most
    #[arg(short, long, value_name = "BYTES")]
    length: Option<u64>,
    /// Show progress on stderr [default: if stderr is a terminal]
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    progress: Option<bool>,
}

/// Runs `cairn cat`.
///
/// # Errors
/// When a path leads to no file, or its bytes can't be had.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let paths = source::paths(ctx, args.paths)?;
    if args.length == Some(0) {
        return Ok(());
    }
    let fetch = ctx.fetch()?;
    ctx.block_on(async {
        let (mut offset, mut left) = (args.offset, args.length.unwrap_or(u64::MAX));
        let mut readers = Vec::new();
        let mut total = 0;
        for path in &paths {
            let cid = source::resolve(ctx, &fetch, path).await?;
            let mut reader = open(&fetch, &cid).await?;
            let size = reader.size();
            let begin = offset.min(size);
            offset -= begin;
            let end = size.min(begin.saturating_add(left));
            reader.set_range(begin..end);
            left -= end - begin;
            total += end - begin;
            readers.push(reader);
            if left == 0 {
                break;
            }
        }
        let wanted = args.progress.unwrap_or(ctx.out.err_tty) && total >= PROGRESS_FROM;
        let bar = ctx.out.bar(wanted, source::BAR, Some(total));
        drop(ctx.out.begin(Kind::Bytes("text/plain"), Some(total)));
        for reader in readers {
            copy(ctx, reader, &bar).await?;
        }
        bar.finish_and_clear();
        Ok(())
    })
}

/// Opens a file; of a symlink, as in Kubo, the target is what is read.
async fn open(fetch: &Arc<dyn Fetch>, cid: &Cid) -> anyhow::Result<FileReader> {
    let block = fetch.fetch(cid, None).await?;
    let node = match entity::decode(&block)?.1 {
        Entity::Symlink(target) => FileNode::leaf(target),
        _ => FileNode::decode(&block)?,
    };
    Ok(FileReader::from_node(Arc::clone(fetch), cid, node, None))
}

/// Writes a file to stdout in pieces as large as its blocks, past all buffers.
async fn copy(ctx: &Ctx, mut reader: FileReader, bar: &Bar) -> anyhow::Result<()> {
    while let Some(chunk) = reader.next().await? {
        ctx.cancel.check()?;
        let len = chunk.len() as u64;
        ctx.out.stdout().whole(chunk)?;
        bar.inc(len);
    }
    Ok(())
}
