//! `cairn get`: files and directories from the store to disk.

use crate::{cmd::source, ctx::Ctx, output::Kind};
use anyhow::Context as _;
use cairn_net::bitswap::Order;
use cairn_store::{
    Cid,
    fetch::Fetch,
    path::Path as ContentPath,
    unixfs::{
        archive,
        entity::{self, Entity},
        extract::{self, Progress},
        node::Mtime,
    },
};
use std::{
    ffi::OsString,
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Jobs that write files at the same time: more than cores, since a job also waits for the disk.
const JOBS: usize = 4;
/// Buffer before an archive's file, in bytes.
const BUFFER: usize = 1 << 20;

/// Options of `cairn get`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn get QmQPeNsJPyVWPFDVHb77w8G42Fvo15z4bG2X8D2GhfbSXc
  cairn get -o photos /ipfs/bafy…/photos
  cairn get -a -C -o photos /ipfs/bafy…/photos   (writes photos.tar.gz)")]
pub struct Args {
    /// Path of the file or directory [default: the first line of stdin]
    #[arg(value_name = "PATH")]
    path: Option<String>,
    /// Where to write [default: the last part of the path]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write a tar archive
    #[arg(short, long)]
    archive: bool,
    /// Compress with gzip
    #[arg(short = 'C', long)]
    compress: bool,
    /// Level of compression: 1 to 9 [default: 6]
    #[arg(short = 'l', long, value_name = "LEVEL", allow_negative_numbers = true)]
    compression_level: Option<i64>,
    /// Show progress on stderr [default: if stderr is a terminal]
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    progress: Option<bool>,
}

/// Runs `cairn get`.
///
/// # Errors
/// When the path leads nowhere, or something can't be read or written.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let level = level(&args)?;
    let given = source::arguments(ctx, args.path.into_iter().collect())?;
    let path = ContentPath::parse(&given[0])?;
    let output = args.output.filter(|o| !o.as_os_str().is_empty()).unwrap_or_else(|| PathBuf::from(path.name()));
    let fetch = ctx.fetch_in(Order::Rarest)?;
    if ctx.input.upload().is_some() {
        return send(ctx, fetch, &path, args.archive, level);
    }
    ctx.block_on(async {
        let cid = source::resolve(ctx, &fetch, &path).await?;
        let total = total(&fetch, &cid).await?;
        let shown = args.progress.unwrap_or(ctx.out.err_tty);
        let bar = ctx.out.bar(shown, source::BAR, Some(total));
        let progress: Option<Progress> = shown.then(|| {
            let bar = bar.clone();
            Arc::new(move |bytes| bar.inc(bytes)) as Progress
        });
        if args.archive || level.is_some() {
            let target = archive_name(output, args.archive, level.is_some());
            say(ctx, "Saving archive to", &target)?;
            let options = archive::Options { now: now(), progress, deadline: None };
            let name = args.archive.then(|| path.name());
            write_archive(fetch, &cid, name, &target, level, &options).await?;
        } else {
            say(ctx, "Saving file(s) to", &output)?;
            if output != Path::new("/dev/null") {
                let root_name = OsString::from(path.name());
                let options = extract::Options { output, root_name, jobs: JOBS, progress };
                extract::extract(fetch, &cid, options, None).await?;
            }
        }
        bar.finish_and_clear();
        Ok(())
    })
}

/// Answers a request: with a tar archive, or, as in Kubo, with a lone file if it is to be compressed and nothing else.
fn send(
    ctx: &Ctx,
    fetch: Arc<dyn Fetch>,
    path: &ContentPath,
    tar: bool,
    level: Option<flate2::Compression>,
) -> anyhow::Result<()> {
    ctx.block_on(async {
        let cid = source::resolve(ctx, &fetch, path).await?;
        let total = total(&fetch, &cid).await?;
        let options = archive::Options { now: now(), progress: None, deadline: None };
        let name = (tar || level.is_none()).then(|| path.name());
        let media = if level.is_some() { "application/gzip" } else { "application/x-tar" };
        drop(ctx.out.begin(Kind::Bytes(media), Some(total)));
        let mut plain = BufWriter::with_capacity(BUFFER, ctx.out.writer());
        fill_at(fetch, &cid, name, &mut plain, level, &options).await?;
        Ok(plain.flush()?)
    })
}

