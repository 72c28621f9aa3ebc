//! `cairn multibase`: bytes as text in many bases. Needs no repository.

use super::{cid::lists, put::read};
use crate::{ctx::Ctx, output::parse_base};
use anyhow::{Context as _, anyhow};
use clap::Subcommand;
use multibase::Base;
use std::{io::Write as _, path::PathBuf};

/// Options of `cairn multibase`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  echo hello | cairn multibase encode -b base16")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// A command of `cairn multibase`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Print the bytes that multibase text stands for
    #[command(after_help = "Example:\n  printf f68656c6c6f | cairn multibase decode")]
    Decode {
        /// File with the text; `-` or none: stdin
        #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
        file: PathBuf,
    },
    /// Print bytes as multibase text
    #[command(after_help = "Example:\n  echo hello | cairn multibase encode -b base16")]
    Encode(EncodeArgs),
    /// List multibases
    List(lists::BasesArgs),
    /// Print multibase text in another base
    #[command(after_help = "Example:\n  printf f68656c6c6f | cairn multibase transcode -b base58btc")]
    Transcode(EncodeArgs),
}

/// Options of `cairn multibase encode` and `cairn multibase transcode`.
#[derive(Debug, clap::Args)]
struct EncodeArgs {
    /// File with the input; `-` or none: stdin
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    file: PathBuf,
    /// Name or letter of the base to write in
    #[arg(short, value_name = "BASE", default_value = "base64url")]
    base: String,
}

/// Runs `cairn multibase`.
///
/// # Errors
/// When the input can't be read, or the base is unknown.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let out = match args.command {
        Command::List(args) => return lists::bases(ctx, &args),
        Command::Decode { file } => decode(&read(ctx, file)?)?,
        Command::Encode(args) => encode(parse_base(&args.base)?, &read(ctx, args.file)?),
        Command::Transcode(args) => encode(parse_base(&args.base)?, &decode(&read(ctx, args.file)?)?),
    };
    Ok(ctx.out.stdout().write_all(&out)?)
}

fn encode(base: Base, bytes: &[u8]) -> Vec<u8> {
    if base == Base::Identity {
        // Bytes need not be text, which is all that the encoder takes.
        return [b"\0", bytes].concat();
    }
    multibase::encode(base, bytes).into_bytes()
}

fn decode(text: &[u8]) -> anyhow::Result<Vec<u8>> {
    if let Some((0, bytes)) = text.split_first() {
        return Ok(bytes.to_vec());
    }
    let text = std::str::from_utf8(text).context("failed to decode multibase: it is not text")?;
    if text.is_empty() {
        return Err(anyhow!("failed to decode multibase: it is empty"));
    }
    let (_, bytes) = multibase::decode(text).with_context(|| {
        let line = if text.ends_with('\n') { " (the line end at its end does not belong to it)" } else { "" };
        format!("failed to decode multibase{line}")
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_give_what_kubo_gives() {
        for (base, text) in [
            ("base64url", "uaGVsbG8K"),
            ("f", "f68656c6c6f0a"),
            ("B", "BNBSWY3DPBI"),
            ("identity", "\0hello\n"),
            ("base2", "0011010000110010101101100011011000110111100001010"),
            ("base256emoji", "🚀😴✋🍀🍀😓🌖"),
        ] {
            let encoded = encode(parse_base(base).expect(base), b"hello\n");
            assert_eq!(std::str::from_utf8(&encoded), Ok(text));
            assert_eq!(decode(&encoded).expect(base), b"hello\n");
        }
        assert!(parse_base("foo").is_err());
    }

    #[test]
    fn what_is_no_text_is_refused_or_kept() {
        assert_eq!(encode(Base::Identity, b"\xff"), b"\0\xff");
        assert_eq!(decode(b"\0\xff").expect("identity"), b"\xff");
        for bad in [&b""[..], b"!x", b"fxx", b"f68656c6c6f0a\n", b"\xff"] {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
    }
}
