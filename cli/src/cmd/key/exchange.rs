//! `cairn key export` and `cairn key import`.

use super::{BaseArg, Key};
use crate::{cmd::put, ctx::Ctx, names};
use anyhow::{Context as _, bail, ensure};
use cairn_net::keystore::{self, KeyError, PrivateKey, SELF};
use libp2p::identity::KeyType;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

/// Form of a key in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// libp2p's protobuf
    #[value(name = "libp2p-protobuf-cleartext")]
    Protobuf,
    /// PKCS #8 in PEM, as openssl reads and writes it
    #[value(name = "pem-pkcs8-cleartext")]
    Pem,
}

/// Options of `cairn key export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The file holds the private key in clear; only its owner may read it.

Examples:
  cairn key export blog
  cairn key export blog --format=pem-pkcs8-cleartext -o blog.pem")]
pub struct ExportArgs {
    /// Name of the key
    name: String,
    /// The file; `-` is stdout [default: NAME.key or NAME.pem]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Form of the key
    #[arg(short, long, value_enum, default_value = "libp2p-protobuf-cleartext")]
    format: Format,
}

/// Runs `cairn key export`.
///
/// # Errors
/// When there is no such key, or the file can't be written.
pub fn export(ctx: &Ctx, args: &ExportArgs) -> anyhow::Result<()> {
    ensure!(args.name != SELF, "cannot export key with name 'self'");
    let (store, _) = names::keys(ctx)?;
    let key = match store.get(&args.name) {
        Err(KeyError::NotFound) => bail!("key with name '{}' doesn't exist", args.name),
        key => key?,
    };
    let (bytes, extension) = match args.format {
        Format::Protobuf => (key.to_protobuf().to_vec(), "key"),
        Format::Pem => (key.to_pem()?.into_bytes(), "pem"),
    };
    if args.output.as_deref() == Some(Path::new("-")) {
        return Ok(ctx.out.stdout().write_all(&bytes)?);
    }
    let file = match &args.output {
        Some(file) => file.clone(),
        // As in Kubo: what follows the last slash of the name.
        None => {
            let name = args.name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            PathBuf::from(format!("{name}.{extension}"))
        }
    };
    Ok(keystore::export(&file, &bytes)?)
}

/// Options of `cairn key import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn key import blog blog.key
  openssl genpkey -algorithm ED25519 | cairn key import new --format=pem-pkcs8-cleartext -")]
pub struct ImportArgs {
    /// Name of the key
    name: String,
    /// The file; `-` is stdin
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    key: PathBuf,
    /// Form of the key
    #[arg(short, long, value_enum, default_value = "libp2p-protobuf-cleartext")]
    format: Format,
    /// Take kinds of keys too that `key gen` does not make
    #[arg(long)]
    allow_any_key_type: bool,
    #[command(flatten)]
    base: BaseArg,
}

/// Runs `cairn key import`.
///
/// # Errors
/// When the file holds no key, or one that is not taken, the name is taken, or the disk refuses.
pub fn import(ctx: &Ctx, args: &ImportArgs) -> anyhow::Result<()> {
    ensure!(args.name != SELF, "cannot import key with name 'self'");
    let bytes = put::read(ctx, &args.key)?;
    let key = match args.format {
        Format::Pem => PrivateKey::from_pem(&bytes)?,
        Format::Protobuf => match PrivateKey::from_protobuf(&bytes) {
            Err(_) if keystore::is_pem(&bytes) => bail!(
                "unexpected PEM block for format=libp2p-protobuf-cleartext: try again with format=pem-pkcs8-cleartext"
            ),
            key => key.context("unable to unmarshall format=libp2p-protobuf-cleartext")?,
        },
    };
    if key.kind() == KeyType::Ecdsa && !args.allow_any_key_type {
        bail!(
            "keys of type ECDSA are not allowed to be imported, only RSA, Ed25519, or Secp256k1; use flag \
             --allow-any-key-type if you are sure of what you're doing"
        );
    }
    let (store, _) = names::keys(ctx)?;
    if store.has(&args.name)? {
        bail!("key with name '{}' already exists", args.name);
    }
    store.put(&args.name, &key)?;
    let event = Key { name: args.name.clone(), id: args.base.ipns_base.encode(key.peer_id()) };
    ctx.out.emit(&event, |key| format!("{}\n", key.id))
}
