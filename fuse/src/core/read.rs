//! Requests that look.

use super::{
    Filesystem,
    attr::{Attr, Dirent, Entry, Found, Ino, Kind, Ttl, UNKNOWN_INO},
    errno::Errno,
    folder::{OpenFolder, Room},
    handles::{Handle, Opened},
    ipns::{NEGATIVE, alias, virtual_attr},
    place::{FILES, Place, TREE_ROOT},
    streams::{OpenFile, Ticket},
    tree::Tree,
    tree_folder::OpenTreeFolder,
};
use bytes::Bytes;
use cairn_store::mfs::Seek;
use std::{sync::Arc, time::Duration};

/// How long the kernel believes that a key of this node has that name.
const ALIAS_TTL: Ttl = Ttl { entry: Duration::from_secs(10), attr: Duration::from_secs(10) };
/// Permissions of `ipfs`: it can be gone through, and not listed.
const UNLISTED: u32 = 0o111;
const LISTED: u32 = 0o555;

/// How full the store is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes that it may hold.
    pub total: u64,
    /// Bytes that it can still take.
    pub free: u64,
}

/// A read that was admitted: see [`Filesystem::admit`].
pub struct Read(ReadOf);

enum ReadOf {
    File(Arc<OpenFile>, Ticket),
    Tree(Arc<Tree>, u64, u64, usize),
}

impl Filesystem {
    /// What a name leads to.
    ///
    /// # Errors
    /// When that can't be told. A name that leads nowhere is no error.
    pub async fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Found, Errno> {
        if name.len() > super::attr::MAX_NAME {
            return Err(Errno::ENAMETOOLONG);
        }
        match self.place(parent)? {
            Place::Top => Ok(self.lookup_top(name).await?),
            Place::Ipfs => self.trees.lookup_root(name).await,
            Place::Ipns => self.lookup_name(name).await,
            Place::Node(number) => self.trees.lookup(number, name).await,
            Place::Tree(tree, number) => self.tree(tree)?.lookup(number, name).await,
        }
    }

    async fn lookup_top(&self, name: &[u8]) -> Result<Found, Errno> {
        let place = match name {
            b"ipfs" => Place::Ipfs,
            b"ipns" => Place::Ipns,
            b"files" if self.files.is_some() => Place::Tree(FILES, TREE_ROOT),
            _ => return Ok(Found::Nothing(Ttl::FOREVER.entry)),
        };
        let ttl = match place {
            Place::Tree(tree, _) => Ttl { entry: Ttl::FOREVER.entry, attr: self.tree(tree)?.ttl().attr },
            _ => Ttl::FOREVER,
        };
        Ok(Found::Entry(Entry { attr: self.attr_of(place).await?, ttl }))
    }

    async fn lookup_name(&self, name: &[u8]) -> Result<Found, Errno> {
        let Ok(name) = std::str::from_utf8(name) else { return Ok(Found::Nothing(Ttl::FOREVER.entry)) };
        if let Some(own) = self.own.as_ref().and_then(|own| own.find(name)) {
            if own.name != name {
                return alias(&self.trees, name, &own.name, ALIAS_TTL);
            }
            let tree = self.own_tree(&own).await?;
            let attr = tree.attr(TREE_ROOT).await?;
            return Ok(Found::Entry(Entry { attr, ttl: Ttl { entry: ALIAS_TTL.entry, attr: tree.ttl().attr } }));
        }
        match self.ipns.lookup(&self.trees, name).await? {
            // A key may be given any name.
            Found::Nothing(ttl) if self.own.is_some() => Ok(Found::Nothing(ttl.min(NEGATIVE))),
            found => Ok(found),
        }
    }

    /// Takes back references.
    pub fn forget(&self, ino: Ino, count: u64) {
        match self.place(ino) {
            Ok(Place::Node(number)) => self.trees.forget(number, count),
            // The root of a tree stays: no look-up of it was counted.
            Ok(Place::Tree(tree, number)) if number != TREE_ROOT => {
                if let Ok(tree) = self.tree(tree) {
                    tree.forget(number, count);
                }
            }
            _ => {}
        }
    }

