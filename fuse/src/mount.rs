//! Where it is mounted.
//!
//! [`Mount::new`] mounts, and replaces a mount that a process which was killed left behind; [`Mount::unmount`], or dropping
//! it, unmounts, lazily if it is in use. Without rights to mount, `fusermount3` does both.

mod ahead;
mod table;
mod unmount;

pub use table::{Mounted, mounted};
pub use unmount::unmount;

use crate::{
    adapter::{Session, SessionOptions},
    core::Filesystem,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// How long a directory may take to say that it is there: one below a file system that hangs never does.
const LOOK: Duration = Duration::from_secs(5);
/// Threads that read requests, at least and at most; between them, two for each processor: one that waits for the disk keeps
/// others from nothing.
const THREADS: (usize, usize) = (4, 16);

/// Where and how to mount.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory, which has to be there.
    pub dir: PathBuf,
    /// Whether other users may use it: `user_allow_other` has to stand in `/etc/fuse.conf`, but for root.
    pub allow_other: bool,
    /// Whether nothing can be changed.
    pub read_only: bool,
    /// What the table of mounts shows as its source.
    pub name: String,
}

/// Why nothing was mounted, or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// There is no such directory, or none to look into.
    #[error("cannot mount on {dir}: {error}")]
    Directory {
        /// The directory.
        dir: String,
        /// The system's answer.
        error: io::Error,
    },
    /// There is something mounted.
    #[error("{0} is mounted already: `cairn umount {0}` unmounts it")]
    InUse(String),
    /// The directory did not answer: a file system there hangs.
    #[error("{0} does not answer: unmount what is there with `umount -l {0}` first")]
    Hangs(String),
    /// There is no FUSE in this system.
    #[error(
        "cannot open /dev/fuse ({0}): load the kernel's module with `modprobe fuse`, or give the container the device"
    )]
    NoDevice(io::Error),
    /// Mounting failed.
    #[error(
        "cannot mount on {dir}: {error}; without root this needs the program fusermount3 (package fuse3), and for \
         allow_other the line user_allow_other in /etc/fuse.conf"
    )]
    Refused {
        /// The directory.
        dir: String,
        /// What was said.
        error: io::Error,
    },
    /// Unmounting failed.
    #[error("cannot unmount {dir}: {error}")]
    Unmount {
        /// The directory.
        dir: String,
        /// What was said.
        error: io::Error,
    },
    /// Nothing is mounted there.
    #[error("{0} is not mounted")]
    NotMounted(String),
    /// What was written could not be made durable by the process that mounted. It is unmounted all the same.
    #[error("{dir} is unmounted, but what was written to it may not be durable: {error}")]
    Settle {
        /// The directory.
        dir: String,
        /// What was said.
        error: io::Error,
    },
    /// What was written can't be made durable. It is unmounted all the same.
    #[error("what was written to {dir} could not be made durable: {errno}")]
    Sync {
        /// The directory.
        dir: String,
        /// Why.
        errno: crate::core::Errno,
    },
}

/// A mounted file system.
pub struct Mount {
    fs: Arc<Filesystem>,
    session: Option<Session>,
    ended: CancellationToken,
    dir: PathBuf,
    /// Number of its device, which no other mount has while this one lives.
    device: Option<String>,
}

impl Mount {
    /// Mounts. Blocks until it is done; the runtime has to go on as long as it is mounted.
    ///
    /// # Errors
    /// When the directory is not there or in use, or the system refuses.
    pub fn new(fs: Arc<Filesystem>, options: &Options, runtime: &Handle) -> Result<Self, MountError> {
        let dir = prepare(&options.dir)?;
        if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse")
            && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
        {
            return Err(MountError::NoDevice(error));
        }
        let cpus = thread::available_parallelism().map_or(THREADS.0, usize::from);
        let session = SessionOptions {
            allow_other: options.allow_other,
            read_only: options.read_only,
            name: options.name.clone(),
            threads: (2 * cpus).clamp(THREADS.0, THREADS.1),
        };
        let session = Session::start(&fs, &dir, &session, runtime)
            .map_err(|error| MountError::Refused { dir: shown(&dir), error })?;
        let mounted = table::find(&dir).ok().flatten();
        let device = mounted.map(|mounted| mounted.device);
        device.as_deref().inspect(|device| ahead::raise(device));
        let ended = session.ended().clone();
        Ok(Self { fs, session: Some(session), ended, dir, device })
    }

    /// Where it is mounted.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Cancelled once it is mounted no more, by whomever.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Makes everything that was written durable, and unmounts. Whoever uses it goes on doing so until the process ends.
    ///
    /// # Errors
    /// When something could not be made durable; it is unmounted in any case, unless the system refuses.
    pub async fn unmount(mut self) -> Result<(), MountError> {
        let fs = Arc::clone(&self.fs);
        let dir = shown(&self.dir);
        let before = fs.sync_all().await;
        // The kernel writes what it still has, and waits for our answers.
        let unmounted = tokio::task::spawn_blocking(move || self.unmount_now()).await;
        let after = fs.sync_all().await;
        unmounted.map_err(|error| MountError::Unmount { dir: dir.clone(), error: io::Error::other(error) })??;
        before.and(after).map_err(|errno| MountError::Sync { dir, errno })
    }

    fn unmount_now(&mut self) -> Result<(), MountError> {
        let Some(mut session) = self.session.take() else { return Ok(()) };
        if session.unmount().is_ok() {
            return Ok(());
        }
        // It is in use, or somebody else took it away already, and another one may be there now.
        let failed = |error| MountError::Unmount { dir: shown(&self.dir), error };
        match table::find(&self.dir).map_err(failed)? {
            Some(mounted) if Some(&mounted.device) == self.device.as_ref() => {
                unmount::lazily(&self.dir).map_err(failed)
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = self.unmount_now() {
            tracing::warn!(%error, "a mount stays behind");
        }
    }
}

fn shown(dir: &Path) -> String {
    dir.display().to_string()
}

/// Looks at the directory to mount on, and clears away what a process that was killed left there.
fn prepare(dir: &Path) -> Result<PathBuf, MountError> {
    /// Mounts that may lie on top of each other.
    const MAX_STALE: usize = 16;
    let refused = |error| MountError::Directory { dir: shown(dir), error };
    for _ in 0..MAX_STALE {
        match look(dir)? {
            Ok(found) => {
                let ours = mounted().map_err(refused)?.into_iter().any(|mounted| mounted.dir == found);
                return if ours { Err(MountError::InUse(shown(&found))) } else { Ok(found) };
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => {
                tracing::info!(dir = %dir.display(), "unmounting what a process that ended left behind");
                unmount::lazily(dir).map_err(|error| MountError::Unmount { dir: shown(dir), error })?;
            }
            Err(error) => return Err(refused(error)),
        }
    }
    Err(MountError::InUse(shown(dir)))
}

/// What is at that path: the directory's real path, if it answers in time.
fn look(dir: &Path) -> Result<io::Result<PathBuf>, MountError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let path = dir.to_owned();
    let looking = move || {
        let found = std::fs::read_dir(&path).and_then(|_| path.canonicalize());
        // Nobody waits any more if it took too long.
        let _ = sender.send(found);
    };
    let refused = |error| MountError::Directory { dir: shown(dir), error };
    thread::Builder::new().name("cairn-look".to_owned()).spawn(looking).map_err(refused)?;
    receiver.recv_timeout(LOOK).map_err(|_| MountError::Hangs(shown(dir)))
}
