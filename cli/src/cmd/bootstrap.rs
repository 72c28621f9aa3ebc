//! `cairn bootstrap`: the peers that a node begins with. Works on the configuration, with a daemon or without.

use crate::{address, cmd::source, ctx::Ctx};
use anyhow::{Context as _, bail};
use cairn_store::config::Config;
use serde::Serialize;
use serde_json::Value;

/// The key of the configuration.
const KEY: &str = "Bootstrap";
/// Stands for the peers that are the default.
const AUTO: &str = "auto";

/// Options of `cairn bootstrap`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
These peers are trusted to introduce the node to all others: change them only with care.

Examples:
  cairn bootstrap
  cairn bootstrap add /ip4/192.0.2.1/tcp/4001/p2p/12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou")]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the peers
    #[command(after_help = "Examples:\n  cairn bootstrap list\n  cairn bootstrap list --expand-auto")]
    List {
        /// Put what 'auto' stands for in its place
        #[arg(long)]
        expand_auto: bool,
    },
    /// Add peers
    #[command(after_help = "\
Examples:
  cairn bootstrap add /dns4/example.org/tcp/4001/p2p/12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou
  cairn bootstrap add default")]
    Add {
        /// Addresses that end with /p2p/PEER, or 'default' for the peers that are the default [default: one per line of stdin]
        #[arg(value_name = "PEER")]
        peers: Vec<String>,
    },
    /// Remove peers
    Rm(Rm),
}

#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  cairn bootstrap rm /p2p/12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou
  cairn bootstrap rm --all"
)]
struct Rm {
    #[command(subcommand)]
    command: Option<RmCommand>,
    /// Addresses that end with /p2p/PEER; without an address before it, all of that peer's [default: one per line of stdin]
    #[arg(value_name = "PEER")]
    peers: Vec<String>,
    /// Remove all peers
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Subcommand)]
enum RmCommand {
    /// Remove all peers
    #[command(after_help = "Example:\n  cairn bootstrap rm all")]
    All,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    peers: Vec<String>,
}

/// Runs `cairn bootstrap`.
///
/// # Errors
/// When an address is wrong, or the configuration can't be read or written.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    // Makes a repository if there is none, as every command does.
    let listed = list(&*ctx.config()?)?;
    match args.command.unwrap_or(Command::List { expand_auto: false }) {
        Command::List { expand_auto: false } => print(ctx, "", listed),
        Command::List { expand_auto: true } => {
            let mut config = ctx.config()?.as_ref().clone();
            cairn_net::node::config::expand(&mut config)?;
            print(ctx, "", list(&config)?)
        }
        Command::Add { peers } => {
            let peers = source::arguments(ctx, peers)?;
            print(ctx, "added ", ctx.change_config(|config| add(config, &peers))?)
        }
        Command::Rm(rm) if rm.all || rm.command.is_some() => {
            let removed = ctx.change_config(|config| {
                let removed = list(config)?;
                save(config, Vec::new())?;
                Ok(removed)
            })?;
            print(ctx, "removed ", removed)
        }
        Command::Rm(rm) => {
            let peers = source::arguments(ctx, rm.peers)?;
            print(ctx, "removed ", ctx.change_config(|config| remove(config, &peers))?)
        }
    }
}

fn print(ctx: &Ctx, before: &str, mut peers: Vec<String>) -> anyhow::Result<()> {
    if !ctx.out.json() {
        peers.sort();
    }
    ctx.out.emit_once(&Output { peers }, |output| {
        output.peers.iter().map(|peer| format!("{before}{}\n", ctx.out.escape(peer))).collect()
    })
}

fn list(config: &Config) -> anyhow::Result<Vec<String>> {
    let listed = config.get_strings(KEY)?.unwrap_or_default();
    Ok(listed.into_iter().map(str::to_owned).collect())
}

fn save(config: &mut Config, peers: Vec<String>) -> anyhow::Result<()> {
    Ok(config.set(KEY, Value::from(peers))?)
}

/// Puts peers in front of those that are listed, each once.
fn add(config: &mut Config, peers: &[String]) -> anyhow::Result<Vec<String>> {
    let mut added: Vec<String> = Vec::new();
    for peer in peers {
        let peer = if peer == "default" { AUTO } else { peer };
        check(config, peer)?;
        if !added.iter().any(|a| a == peer) {
            added.push(peer.to_owned());
        }
    }
    let kept = list(config)?.into_iter().filter(|old| !added.contains(old));
    save(config, added.iter().cloned().chain(kept).collect())?;
    Ok(added)
}

