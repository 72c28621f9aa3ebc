//! Requests that change something.

use super::{
    Filesystem,
    attr::{Attr, Entry, Ino},
    errno::Errno,
    handles::{Handle, Opened},
    place::Place,
    streams::OpenFile,
    tree::{Fallocate, SetAttr, Tree, check_len},
};
use bytes::Bytes;
use cairn_store::mfs::RenameMode;
use std::{ops::Range, sync::Arc, time::Duration};

/// The most that one request copies from one file to another where bytes have to be read: the kernel asks for the rest.
const MAX_COPY: u64 = 1 << 30;
/// Content that never changes and is shorter is copied byte by byte: that is quicker than to keep it from collections first.
const MIN_SHARED: u64 = 256 << 10;

impl Filesystem {
    /// The tree and the number of an inode that can be changed.
    fn changeable(&self, ino: Ino) -> Result<(Arc<Tree>, u64), Errno> {
        match self.place(ino)? {
            Place::Tree(tree, number) if !self.settings.read_only => Ok((self.tree(tree)?, number)),
            _ => Err(Errno::EROFS),
        }
    }

    fn open_for_writing(&self, handle: u64) -> Result<(Arc<Tree>, u64), Errno> {
        match self.handles.get(handle)? {
            Handle::TreeFile(tree, number) => Ok((tree, number)),
            _ => Err(Errno::EBADF),
        }
    }

    /// Changes attributes.
    ///
    /// # Errors
    /// `EPERM` for another owner, `EROFS` where nothing can be changed.
    pub async fn setattr(&self, ino: Ino, set: SetAttr) -> Result<(Attr, Duration), Errno> {
        let (tree, number) = self.changeable(ino)?;
        let size = set.size.unwrap_or_default();
        check_len(size, 0).map_err(|_| Errno::EFBIG)?;
        let attr = tree.set_attr(number, set).await?;
        Ok((attr, tree.ttl().attr))
    }

    /// Makes a file, and opens it.
    ///
    /// # Errors
    /// `EEXIST` if it is there and `exclusive`.
    pub async fn create(&self, parent: Ino, name: &[u8], mode: u32, exclusive: bool) -> Result<(Entry, Opened), Errno> {
        let (tree, number) = self.changeable(parent)?;
        let entry = tree.create(number, name, mode, exclusive).await?;
        match self.open(entry.attr.ino, true).await {
            Ok(opened) => Ok((entry, opened)),
            Err(error) => {
                self.forget(entry.attr.ino, 1);
                Err(error)
            }
        }
    }

