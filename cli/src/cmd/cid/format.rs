//! `cairn cid format` and `cairn cid base32`.

use super::{base_of, lists::base_name, parse};
use crate::{ctx::Ctx, exit::{AlreadyReported, Usage}, output::parse_base};
use anyhow::{Context as _, bail, ensure};
use cairn_store::{Cid, cid::codec, multicodec};
use cid::Version;
use multibase::Base;
use serde::Serialize;
use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _},
};

/// Longest line of stdin, in bytes.
const MAX_LINE: u64 = 64 << 10;

/// Options of `cairn cid format`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn cid format -v 1 -b base32 QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB
  cairn refs local | cairn cid format -f '%h %L'

In the format:
  %%  a percent sign                 %c %C  codec: name, number
  %b %B  multibase: name, letter     %h %H  hash function: name, number
  %v %V  version: cidv1, 1           %L  length of the digest in bytes
  %s %S  the CID, without letter     %m %M  the multihash, without letter
  %P  version-codec-hash-length      %d %D  the digest, without letter")]
pub struct Args {
    /// CIDs; from stdin, one a line, if there are none
    #[arg(value_name = "CID")]
    cids: Vec<String>,
    /// What to print of each CID
    #[arg(short, value_name = "FORMAT", default_value = "%s", hide_default_value = true)]
    format: String,
    /// Version to convert to: 0 or 1
    #[arg(short, value_name = "VERSION")]
    version: Option<String>,
    /// Multicodec to put in place of the CID's
    #[arg(long = "mc", value_name = "CODEC")]
    codec: Option<String>,
    /// Multibase to print in
    #[arg(short, value_name = "BASE")]
    base: Option<String>,
}

/// Options of `cairn cid base32`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn cid base32 QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB")]
pub struct Base32Args {
    /// CIDs; from stdin, one a line, if there are none
    #[arg(value_name = "CID")]
    cids: Vec<String>,
}

/// What became of a CID, in Kubo's shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    cid_str: String,
    formatted: String,
    error_msg: String,
}

/// What is asked for.
struct Form {
    format: String,
    version: Option<Version>,
    codec: Option<u64>,
    base: Option<Base>,
}

/// Runs `cairn cid format`.
///
/// # Errors
/// When an option makes no sense, or a CID can't be read or converted.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    check_format(&args.format)?;
    let codec = match args.codec.as_deref().filter(|c| !c.is_empty()) {
        Some(name) => Some(multicodec::codec(name).with_context(|| format!("unknown multicodec: {name:?}"))?),
        None => None,
    };
    let base = args.base.as_deref().filter(|b| !b.is_empty()).map(parse_base).transpose()?;
    ensure!(base != Some(Base::Identity), "a CID in the multibase identity is binary: choose another base");
    let version = match args.version.as_deref().unwrap_or_default() {
        "" => base.map(|_| Version::V1),
        "0" if codec.is_some_and(|c| c != codec::DAG_PB) => {
            bail!("cannot convert to CIDv0 with any codec other than dag-pb")
        }
        "0" if base.is_some_and(|b| b != Base::Base58Btc) => {
            bail!("cannot convert to CIDv0 with any multibase other than the implicit base58btc")
        }
        "0" => Some(Version::V0),
        "1" => Some(Version::V1),
        other => bail!("invalid cid version: {other:?}"),
    };
    each(ctx, &args.cids, &Form { format: args.format, version, codec, base })
}

/// Runs `cairn cid base32`.
///
/// # Errors
/// When a CID can't be read.
pub fn base32(ctx: &Ctx, args: &Base32Args) -> anyhow::Result<()> {
    let form = Form { format: "%s".into(), version: Some(Version::V1), codec: None, base: Some(Base::Base32Lower) };
    each(ctx, &args.cids, &form)
}