fn check(config: &Config, peer: &str) -> anyhow::Result<()> {
    if peer == AUTO {
        if config.get_bool("AutoConf.Enabled")? == Some(false) {
            bail!("cannot add default bootstrap peers: AutoConf is disabled (AutoConf.Enabled=false)");
        }
        return Ok(());
    }
    match address::split(address::address(peer)?) {
        (_, None) => bail!("invalid bootstrap address: {peer}"),
        (place, _) if place.is_empty() => bail!("bootstrap address without a transport: {peer}"),
        _ => Ok(()),
    }
}

/// Removes addresses, or all those of a peer that is named without one.
fn remove(config: &mut Config, peers: &[String]) -> anyhow::Result<Vec<String>> {
    let listed = list(config)?;
    if listed.iter().any(|peer| peer == AUTO) && peers.iter().any(|peer| peer != AUTO) {
        bail!(
            "cannot remove individual bootstrap peers while the list holds 'auto', which stands for all default peers: \
             remove 'auto' or use --all, then add the peers that are wanted"
        );
    }
    let unwanted: Vec<_> = peers.iter().filter(|p| *p != AUTO).cloned().collect();
    let unwanted = address::peers(&unwanted)?;
    let goes = |text: &String| -> anyhow::Result<bool> {
        if text == AUTO {
            return Ok(peers.contains(text));
        }
        let (place, peer) = address::split(address::address(text).with_context(|| format!("{KEY} holds {text:?}"))?);
        Ok(unwanted.iter().any(|(id, places)| Some(*id) == peer && (places.is_empty() || places.contains(&place))))
    };
    let (mut removed, mut kept) = (Vec::new(), Vec::new());
    for text in listed {
        if goes(&text)? { removed.push(text) } else { kept.push(text) }
    }
    save(config, kept)?;
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou";
    const ALSO: &str = "/ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou";
    const TWO: &str = "/dns4/example.org/tcp/4001/p2p/12D3KooWN96DmVTHMFFxCBd9FFJGmg5yayUfkFYWvYEtdsQA5Nxq";

    fn config(peers: &[&str]) -> Config {
        let mut config = Config::defaults("", "");
        save(&mut config, peers.iter().map(|p| (*p).to_owned()).collect()).expect("a list");
        config
    }

    fn texts(peers: &[&str]) -> Vec<String> {
        peers.iter().map(|p| (*p).to_owned()).collect()
    }

    #[test]
    fn what_is_added_comes_first_and_once() {
        let mut config = config(&[ONE, ALSO]);
        assert_eq!(add(&mut config, &texts(&[TWO, ONE, TWO])).expect("added"), [TWO, ONE]);
        assert_eq!(list(&config).expect("listed"), [TWO, ONE, ALSO]);
    }

    #[test]
    fn what_is_no_peer_is_refused_and_changes_nothing() {
        let mut config = config(&[ONE]);
        for wrong in ["/ip4/192.0.2.1/tcp/4001", "/p2p/12D3KooWN96DmVTHMFFxCBd9FFJGmg5yayUfkFYWvYEtdsQA5Nxq", "x", ""] {
            add(&mut config, &texts(&[TWO, wrong])).expect_err(wrong);
        }
        assert_eq!(list(&config).expect("listed"), [ONE]);
        config.set("AutoConf.Enabled", Value::Bool(false)).expect("a flag");
        add(&mut config, &texts(&["default"])).expect_err("there is no default");
    }

    #[test]
    fn one_address_or_a_whole_peer_is_removed() {
        let mut config = config(&[ONE, TWO, ALSO]);
        assert_eq!(remove(&mut config, &texts(&[ONE])).expect("removed"), [ONE]);
        assert_eq!(list(&config).expect("listed"), [TWO, ALSO]);
        assert_eq!(remove(&mut config, &texts(&[ONE])).expect("nothing"), Vec::<String>::new());
        let peer = "/p2p/12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou";
        assert_eq!(remove(&mut config, &texts(&[peer])).expect("removed"), [ALSO]);
        assert_eq!(list(&config).expect("listed"), [TWO]);
    }

    #[test]
    fn one_of_the_default_peers_cannot_be_removed() {
        let mut config = config(&[AUTO]);
        remove(&mut config, &texts(&[ONE])).expect_err("it may be among them");
        assert_eq!(remove(&mut config, &texts(&[AUTO])).expect("removed"), [AUTO]);
    }
}
