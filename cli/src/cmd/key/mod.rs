//! `cairn key`: the keys of names.

mod change;
mod exchange;
mod generate;
mod rotate;
mod sign;

pub use generate::announce;

use crate::{
    ctx::Ctx,
    names::{self, IpnsBase, ipns_base},
};
use cairn_net::keystore::SELF;
use clap::Subcommand;
use serde::Serialize;

/// Options of `cairn key`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cairn key gen blog\n  cairn name publish --key=blog /ipfs/bafkqaaa\n  cairn key ls -l"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// A command of `cairn key`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new key
    Gen(generate::Args),
    /// List keys
    #[command(alias = "list")]
    Ls(LsArgs),
    /// Give a key another name
    Rename(change::RenameArgs),
    /// Forget keys
    Rm(change::RmArgs),
    /// Write a key to a file
    Export(exchange::ExportArgs),
    /// Read a key from a file
    Import(exchange::ImportArgs),
    /// Give the node a new key
    Rotate(rotate::Args),
    /// Sign data with a key
    Sign(sign::SignArgs),
    /// Check a signature
    Verify(sign::VerifyArgs),
}

/// Runs `cairn key`.
///
/// # Errors
/// Whatever the command could not do.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Gen(args) => generate::run(ctx, &args),
        Command::Ls(args) => ls(ctx, &args),
        Command::Rename(args) => change::rename(ctx, args),
        Command::Rm(args) => change::rm(ctx, args),
        Command::Export(args) => exchange::export(ctx, &args),
        Command::Import(args) => exchange::import(ctx, &args),
        Command::Rotate(args) => rotate::run(ctx, &args),
        Command::Sign(args) => sign::sign(ctx, &args),
        Command::Verify(args) => sign::verify(ctx, &args),
    }
}

/// How IDs of keys are written.
#[derive(Debug, clap::Args)]
struct BaseArg {
    /// Form of names: a multibase for CIDs, or b58mh for peer IDs
    #[arg(long, value_name = "BASE", default_value = "base36", value_parser = ipns_base)]
    ipns_base: IpnsBase,
}

/// A key in Kubo's shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    name: String,
    id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    keys: Vec<Key>,
}

/// Options of `cairn key ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn key ls -l")]
struct LsArgs {
    /// Show the names' IDs too
    #[arg(short)]
    long: bool,
    #[command(flatten)]
    base: BaseArg,
}

fn ls(ctx: &Ctx, args: &LsArgs) -> anyhow::Result<()> {
    let (store, own) = names::keys(ctx)?;
    let id = |key: &cairn_net::keystore::PrivateKey| args.base.ipns_base.encode(key.peer_id());
    let mut keys = vec![Key { name: SELF.to_owned(), id: id(&own) }];
    keys.extend(store.list()?.into_iter().map(|(name, key)| Key { id: id(&key), name }));
    print(ctx, keys, args.long)
}

fn print(ctx: &Ctx, keys: Vec<Key>, long: bool) -> anyhow::Result<()> {
    ctx.out.emit(&Keys { keys }, |list| {
        let (ids, names) = list.keys.iter().fold((0, 0), |(ids, names), key| {
            (ids.max(key.id.len()), names.max(ctx.out.escape(&key.name).chars().count()))
        });
        let line = |key: &Key| {
            let name = ctx.out.escape(&key.name);
            if long { format!("{:ids$} {name:names$} \n", key.id) } else { format!("{name}\n") }
        };
        list.keys.iter().map(line).collect()
    })
}
