//! `cairn files rm`.

use super::tree::{self, Tree, parent, shown, split, without_slash, words};
use crate::ctx::Ctx;
use anyhow::{bail, ensure};
use cairn_store::mfs::{Kind, MfsError};
use std::ffi::OsString;

/// Options of `cairn files rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn files rm -r /photos/2025")]
pub struct Args {
    /// What to remove
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<OsString>,
    /// Remove directories with all that is in them
    #[arg(short, long)]
    recursive: bool,
    /// Remove whatever it is, without looking at it; what is not there is no error
    #[arg(long)]
    force: bool,
}

/// Runs `cairn files rm`.
///
/// # Errors
/// When something could not be removed; the rest was.
pub fn run(ctx: &Ctx, args: &Args, flush: bool) -> anyhow::Result<()> {
    if !flush {
        bail!("files rm always flushes for safety. The --flush flag cannot be set to false for this command");
    }
    let errors = ctx.block_on(async {
        let tree = Tree::open(ctx).await?;
        let mut errors = Vec::new();
        for given in &args.paths {
            match tree::check(given) {
                Err(error) => errors.push(format!("{} is not a valid path: {error}", given.display())),
                Ok(path) => {
                    if let Err(error) = remove(&tree, args, &path).await {
                        errors.push(format!("{}: {error}", shown(&path)));
                    }
                }
            }
        }
        tree.end(ctx, true).await?;
        Ok(errors)
    })?;
    for error in &errors {
        // Kubo prints the same to people.
        ctx.out.emit(error, |error| format!("{}\n", serde_json::Value::from(error.as_str())))?;
    }
    ensure!(errors.is_empty(), "can't remove some files");
    Ok(())
}

async fn remove(tree: &Tree, args: &Args, path: &[u8]) -> anyhow::Result<()> {
    ensure!(path != b"/", "cannot delete root");
    let (dir, name) = split(without_slash(path));
    let dir = match tree.find(dir).await {
        Err(error) if args.force && tree::is_missing(&error) => return Ok(()),
        other => other?,
    };
    if dir.attr().kind != Kind::Directory {
        bail!("{} is not a directory", shown(parent(without_slash(path))));
    }
    if !args.force {
        let found = tree.mfs.hold(tree.mfs.lookup(dir.ino(), name).await.map_err(words)?);
        if found.attr().kind == Kind::Directory && !args.recursive {
            bail!("path is a directory, use -r to remove directories");
        }
    }
    match tree.mfs.remove(dir.ino(), name).await {
        Err(MfsError::NotFound(_)) if args.force => Ok(()),
        other => other.map_err(words),
    }
}