fn check_format(format: &str) -> anyhow::Result<()> {
    ensure!(format.contains('%'), "invalid format string: {format:?}");
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            continue;
        }
        match rest.next() {
            None => bail!("premature end of format string"),
            Some(c) if !"%bBvVcChHLmMdDsSP".contains(c) => bail!("unrecognized specifier in format string: %{c}"),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Converts the arguments, or each line of stdin as it comes.
fn each(ctx: &Ctx, cids: &[String], form: &Form) -> anyhow::Result<()> {
    let mut failed = false;
    if cids.is_empty() {
        let mut stdin = BufReader::new(ctx.input.stdin());
        let mut line = String::new();
        let mut some = false;
        while stdin.by_ref().take(MAX_LINE).read_line(&mut line).context("cannot read stdin")? > 0 {
            ctx.cancel.check()?;
            ensure!(line.len() < MAX_LINE as usize, "a line on stdin is longer than {MAX_LINE} bytes");
            failed |= !one(ctx, line.trim(), form)?;
            some = true;
            line.clear();
        }
        if !some {
            return Err(Usage("argument \"cid\" is required".into()).into());
        }
    }
    for text in cids {
        failed |= !one(ctx, text, form)?;
    }
    if failed && !ctx.out.json() {
        bail!("errors while displaying some entries");
    }
    if failed { Err(AlreadyReported.into()) } else { Ok(()) }
}

/// Converts and prints one CID. `false` when it can't be.
fn one(ctx: &Ctx, text: &str, form: &Form) -> anyhow::Result<bool> {
    let (formatted, error_msg) = match convert(text, form) {
        Ok(formatted) => (formatted, String::new()),
        Err(error) => (String::new(), error),
    };
    let fine = error_msg.is_empty();
    if !fine && !ctx.out.json() {
        ctx.out.note(&format!("{}: {error_msg}\n", ctx.out.escape_stderr(text)));
        return Ok(false);
    }
    let event = Event { cid_str: text.to_owned(), formatted, error_msg };
    ctx.out.emit(&event, |event| format!("{}\n", event.formatted))?;
    Ok(fine)
}

fn convert(text: &str, form: &Form) -> Result<String, String> {
    let mut cid = parse(text)?;
    if let Some(codec) = form.codec
        && codec != cid.codec()
    {
        cid = Cid::new_v1(codec, *cid.hash());
    }
    match form.version {
        Some(Version::V0) if cid.codec() != codec::DAG_PB => {
            return Err("can't convert non-dag-pb nodes to cidv0".into());
        }
        Some(Version::V0) => {
            cid = Cid::new_v0(*cid.hash()).map_err(|_| "cidv0 needs a whole sha2-256 digest".to_owned())?;
        }
        Some(Version::V1) => cid = Cid::new_v1(cid.codec(), *cid.hash()),
        None => {}
    }
    let base = match form.base {
        Some(base) => base,
        None if cid.version() == Version::V0 => Base::Base58Btc,
        None => parse(text).map_or(Base::Base58Btc, |given| base_of(text, &given)),
    };
    Ok(render(&form.format, &cid, base))
}

/// A checked format with everything put in.
fn render(format: &str, cid: &Cid, base: Base) -> String {
    let hash = cid.hash();
    let codec = || multicodec::codec_name(cid.codec()).map_or_else(|| format!("Code({})", cid.codec()), str::to_owned);
    let hash_name = || multicodec::hash_name(hash.code()).map_or_else(|| format!("hash?{}", hash.code()), Into::into);
    let version = u64::from(cid.version());
    let bare = |bytes: &[u8]| base.encode(bytes);
    let prefixed = |bytes: &[u8]| format!("{}{}", base.code(), bare(bytes));
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        // Writing to a String does not fail.
        let _ = match rest.next() {
            Some('b') => write!(out, "{}", base_name(base)),
            Some('B') => write!(out, "{}", base.code()),
            Some('v') => write!(out, "cidv{version}"),
            Some('V') => write!(out, "{version}"),
            Some('c') => write!(out, "{}", codec()),
            Some('C') => write!(out, "{}", cid.codec()),
            Some('h') => write!(out, "{}", hash_name()),
            Some('H') => write!(out, "{}", hash.code()),
            Some('L') => write!(out, "{}", hash.size()),
            Some('m') => write!(out, "{}", prefixed(&hash.to_bytes())),
            Some('M') => write!(out, "{}", bare(&hash.to_bytes())),
            Some('d') => write!(out, "{}", prefixed(hash.digest())),
            Some('D') => write!(out, "{}", bare(hash.digest())),
            Some('s') if version == 0 => write!(out, "{cid}"),
            Some('s') => write!(out, "{}", prefixed(&cid.to_bytes())),
            Some('S') => write!(out, "{}", bare(&cid.to_bytes())),
            Some('P') => write!(out, "cidv{version}-{}-{}-{}", codec(), hash_name(), hash.size()),
            Some(other) => write!(out, "{other}"),
            None => Ok(()),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const V0: &str = "QmcsUcztw41QtQJeCLZ7TxykSYhjGY6NREsJAu5TCp8Wtn";
    const V1: &str = "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am";
    const ALL: &str = "%P %b %B %v %V %c %C %h %H %L %m %M %d %D %s %S %%";

    fn form(format: &str) -> Form {
        Form { format: format.into(), version: None, codec: None, base: None }
    }

    #[test]
    fn every_specifier_gives_what_kubo_gives() {
        assert_eq!(
            convert(V0, &form(ALL)).as_deref(),
            Ok("cidv0-dag-pb-sha2-256-32 base58btc z cidv0 0 dag-pb 112 sha2-256 18 32 \
                zQmcsUcztw41QtQJeCLZ7TxykSYhjGY6NREsJAu5TCp8Wtn QmcsUcztw41QtQJeCLZ7TxykSYhjGY6NREsJAu5TCp8Wtn \
                zFXputkwYERQmhznAWukVKaiZCFQwSirYnzA3PHoVvppn FXputkwYERQmhznAWukVKaiZCFQwSirYnzA3PHoVvppn \
                QmcsUcztw41QtQJeCLZ7TxykSYhjGY6NREsJAu5TCp8Wtn QmcsUcztw41QtQJeCLZ7TxykSYhjGY6NREsJAu5TCp8Wtn %")
        );
        assert_eq!(
            convert(V1, &form("%P %b %m %D %s %S")).as_deref(),
            Ok("cidv1-raw-sha2-256-32 base32 bciqfrenvwurnlxyinuh7bmiq7pm5eg5u7rywhlzu2cbinixii33l4ay \
                lci3lnjc2xpqq3ip6cyrb66z2in3j7drmoxtjuecq2roqrxwxybq \
                bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am \
                afkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am")
        );
    }

    #[test]
    fn conversions_give_what_kubo_gives() {
        let with = |version, codec, base| Form { format: "%s".into(), version, codec, base };
        let raw = Some(codec::RAW);
        for (text, form, out) in [
            (
                V0,
                with(Some(Version::V1), None, Some(Base::Base58Btc)),
                "zdj7WjxizRxnXV1m7cZw5WjLLpK4kuAz5WWHZGpqhU82FhR4i",
            ),
            (V0, with(None, raw, None), "zb2rhmB7747AuGRqbACBSKQ9sNDCpRDz2R7L1fNUZy2y66h6W"),
            (
                V0,
                with(Some(Version::V1), None, Some(Base::Base64Url)),
                "uAXASINfpNyctzP5rc4RuPIQAtmqEbivCLk2yY5kN_dBWbEI3",
            ),
            ("bafybeigx5e3solom7zvxhbdohscabntkqrxcxqrojwzghgin7xifm3ccg4", with(Some(Version::V0), None, None), V0),
            (V1, with(Some(Version::V0), Some(codec::DAG_PB), None), "QmUJPTFZnR2CPGAzmfdYPghgrFtYFB6pf1BqMvqfiPDam8"),
        ] {
            assert_eq!(convert(text, &form).as_deref(), Ok(out), "{text}");
        }
        assert!(convert(V1, &with(Some(Version::V0), None, None)).is_err());
        assert!(convert("bafkqaaa", &with(Some(Version::V0), Some(codec::DAG_PB), None)).is_err(), "no sha2-256");
        assert!(convert("nope", &form("%s")).is_err());
    }

    #[test]
    fn formats_are_checked_first() {
        for bad in ["x", "x%", "%x", ""] {
            assert!(check_format(bad).is_err(), "{bad:?}");
        }
        assert!(check_format(ALL).is_ok());
    }
}
