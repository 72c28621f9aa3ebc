//! `cairn files stat`.

use super::{
    local::local,
    tree::{Source, Tree, words},
};
use crate::{
    cmd::{
        ls::{go_mode, time::month_name},
        source,
    },
    ctx::Ctx,
    exit::Usage,
    units::decimal,
};
use anyhow::bail;
use cairn_store::{
    Block,
    calendar::{DAY, date},
    cid::codec,
    dag::pb::PbNode,
    unixfs::node::{Data, Kind, Mtime},
};
use serde::Serialize;
use std::ffi::OsString;

const FORMAT: &str = "<hash>
Size: <size>
CumulativeSize: <cumulsize>
ChildBlocks: <childs>
Type: <type>
Mode: <mode> (<mode-octal>)
Mtime: <mtime>";
const NOT_SET: &str = "not set";

/// Options of `cairn files stat`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn files stat /photos
  cairn files stat --hash /
  cairn files stat --format='<hash> <cumulsize>' /ipfs/QmQPeNsJPyVWPFDVHb77w8G42Fvo15z4bG2X8D2GhfbSXc")]
pub struct Args {
    /// A path of the tree, or /ipfs/<cid>/…
    path: OsString,
    /// What to print: <hash>, <size>, <cumulsize>, <type>, <childs>, <mode>, <mode-octal>, <mtime>, <mtime-secs> and
    /// <mtime-nsecs> are replaced
    #[arg(long, value_name = "FORMAT", default_value = FORMAT, hide_default_value = true)]
    format: String,
    /// Print only the CID: --format='<hash>'
    #[arg(long)]
    hash: bool,
    /// Print only the bytes of all blocks: --format='<cumulsize>'
    #[arg(long)]
    size: bool,
    /// Find out how much of it is here
    #[arg(long)]
    with_local: bool,
}

/// Kubo's answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stat {
    hash: String,
    size: u64,
    cumulative_size: u64,
    blocks: usize,
    r#type: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    with_locality: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    local: bool,
    #[serde(skip_serializing_if = "is_zero")]
    size_local: u64,
    #[serde(skip_serializing_if = "is_zero")]
    mtime: i64,
    #[serde(skip_serializing_if = "is_zero")]
    mtime_nsecs: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    mode: String,
    /// As Go's `os.FileMode`.
    #[serde(skip)]
    bits: u32,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Runs `cairn files stat`.
///
/// # Errors
/// When the path leads nowhere, or what is there is no UnixFS.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let format = format(args)?;
    let from = Source::parse(&args.path)?;
    let block = ctx.block_on(async {
        let fetch = ctx.fetch()?;
        let cid = match &from {
            Source::Content(path) => source::resolve(ctx, &fetch, path).await?,
            Source::Tree(path) => {
                let tree = Tree::open(ctx).await?;
                let found = tree.find(path).await?;
                match found.attr().cid {
                    Some(cid) => cid,
                    None => tree.mfs.flush(found.ino()).await.map_err(words)?,
                }
            }
        };
        Ok(fetch.fetch(&cid, None).await?)
    })?;
    let mut stat = of_block(&block)?;
    stat.hash = ctx.out.cid(block.cid());
    if args.with_local {
        stat.with_locality = true;
        (stat.local, stat.size_local) = local(ctx, ctx.blocks()?, block.cid())?;
    }
    ctx.out.emit_once(&stat, |stat| text(stat, format))
}

fn format(args: &Args) -> anyhow::Result<&str> {
    let given = [args.hash, args.size, args.format != FORMAT];
    if given.iter().filter(|given| **given).count() > 1 {
        let why = "invalid parameters: format was set by multiple options. Only one format option is allowed";
        return Err(Usage(why.into()).into());
    }
    Ok(match given {
        [true, ..] => "<hash>",
        [_, true, _] => "<cumulsize>",
        _ => &args.format,
    })
}

