//! `cairn key gen`.

use super::{BaseArg, Key};
use crate::{ctx::Ctx, names};
use anyhow::{bail, ensure};
use cairn_net::keystore::{Algorithm, PrivateKey, SELF};

/// Options of `cairn key gen`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cairn key gen blog\n  cairn key gen --type=rsa --size=3072 old-friends")]
pub struct Args {
    /// Name of the new key
    name: String,
    /// Kind of key: ed25519, rsa, secp256k1
    #[arg(short = 't', long = "type", value_name = "NAME", default_value = "ed25519")]
    kind: String,
    /// Bits of an RSA key: 2048 to 8192 [default: 2048]
    #[arg(short, long, value_name = "N")]
    size: Option<usize>,
    #[command(flatten)]
    base: BaseArg,
}

/// Runs `cairn key gen`.
///
/// # Errors
/// When the name is taken or can't be one, the kind is unknown, or the disk refuses.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    ensure!(args.name != SELF, "cannot create key with name 'self'");
    let (store, _) = names::keys(ctx)?;
    if store.has(&args.name)? {
        bail!("key with name '{}' already exists", args.name);
    }
    let key = PrivateKey::generate(Algorithm::parse(&args.kind, args.size)?)?;
    store.put(&args.name, &key)?;
    let event = Key { name: args.name.clone(), id: args.base.ipns_base.encode(key.peer_id()) };
    ctx.out.emit(&event, |key| format!("{}\n", key.id))
}

/// What Kubo says when it makes a node's key.
pub fn announce(algorithm: Algorithm) -> String {
    match algorithm {
        Algorithm::Ed25519 => "generating ED25519 keypair...".to_owned(),
        Algorithm::Secp256k1 => "generating secp256k1 keypair...".to_owned(),
        Algorithm::Rsa(bits) => format!("generating {bits}-bit RSA keypair..."),
    }
}
