//! Unmounting, also what other processes mounted.

use super::{MountError, shown, table};
use rustix::mount::UnmountFlags;
use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// Programs that unmount for whoever mounted.
const HELPERS: [&str; 2] = ["fusermount3", "fusermount"];

/// Unmounts what this program mounted there, in whichever process; lazily if it is in use, so that nobody new gets in.
///
/// # Errors
/// When nothing of ours is mounted there, or the system refuses.
pub fn unmount(dir: &Path) -> Result<(), MountError> {
    let failed = |error| MountError::Unmount { dir: shown(dir), error };
    let dir = absolute(dir).map_err(failed)?;
    table::find(&dir).map_err(failed)?.ok_or_else(|| MountError::NotMounted(shown(&dir)))?;
    match system(&dir, UnmountFlags::empty()) {
        Ok(()) => Ok(()),
        Err(_) => lazily(&dir).map_err(failed),
    }
}

/// Takes a mount out of the tree of directories; it ends when nobody uses it any more.
pub(super) fn lazily(dir: &Path) -> io::Result<()> {
    system(&absolute(dir)?, UnmountFlags::DETACH)
}

/// The path without asking what is mounted there, which may not answer.
fn absolute(dir: &Path) -> io::Result<PathBuf> {
    let dir = std::path::absolute(dir)?;
    match (dir.parent(), dir.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
        _ => Ok(dir),
    }
}

fn system(dir: &Path, flags: UnmountFlags) -> io::Result<()> {
    match rustix::mount::unmount(dir, flags | UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::PERM) => helper(dir, flags.contains(UnmountFlags::DETACH)),
        Err(error) => Err(error.into()),
    }
}

fn helper(dir: &Path, lazily: bool) -> io::Result<()> {
    let mut error = io::Error::other("there is no fusermount3 to unmount with");
    for program in HELPERS {
        let mut command = Command::new(program);
        command.arg("-u").args(lazily.then_some("-z")).arg("--").arg(dir);
        match command.output() {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                error = io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned());
            }
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
            Err(other) => error = other,
        }
    }
    Err(error)
}