async fn fill_at(
    fetch: Arc<dyn Fetch>,
    cid: &Cid,
    name: Option<&str>,
    out: &mut impl Write,
    level: Option<flate2::Compression>,
    options: &archive::Options,
) -> anyhow::Result<()> {
    match level {
        None => fill(fetch, cid, name, out, options).await,
        Some(level) => {
            let mut gzip = flate2::write::GzEncoder::new(out, level);
            fill(fetch, cid, name, &mut gzip, options).await?;
            gzip.finish()?;
            Ok(())
        }
    }
}

fn say(ctx: &Ctx, what: &str, target: &Path) -> anyhow::Result<()> {
    let target = target.to_string_lossy();
    writeln!(ctx.out.stdout(), "{what} {}", ctx.out.escape(&target))?;
    ctx.out.finish()
}

fn level(args: &Args) -> anyhow::Result<Option<flate2::Compression>> {
    if !args.compress {
        return Ok(None);
    }
    let level = args.compression_level.unwrap_or(6);
    let level = u32::try_from(level).ok().filter(|n| (1..=9).contains(n));
    Ok(Some(flate2::Compression::new(level.context("compression level must be between 1 and 9")?)))
}

/// Bytes of the file, or, for a directory, of all its blocks as its author says: enough for a progress bar.
async fn total(fetch: &Arc<dyn Fetch>, cid: &Cid) -> anyhow::Result<u64> {
    let block = fetch.fetch(cid, None).await?;
    Ok(match entity::decode(&block)?.1 {
        Entity::File(node) => node.size,
        Entity::Symlink(target) => target.len() as u64,
        Entity::Directory(links) => links.iter().filter_map(|l| l.tsize).fold(0, u64::saturating_add),
        Entity::Shard(shard) => shard.links.iter().filter_map(|l| l.tsize).fold(0, u64::saturating_add),
    })
}

/// The output's name with the endings that it should have.
fn archive_name(output: PathBuf, tar: bool, gzip: bool) -> PathBuf {
    let mut name = output.into_os_string();
    let ends = |name: &OsString, end: &str| name.as_encoded_bytes().ends_with(end.as_bytes());
    if tar && !ends(&name, ".tar") && !ends(&name, ".tar.gz") {
        name.push(".tar");
    }
    if gzip && !ends(&name, ".gz") {
        name.push(".gz");
    }
    name.into()
}

fn now() -> Option<Mtime> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(Mtime { seconds: i64::try_from(now.as_secs()).ok()?, nanos: now.subsec_nanos() })
}

/// Writes the archive beside its place, then puts it there. `name` is the root's in a tar; without one the
/// file is compressed as it is.
async fn write_archive(
    fetch: Arc<dyn Fetch>,
    cid: &Cid,
    name: Option<&str>,
    target: &Path,
    level: Option<flate2::Compression>,
    options: &archive::Options,
) -> anyhow::Result<()> {
    extract::refuse_special(target)?;
    let parent = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".cairn-")
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(parent)
        .with_context(|| format!("cannot write in {parent:?}"))?;
    let mut plain = BufWriter::with_capacity(BUFFER, &mut file);
    fill_at(fetch, cid, name, &mut plain, level, options).await?;
    plain.flush()?;
    drop(plain);
    file.persist(target).map_err(io::Error::from).with_context(|| format!("cannot put {target:?} in place"))?;
    Ok(())
}

async fn fill(
    fetch: Arc<dyn Fetch>,
    cid: &Cid,
    name: Option<&str>,
    out: &mut impl Write,
    options: &archive::Options,
) -> anyhow::Result<()> {
    match name {
        Some(name) => archive::write_tar(fetch, cid, name.as_bytes(), out, options).await?,
        None => archive::write_plain(fetch, cid, out, options).await?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_named_as_in_kubo() {
        for (name, tar, gzip, want) in [
            ("x", true, false, "x.tar"),
            ("x", true, true, "x.tar.gz"),
            ("x", false, true, "x.gz"),
            ("x.tar", true, true, "x.tar.gz"),
            ("x.tar.gz", true, false, "x.tar.gz"),
            ("x.gz", true, true, "x.gz.tar.gz"),
        ] {
            assert_eq!(archive_name(name.into(), tar, gzip), Path::new(want), "{name} {tar} {gzip}");
        }
    }
}
