//! Unmounting, also what other processes mounted.

use super::{MountError, shown, table};
use rustix::{
    fs::{Mode, OFlags, fsync, open, syncfs},
    io::Errno,
    mount::UnmountFlags,
};
use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

/// Programs that unmount for whoever mounted.
const HELPERS: [&str; 2] = ["fusermount3", "fusermount"];

/// How long it may take to make durable what was written: a process that was stopped never answers.
const SETTLE: Duration = Duration::from_secs(120);

/// Makes durable what was written, and unmounts what this program mounted there, in whichever process; lazily if it is in
/// use, so that nobody new gets in.
///
/// # Errors
/// When nothing of ours is mounted there, or the system refuses. When something could not be made durable it is unmounted
/// all the same.
pub fn unmount(dir: &Path) -> Result<(), MountError> {
    let failed = |error| MountError::Unmount { dir: shown(dir), error };
    let dir = absolute(dir).map_err(failed)?;
    table::find(&dir).map_err(failed)?.ok_or_else(|| MountError::NotMounted(shown(&dir)))?;
    let settled = settle(&dir);
    system(&dir, UnmountFlags::empty()).or_else(|_| lazily(&dir)).map_err(failed)?;
    settled.map_err(|error| MountError::Settle { dir: shown(&dir), error })
}

/// Has the process that mounted make everything durable.
fn settle(dir: &Path) -> io::Result<()> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let dir = dir.to_owned();
    let settling = move || {
        // Nobody waits any more if it took too long.
        let _ = sender.send(sync(&dir));
    };
    thread::Builder::new().name("cairn-settle".to_owned()).spawn(settling)?;
    receiver.recv_timeout(SETTLE).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn sync(dir: &Path) -> io::Result<()> {
    let dir = match open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(dir) => dir,
        // The process was killed; or it is `ipfs`, which can't be listed, nor written to.
        Err(Errno::NOTCONN | Errno::CONNABORTED | Errno::PERM) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // Linux does not hand on the first, but writes what it has of files that are mapped.
    syncfs(&dir)?;
    Ok(fsync(&dir)?)
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
        Err(Errno::PERM) => helper(dir, flags.contains(UnmountFlags::DETACH)),
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
