//! `cairn cid bases`, `cairn cid codecs` and `cairn cid hashes`.

use crate::ctx::Ctx;
use cairn_store::{hash::HashFn, multicodec};
use serde::Serialize;

/// Multibases by letter, the small one of a pair first. Source: the multibase table, what Kubo lists of it.
const BASES: &[(char, &str)] = &[
    ('\0', "identity"),
    ('0', "base2"),
    ('b', "base32"),
    ('B', "base32upper"),
    ('c', "base32pad"),
    ('C', "base32padupper"),
    ('f', "base16"),
    ('F', "base16upper"),
    ('k', "base36"),
    ('K', "base36upper"),
    ('m', "base64"),
    ('M', "base64pad"),
    ('t', "base32hexpad"),
    ('T', "base32hexpadupper"),
    ('u', "base64url"),
    ('U', "base64urlpad"),
    ('v', "base32hex"),
    ('V', "base32hexupper"),
    ('z', "base58btc"),
    ('Z', "base58flickr"),
    ('\u{1f680}', "base256emoji"),
];

/// The name of a multibase.
pub fn base_name(base: multibase::Base) -> String {
    let code = base.code();
    let named = BASES.iter().find_map(|&(letter, name)| (letter == code).then_some(name));
    named.map_or_else(|| format!("base?{code}"), str::to_owned)
}

/// Options of `cairn cid bases` and `cairn multibase list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn cid bases --prefix")]
pub struct BasesArgs {
    /// Print the letters that stand before encoded text
    #[arg(long)]
    prefix: bool,
    /// Print the numbers of the letters
    #[arg(long)]
    numeric: bool,
}

/// Options of `cairn cid codecs` and `cairn cid hashes`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn cid codecs --numeric --supported")]
pub struct CodesArgs {
    /// Print the numbers too
    #[arg(short, long)]
    numeric: bool,
    /// List only what cairn can read, write or compute
    #[arg(short, long)]
    supported: bool,
}

/// A line, in Kubo's shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    code: u64,
    name: &'static str,
}

/// Runs `cairn cid bases`.
///
/// # Errors
/// When stdout can't be written.
pub fn bases(ctx: &Ctx, args: &BasesArgs) -> anyhow::Result<()> {
    let list: Vec<Named> =
        BASES.iter().map(|&(letter, name)| Named { code: u64::from(u32::from(letter)), name }).collect();
    ctx.out.emit_once(&list, |_| {
        let line = |&(letter, name): &(char, &str)| {
            let code = u32::from(letter);
            let letter = if letter == '\0' { ' ' } else { letter };
            match (args.prefix, args.numeric) {
                (true, true) => format!("{letter} {code:7}  {name}\n"),
                (true, false) => format!("{letter}  {name}\n"),
                (false, true) => format!("{code:7}  {name}\n"),
                (false, false) => format!("{name}\n"),
            }
        };
        BASES.iter().map(line).collect()
    })
}

/// Runs `cairn cid codecs`.
///
/// # Errors
/// When stdout can't be written.
pub fn codecs(ctx: &Ctx, args: &CodesArgs) -> anyhow::Result<()> {
    let wanted = |code| !args.supported || multicodec::SUPPORTED.contains(&code);
    let list = multicodec::CODECS.iter().filter(|(code, _)| wanted(*code));
    print(ctx, args, &list.map(|&(code, name)| Named { code, name }).collect::<Vec<_>>())
}

/// Runs `cairn cid hashes`.
///
/// # Errors
/// When stdout can't be written.
pub fn hashes(ctx: &Ctx, args: &CodesArgs) -> anyhow::Result<()> {
    // All of them can be computed, so that `--supported` changes nothing, as in Kubo.
    let list: Vec<Named> = HashFn::all().into_iter().map(|f| Named { code: f.code(), name: f.name() }).collect();
    print(ctx, args, &list)
}

fn print(ctx: &Ctx, args: &CodesArgs, list: &[Named]) -> anyhow::Result<()> {
    ctx.out.emit_once(&list, |list| {
        let line = |named: &Named| {
            let Named { code, name } = named;
            if args.numeric { format!("{code:5}  {name}\n") } else { format!("{name}\n") }
        };
        list.iter().map(line).collect()
    })
}
