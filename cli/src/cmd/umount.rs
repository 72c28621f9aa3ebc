//! `cairn umount`: ends what `cairn mount` began.

use super::mount::HostPath;
use crate::{ctx::Ctx, exit::Usage, mount::real};
use cairn_fuse::mount::{MountError, mounted, unmount};
use serde::Serialize;
use std::path::PathBuf;

/// Options of `cairn umount`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What was written is durable afterwards, also by way of a process that mounted on its own. A mount that is in use disappears at once, and ends when nobody uses it any more.
A mount that a process left behind which was killed is cleared away.

Examples:
  cairn umount ~/cairn
  cairn umount")]
pub struct Args {
    /// Directory it is mounted on [default: all mounts of this repository]
    #[arg(value_name = "DIR")]
    dir: Option<HostPath>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Unmounted {
    path: String,
}

/// Runs `cairn umount`.
///
/// # Errors
/// When nothing is mounted there, or the system refuses.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let dir = match &args.dir {
        Some(HostPath(path)) if ctx.daemon().is_ok() && path.is_relative() => {
            return Err(Usage(format!("{path:?} is relative: a daemon needs to be told the whole path")).into());
        }
        Some(HostPath(path)) => Some(real(path)?),
        None => None,
    };
    let dirs = dir.as_ref().map(std::slice::from_ref);
    let mut unmounted = match ctx.daemon() {
        Ok(daemon) => ctx.block_on(daemon.mounts.unmount(dirs))?,
        Err(_) => Vec::new(),
    };
    if unmounted.is_empty() {
        unmounted = by_others(ctx, dir)?;
    }
    for path in unmounted {
        let path = path.to_string_lossy().into_owned();
        ctx.out.emit(&Unmounted { path }, |done| format!("Unmounted {}\n", ctx.out.escape(&done.path)))?;
    }
    Ok(())
}

/// Unmounts what other processes mounted: on that directory, or all of this repository.
fn by_others(ctx: &Ctx, dir: Option<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    let dirs = match dir {
        Some(dir) => vec![dir],
        None => {
            let name = ctx.location()?.dir().canonicalize()?.display().to_string();
            mounted()?.into_iter().filter(|mounted| mounted.name == name).map(|mounted| mounted.dir).collect()
        }
    };
    for dir in &dirs {
        unmount(dir)?;
    }
    if dirs.is_empty() {
        return Err(MountError::NotMounted("nothing of this repository".into()).into());
    }
    Ok(dirs)
}
