//! `cairn config`.

mod edit;
mod profile;

use crate::ctx::Ctx;
use anyhow::{Context as _, bail, ensure};
use cairn_store::{
    config::{Config, MAX_FILE},
    repo::{Identity, Location},
};
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;

/// Kubo's refusal, which its clients know.
const NO_KEY: &str = "cannot show or change private key through API";
/// Kubo's refusal, which its clients know.
const NO_CREDENTIALS: &str = "cannot show or change pinning services credentials";
/// Where the credentials of pinning services are; `*` is the name of a service.
const CREDENTIALS: [&str; 5] = ["Pinning", "RemoteServices", "*", "API", "Key"];

/// Options of `cairn config`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Keys and values are those of Kubo; `null` stands for the default.

Examples:
  cairn config Datastore.StorageMax
  cairn config Datastore.StorageMax 50GB
  cairn config --json Import.CidVersion 1
  cairn config --bool Discovery.MDNS.Enabled false"
)]
pub struct Args {
    #[command(subcommand)]
    sub: Option<Sub>,
    /// The key, such as Datastore.StorageMax
    #[arg(required = true)]
    key: Option<String>,
    /// The new value
    #[arg(allow_negative_numbers = true)]
    value: Option<String>,
    /// The value is 'true' or anything else for false
    #[arg(long)]
    bool: bool,
    /// The value is JSON
    #[arg(long)]
    json: bool,
    /// Put what 'auto' stands for in its place
    #[arg(long)]
    expand_auto: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// Print the configuration without its secrets
    #[command(after_help = "Examples:\n  cairn config show\n  cairn config show --expand-auto")]
    Show {
        /// Put what 'auto' stands for in its place
        #[arg(long)]
        expand_auto: bool,
    },
    /// Open the configuration in $EDITOR
    #[command(after_help = "Example:\n  EDITOR=nano cairn config edit")]
    Edit,
    /// Replace the configuration by a file; the node's key stays
    #[command(after_help = "Examples:\n  cairn config replace new.json\n  cairn config replace - < new.json")]
    Replace {
        /// The file; '-' reads stdin
        file: PathBuf,
    },
    /// Apply a named set of changes
    Profile(profile::Args),
}

/// A key and its value in Kubo's shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Field {
    key: String,
    value: Value,
}

/// Runs `cairn config`.
///
/// # Errors
/// When a key is unknown, a value is wrong, or the file can't be read or written.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let location = there(ctx)?;
    match (args.sub, args.key) {
        (Some(Sub::Show { expand_auto }), _) => show(ctx, &read_from(&location, expand_auto || args.expand_auto)?),
        (Some(Sub::Edit), _) => edit::edit(&location),
        (Some(Sub::Replace { file }), _) => edit::replace(ctx, &file),
        (Some(Sub::Profile(args)), _) => profile::run(ctx, &location, args),
        (None, Some(key)) => {
            if matches!(key.to_lowercase().as_str(), "identity" | "identity.privkey") {
                bail!(NO_KEY);
            }
            if leads_to_credentials(&key) {
                bail!(NO_CREDENTIALS);
            }
            match args.value {
                None => get(ctx, &read_from(&location, args.expand_auto)?, key),
                Some(_) if args.expand_auto => {
                    bail!("--expand-auto can only be used for reading config values, not for setting them")
                }
                Some(value) => set(ctx, &location, key, parse(&value, args.json, args.bool)?),
            }
        }
        (None, None) => bail!("say which key"),
    }
}

/// The repository's place; makes one there if there is none.
fn there(ctx: &Ctx) -> anyhow::Result<Location> {
    let location = ctx.location()?;
    if !location.exists()? {
        drop(ctx.open_repo()?);
    }
    Ok(location)
}

fn parse(value: &str, json: bool, bool: bool) -> anyhow::Result<Value> {
    if json {
        return serde_json::from_str(value).map_err(|e| anyhow::anyhow!("failed to unmarshal json. {e}"));
    }
    Ok(if bool { Value::Bool(value == "true") } else { Value::from(value) })
}

