//! What is open.

use super::{errno::Errno, folder::OpenFolder, streams::OpenFile, tree::Tree, tree_folder::OpenTreeFolder};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// Files and directories that are open at once in a mount; one more is refused with `ENFILE`.
pub const MAX_HANDLES: usize = 1 << 16;

/// Something that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Its number, for further requests.
    pub handle: u64,
    /// Whether what the kernel has of its content is still right.
    pub keep: bool,
    /// Whether others may change it too.
    pub shared: bool,
    /// Whether reads and writes go past what the kernel has of its content.
    pub direct: bool,
}

#[derive(Clone)]
pub(super) enum Handle {
    File(Arc<OpenFile>),
    Folder(Arc<OpenFolder>),
    TreeFile(Arc<Tree>, u64),
    TreeFolder(Arc<Tree>, Arc<OpenTreeFolder>),
    /// A directory of this program: a few lines.
    Lines(Arc<Vec<super::attr::Dirent>>),
}

#[derive(Default)]
pub(super) struct Handles(Mutex<Table>);

#[derive(Default)]
struct Table {
    all: HashMap<u64, Handle>,
    next: u64,
}

impl Handles {
    pub(super) fn open(&self, handle: Handle, keep: bool) -> Result<Opened, Errno> {
        let mut table = self.0.lock();
        if table.all.len() >= MAX_HANDLES {
            return Err(Errno::ENFILE);
        }
        table.next += 1;
        let number = table.next;
        table.all.insert(number, handle);
        let shared = matches!(table.all.get(&number), Some(Handle::TreeFile(tree, _)) if tree.options.shared);
        Ok(Opened { handle: number, keep, shared, direct: false })
    }

    pub(super) fn get(&self, number: u64) -> Result<Handle, Errno> {
        self.0.lock().all.get(&number).cloned().ok_or(Errno::EBADF)
    }

    pub(super) fn close(&self, number: u64) -> Option<Handle> {
        self.0.lock().all.remove(&number)
    }
}