    /// The attributes of an inode, and how long they hold.
    ///
    /// # Errors
    /// When there is no such inode, or what it is can't be told.
    pub async fn getattr(&self, ino: Ino) -> Result<(Attr, Duration), Errno> {
        let place = self.place(ino)?;
        let ttl = match place {
            Place::Tree(tree, _) => self.tree(tree)?.ttl().attr,
            _ => Ttl::FOREVER.attr,
        };
        Ok((self.attr_of(place).await?, ttl))
    }

    async fn attr_of(&self, place: Place) -> Result<Attr, Errno> {
        let ino = self.settings.layout.ino(place);
        match place {
            Place::Top | Place::Ipns => Ok(virtual_attr(ino, LISTED)),
            Place::Ipfs => Ok(virtual_attr(ino, UNLISTED)),
            Place::Node(number) => self.trees.attr(number),
            Place::Tree(tree, number) => self.tree(tree)?.attr(number).await,
        }
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// `EINVAL` where there is none, and when the block can't be had.
    pub async fn readlink(&self, ino: Ino) -> Result<Bytes, Errno> {
        match self.place(ino)? {
            Place::Node(number) => self.trees.readlink(number).await,
            Place::Tree(tree, number) => Ok(self.tree(tree)?.mfs.readlink(number).await?),
            Place::Top | Place::Ipfs | Place::Ipns => Err(Errno::EINVAL),
        }
    }

    /// Opens a file.
    ///
    /// # Errors
    /// `EROFS` for writing where nothing can be written, and when its root block can't be had.
    pub async fn open(&self, ino: Ino, write: bool) -> Result<Opened, Errno> {
        match self.place(ino)? {
            _ if write && self.settings.read_only => Err(Errno::EROFS),
            Place::Node(_) if write => Err(Errno::EROFS),
            Place::Node(number) => self.handles.open(Handle::File(self.trees.open(number).await?), true),
            Place::Tree(tree, number) => {
                let tree = self.tree(tree)?;
                let (keep, corrected) = tree.open(number).await?;
                if corrected && let Some(kernel) = self.kernel.get() {
                    kernel.attr_changed(ino);
                }
                let opened = self.handles.open(Handle::TreeFile(Arc::clone(&tree), number), keep);
                opened.inspect_err(|_| tree.mfs.release(number))
            }
            Place::Top | Place::Ipfs | Place::Ipns => Err(Errno::EISDIR),
        }
    }

    /// Closes a handle.
    pub fn release(&self, handle: u64) {
        if let Some(Handle::TreeFile(tree, number)) = self.handles.close(handle) {
            tree.mfs.release(number);
        }
    }

    /// Gives a read its place among those of its handle. To be called in the order in which reads come in, which
    /// [`Filesystem::read`] need not be.
    ///
    /// # Errors
    /// When the handle is not that of a file.
    pub fn admit(&self, handle: u64, offset: u64, len: usize) -> Result<Read, Errno> {
        match self.handles.get(handle)? {
            Handle::File(file) => {
                let ticket = file.admit(offset, len);
                Ok(Read(ReadOf::File(file, ticket)))
            }
            Handle::TreeFile(tree, number) => Ok(Read(ReadOf::Tree(tree, number, offset, len))),
            Handle::Folder(_) | Handle::TreeFolder(..) | Handle::Lines(_) => Err(Errno::EISDIR),
        }
    }

    /// Reads: as many bytes as were asked for, in pieces, and less only at the end of the file.
    ///
    /// # Errors
    /// When a block can't be had.
    pub async fn read(&self, read: Read) -> Result<Vec<Bytes>, Errno> {
        match read.0 {
            ReadOf::File(file, ticket) => file.read(ticket).await,
            ReadOf::Tree(tree, number, offset, len) => Ok(vec![tree.mfs.read(number, offset, len).await?]),
        }
    }

    /// Where the next hole or the next bytes of an open file are, at `offset` or behind it. Content that never changes
    /// counts as bytes.
    ///
    /// # Errors
    /// `ENXIO` if there are none, or it is behind the end.
    pub async fn seek(&self, handle: u64, offset: u64, what: Seek) -> Result<u64, Errno> {
        let found = match self.handles.get(handle)? {
            Handle::File(file) => {
                let size = file.size();
                (offset < size).then_some(if what == Seek::Hole { size } else { offset })
            }
            Handle::TreeFile(tree, number) => tree.mfs.seek(number, offset, what).await?,
            Handle::Folder(_) | Handle::TreeFolder(..) | Handle::Lines(_) => return Err(Errno::EINVAL),
        };
        found.ok_or(Errno::ENXIO)
    }

    /// Opens a directory for listing.
    ///
    /// # Errors
    /// `EPERM` for `ipfs`: nobody has a list of all content.
    pub async fn opendir(&self, ino: Ino) -> Result<Opened, Errno> {
        match self.place(ino)? {
            Place::Ipfs => Err(Errno::EPERM),
            Place::Top => self.handles.open(Handle::Lines(Arc::new(self.top_lines())), true),
            Place::Ipns => self.handles.open(Handle::Lines(Arc::new(self.name_lines())), false),
            Place::Node(number) => {
                let node = self.trees.node(number)?;
                if node.seen().kind != Kind::Directory {
                    return Err(Errno::ENOTDIR);
                }
                self.handles.open(Handle::Folder(OpenFolder::new(number, node)), true)
            }
            Place::Tree(tree, number) => {
                let tree = self.tree(tree)?;
                if tree.attr(number).await?.kind != Kind::Directory {
                    return Err(Errno::ENOTDIR);
                }
                let keep = !tree.options.shared;
                self.handles.open(Handle::TreeFolder(tree, OpenTreeFolder::new(number)), keep)
            }
        }
    }

    /// Lines of a listing, from that one on: as many as there is room for, none at the end.
    ///
    /// # Errors
    /// When a part of the directory can't be had. What can't be had of its entries is no error.
    pub async fn readdir(&self, handle: u64, offset: u64, room: Room) -> Result<Vec<Dirent>, Errno> {
        match self.handles.get(handle)? {
            Handle::Folder(folder) => folder.list(&self.trees, offset, room).await,
            Handle::TreeFolder(tree, folder) => folder.list(&tree, &self.trees.sources.local, offset, room).await,
            Handle::Lines(lines) => {
                let mut left = room.bytes;
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(lines.len());
                let fits = |line: &&Dirent| {
                    let fits = room.cost(&line.name) <= left;
                    left = left.saturating_sub(room.cost(&line.name));
                    fits
                };
                Ok(lines[from..].iter().take_while(fits).cloned().collect())
            }
            Handle::File(_) | Handle::TreeFile(..) => Err(Errno::ENOTDIR),
        }
    }

    fn top_lines(&self) -> Vec<Dirent> {
        let files = self.files.as_ref().map(|_| ("files", self.settings.layout.ino(Place::Tree(FILES, TREE_ROOT))));
        let ino = |place| self.settings.layout.ino(place);
        let trees = [("ipfs", ino(Place::Ipfs)), ("ipns", ino(Place::Ipns))].into_iter().chain(files);
        lines(ino(Place::Top), trees.map(|(name, ino)| (name.to_owned(), ino, Kind::Directory)))
    }

    fn name_lines(&self) -> Vec<Dirent> {
        let names = self.own.as_ref().map(|own| own.list()).unwrap_or_default().into_iter().flat_map(|own| {
            let link = (own.alias, UNKNOWN_INO, Kind::Symlink);
            [(own.name, UNKNOWN_INO, Kind::Directory), link]
        });
        lines(self.settings.layout.ino(Place::Ipns), names)
    }

    /// How full the store is.
    pub fn statfs(&self) -> Space {
        (self.settings.space)()
    }
}

fn lines(own: Ino, entries: impl Iterator<Item = (String, Ino, Kind)>) -> Vec<Dirent> {
    let dots = [(".", own), ("..", UNKNOWN_INO)].map(|(name, ino)| (name.to_owned(), ino, Kind::Directory));
    let line = |(next, (name, ino, kind)): (u64, (String, Ino, Kind))| Dirent {
        ino,
        next,
        kind: Some(kind),
        name: name.into(),
        entry: None,
    };
    (1..).zip(dots.into_iter().chain(entries)).map(line).collect()
}
