//! `cairn cid`: converting CIDs, looking into them, and listing what they are made of. Needs no repository.

mod format;
mod inspect;
pub(super) mod lists;

use crate::ctx::Ctx;
use cairn_store::{Cid, cid};
use clap::Subcommand;

/// Options of `cairn cid`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn cid inspect QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// A command of `cairn cid`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Print CIDs as CIDv1 in base32
    Base32(format::Base32Args),
    /// List multibases
    Bases(lists::BasesArgs),
    /// List multicodecs
    Codecs(lists::CodesArgs),
    /// Print CIDs in another form
    Format(format::Args),
    /// List the hash functions that content may be addressed with
    Hashes(lists::CodesArgs),
    /// Print what a CID is made of
    Inspect(inspect::Args),
}

/// Runs `cairn cid`.
///
/// # Errors
/// Whatever the command could not do.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Base32(args) => format::base32(ctx, &args),
        Command::Bases(args) => lists::bases(ctx, &args),
        Command::Codecs(args) => lists::codecs(ctx, &args),
        Command::Format(args) => format::run(ctx, args),
        Command::Hashes(args) => lists::hashes(ctx, &args),
        Command::Inspect(args) => inspect::run(ctx, args),
    }
}

/// Reads a CID; the error does not repeat the text.
fn parse(text: &str) -> Result<Cid, String> {
    cid::parse(text).map_err(|error| format!("invalid cid: {}", error.reason))
}

/// The multibase in which a CID is written.
fn base_of(text: &str, cid: &Cid) -> multibase::Base {
    let letter = text.chars().next().filter(|_| cid.version() == ::cid::Version::V1);
    letter.and_then(|c| multibase::Base::from_code(c).ok()).unwrap_or(multibase::Base::Base58Btc)
}
