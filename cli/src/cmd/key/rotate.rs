//! `cairn key rotate`.

use super::announce;
use crate::ctx::Ctx;
use anyhow::{Context as _, ensure};
use cairn_net::keystore::{Algorithm, Keystore, PrivateKey, SELF};
use cairn_store::repo::{Identity, RepoError};
use std::io::Write as _;

/// Options of `cairn key rotate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The node has another peer ID from then on. The name of the old key goes on under its name in the
keystore. No daemon may be running.

Example:
  cairn key rotate --oldkey=before-2027"
)]
pub struct Args {
    /// Name under which the old key is kept
    #[arg(short, long, value_name = "NAME")]
    oldkey: Option<String>,
    /// Kind of key: ed25519, rsa, secp256k1
    #[arg(short = 't', long = "type", value_name = "NAME", default_value = "ed25519")]
    kind: String,
    /// Bits of an RSA key: 2048 to 4096 [default: 2048]
    #[arg(short, long, value_name = "N")]
    size: Option<usize>,
}

/// Runs `cairn key rotate`.
///
/// # Errors
/// When the repository is in use, the name of the old key is taken, or the disk refuses.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let old = args.oldkey.as_deref().context("keystore name for backing up old key must be provided")?;
    ensure!(old != SELF, "keystore name for back up cannot be named 'self'");
    let algorithm = Algorithm::parse(&args.kind, args.size)?;
    let key = PrivateKey::generate(algorithm)?;
    let identity = Identity::from_protobuf(key.to_protobuf())?;
    let location = ctx.location()?;
    let store = Keystore::of_repo(location.dir());
    location.change_config(|config| {
        let before = PrivateKey::from_protobuf(&Identity::of(config)?.to_protobuf()?)?;
        // IMPORTANT: first, so that the old key is never lost.
        store.put(old, &before).context("saving old key in keystore")?;
        let failed = |e| anyhow::Error::from(RepoError::from(e));
        config.set("Identity.PeerID", identity.peer_id().into()).map_err(failed)?;
        config.set("Identity.PrivKey", identity.private_key().into()).map_err(failed)
    })?;
    let text = format!("{}done\npeer identity: {}\n", announce(algorithm), identity.peer_id());
    Ok(ctx.out.stdout().write_all(text.as_bytes())?)
}
