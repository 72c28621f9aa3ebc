//! `cairn files write`.

use super::{
    NamingFlags,
    tree::{self, Tree, parent, shown, split, without_slash, words},
};
use crate::{cmd::add::READING_STDIN, ctx::Ctx, exit::Usage};
use anyhow::{Context as _, bail};
use cairn_store::mfs::{Draft, Naming, New};
use std::{ffi::OsString, io::Read, path::PathBuf};

/// Bytes that are written at once.
const PIECE: usize = 1 << 20;

/// Options of `cairn files write`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The rest of the file stays as it is; beyond its end, zeros are put between. A file that is there keeps its CID version,
its hash function and the kind of its leaves. What is written has the CID that `cairn add` gives to the same content.

Examples:
  cairn files write --create --parents /notes/today < note.txt
  cairn files write --truncate /notes/today note.txt
  cairn files write -o 1000 /notes/today patch")]
pub struct Args {
    /// The file
    path: OsString,
    /// What to write; `-` or none: stdin
    #[arg(value_name = "DATA", default_value = "-", hide_default_value = true)]
    data: PathBuf,
    /// Byte at which to begin
    #[arg(short, long, value_name = "BYTES", allow_negative_numbers = true, default_value_t = 0)]
    offset: i64,
    /// Make the file if there is none
    #[arg(short = 'e', long)]
    create: bool,
    /// Make the directories around it
    #[arg(short, long)]
    parents: bool,
    /// Take away all that is in it first
    #[arg(short, long)]
    truncate: bool,
    /// Number of bytes at most
    #[arg(short = 'n', long, value_name = "BYTES", allow_negative_numbers = true)]
    count: Option<i64>,
    /// Leaves of a new file are raw blocks [default: Import.UnixFSRawLeaves, else as the CID version]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    raw_leaves: Option<bool>,
    #[command(flatten)]
    naming: NamingFlags,
}

/// Runs `cairn files write`.
///
/// # Errors
/// When there is no file and none is to be made, or something can't be read or written. Nothing of the file was changed
/// then.
pub fn run(ctx: &Ctx, args: Args, flush: bool) -> anyhow::Result<()> {
    let path = tree::check(&args.path)?;
    let naming = args.naming.or_configured(ctx)?;
    let Ok(offset) = u64::try_from(args.offset) else { bail!("cannot have negative write offset") };
    let Ok(count) = args.count.map(u64::try_from).transpose() else { bail!("cannot have negative byte count") };
    if ctx.input.upload().is_some_and(Option::is_none) {
        return Err(Usage("file argument 'data' is required".into()).into());
    }
    ctx.check_capacity()?;
    let raw_leaves = match args.raw_leaves {
        Some(raw) => Some(raw),
        None => ctx.config()?.import()?.raw_leaves,
    };
    let new = New { naming, raw_leaves, ..New::default() };
    if args.data.as_os_str() == "-" && ctx.input.is_absent() && ctx.out.err_tty {
        ctx.out.note(READING_STDIN);
    }
    let data = ctx.input.files(vec![args.data.clone()])?.next();
    let data = data.unwrap_or_else(|| Err(Usage("file argument 'data' is required".into()).into()))?;
    let tree = ctx.block_on(Tree::open(ctx))?;
    let mut draft = ctx.block_on(open(&tree, &args, &path, new, naming))?;
    let reader = data.reader.take(count.unwrap_or(u64::MAX));
    copy(ctx, &mut draft, offset, reader).with_context(|| format!("writing {} to {}", data.name, shown(&path)))?;
    ctx.block_on(async {
        draft.finish().await.map_err(words)?;
        tree.end_at(ctx, flush, &path).await
    })
}

/// The content of the file as it is, or as it shall begin.
async fn open(tree: &Tree, args: &Args, path: &[u8], new: New, naming: Option<Naming>) -> anyhow::Result<Draft> {
    if args.parents && parent(path) != b"/" {
        tree.mkdir(parent(path), true, naming).await?;
    }
    let path = match tree.file(path).await {
        Err(error) if args.create && tree::is_missing(&error) => path,
        other => other.map(|_| without_slash(path))?,
    };
    let (dir, name) = split(path);
    let dir = tree.find(dir).await?;
    tree.mfs.draft(dir.ino(), name, args.create.then_some(new), args.truncate).await.map_err(words)
}

fn copy(ctx: &Ctx, draft: &mut Draft, offset: u64, mut reader: impl Read) -> anyhow::Result<()> {
    let mut at = offset;
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        ctx.cancel.check()?;
        piece.clear();
        reader.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        let len = piece.len();
        if len > 0 {
            ctx.block_on(async { draft.write(at, &piece).await.map_err(words) })?;
            at += len as u64;
        }
        if len < PIECE {
            return Ok(());
        }
    }
}
