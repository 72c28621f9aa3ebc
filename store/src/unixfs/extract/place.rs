//! Open directories, and files that appear in them whole or not at all.
//!
//! Every call names one component relative to an open directory and follows no symlink, so that nobody who
//! renames things meanwhile can lead a write elsewhere.

use super::{ExtractError, Progress};
use crate::unixfs::{meta::FileMeta, node::Mtime};
use parking_lot::Mutex;
use rustix::{
    fs::{self, AtFlags, Mode, OFlags, Timespec, Timestamps},
    io::Errno,
};
use std::{
    ffi::OsStr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Permission bits that are restored; set-user-id and set-group-id are not.
const RESTORED_MODE: u32 = 0o1777;

/// What all jobs of an extraction share.
pub(super) struct Shared {
    stopped: AtomicBool,
    /// The first error of setting a directory's metadata.
    failure: Mutex<Option<ExtractError>>,
    /// Begins temporary names; nobody can guess it.
    prefix: String,
    next: AtomicU64,
    progress: Option<Progress>,
}

impl Shared {
    pub(super) fn new(progress: Option<Progress>) -> Self {
        Self {
            stopped: AtomicBool::new(false),
            failure: Mutex::new(None),
            prefix: format!(".cairn-{:016x}-", rand::random::<u64>()),
            next: AtomicU64::new(0),
            progress,
        }
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn check(&self) -> Result<(), ExtractError> {
        if self.stopped.load(Ordering::Relaxed) { Err(ExtractError::Stopped) } else { Ok(()) }
    }

    /// What went wrong with a directory's metadata.
    pub(super) fn failure(&self) -> Result<(), ExtractError> {
        self.failure.lock().take().map_or(Ok(()), Err)
    }

    fn temporary_name(&self) -> String {
        format!("{}{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// An open directory. When the last user of it is gone it gets its permissions and times.
pub(super) struct OpenDir {
    fd: OwnedFd,
    path: PathBuf,
    meta: FileMeta,
    shared: Arc<Shared>,
    /// Kept so that it gets its own times after this one is done.
    _parent: Option<Arc<OpenDir>>,
}

impl OpenDir {
    /// The directory at a path that the user chose, made with its parents if there is none. It may lie behind
    /// symlinks, but not be one itself.
    pub(super) fn root(path: &Path, meta: FileMeta, shared: Arc<Shared>) -> Result<Self, ExtractError> {
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.is_dir() => return Err(ExtractError::InTheWay(path.to_owned())),
            Ok(_) => {}
            Err(_) => {
                std::fs::create_dir_all(path).map_err(|e| ExtractError::io(format!("cannot make {path:?}"), e))?;
            }
        }
        Self::open(path, OFlags::NOFOLLOW, meta, shared)
    }

    /// A directory that is there.
    pub(super) fn existing(path: &Path, shared: Arc<Shared>) -> Result<Self, ExtractError> {
        Self::open(path, OFlags::empty(), FileMeta::NONE, shared)
    }

    fn open(path: &Path, flags: OFlags, meta: FileMeta, shared: Arc<Shared>) -> Result<Self, ExtractError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | flags;
        let fd = fs::open(path, flags, Mode::empty()).map_err(|e| not_opened(path, e))?;
        Ok(Self { fd, path: path.to_owned(), meta, shared, _parent: None })
    }

    /// The directory of that name in this one, made if there is none.
    pub(super) fn child(self: &Arc<Self>, name: &OsStr, meta: FileMeta) -> Result<Self, ExtractError> {
        let path = self.path.join(name);
        match fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(ExtractError::io(format!("cannot make the directory {path:?}"), error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = fs::openat(&self.fd, name, flags, Mode::empty()).map_err(|e| not_opened(&path, e))?;
        Ok(Self { fd, path, meta, shared: Arc::clone(&self.shared), _parent: Some(Arc::clone(self)) })
    }

    /// Where it is, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a file: `write` fills it, then it appears under its name.
    pub(super) fn file(
        &self,
        name: &OsStr,
        meta: FileMeta,
        write: impl FnOnce(&mut Output<'_>) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        let fail =
            |what: &str, error: Errno| ExtractError::io(format!("cannot {what} {:?}", self.path.join(name)), error);
        let mut temporary = Temporary { dir: self, name: self.shared.temporary_name(), there: false };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(&self.fd, &temporary.name, flags, Mode::from_raw_mode(0o666));
        let fd = fd.map_err(|e| fail("make a file for", e))?;
        temporary.there = true;
        let mut output = Output { fd: &fd, dir: self, name };
        write(&mut output)?;
        if let Some(mode) = meta.mode {
            fs::fchmod(&fd, Mode::from_raw_mode(mode & RESTORED_MODE))
                .map_err(|e| fail("set the permissions of", e))?;
        }
        if let Some(mtime) = meta.mtime {
            fs::futimens(&fd, &times(mtime)).map_err(|e| fail("set the time of", e))?;
        }
        temporary.appear_as(name)
    }

    /// Makes a symlink.
    pub(super) fn symlink(&self, name: &OsStr, target: &[u8], meta: FileMeta) -> Result<(), ExtractError> {
        let fail =
            |what: &str, error: Errno| ExtractError::io(format!("cannot {what} {:?}", self.path.join(name)), error);
        let mut temporary = Temporary { dir: self, name: self.shared.temporary_name(), there: false };
        fs::symlinkat(target, &self.fd, &temporary.name).map_err(|e| fail("make the symlink", e))?;
        temporary.there = true;
        if let Some(mtime) = meta.mtime {
            let set = fs::utimensat(&self.fd, &temporary.name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW);
            set.map_err(|e| fail("set the time of", e))?;
        }
        temporary.appear_as(name)
    }

    fn finish(&self) -> Result<(), ExtractError> {
        let fail =
            |what: &str, error: Errno| ExtractError::io(format!("cannot set the {what} of {:?}", self.path), error);
        if let Some(mode) = self.meta.mode {
            fs::fchmod(&self.fd, Mode::from_raw_mode(mode & RESTORED_MODE)).map_err(|e| fail("permissions", e))?;
        }
        if let Some(mtime) = self.meta.mtime {
            fs::futimens(&self.fd, &times(mtime)).map_err(|e| fail("time", e))?;
        }
        Ok(())
    }
}

impl Drop for OpenDir {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            let _ = self.shared.failure.lock().get_or_insert(error);
        }
    }
}

/// A file being written.
pub(super) struct Output<'a> {
    fd: &'a OwnedFd,
    dir: &'a OpenDir,
    name: &'a OsStr,
}

impl Output<'_> {
    /// Appends; notices if the extraction was stopped.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), ExtractError> {
        let shared = &self.dir.shared;
        shared.check()?;
        let len = bytes.len() as u64;
        while !bytes.is_empty() {
            match rustix::io::write(self.fd, bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                Err(error) => {
                    return Err(ExtractError::io(format!("cannot write {:?}", self.dir.path.join(self.name)), error));
                }
            }
        }
        if let Some(progress) = &shared.progress {
            progress(len);
        }
        Ok(())
    }
}

/// Something under a temporary name, removed unless it got its own.
struct Temporary<'a> {
    dir: &'a OpenDir,
    name: String,
    there: bool,
}

impl Temporary<'_> {
    fn appear_as(mut self, name: &OsStr) -> Result<(), ExtractError> {
        let fd = &self.dir.fd;
        let mut renamed = fs::renameat(fd, &self.name, fd, name);
        // A directory is there: an empty one makes way.
        if matches!(renamed, Err(Errno::ISDIR)) && fs::unlinkat(fd, name, AtFlags::REMOVEDIR).is_ok() {
            renamed = fs::renameat(fd, &self.name, fd, name);
        }
        renamed.map_err(|e| ExtractError::io(format!("cannot put {:?} in place", self.dir.path.join(name)), e))?;
        self.there = false;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if self.there {
            // It is ours alone; if it can't be removed there is nobody left to tell.
            let _ = fs::unlinkat(&self.dir.fd, &self.name, AtFlags::empty());
        }
    }
}

fn not_opened(path: &Path, error: Errno) -> ExtractError {
    match error {
        Errno::LOOP | Errno::NOTDIR => ExtractError::InTheWay(path.to_owned()),
        error => ExtractError::io(format!("cannot open the directory {path:?}"), error),
    }
}

/// Access and modification time, both the same.
fn times(mtime: Mtime) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}
