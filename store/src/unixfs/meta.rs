//! Optional metadata of a file, directory or symlink.

use super::node::{Data, Mtime};

/// Permission bits that a UnixFS node keeps: set-user-id, set-group-id, sticky, and three times rwx.
const MODE_MASK: u32 = 0o7777;

/// Permissions and modification time, each only if it is to be stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileMeta {
    /// Permission bits; other bits are dropped.
    pub mode: Option<u32>,
    /// Modification time.
    pub mtime: Option<Mtime>,
}

impl FileMeta {
    /// Nothing to store.
    pub const NONE: Self = Self { mode: None, mtime: None };

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.mode.is_none() && self.mtime.is_none()
    }

    pub(crate) fn apply(self, data: &mut Data) {
        data.mode = self.mode.map(|mode| mode & MODE_MASK);
        data.mtime = self.mtime;
    }
}
