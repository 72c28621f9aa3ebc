//! `cairn name pubsub`: names that are followed on PubSub.

use crate::{
    cmd::swarm::Strings,
    ctx::Ctx,
    names::{IpnsBase, ipns_base},
};
use anyhow::Context as _;
use cairn_net::ipns::{Name, pubsub::Follower};
use clap::Subcommand;
use serde::Serialize;
use std::sync::Arc;

/// Options of `cairn name pubsub`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn name pubsub state")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// A command of `cairn name pubsub`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Print whether names are followed on PubSub
    #[command(after_help = "Example:\n  cairn name pubsub state")]
    State,
    /// List the names that are followed
    #[command(after_help = "Example:\n  cairn name pubsub subs")]
    Subs {
        /// Form of the names: a multibase for CIDs, or b58mh for peer IDs
        #[arg(long, value_name = "BASE", default_value = "base36", value_parser = ipns_base)]
        ipns_base: IpnsBase,
    },
    /// Follow a name no longer
    #[command(
        after_help = "Example:\n  cairn name pubsub cancel k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k"
    )]
    Cancel {
        /// The name
        name: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    enabled: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Canceled {
    canceled: bool,
}

/// Runs `cairn name pubsub`.
///
/// # Errors
/// When names are not followed on PubSub, or the name is none.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::State => {
            let state = State { enabled: ctx.ipns()?.pubsub().is_some() };
            ctx.out.emit(&state, |state| format!("{}\n", if state.enabled { "enabled" } else { "disabled" }))
        }
        Command::Subs { ipns_base } => {
            let names = follower(ctx)?.followed();
            let strings = names.into_iter().map(|name| format!("/ipns/{}", ipns_base.encode(name))).collect();
            Strings::print(ctx, strings)
        }
        Command::Cancel { name } => {
            let follower = follower(ctx)?;
            let name = Name::parse(&name).context("not a valid IPNS name")?;
            let event = Canceled { canceled: follower.cancel(name) };
            ctx.out.emit(&event, |e| format!("{}\n", if e.canceled { "canceled" } else { "no subscription" }))
        }
    }
}

fn follower(ctx: &Ctx) -> anyhow::Result<Arc<Follower>> {
    ctx.ipns()?.pubsub().cloned().context("IPNS pubsub subsystem is not enabled")
}
