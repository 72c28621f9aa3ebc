//! One process at a time holds a repository.
//!
//! The lock is `flock(2)` on `repo.lock`: the system drops it when its holder ends, however it ends, so that a
//! crash leaves nothing to clean up. The file keeps the holder's process number for the others to read, and is
//! never removed: removing a locked file would let two processes hold two locks.

use super::RepoError;
use crate::StoreError;
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    path::Path,
};

/// Name of the file.
const NAME: &str = "repo.lock";
/// As much of the file as is read.
const MAX_READ: u64 = 32;

/// Held as long as it lives.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "the lock lives as long as the file is open")] File);

impl Lock {
    /// Takes the lock of a directory, or fails at once.
    ///
    /// # Errors
    /// [`RepoError::InUse`], or [`RepoError::Store`] when the file can't be made.
    pub(super) fn take(dir: &Path) -> Result<Self, RepoError> {
        let path = dir.join(NAME);
        let refuse = |e| StoreError::io(format!("cannot lock {}", path.display()), e);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(refuse)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(RepoError::InUse { dir: dir.to_owned(), holder: holder(&file) });
            }
            Err(error) => return Err(refuse(error.into()).into()),
        }
        // Only a courtesy to the others: a full disk must not keep the repository from being opened.
        let _ = file.set_len(0).and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
        Ok(Self(file))
    }
}

/// The process that holds the lock: `process 4242 (cairn)`.
fn holder(file: &File) -> String {
    let mut text = String::new();
    let pid = file.take(MAX_READ).read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok());
    let Some(pid) = pid else { return "another process".to_owned() };
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim()),
        Err(_) => format!("process {pid}"),
    }
}
