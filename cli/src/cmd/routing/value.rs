//! `cairn routing get` and `cairn routing put`: records under `/ipns/…` and public keys under `/pk/…`.

use crate::{
    cmd::{name::put::keep, put::read},
    ctx::Ctx,
};
use anyhow::{anyhow, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cairn_net::ipns::{Name, Network, PublishError, ResolveOptions};
use serde::Serialize;
use std::{io::Write as _, path::PathBuf};

/// Kubo's number for an event that carries a value.
const VALUE: u8 = 5;

/// Options of `cairn routing get`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  cairn routing get /ipns/k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k > record")]
pub struct GetArgs {
    /// `/ipns/NAME` or `/pk/NAME`
    key: String,
}

/// Options of `cairn routing put`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  cairn routing put --allow-offline /ipns/k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k record")]
pub struct PutArgs {
    /// `/ipns/NAME` or `/pk/NAME`
    key: String,
    /// File with the value; `-` or none: stdin
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    value: PathBuf,
    /// Without a network keep the value here
    #[arg(long)]
    allow_offline: bool,
}

/// What routing says, in Kubo's shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    extra: String,
    #[serde(rename = "ID")]
    id: String,
    responses: Option<Vec<()>>,
    #[serde(rename = "Type")]
    kind: u8,
}

/// What a key is for.
enum Key {
    Record(Name),
    PublicKey(Name),
}

fn key(text: &str) -> anyhow::Result<Key> {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        ["", "ipns", name] => Ok(Key::Record(Name::parse(name)?)),
        ["", "pk", name] => Ok(Key::PublicKey(Name::parse(name)?)),
        _ => bail!("invalid key {text:?}: it is written /ipns/NAME or /pk/NAME"),
    }
}

/// Runs `cairn routing get`.
///
/// # Errors
/// When there is no valid value.
pub fn get(ctx: &Ctx, args: &GetArgs) -> anyhow::Result<()> {
    let key = key(&args.key)?;
    let names = ctx.ipns()?;
    let value = ctx.block_on(async {
        Ok(match key {
            Key::Record(name) => names.best(name, ResolveOptions::default()).await?.bytes().clone(),
            Key::PublicKey(name) => names.public_key(name, None).await?,
        })
    })?;
    if !ctx.out.json() {
        return Ok(ctx.out.stdout().write_all(&value)?);
    }
    let event = Event { extra: STANDARD.encode(value), id: String::new(), responses: None, kind: VALUE };
    ctx.out.emit(&event, |_| String::new())
}

/// Runs `cairn routing put`.
///
/// # Errors
/// When the value is not one for that key, a better one is there, or there is no network.
pub fn put(ctx: &Ctx, args: &PutArgs) -> anyhow::Result<()> {
    let key = key(&args.key)?;
    let value = read(ctx, &args.value)?;
    let names = ctx.ipns()?;
    let network = if args.allow_offline { Network::Optional } else { Network::Required };
    let name = ctx.block_on(async {
        match key {
            Key::Record(name) => keep(&names, name, value, network).await.map(|()| name),
            Key::PublicKey(name) => match names.put_public_key(name, value, network, None).await {
                Err(PublishError::Offline) => {
                    Err(anyhow!("can't put while offline: pass `--allow-offline` to override"))
                }
                result => Ok(result.map(|()| name)?),
            },
        }
    })?;
    let event = Event { extra: String::new(), id: name.peer_id().to_base58(), responses: None, kind: VALUE };
    ctx.out.emit(&event, |event| format!("{}\n", event.id))
}
