//! `cairn files`: the mutable tree (MFS), by paths.

mod change;
mod chroot;
mod cp;
mod local;
mod ls;
mod mkdir;
mod mv;
mod read;
mod rm;
mod stat;
pub mod tree;
mod write;

use crate::ctx::Ctx;
use cairn_store::{block::Prefix, cid::codec, hash::HashFn, mfs::Naming};
use clap::Subcommand;

/// Options of `cairn files`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A tree of files and folders that can be changed. Its root is kept in the repository, all of it is kept from being
collected, and what is in it need not all be here: what is missing is fetched when it is read. Paths are absolute.

Examples:
  cairn files mkdir -p /photos/2026
  cairn files cp /ipfs/QmQPeNsJPyVWPFDVHb77w8G42Fvo15z4bG2X8D2GhfbSXc /photos/docs
  cairn files write -ep /notes/today < note.txt
  cairn files stat --hash /")]
pub struct Args {
    /// Make changes durable before the command ends; without, they are within seconds, and at the latest when the daemon
    /// ends
    #[arg(short, long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    flush: bool,
    #[command(subcommand)]
    command: Command,
}

/// A command of `cairn files`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Change how the nodes of a directory are named
    Chcid(change::ChcidArgs),
    /// Change permissions
    Chmod(change::ChmodArgs),
    /// Replace the root of the tree
    Chroot(chroot::Args),
    /// Copy by reference, from anywhere into the tree or within it
    Cp(cp::Args),
    /// Make changes durable
    Flush(change::FlushArgs),
    /// List a directory
    Ls(ls::Args),
    /// Make directories
    Mkdir(mkdir::Args),
    /// Move and rename
    Mv(mv::Args),
    /// Print the content of a file
    Read(read::Args),
    /// Remove files and directories
    Rm(rm::Args),
    /// Print what is known of a file or directory
    Stat(stat::Args),
    /// Set the modification time
    Touch(change::TouchArgs),
    /// Write into a file
    Write(write::Args),
}

/// Runs `cairn files`.
///
/// # Errors
/// Whatever the command could not do.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let flush = args.flush;
    match args.command {
        Command::Chcid(args) => change::chcid(ctx, &args, flush),
        Command::Chmod(args) => change::chmod(ctx, &args, flush),
        Command::Chroot(args) => chroot::run(ctx, &args),
        Command::Cp(args) => cp::run(ctx, &args, flush),
        Command::Flush(args) => change::flush(ctx, &args),
        Command::Ls(args) => ls::run(ctx, &args),
        Command::Mkdir(args) => mkdir::run(ctx, &args, flush),
        Command::Mv(args) => mv::run(ctx, &args, flush),
        Command::Read(args) => read::run(ctx, &args),
        Command::Rm(args) => rm::run(ctx, &args, flush),
        Command::Stat(args) => stat::run(ctx, &args),
        Command::Touch(args) => change::touch(ctx, &args, flush),
        Command::Write(args) => write::run(ctx, args, flush),
    }
}

/// How new nodes are named
#[derive(Debug, clap::Args)]
struct NamingFlags {
    /// CID version: 0 or 1
    #[arg(long, visible_alias = "cid-ver", value_name = "0|1")]
    cid_version: Option<i64>,
    /// Hash function; others than sha2-256 need, and imply, CID version 1
    #[arg(long, value_name = "NAME")]
    hash: Option<String>,
}

impl NamingFlags {
    /// What the flags say, if anything.
    fn given(&self) -> anyhow::Result<Option<Naming>> {
        let naming = match (self.cid_version, &self.hash) {
            (None, None) => return Ok(None),
            (Some(version), _) if !(0..=1).contains(&version) => anyhow::bail!("unknown CID version: {version}"),
            (version, None) => Naming { version: version_of(version == Some(1)), hash: HashFn::SHA2_256 },
            (_, Some(name)) => {
                let hash = HashFn::from_name(&name.to_lowercase());
                let hash = hash.ok_or_else(|| anyhow::anyhow!("unrecognized hash function: {name:?}"))?;
                Naming { version: version_of(true), hash }
            }
        };
        Ok(Some(naming))
    }

    /// The same, or what the configuration says, if anything; else it is as in the directory around.
    fn or_configured(&self, ctx: &Ctx) -> anyhow::Result<Option<Naming>> {
        match self.given()? {
            Some(naming) => Ok(Some(naming)),
            None => configured(ctx),
        }
    }
}

/// How new nodes are named by the configuration, if it says anything.
fn configured(ctx: &Ctx) -> anyhow::Result<Option<Naming>> {
    let import = ctx.config()?.import()?;
    if import.cid_version.is_none() && import.hash.is_none() {
        return Ok(None);
    }
    let profile = import.profile()?;
    let Prefix { version, hash, .. } = Prefix { codec: codec::DAG_PB, ..profile.node_prefix() };
    Ok(Some(Naming { version, hash }))
}

fn version_of(one: bool) -> cid::Version {
    if one { cid::Version::V1 } else { cid::Version::V0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_a_version_and_a_hash() {
        let given = |cid_version, hash: Option<&str>| {
            NamingFlags { cid_version, hash: hash.map(str::to_owned) }.given().map_err(|e| e.to_string())
        };
        let naming = |one, name| Naming { version: version_of(one), hash: HashFn::from_name(name).expect("known") };
        assert_eq!(given(None, None), Ok(None));
        assert_eq!(given(Some(0), None), Ok(Some(naming(false, "sha2-256"))));
        assert_eq!(given(Some(1), None), Ok(Some(naming(true, "sha2-256"))));
        assert_eq!(given(None, Some("BLAKE3")), Ok(Some(naming(true, "blake3"))));
        assert_eq!(given(Some(0), Some("sha2-256")), Ok(Some(naming(true, "sha2-256"))));
        assert_eq!(given(Some(2), None), Err("unknown CID version: 2".into()));
        assert_eq!(given(None, Some("x")), Err("unrecognized hash function: \"x\"".into()));
    }
}