fn of_block(block: &Block) -> anyhow::Result<Stat> {
    let len = block.data().len() as u64;
    match block.cid().codec() {
        codec::RAW => return Ok(Stat { size: len, cumulative_size: len, r#type: "file", ..Stat::default() }),
        codec::DAG_PB => {}
        _ => bail!("not unixfs node (proto or raw)"),
    }
    let node = PbNode::decode(block.data())?;
    let data = Data::decode(&node.data.unwrap_or_default())?;
    let below = node.links.iter().map(|link| link.tsize.unwrap_or_default());
    let (kind, size, bits) = match data.kind {
        Kind::Directory | Kind::HamtShard => ("directory", 0, 1 << 31),
        Kind::File => ("file", data.filesize.unwrap_or_default(), 0),
        Kind::Raw | Kind::Metadata => ("file", data.data.as_ref().map_or(0, |d| d.len() as u64), 0),
        Kind::Symlink => ("file", data.data.as_ref().map_or(0, |d| d.len() as u64), 1 << 27),
    };
    let bits = match data.mode.map(|mode| mode & 0o7777).filter(|&mode| mode != 0) {
        Some(mode) => go_mode(mode) | bits,
        None if data.kind == Kind::Symlink => bits | 0o777,
        None => 0,
    };
    let mtime = data.mtime.unwrap_or(Mtime { seconds: 0, nanos: 0 });
    Ok(Stat {
        size,
        cumulative_size: below.fold(len, u64::saturating_add),
        blocks: node.links.len(),
        r#type: kind,
        mtime: mtime.seconds,
        mtime_nsecs: mtime.nanos,
        mode: if bits == 0 { String::new() } else { format!("{bits:04o}") },
        bits,
        ..Stat::default()
    })
}

fn text(stat: &Stat, format: &str) -> String {
    let not_set = || NOT_SET.to_owned();
    let (mode, octal) =
        if stat.bits == 0 { (not_set(), not_set()) } else { (letters(stat.bits), format!("0{:o}", stat.bits & 0o777)) };
    let (time, seconds, nanos) = if stat.mtime > 0 {
        (long_time(stat.mtime), stat.mtime.to_string(), stat.mtime_nsecs.to_string())
    } else {
        (not_set(), not_set(), not_set())
    };
    let mut text = format
        .replace("<hash>", &stat.hash)
        .replace("<size>", &stat.size.to_string())
        .replace("<cumulsize>", &stat.cumulative_size.to_string())
        .replace("<childs>", &stat.blocks.to_string())
        .replace("<type>", stat.r#type)
        .replace("<mode>", &mode)
        .replace("<mode-octal>", &octal)
        .replace("<mtime>", &time)
        .replace("<mtime-secs>", &seconds)
        .replace("<mtime-nsecs>", &nanos);
    text.push('\n');
    if stat.with_locality {
        let (here, all) = (stat.size_local, stat.cumulative_size);
        // Sizes of files are far below 2^53, where this is exact.
        let percent = 100.0 * here as f64 / all as f64;
        text.push_str(&format!("Local: {} of {} ({percent:.2}%)\n", decimal(here), decimal(all)));
    }
    text
}

/// Permissions as Go prints them, in small letters.
fn letters(bits: u32) -> String {
    let kinds: String =
        "dalTLDpSugct?".chars().zip((0..32).rev()).filter(|(_, bit)| bits >> bit & 1 == 1).map(|(c, _)| c).collect();
    let mut out = if kinds.is_empty() { "-".to_owned() } else { kinds.to_lowercase() };
    out.extend("rwxrwxrwx".chars().zip((0..9).rev()).map(|(c, bit)| if bits >> bit & 1 == 1 { c } else { '-' }));
    out
}

/// A time as Kubo prints it here: `14 Nov 2023, 22:13:20 UTC`.
fn long_time(seconds: i64) -> String {
    let (year, month, day) = date(seconds.div_euclid(DAY));
    let of_day = seconds.rem_euclid(DAY);
    let month = month_name(month);
    format!("{day} {month} {year}, {:02}:{:02}:{:02} UTC", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_look_as_in_go() {
        for (bits, text) in [
            (0o644, "-rw-r--r--"),
            (1 << 31 | 0o750, "drwxr-x---"),
            (1 << 27 | 0o777, "lrwxrwxrwx"),
            (1 << 23 | 0o4, "u------r--"),
        ] {
            assert_eq!(letters(bits), text);
        }
    }

    #[test]
    fn times_look_as_in_kubo() {
        assert_eq!(long_time(1_700_000_000), "14 Nov 2023, 22:13:20 UTC");
        assert_eq!(long_time(1), "1 Jan 1970, 00:00:01 UTC");
    }
}
