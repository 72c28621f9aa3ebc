//! `cairn routing`: asking and telling the network.

mod value;

use crate::ctx::Ctx;
use clap::Subcommand;

/// Options of `cairn routing`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  cairn routing get /ipns/k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k > record")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// A command of `cairn routing`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Print the best value of a key
    Get(value::GetArgs),
    /// Put a value under a key
    Put(value::PutArgs),
}

/// Runs `cairn routing`.
///
/// # Errors
/// Whatever the command could not do.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Get(args) => value::get(ctx, &args),
        Command::Put(args) => value::put(ctx, &args),
    }
}
