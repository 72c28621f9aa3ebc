//! Names: finding, making, moving and removing.

use super::{Adopted, Held, Inner, Mfs, blocking, replace::Over};
use crate::{
    Cid,
    blockstore::Blockstore as _,
    mfs::{
        Attr, Change, Cursor, Ino, Kind, Listed, MfsError, New, ROOT_INO, RenameMode,
        error::shown,
        tree::{Body, Make, Removal},
    },
    pin::{self, PinError},
    unixfs::node::Mtime,
};
use bytes::Bytes;
use std::sync::Arc;

impl Mfs {
    /// The entry of a name, whose inode then has one reference more: [`Mfs::forget`] gives it up. `.` and `..` work too.
    ///
    /// # Errors
    /// When there is none, or its root block can't be had.
    pub async fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr, MfsError> {
        self.look(|tree| {
            let attr = tree.lookup(parent, name)?;
            if tree.is_heavy() {
                tree.trim();
            }
            Ok(attr)
        })
        .await
    }

    /// Gives up references. An inode without any may get another number the next time that it is looked up.
    pub fn forget(&self, ino: Ino, count: u64) {
        self.inner.tree.lock().forget(ino, count);
    }

    /// The entry at a path of names divided by `/`, which begins at the root, and its true length. Symbolic links are not
    /// followed.
    ///
    /// # Errors
    /// As [`Mfs::lookup`].
    pub async fn resolve(&self, path: &[u8]) -> Result<Held, MfsError> {
        let held = self.hold(self.look(|tree| tree.walk(path)).await?);
        Ok(self.hold(self.measured(held).await?))
    }

    /// What is said of an inode once its true length is known, with a reference more.
    async fn measured(&self, held: Held) -> Result<Attr, MfsError> {
        self.measure(held.ino()).await?;
        self.inner.tree.lock().refer(held.ino())
    }

    /// Makes a guard of one reference.
    pub fn hold(&self, attr: Attr) -> Held {
        Held { mfs: self.clone(), attr }
    }

    /// What is said of an inode.
    ///
    /// # Errors
    /// When the number names nothing.
    pub async fn attr(&self, ino: Ino) -> Result<Attr, MfsError> {
        self.inner.tree.lock().attr(ino)
    }

    /// Changes what is said of an inode.
    ///
    /// # Errors
    /// When it has no such thing to be changed, or a block can't be had.
    pub async fn set_attr(&self, ino: Ino, change: Change) -> Result<Attr, MfsError> {
        let kind = self.inner.tree.lock().inode(ino)?.kind();
        if kind == Kind::File && change.naming.is_none() {
            self.set_file(ino, change).await?;
        } else {
            self.make_room().await?;
            self.change(|tree| tree.set_meta(ino, change)).await?;
        }
        if let Some(mode) = change.mode.filter(|_| self.stamps) {
            self.inner.tree.lock().close_to_all(ino, mode & 0o7777 == 0)?;
        }
        self.attr(ino).await
    }

    /// Sets the time of the last access, which is kept as long as the inode is in memory.
    ///
    /// # Errors
    /// When the number names nothing.
    pub fn set_accessed(&self, ino: Ino, time: Mtime) -> Result<(), MfsError> {
        let mut tree = self.inner.tree.lock();
        tree.inode_mut(ino)?.times.accessed = Some(time);
        tree.note_change(ino);
        Ok(())
    }

    /// Makes an empty file. One that is there is answered as it is, unless it is to be `exclusive`. The inode has one
    /// reference more.
    ///
    /// # Errors
    /// When there is something else of that name, or the name can't be one.
    pub async fn create(&self, parent: Ino, name: &[u8], new: New, exclusive: bool) -> Result<Attr, MfsError> {
        match self.make(parent, name, new, Make::File).await {
            Err(MfsError::Exists(_)) if !exclusive => {
                let attr = self.lookup(parent, name).await?;
                match attr.kind {
                    Kind::File => return self.measured(self.hold(attr)).await,
                    Kind::Directory => Err(MfsError::IsDir(shown(name))),
                    Kind::Symlink => Err(MfsError::IsSymlink(shown(name))),
                }
                .inspect_err(|_| self.forget(attr.ino, 1))
            }
            made => made,
        }
    }

