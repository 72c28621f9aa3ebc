//! `cairn swarm filters`: networks that the node has nothing to do with. With a daemon they take effect at once; in
//! any case they are kept in the configuration.

use super::Strings;
use crate::{cmd::source, ctx::Ctx};
use cairn_net::node::Mask;
use cairn_store::config::Config;
use serde_json::Value;

/// The key of the configuration.
const KEY: &str = "Swarm.AddrFilters";

/// Options of `cairn swarm filters`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cairn swarm filters
  cairn swarm filters add /ip4/192.168.0.0/ipcidr/16")]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add networks
    #[command(after_help = "Example:\n  cairn swarm filters add /ip4/192.168.0.0/ipcidr/16")]
    Add {
        /// Networks, as /ip4/ADDRESS/ipcidr/BITS [default: one per line of stdin]
        #[arg(value_name = "NETWORK")]
        networks: Vec<String>,
    },
    /// Remove networks
    #[command(
        after_help = "Examples:\n  cairn swarm filters rm /ip4/192.168.0.0/ipcidr/16\n  cairn swarm filters rm all"
    )]
    Rm {
        /// Networks, as they are listed, or 'all' [default: one per line of stdin]
        #[arg(value_name = "NETWORK")]
        networks: Vec<String>,
    },
}

/// Runs `cairn swarm filters`.
///
/// # Errors
/// When a network is wrong, or the configuration can't be changed.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let listed = list(&*ctx.config()?)?;
    let changed = match args.command {
        None => listed,
        Some(Command::Add { networks }) => {
            let networks = source::arguments(ctx, networks)?;
            let masks = masks(&networks)?;
            let added = ctx.change_config(|config| add(config, &networks))?;
            if let Ok(node) = ctx.node() {
                masks.into_iter().for_each(|mask| {
                    node.filters().add(mask);
                });
            }
            added
        }
        Some(Command::Rm { networks }) => {
            let networks = source::arguments(ctx, networks)?;
            let all = matches!(networks[0].as_str(), "all" | "*");
            let networks = if all { listed } else { networks };
            let masks = masks(&networks)?;
            let removed = ctx.change_config(|config| remove(config, &networks))?;
            if let Ok(node) = ctx.node() {
                masks.iter().for_each(|mask| {
                    node.filters().remove(mask);
                });
            }
            removed
        }
    };
    Strings::print(ctx, changed)
}

fn masks(networks: &[String]) -> anyhow::Result<Vec<Mask>> {
    Ok(networks.iter().map(|text| text.parse()).collect::<Result<_, _>>()?)
}

fn list(config: &Config) -> anyhow::Result<Vec<String>> {
    let listed = config.get_strings(KEY)?.unwrap_or_default();
    Ok(listed.into_iter().map(str::to_owned).collect())
}

fn add(config: &mut Config, networks: &[String]) -> anyhow::Result<Vec<String>> {
    let mut added: Vec<String> = Vec::new();
    for network in networks {
        if !added.contains(network) {
            added.push(network.clone());
        }
    }
    let kept = list(config)?.into_iter().filter(|old| !added.contains(old));
    config.set(KEY, added.iter().cloned().chain(kept).collect::<Vec<_>>().into())?;
    Ok(added)
}

fn remove(config: &mut Config, networks: &[String]) -> anyhow::Result<Vec<String>> {
    let (removed, kept): (Vec<_>, Vec<_>) = list(config)?.into_iter().partition(|old| networks.contains(old));
    config.set(KEY, Value::from(kept))?;
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_listed_once_and_removed_as_listed() {
        let mut config = Config::defaults("", "");
        let [one, two] = ["/ip4/10.0.0.0/ipcidr/8", "/ip6/fc00::/ipcidr/7"].map(str::to_owned);
        assert_eq!(add(&mut config, &[one.clone(), one.clone()]).expect("added"), std::slice::from_ref(&one));
        assert_eq!(add(&mut config, &[two.clone(), one.clone()]).expect("added"), [two.clone(), one.clone()]);
        assert_eq!(list(&config).expect("listed"), [two.clone(), one.clone()]);
        assert_eq!(remove(&mut config, &[one.clone(), "/ip4/1.1.1.1/ipcidr/32".into()]).expect("removed"), [one]);
        assert_eq!(list(&config).expect("listed"), [two]);
    }
}
