//! Space that is kept aside, so that a full disk can still be worked on.
//!
//! A database can't be opened without writing: a new manifest, a new log. On a disk without a free byte a user could
//! then not even remove a pin and collect. So a file holds [`SIZE`] bytes; they are given back to the disk when it is
//! full, and taken again when there is space. The file is empty, with space behind its end (`fallocate`), so that
//! copies of the repository don't carry it.

use crate::StoreError;
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Bytes that are kept aside: the log and its flush at opening take up to 24 MiB each, the rest is for a
/// collection's marks, tombstones and rewritten index.
pub(super) const SIZE: u64 = 64 << 20;
/// Name of the file.
const NAME: &str = "reserve";
/// When it is taken with the database closed, this much is left free, in bytes.
const LEFT_OVER: u64 = 256 << 10;
/// Space is taken in pieces of this many bytes.
const PIECE: u64 = 64 << 10;

/// The space that is kept aside. What is left of it to take is taken when this is dropped.
pub(super) struct Reserve {
    dir: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// `None`: there is no such file, or the file system can't keep space aside.
    file: Option<File>,
    /// Bytes in it.
    held: u64,
}

/// Bytes that are free on the disk of that directory.
///
/// # Errors
/// When it can't be examined.
pub(super) fn free(dir: &Path) -> Result<u64, StoreError> {
    let stat = statvfs(dir).map_err(|e| StoreError::io(format!("cannot examine {}", dir.display()), e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

impl Reserve {
    /// What is kept aside in that directory.
    pub(super) fn open(dir: &Path) -> Self {
        let file = OpenOptions::new().read(true).write(true).open(dir.join(NAME)).ok();
        let held = file.as_ref().map_or(0, held);
        Self { dir: dir.to_owned(), state: Mutex::new(State { file, held }) }
    }

    /// Bytes that are missing from it, and must be left to it by whoever fills the disk.
    pub(super) fn missing(&self) -> u64 {
        let state = self.state.lock();
        if state.file.is_some() { SIZE.saturating_sub(state.held) } else { 0 }
    }

    /// Gives the space back to the disk; whether there was any.
    pub(super) fn release(&self) -> bool {
        let mut state = self.state.lock();
        let had = state.held > 0;
        if let Some(file) = state.file.as_ref().filter(|_| had) {
            // Shortening a file frees what is behind its end; not all file systems do so for an empty one.
            let freed = file.set_len(SIZE).and_then(|()| file.set_len(0));
            tracing::info!(?freed, bytes = state.held, "the disk is full: using the reserve");
            state.held = held(file);
        }
        had
    }

    /// Takes what is missing, if that leaves `margin` bytes free.
    pub(super) fn restore(&self, margin: u64) {
        self.take(margin, SIZE);
    }

    /// Takes what is missing, or as much of it as leaves `margin` bytes free, but nothing below `least` bytes in all.
    fn take(&self, margin: u64, least: u64) {
        let mut state = self.state.lock();
        if state.file.is_some() && state.held >= SIZE {
            return;
        }
        let room = free(&self.dir).unwrap_or(0).saturating_sub(margin) / PIECE * PIECE;
        let wanted = SIZE.min(state.held + room);
        if wanted < least || wanted < state.held + PIECE {
            return;
        }
        if state.file.is_none() {
            let made = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.dir.join(NAME));
            state.file = made.ok();
        }
        let Some(file) = &state.file else { return };
        match fallocate(file, FallocateFlags::KEEP_SIZE, 0, wanted) {
            Err(error) if error != rustix::io::Errno::NOSPC => {
                // A file system that can't do this has no reserve, and needs none for others to take.
                tracing::debug!(%error, "no space can be kept aside");
                state.file = None;
                state.held = 0;
            }
            _ => state.held = held(file),
        }
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        if self.missing() > 0 {
            self.take(LEFT_OVER, 0);
        }
    }
}

/// Bytes that a file holds on the disk, as far as the reserve counts them.
fn held(file: &File) -> u64 {
    file.metadata().map_or(0, |m| (m.blocks() * 512).min(SIZE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_space_is_taken_given_back_and_taken_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let reserve = Reserve::open(dir.path());
        assert_eq!(reserve.missing(), 0, "nothing is owed to a file that is not there");
        reserve.restore(0);
        if reserve.state.lock().held == 0 {
            eprintln!("skipped: this file system keeps no space aside");
            return;
        }
        assert_eq!(std::fs::metadata(dir.path().join(NAME)).expect("is there").len(), 0);
        drop(reserve);
        let reserve = Reserve::open(dir.path());
        assert_eq!(reserve.state.lock().held, SIZE, "it is still there");
        assert!(reserve.release());
        assert_eq!(reserve.missing(), SIZE);
        assert!(!reserve.release(), "there is nothing left");
        drop(reserve);
        assert_eq!(Reserve::open(dir.path()).missing(), 0, "it was taken again at the end");
    }
}
