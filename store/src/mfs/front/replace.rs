//! Entries in the place of others, and content as it was at one moment.

use super::{Adopted, Held, Mfs, blocking, names::Adoption, rounds::unless_interrupted};
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

/// What an entry may be put in the place of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Nothing,
    /// All but directories.
    NoDirectory,
}

impl Mfs {
    /// As [`Mfs::link_cid`], but what has that name is replaced, in one change, unless it is a directory.
    ///
    /// # Errors
    /// When it is a directory, or the root is no UnixFS or can't be had.
    pub async fn link_cid_over(&self, parent: Ino, name: &[u8], cid: &Cid) -> Result<(), MfsError> {
        self.put_cid(parent, name, cid, Over::NoDirectory).await
    }

    /// As [`Mfs::copy`], but what has that name is replaced, in one change, unless it is a directory.
    ///
    /// # Errors
    /// When it is a directory.
    pub async fn copy_over(&self, ino: Ino, parent: Ino, name: &[u8]) -> Result<(), MfsError> {
        self.put_copy(ino, parent, name, Over::NoDirectory).await
    }

    pub(super) async fn put_cid(&self, parent: Ino, name: &[u8], cid: &Cid, over: Over) -> Result<(), MfsError> {
        let block = unless_interrupted(self.fetch.fetch(cid, self.deadline())).await??;
        let link = Tree::link_of(&block, self.profile())?;
        self.check_place(parent, name, over).await?;
        let adoption = self.adopt(*cid).await?;
        // A source of blocks need not store what it answers.
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.store_some(&[block])).await??;
        self.put(parent, name, link, &adoption, over).await
    }

    pub(super) async fn put_copy(&self, ino: Ino, parent: Ino, name: &[u8], over: Over) -> Result<(), MfsError> {
        self.check_place(parent, name, over).await?;
        let (link, _kept) = self.keep_sealed(ino).await?;
        let adoption = self.adopt(link.cid).await?;
        self.put(parent, name, link, &adoption, over).await
    }

    async fn check_place(&self, parent: Ino, name: &[u8], over: Over) -> Result<(), MfsError> {
        self.change(|tree| match over {
            Over::Nothing => tree.check_new(parent, name),
            Over::NoDirectory => tree.check_over(parent, name),
        })
        .await
    }

    async fn put(&self, parent: Ino, name: &[u8], link: Link, adoption: &Adoption, over: Over) -> Result<(), MfsError> {
        self.make_room().await?;
        let now = self.now();
        self.change(|tree| {
            match over {
                Over::Nothing => tree.link(parent, name, link, now)?,
                Over::NoDirectory => tree.link_over(parent, name, link, now)?,
            }
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
    pub(super) fn keep_while(&self, cid: Cid) -> Adoption {
        let number = self.inner.guard.lock().keep(Adopted { cid, linked: false });
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