    /// Makes a directory. The inode has one reference.
    ///
    /// # Errors
    /// When there is an entry of that name, or the name can't be one.
    pub async fn mkdir(&self, parent: Ino, name: &[u8], new: New) -> Result<Attr, MfsError> {
        self.make(parent, name, new, Make::Directory).await
    }

    /// Makes a symbolic link. The inode has one reference.
    ///
    /// # Errors
    /// As [`Mfs::mkdir`], and when the target is too long.
    pub async fn symlink(&self, parent: Ino, name: &[u8], target: &[u8], new: New) -> Result<Attr, MfsError> {
        if target.len() > MAX_TARGET {
            return Err(MfsError::TooLong(format!("the target of {}", shown(name))));
        }
        self.make(parent, name, new, Make::Symlink(target)).await
    }

    async fn make(&self, parent: Ino, name: &[u8], new: New, what: Make<'_>) -> Result<Attr, MfsError> {
        self.make_room().await?;
        let now = self.now();
        let closed = self.stamps && new.meta.mode.is_some_and(|mode| mode & 0o7777 == 0);
        self.change(|tree| {
            let attr = tree.make(parent, name, new, &what, now)?;
            if closed {
                tree.close_to_all(attr.ino, true)?;
                return Ok(tree.attr(attr.ino)?);
            }
            Ok(attr)
        })
        .await
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// When it is none.
    pub async fn readlink(&self, ino: Ino) -> Result<Bytes, MfsError> {
        let tree = self.inner.tree.lock();
        match &tree.inode(ino)?.body {
            Body::Symlink { target, .. } => Ok(target.clone()),
            _ => Err(MfsError::NotSymlink(tree.name(ino))),
        }
    }

    /// Removes an entry that is no directory. Whoever has the file open goes on using it.
    ///
    /// # Errors
    /// When there is none, or it is a directory.
    pub async fn unlink(&self, parent: Ino, name: &[u8]) -> Result<(), MfsError> {
        let now = self.now();
        self.change(|tree| tree.remove(parent, name, Removal::Unlink, now)).await
    }

    /// Removes a directory without entries.
    ///
    /// # Errors
    /// When there is none, it is something else, or has entries.
    pub async fn rmdir(&self, parent: Ino, name: &[u8]) -> Result<(), MfsError> {
        let now = self.now();
        self.change(|tree| tree.remove(parent, name, Removal::Rmdir, now)).await
    }

    /// Removes an entry whatever it is, with all that is below it. Nothing of it is fetched.
    ///
    /// # Errors
    /// When there is none.
    pub async fn remove(&self, parent: Ino, name: &[u8]) -> Result<(), MfsError> {
        let now = self.now();
        self.change(|tree| tree.remove(parent, name, Removal::Any, now)).await
    }

    /// Moves an entry, in one step for whoever looks, and for a crash.
    ///
    /// # Errors
    /// As rename(2): see [`RenameMode`], and a directory can't be moved into itself.
    pub async fn rename(
        &self,
        parent: Ino,
        name: &[u8],
        to: Ino,
        to_name: &[u8],
        mode: RenameMode,
    ) -> Result<(), MfsError> {
        let now = self.now();
        self.change(|tree| tree.rename((parent, name), (to, to_name), mode, now)).await
    }

    /// Makes an entry of a DAG by reference: only its root block is fetched.
    ///
    /// # Errors
    /// When there is an entry of that name, or the root is no UnixFS or can't be had.
    pub async fn link_cid(&self, parent: Ino, name: &[u8], cid: &Cid) -> Result<(), MfsError> {
        self.change(|tree| tree.check_new(parent, name)).await?;
        self.put_cid(parent, name, cid, Over::Nothing).await
    }

    /// Copies an entry by reference: nothing below it is read or written, but what has changes is sealed.
    ///
    /// # Errors
    /// When there is an entry of that name.
    pub async fn copy(&self, ino: Ino, parent: Ino, name: &[u8]) -> Result<(), MfsError> {
        self.put_copy(ino, parent, name, Over::Nothing).await
    }

    /// Keeps what is below a root from collections, until a commit has it in the tree.
    pub(super) async fn adopt(&self, cid: Cid) -> Result<Adoption, MfsError> {
        let adoption = {
            let _open = self.inner.gate.read().await;
            self.inner.begin_change();
            self.keep_while(cid)
        };
        // IMPORTANT: after it is on the list: a collection that begins from now on finds it there. One that runs has
        // read the list perhaps, and leaves alone what is stamped.
        if self.inner.blocks.epochs().collecting() {
            let blocks = Arc::clone(&self.inner.blocks);
            let stamped = blocking(move || pin::stamp_below(&blocks, cid)).await?;
            stamped.map_err(|error| match error {
                PinError::Store(error) => MfsError::Store(error),
                other => MfsError::Invalid(format!("{cid} can't be kept from the collection that runs: {other}")),
            })?;
        }
        Ok(adoption)
    }

    /// At most `max` entries behind the cursor, in a stable order; fewer only at the end. Entries are not looked at: one
    /// that can't be had is listed all the same.
    ///
    /// # Errors
    /// When it is no directory, or a part of the directory itself can't be had.
    pub async fn list(&self, ino: Ino, cursor: &Cursor, max: usize) -> Result<Vec<Listed>, MfsError> {
        let mut listed = Vec::new();
        let mut at = cursor.clone();
        while listed.len() < max {
            let (some, end) = self.look(|tree| tree.list(ino, &at, max - listed.len())).await?;
            listed.extend(some);
            match end {
                Some(end) => at = end,
                None => break,
            }
        }
        Ok(listed)
    }

    /// Keeps an inode in use, so that a file can be read and written after it was unlinked, until [`Mfs::release`].
    ///
    /// # Errors
    /// When the number names nothing.
    pub fn open_file(&self, ino: Ino) -> Result<(), MfsError> {
        self.inner.tree.lock().open(ino)
    }

    /// Ends one [`Mfs::open_file`].
    pub fn release(&self, ino: Ino) {
        self.inner.tree.lock().release(ino);
    }

    /// Whether somebody has it open.
    pub fn is_open(&self, ino: Ino) -> bool {
        self.inner.tree.lock().inode(ino).is_ok_and(|inode| inode.opens > 0)
    }

    /// Whether an inode is the root, or below it.
    pub fn is_linked(&self, ino: Ino) -> bool {
        ino == ROOT_INO || self.inner.tree.lock().is_linked(ino)
    }
}

impl Inner {
    /// Keeps what is below a file that was unlinked and is open from collections until the next commit: the caller, who
    /// holds the gate, has taken parts of it into the tree.
    pub(super) fn adopt_orphan(&self, ino: Ino) {
        let Some(cid) = self.tree.lock().orphan(ino) else { return };
        let mut guard = self.guard.lock();
        if guard.adopted.values().any(|adopted| adopted.linked && adopted.cid == cid) {
            return;
        }
        guard.keep(Adopted { cid, linked: true });
    }
}

/// An adoption under way. If it comes to nothing, nothing is kept.
pub(super) struct Adoption {
    pub(super) inner: Arc<Inner>,
    pub(super) number: u64,
}

impl Drop for Adoption {
    fn drop(&mut self) {
        let mut guard = self.inner.guard.lock();
        if guard.adopted.get(&self.number).is_some_and(|adopted| !adopted.linked) {
            guard.adopted.remove(&self.number);
        }
    }
}

/// Longest target of a symbolic link in bytes, as Linux has it.
const MAX_TARGET: usize = 4095;