/// The configuration, with what `auto` stands for if that is wanted.
fn read_from(location: &Location, expand_auto: bool) -> anyhow::Result<Config> {
    let mut config = location.read_config()?;
    if expand_auto {
        cairn_net::node::config::expand(&mut config)?;
    }
    Ok(config)
}

fn get(ctx: &Ctx, config: &Config, key: String) -> anyhow::Result<()> {
    let mut value = match config.get(&key) {
        Ok(value) => value.clone(),
        Err(error) => bail!("failed to get config value: {:?}", error.to_string()),
    };
    value.sort_all_objects();
    ctx.out.emit_once(&Field { key, value }, |field| human(ctx, &field.value))
}

fn set(ctx: &Ctx, location: &Location, key: String, mut value: Value) -> anyhow::Result<()> {
    if key.eq_ignore_ascii_case("identity.peerid") {
        // Only the node's own name, in whatever form, is accepted; base58 is what is kept.
        let identity = Identity::of(&location.read_config()?)?;
        if !value.as_str().is_some_and(|id| identity.is(id)) {
            bail!("cannot set Identity.PeerID to a value that does not match the node's private key");
        }
        value = Value::from(identity.peer_id());
    }
    ctx.change_config(|config| {
        let result = config.set(&key, value.clone());
        result.map_err(|e| anyhow::anyhow!("failed to set config value: {e} (maybe use --json?)"))
    })?;
    ctx.out.emit_once(&Field { key, value }, |_| String::new())
}

fn show(ctx: &Ctx, config: &Config) -> anyhow::Result<()> {
    let shown = public(config);
    ctx.out.emit_once(&shown, |value| human(ctx, value))
}

/// A configuration as it may be shown, its keys sorted as Kubo sorts them.
fn public(config: &Config) -> Value {
    let mut shown = config.public();
    shown.sort_all_objects();
    shown
}

/// A value for people: a string without quotes, everything else as indented JSON.
fn human(ctx: &Ctx, value: &Value) -> String {
    match value {
        Value::String(text) => format!("{}\n", ctx.out.escape(text.trim_matches('\n'))),
        other => format!("{other:#}\n"),
    }
}

fn leads_to_credentials(key: &str) -> bool {
    key.split('.').zip(CREDENTIALS).all(|(part, secret)| secret == "*" || part.eq_ignore_ascii_case(secret))
}

/// Reads a configuration from a file, or from stdin for '-'.
fn read(ctx: &Ctx, file: &std::path::Path) -> anyhow::Result<Config> {
    use std::io::Read;
    let name = if file.as_os_str() == "-" { "stdin".into() } else { file.display().to_string() };
    let context = || format!("cannot read {name}");
    let input: Box<dyn Read> = if ctx.input.upload().is_none() && file.as_os_str() != "-" {
        Box::new(ctx.input.open(file).with_context(context)?)
    } else {
        Box::new(ctx.input.stdin())
    };
    let mut text = Vec::new();
    input.take(MAX_FILE + 1).read_to_end(&mut text).with_context(context)?;
    ensure!(text.len() as u64 <= MAX_FILE, "{name} is larger than {MAX_FILE} bytes");
    Config::parse(&text).with_context(|| format!("{name} is no configuration"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_the_credentials_is_closed() {
        for key in ["Pinning", "pinning.remoteservices", "Pinning.RemoteServices.x", "Pinning.RemoteServices.x.API.Key"]
        {
            assert!(leads_to_credentials(key), "{key}");
        }
        for key in ["Pinning.RemoteServices.x.Policies", "Import", "PinningX"] {
            assert!(!leads_to_credentials(key), "{key}");
        }
    }

    #[test]
    fn values_are_read_as_the_flags_say() {
        assert_eq!(parse("5", false, false).expect("text"), Value::from("5"));
        assert_eq!(parse("5", true, false).expect("json"), Value::from(5));
        assert_eq!(parse("true", false, true).expect("bool"), Value::from(true));
        assert_eq!(parse("yes", false, true).expect("bool"), Value::from(false));
        assert!(parse("nope", true, false).is_err());
    }
}