    /// Makes a file.
    ///
    /// # Errors
    /// `EPERM` for anything but a regular file.
    pub async fn mknod(&self, parent: Ino, name: &[u8], mode: u32) -> Result<Entry, Errno> {
        let (tree, number) = self.changeable(parent)?;
        match mode & libc::S_IFMT {
            0 | libc::S_IFREG => tree.create(number, name, mode, true).await,
            _ => Err(Errno::EPERM),
        }
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// `EEXIST` if the name is taken.
    pub async fn mkdir(&self, parent: Ino, name: &[u8], mode: u32) -> Result<Entry, Errno> {
        let (tree, number) = self.changeable(parent)?;
        tree.mkdir(number, name, mode).await
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// `EEXIST` if the name is taken.
    pub async fn symlink(&self, parent: Ino, name: &[u8], target: &[u8]) -> Result<Entry, Errno> {
        let (tree, number) = self.changeable(parent)?;
        tree.symlink(number, name, target).await
    }

    /// Refuses to make a hard link: a tree of hashes has no place for what two names share.
    ///
    /// # Errors
    /// `EPERM`, as POSIX has it for file systems without them.
    pub fn link(&self, _: Ino, parent: Ino, _: &[u8]) -> Result<Entry, Errno> {
        self.changeable(parent)?;
        Err(Errno::EPERM)
    }

    /// Removes a name of something that is no directory. Who has it open goes on using it.
    ///
    /// # Errors
    /// `EISDIR` for a directory.
    pub async fn unlink(&self, parent: Ino, name: &[u8]) -> Result<(), Errno> {
        let (tree, number) = self.changeable(parent)?;
        Ok(tree.mfs.unlink(number, name).await?)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `ENOTEMPTY` if it is not empty.
    pub async fn rmdir(&self, parent: Ino, name: &[u8]) -> Result<(), Errno> {
        let (tree, number) = self.changeable(parent)?;
        Ok(tree.mfs.rmdir(number, name).await?)
    }

    /// Gives an entry another name, at once for all who look.
    ///
    /// # Errors
    /// `EXDEV` between trees.
    pub async fn rename(
        &self,
        (parent, name): (Ino, &[u8]),
        (to, to_name): (Ino, &[u8]),
        mode: RenameMode,
    ) -> Result<(), Errno> {
        let (tree, number) = self.changeable(to)?;
        match self.place(parent)? {
            Place::Tree(index, from) if index == tree.index => tree.rename((from, name), (number, to_name), mode).await,
            _ => Err(Errno::EXDEV),
        }
    }

    /// Writes.
    ///
    /// # Errors
    /// `ENOSPC` when the store is full, `EFBIG` beyond what a file can hold.
    pub async fn write(&self, handle: u64, offset: u64, data: Bytes, kill_setid: bool) -> Result<(), Errno> {
        let (tree, number) = self.open_for_writing(handle)?;
        check_len(offset, data.len()).map_err(|_| Errno::EFBIG)?;
        if kill_setid {
            tree.drop_setid(number).await?;
        }
        tree.write(number, offset, data).await
    }

    /// Writes at the end, wherever that is by now; `at` is where the kernel believes it to be.
    ///
    /// # Errors
    /// As [`Filesystem::write`].
    pub async fn append(&self, handle: u64, at: u64, data: Bytes, kill_setid: bool) -> Result<(), Errno> {
        let (tree, number) = self.open_for_writing(handle)?;
        check_len(at, data.len()).map_err(|_| Errno::EFBIG)?;
        if kill_setid {
            tree.drop_setid(number).await?;
        }
        if tree.mfs.append(number, data).await? != at
            && let Some(kernel) = self.kernel.get()
        {
            kernel.content_changed(tree.ino(number));
        }
        Ok(())
    }

    /// Makes everything durable that was done to the tree of an open file or directory, or to the trees below it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn fsync(&self, handle: u64) -> Result<(), Errno> {
        match self.handles.get(handle)? {
            Handle::TreeFile(tree, number) => tree.sync_below(number).await,
            Handle::TreeFolder(tree, folder) => tree.sync_below(folder.number).await,
            // A directory above the trees.
            Handle::Lines(_) => self.sync_all().await,
            Handle::File(_) | Handle::Folder(_) => Ok(()),
        }
    }

    /// Makes a file longer, or a range of it zeros.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for anything else.
    pub async fn fallocate(&self, handle: u64, ask: Fallocate) -> Result<(), Errno> {
        let (tree, number) = self.open_for_writing(handle)?;
        tree.fallocate(number, ask).await
    }

    /// Copies from one open file to another of the same tree, or from content that never changes and is here, by reference as
    /// far as possible; answers how many bytes.
    ///
    /// # Errors
    /// `EXDEV` otherwise: programs, or the kernel, then read and write.
    pub async fn copy_file_range(
        &self,
        (from, from_offset): (u64, u64),
        (to, to_offset): (u64, u64),
        len: u64,
    ) -> Result<u64, Errno> {
        let (tree, number) = self.open_for_writing(to)?;
        let len = len.min(MAX_COPY);
        let end = from_offset.checked_add(len).ok_or(Errno::EINVAL)?;
        let from = match self.handles.get(from)? {
            Handle::TreeFile(source, from) if source.index == tree.index => from,
            Handle::File(file) => return self.copy_in(&file, from_offset..end, (&tree, number), to_offset).await,
            _ => return Err(Errno::EXDEV),
        };
        // What a copy within one file adds to it is not there to be copied.
        let end = end.min(tree.mfs.attr(from).await?.size).max(from_offset);
        let room = usize::try_from(len).map_err(|_| Errno::EFBIG)?;
        check_len(to_offset, room).map_err(|_| Errno::EFBIG)?;
        Ok(tree.mfs.copy_range(from, from_offset..end, number, to_offset).await?)
    }

    /// Copies from content that never changes into a file.
    async fn copy_in(
        &self,
        from: &OpenFile,
        range: Range<u64>,
        (tree, to): (&Tree, u64),
        at: u64,
    ) -> Result<u64, Errno> {
        if from.size() < MIN_SHARED {
            return Err(Errno::EXDEV);
        }
        let range = range.start..range.end.min(from.size()).max(range.start);
        let len = usize::try_from(range.end - range.start).map_err(|_| Errno::EFBIG)?;
        check_len(at, len).map_err(|_| Errno::EFBIG)?;
        // What is not here is copied byte by byte, so that it is here afterwards.
        tree.mfs.copy_from(from.cid(), range, to, at).await?.ok_or(Errno::EXDEV)
    }
}
