//! `cairn key sign` and `cairn key verify`.

use super::{BaseArg, Key};
use crate::{cmd::put, ctx::Ctx, names};
use anyhow::{Context as _, bail};
use cairn_net::{
    ipns::Name,
    keystore::{KeyError, SELF, verify_message},
};
use multibase::Base;
use serde::Serialize;
use std::path::PathBuf;

/// Options of `cairn key sign`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What is signed begins with \"libp2p-key signed message:\", so that the signature is worth nothing elsewhere.

Example:
  echo hello | cairn key sign --key=blog"
)]
pub struct SignArgs {
    /// The data; `-` or none: stdin
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    data: PathBuf,
    /// Name of the key [default: self]
    #[arg(short, long, value_name = "NAME", default_value = "", hide_default_value = true)]
    key: String,
    #[command(flatten)]
    base: BaseArg,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Signed {
    key: Key,
    signature: String,
}

/// Runs `cairn key sign`.
///
/// # Errors
/// When there is no such key, or the data can't be read.
pub fn sign(ctx: &Ctx, args: &SignArgs) -> anyhow::Result<()> {
    let (store, own) = names::keys(ctx)?;
    let (name, key) = match args.key.as_str() {
        "" | SELF => (SELF.to_owned(), own),
        name => (name.to_owned(), store.get(name)?),
    };
    let signature = key.sign_message(&put::read(ctx, &args.data)?)?;
    let id = args.base.ipns_base.encode(key.peer_id());
    let event = Signed { key: Key { name, id }, signature: multibase::encode(Base::Base64Url, signature) };
    // As in Kubo, the event is JSON in both forms of output.
    let json = serde_json::to_string(&event)?;
    ctx.out.emit(&event, |_| format!("{json}\n"))
}

/// Options of `cairn key verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  echo hello | cairn key verify --key=k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k --signature=uSVFn…")]
pub struct VerifyArgs {
    /// The data; `-` or none: stdin
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    data: PathBuf,
    /// Name of the key, or an IPNS name or peer ID that holds it [default: self]
    #[arg(short, long, value_name = "NAME", default_value = "", hide_default_value = true)]
    key: String,
    /// The signature, in multibase
    #[arg(short, long, value_name = "TEXT")]
    signature: String,
    #[command(flatten)]
    base: BaseArg,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Verified {
    key: Key,
    signature_valid: bool,
}

/// Runs `cairn key verify`.
///
/// # Errors
/// When the key is not known, or the data or the signature can't be read. A signature that is wrong is no error: the
/// event says so.
pub fn verify(ctx: &Ctx, args: &VerifyArgs) -> anyhow::Result<()> {
    let (_, signature) = multibase::decode(&args.signature).context("cannot read --signature as multibase")?;
    let (store, own) = names::keys(ctx)?;
    let (name, public) = match args.key.as_str() {
        "" | SELF => (SELF.to_owned(), own.public().clone()),
        given => match (store.get(given), Name::parse(given)) {
            (Ok(key), _) => (given.to_owned(), key.public().clone()),
            (Err(KeyError::NotFound | KeyError::Name(_)), Ok(name)) => {
                let public = name.public_key().context("public key is not embedded in peer ID")?;
                (String::new(), public)
            }
            (Err(KeyError::NotFound | KeyError::Name(_)), Err(_)) => {
                bail!("'{given:?}' is not a known key, an IPNS Name, or a valid PeerID")
            }
            (Err(error), _) => return Err(error.into()),
        },
    };
    let valid = verify_message(&public, &put::read(ctx, &args.data)?, &signature);
    let key = Key { name, id: args.base.ipns_base.encode(public.to_peer_id()) };
    let event = Verified { key, signature_valid: valid };
    let json = serde_json::to_string(&event)?;
    ctx.out.emit(&event, |_| format!("{json}\n"))
}
