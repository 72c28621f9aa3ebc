//! `cairn init`.

use crate::{cmd::key, ctx::Ctx};
use anyhow::Context as _;
use cairn_net::keystore::{Algorithm, PrivateKey};
use cairn_store::{
    config::Config,
    repo::{Identity, Location, Repo, RepoError},
};
use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

/// Largest configuration that is read from a pipe, in bytes.
const MAX_CONFIG: u64 = 16 << 20;

/// Options of `cairn init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The repository is made in ~/.cairn, or in the directory that --repo-dir, CAIRN_PATH or IPFS_PATH names. Other commands make
it too when there is none. `cairn config profile --help` lists the profiles.

Examples:
  cairn init
  cairn init --profile server,unixfs-v1-2025
  CAIRN_PATH=/srv/cairn cairn init")]
pub struct Args {
    /// Begin with this configuration ('-' reads stdin); it must hold the node's key
    default_config: Option<PathBuf>,
    /// Algorithm of the node's key: ed25519, rsa, secp256k1
    #[arg(short, long, value_name = "NAME", default_value = "ed25519")]
    algorithm: String,
    /// Bits of an RSA key: 2048 to 4096 [default: 2048]
    #[arg(short, long, value_name = "N")]
    bits: Option<usize>,
    /// Add no help files: always so, accepted for scripts written for Kubo
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    empty_repo: Option<bool>,
    /// Apply profiles to the new configuration
    #[arg(short, long, value_name = "NAMES", value_delimiter = ',')]
    profile: Vec<String>,
}

/// Runs `cairn init`.
///
/// # Errors
/// When there is a repository already, an option makes no sense, or the disk refuses.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    if args.empty_repo == Some(false) {
        anyhow::bail!("cairn has no help files to add to a new repository: leave --empty-repo away");
    }
    let location = ctx.location()?;
    if location.exists()? {
        return Err(RepoError::Exists(location.config_file().to_owned()).into());
    }
    let (config, mut text) = match &args.default_config {
        Some(path) => (given(ctx, path)?, String::new()),
        None => generated(args)?,
    };
    let config = with_profiles(config, &args.profile)?;
    let place = location.dir().to_string_lossy();
    let _ = writeln!(text, "initializing Cairn repository at {}", ctx.out.escape(&place));
    Repo::init(location, config)?;
    Ok(ctx.out.stdout().write_all(text.as_bytes())?)
}

/// Makes a repository with that configuration, or a new key, and these profiles.
///
/// # Errors
/// When the configuration can't be read, a profile is unknown, or the disk refuses.
pub fn make(ctx: &Ctx, location: &Location, config: Option<&Path>, profiles: &[String]) -> anyhow::Result<()> {
    let config = match config {
        Some(path) => given(ctx, path)?,
        None => {
            let identity = Identity::generate()?;
            Config::defaults(&identity.peer_id(), identity.private_key())
        }
    };
    Repo::init(location.clone(), with_profiles(config, profiles)?)?;
    Ok(())
}

fn with_profiles(mut config: Config, profiles: &[String]) -> anyhow::Result<Config> {
    for profile in profiles {
        config.apply(profile).with_context(|| format!("invalid configuration profile: {profile}"))?;
    }
    Ok(config)
}

/// A configuration with a new key, and what Kubo says when it makes one.
fn generated(args: &Args) -> anyhow::Result<(Config, String)> {
    let algorithm = Algorithm::parse(&args.algorithm, args.bits)?;
    let identity = Identity::from_protobuf(PrivateKey::generate(algorithm)?.to_protobuf())?;
    let text = format!("{}done\npeer identity: {}\n", key::announce(algorithm), identity.peer_id());
    Ok((Config::defaults(&identity.peer_id(), identity.private_key()), text))
}

/// The configuration in a file.
fn given(ctx: &Ctx, path: &Path) -> anyhow::Result<Config> {
    let config = if path.as_os_str() == "-" {
        let mut text = Vec::new();
        ctx.input.stdin().take(MAX_CONFIG).read_to_end(&mut text).context("cannot read stdin")?;
        Config::parse(&text)?
    } else {
        Config::load(path)?
    };
    Identity::of(&config)?;
    Ok(config)
}
