//! `cairn routing`: who has what, and where they are.

mod event;
mod value;

use crate::{
    address,
    cmd::{provide, source},
    ctx::Ctx,
};
use anyhow::{Context as _, bail};
use cairn_store::Cid;
use event::{Event, Kind};
use futures::StreamExt as _;

/// Options of `cairn routing`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cairn routing findprovs -n 5 bafy…\n  cairn routing findpeer 12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the best value of a key
    Get(value::GetArgs),
    /// Put a value under a key
    Put(value::PutArgs),
    /// Print peers that have a block
    #[command(after_help = "Example:\n  cairn routing findprovs -n 5 bafy…")]
    Findprovs {
        /// CID of the block
        #[arg(value_name = "CID")]
        key: String,
        /// With the addresses of the peers
        #[arg(short, long)]
        verbose: bool,
        /// How many peers
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20, allow_negative_numbers = true)]
        num_providers: i64,
    },
    /// Print the addresses of a peer
    #[command(after_help = "Example:\n  cairn routing findpeer 12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou")]
    Findpeer {
        /// Name of the peer
        #[arg(value_name = "PEER")]
        peer: String,
        /// Print what happens
        #[arg(short, long)]
        verbose: bool,
    },
    /// Announce blocks that are here; see also `cairn provide once`
    #[command(after_help = "Examples:\n  cairn routing provide bafy…\n  cairn routing provide -r bafy…")]
    Provide {
        /// CIDs of the blocks [default: one per line of stdin]
        #[arg(value_name = "CID")]
        keys: Vec<String>,
        /// Print what happens
        #[arg(short, long)]
        verbose: bool,
        /// With all that they lead to
        #[arg(short, long)]
        recursive: bool,
    },
    /// Announce all that this node holds again, beginning now
    #[command(after_help = "Example:\n  cairn routing reprovide")]
    Reprovide,
}

/// Runs `cairn routing`.
///
/// # Errors
/// When there is no daemon, or nothing is found.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Get(args) => value::get(ctx, &args),
        Command::Put(args) => value::put(ctx, &args),
        Command::Findprovs { key, verbose, num_providers } => find_providers(ctx, &key, num_providers, verbose),
        Command::Findpeer { peer, verbose } => find_peer(ctx, &peer, verbose),
        Command::Provide { keys, verbose, recursive } => {
            let keys = source::arguments(ctx, keys)?;
            provide::announce(ctx, &keys, recursive, |_| {
                let event = Event::new(Kind::FinalPeer);
                ctx.out.emit(&event, |event| event.text(verbose, |_| String::new()))
            })
        }
        Command::Reprovide => reprovide(ctx),
    }
}

/// Runs `cairn routing reprovide`.
///
/// # Errors
/// When there is no daemon, or it announces nothing.
pub fn reprovide(ctx: &Ctx) -> anyhow::Result<()> {
    provide::sweep(&ctx.node()?)?.reprovide();
    Ok(())
}

/// Reads a CID, which may stand in a path.
///
/// # Errors
/// When it is none.
pub fn cid(text: &str) -> anyhow::Result<Cid> {
    let bare = text.strip_prefix("/ipfs/").unwrap_or(text);
    Cid::try_from(bare).with_context(|| format!("invalid CID {text:?}"))
}

fn find_providers(ctx: &Ctx, key: &str, count: i64, verbose: bool) -> anyhow::Result<()> {
    let node = ctx.node()?;
    let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else {
        bail!("number of providers must be greater than 0");
    };
    let key = *cid(key)?.hash();
    ctx.block_on(async {
        let mut found = node.routing().find_providers(key, count, None);
        while let Some(provider) = found.next().await {
            let event = match provider {
                Ok(provider) => Event::found(Kind::Provider, &provider),
                Err(error) => Event::failed(&error),
            };
            ctx.out.emit(&event, |event| event.text(verbose, |peer| provider_text(peer, verbose)))?;
            ctx.out.finish()?;
        }
        Ok(())
    })
}

fn provider_text(peer: &address::AddrInfo, verbose: bool) -> String {
    if !verbose {
        return format!("{}\n", peer.id);
    }
    let addrs: String = peer.addrs.iter().map(|addr| format!("\t{addr}\n")).collect();
    format!("provider: {}\n{addrs}", peer.id)
}

fn find_peer(ctx: &Ctx, peer: &str, verbose: bool) -> anyhow::Result<()> {
    let node = ctx.node()?;
    let peer = address::peer(peer)?;
    if peer == node.peer_id() {
        bail!("finding your own node in the DHT is currently not supported");
    }
    ctx.block_on(async {
        // Whoever is connected need not be looked for.
        let near = node.peers().await.into_iter().find(|info| info.peer == peer);
        let found = match near {
            Some(info) => Ok(cairn_net::routing::Provider {
                peer,
                addrs: if info.listen_addrs.is_empty() { vec![info.addr] } else { info.listen_addrs },
            }),
            None => node.routing().find_peer(peer, None).await,
        };
        let event = match &found {
            Ok(provider) => Event::found(Kind::FinalPeer, provider),
            Err(error) => Event::failed(error),
        };
        ctx.out.emit(&event, |event| {
            event.text(verbose, |peer| peer.addrs.iter().map(|addr| format!("{addr}\n")).collect())
        })?;
        found.map(|_| ()).map_err(Into::into)
    })
}
