//! `cairn name`: making names point somewhere, and finding out where they point.

mod get;
mod inspect;
mod publish;
mod pubsub;
pub mod put;
mod resolve;

use crate::ctx::Ctx;
use cairn_net::ipns::Network;
use clap::Subcommand;
use serde::Serialize;

/// Options of `cairn name`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn name publish /ipfs/bafkqaaa
  cairn name resolve docs.ipfs.tech")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// A command of `cairn name`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Make the name of a key point at a path
    Publish(publish::Args),
    /// Print where a name points
    Resolve(resolve::Args),
    /// Print what a record says
    Inspect(inspect::Args),
    /// Print the record of a name, as its bytes
    Get(get::Args),
    /// Keep and pass on a record that was signed elsewhere
    Put(put::Args),
    /// Names that are followed on PubSub
    Pubsub(pubsub::Args),
}

/// Runs `cairn name`.
///
/// # Errors
/// Whatever the command could not do.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Publish(args) => publish::run(ctx, &args),
        Command::Resolve(args) => resolve::run(ctx, &args),
        Command::Inspect(args) => inspect::run(ctx, &args),
        Command::Get(args) => get::run(ctx, &args),
        Command::Put(args) => put::run(ctx, &args),
        Command::Pubsub(args) => pubsub::run(ctx, args),
    }
}

/// A name and where it points, in Kubo's shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    name: String,
    value: String,
}

/// What a publication needs of the network.
fn network(offline: bool, delegated: bool) -> Network {
    match (offline, delegated) {
        (true, _) => Network::Optional,
        (false, true) => Network::Delegated,
        (false, false) => Network::Required,
    }
}
