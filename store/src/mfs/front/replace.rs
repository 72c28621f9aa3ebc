//! Entries in the place of others, and content as it was at one moment.

use super::{Adopted, Held, Mfs, blocking, names::Adoption};
use crate::{
    Cid,
    mfs::{Ino, Kind, MfsError, dir::Link, error::shown, tree::Tree},
    unixfs::FileReader,
};
use bytes::Bytes;
use std::{ops::Range, sync::Arc, time::Duration};

/// The content of a file as it was at one moment, whatever becomes of the file. A collection keeps it until this is
/// dropped.
pub struct Snapshot {
    reader: FileReader,
    deadline: Duration,
    _kept: Adoption,
    _file: Held,
}

impl Mfs {
    /// As [`Mfs::link_cid`], but what has that name is replaced, in one change, unless it is a directory.
    ///
    /// # Errors
    /// When it is a directory, or the root is no UnixFS or can't be had.
    pub async fn link_cid_over(&self, parent: Ino, name: &[u8], cid: &Cid) -> Result<(), MfsError> {
        let block = self.fetch.fetch(cid, self.deadline()).await?;
        let link = Tree::link_of(&block, self.profile())?;
        self.change(|tree| tree.check_over(parent, name)).await?;
        let adoption = self.adopt(*cid).await?;
        // A source of blocks need not store what it answers.
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.store_some(&[block])).await??;
        self.link_over(parent, name, link, &adoption).await
    }

    /// As [`Mfs::copy`], but what has that name is replaced, in one change, unless it is a directory.
    ///
    /// # Errors
    /// When it is a directory.
    pub async fn copy_over(&self, ino: Ino, parent: Ino, name: &[u8]) -> Result<(), MfsError> {
        self.change(|tree| tree.check_over(parent, name)).await?;
        let (link, _kept) = self.keep_sealed(ino).await?;
        let adoption = self.adopt(link.cid).await?;
        self.link_over(parent, name, link, &adoption).await
    }

    async fn link_over(&self, parent: Ino, name: &[u8], link: Link, adoption: &Adoption) -> Result<(), MfsError> {
        let now = self.now();
        self.change(|tree| {
            tree.link_over(parent, name, link, now)?;
            // With the gate held: a commit has the entry, or does not take the adoption for its own.
            adoption.linked();
            Ok(())
        })
        .await
    }

    /// A file's content as it is now, to be read while others write.
    ///
    /// # Errors
    /// When it is no file, what has changes can't be sealed, or its root can't be had.
    pub async fn snapshot(&self, ino: Ino) -> Result<Snapshot, MfsError> {
        let attr = self.inner.tree.lock().refer(ino)?;
        let file = self.hold(attr);
        let name = || shown(format!("inode {ino}").as_bytes());
        match attr.kind {
            Kind::File => {}
            Kind::Directory => return Err(MfsError::IsDir(name())),
            Kind::Symlink => return Err(MfsError::IsSymlink(name())),
        }
        let (link, kept) = self.keep_sealed(ino).await?;
        let deadline = self.inner.options.deadline;
        let opening = FileReader::open(Arc::clone(&self.fetch), &link.cid, None);
        let reader = match tokio::time::timeout(deadline, opening).await {
            Ok(reader) => reader?,
            Err(_) => return Err(crate::fetch::FetchError::TimedOut(Box::new(link.cid)).into()),
        };
        Ok(Snapshot { reader, deadline, _kept: kept, _file: file })
    }

    /// Seals what is below an inode, and keeps that from collections until the answer is dropped.
    pub(super) async fn keep_sealed(&self, ino: Ino) -> Result<(Link, Adoption), MfsError> {
        for _ in 0..super::MAX_ATTEMPTS {
            let link = self.seal_below(ino).await?;
            let kept = self.keep_while(link.cid);
            // IMPORTANT: after it is on the list. What is the tree's own at that moment, a collection that runs has marked,
            // or it is stamped late enough; one that begins later finds the list.
            if self.inner.tree.lock().inode(ino)?.link == Some(link) {
                return Ok((link, kept));
            }
        }
        Err(super::restless(self.inner.tree.lock().name(ino).as_bytes()))
    }

    /// Puts a root on the list of what collections keep.
    fn keep_while(&self, cid: Cid) -> Adoption {
        let mut guard = self.inner.guard.lock();
        guard.last += 1;
        let number = guard.last;
        guard.adopted.insert(number, Adopted { cid, linked: false });
        Adoption { inner: Arc::clone(&self.inner), number }
    }
}

impl Adoption {
    /// Notes that it has its entry: the next commit takes it off the list. The caller holds the gate.
    pub(super) fn linked(&self) {
        if let Some(adopted) = self.inner.guard.lock().adopted.get_mut(&self.number) {
            adopted.linked = true;
        }
    }
}

impl Snapshot {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.reader.size()
    }

    /// Whether there is no content.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads only that part of it from now on; nothing beyond it is fetched.
    pub fn set_range(&mut self, range: Range<u64>) {
        self.reader.set_range(range);
    }

    /// The next bytes, as many as a block has; `None` at the end.
    ///
    /// # Errors
    /// When a block can't be had in time, or is malformed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, MfsError> {
        let cid = *self.reader.cid();
        match tokio::time::timeout(self.deadline, self.reader.next()).await {
            Ok(read) => Ok(read?),
            Err(_) => Err(crate::fetch::FetchError::TimedOut(Box::new(cid)).into()),
        }
    }
}
