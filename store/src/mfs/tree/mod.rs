//! The namespace: inodes, names and references, as plain data.
//!
//! An [`Inode`] stands for an entry that somebody has looked at; what nobody looked at is a link in its directory. Numbers
//! are never used again. Operations never fetch: one that needs a block answers [`Fail::Need`] and has changed nothing; it
//! is repeated when [`Tree::supply`] was given the block.
//!
//! What holds of every inode that is linked:
//! - it is in its parent's `children`, and its parent is in memory;
//! - if it is dirty, it is in its parent's `unsealed`, and its parent is dirty.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | inodes that nobody refers to | [`MAX_IDLE`] | those that were used longest ago go, unless they are dirty |
//! | entries of directories in memory | [`MAX_WEIGHT`] | directories without changes are forgotten, and read again |
//! | dirty inodes | the front's `MAX_DIRTY` | the tree is committed |

mod change;
mod names;
mod plan;
mod replace;
mod seal;
mod supply;
mod trim;

pub(super) use change::{Present, Removal};
pub(super) use names::Make;
pub(super) use plan::{Left, Trouble};
pub(super) use supply::Ready;

use super::{
    Attr, Ino, Kind, MfsError, Naming, ROOT_INO,
    dir::{DirError, Directory, Known, Link, Want},
    error::shown,
    file::File,
};
use crate::{
    Cid, StoreError,
    unixfs::{meta::FileMeta, node::Mtime, profile::Profile},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use tokio::sync::Mutex;

/// Inodes in memory that nobody refers to.
pub(super) const MAX_IDLE: usize = 8192;
/// Entries of directories in memory, about 35 MB.
pub(super) const MAX_WEIGHT: usize = 1 << 17;

/// Why an operation was not done.
#[derive(Debug)]
pub(super) enum Fail {
    /// It is refused.
    Error(MfsError),
    /// It has to be repeated after these were supplied.
    Need(Box<Needed>),
}

/// Blocks that an operation needs.
#[derive(Debug, Clone)]
pub(super) enum Needed {
    /// The root of an inode.
    Body { ino: Ino, cid: Cid },
    /// The root of an entry.
    Child { parent: Ino, name: Bytes, cid: Cid },
    /// Shards of a directory.
    Shards { ino: Ino, wanted: Vec<Want> },
}

pub(super) type Step<T> = Result<T, Fail>;

impl From<Needed> for Fail {
    fn from(needed: Needed) -> Self {
        Self::Need(Box::new(needed))
    }
}

impl From<MfsError> for Fail {
    fn from(error: MfsError) -> Self {
        Self::Error(error)
    }
}

/// What a shard that is missing means for the directory of that inode.
fn in_dir(ino: Ino) -> impl Fn(DirError) -> Fail {
    move |error| match error {
        DirError::Missing(wanted) => Fail::from(Needed::Shards { ino, wanted }),
        other => Fail::Error(other.into()),
    }
}

/// A file's content, shared by whoever reads and writes it.
pub(super) type Content = Arc<Mutex<File>>;

/// A directory in memory.
#[derive(Debug, Default)]
pub(super) struct Dir {
    /// Names and links; `None` if it is to be read from its root.
    pub(super) directory: Option<Box<Directory>>,
    /// What was known of its size when it was let go of.
    pub(super) known: Known,
    /// Entries that have inodes.
    pub(super) children: HashMap<Bytes, Ino>,
    /// Those of them whose links in the directory are not theirs any more.
    pub(super) unsealed: BTreeSet<Ino>,
}

/// A file, as far as the namespace knows it.
#[derive(Debug)]
pub(super) struct FileBody {
    /// Its content; `None` if it is to be read from its root.
    pub(super) content: Option<Content>,
    /// What new blocks of it are made by.
    pub(super) profile: Profile,
    /// Bytes of it that are in memory alone.
    pub(super) dirty_bytes: u64,
    /// Why some of them could not be stored in the background, until the next writer is told, or they are stored.
    pub(super) refused: Option<StoreError>,
}

#[derive(Debug)]
pub(super) enum Body {
    Dir(Dir),
    File(FileBody),
    Symlink { target: Bytes, profile: Profile },
}

#[derive(Debug)]
pub(super) struct Inode {
    pub(super) body: Body,
    /// Where it is; `None` for the root, and for what was unlinked.
    pub(super) parent: Option<(Ino, Bytes)>,
    /// References by whoever was given its number.
    pub(super) refs: u64,
    /// Times it is open.
    pub(super) opens: u64,
    /// Its root when it was sealed last.
    pub(super) link: Option<Link>,
    /// Whether it has changes since.
    pub(super) dirty: bool,
    pub(super) meta: FileMeta,
    /// Whether it has permissions of zero, as long as it is in memory.
    pub(super) closed: bool,
    pub(super) size: u64,
    /// Bytes of it that take no room.
    pub(super) holes: u64,
    /// When it was used last.
    pub(super) used: u64,
    /// Whether its size is what its link says: its block was not seen.
    pub(super) claimed: bool,
    pub(super) times: Times,
}

/// Times that are kept in memory alone.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// Of the last change of it, or of what is said of it.
    pub(super) changed: Option<Mtime>,
    /// Of the last access, if somebody set it.
    pub(super) accessed: Option<Mtime>,
}

/// Inodes and names.
pub(super) struct Tree {
    pub(super) profile: Profile,
    inodes: HashMap<Ino, Inode>,
    last: Ino,
    /// Counts uses.
    clock: u64,
    /// What time it is.
    now: fn() -> Mtime,
    dirty: usize,
    dirty_bytes: u64,
    /// Entries of directories that were read since the last [`Tree::trim`], and how many inodes are many.
    gained: usize,
    heavy_at: usize,
    /// Roots of what was unlinked and is still in use: a collection has to keep them.
    orphans: BTreeMap<Ino, Cid>,
    /// Files that were sealed since the last [`Tree::put_away`].
    settled: BTreeSet<Ino>,
}

impl Tree {
    /// A tree with that root.
    pub(super) fn new(profile: Profile, root: Directory, now: fn() -> Mtime) -> Self {
        let (meta, link) = (root.meta(), root.root());
        let dir = Dir { directory: Some(Box::new(root)), ..Dir::default() };
        let inode = Inode {
            body: Body::Dir(dir),
            parent: None,
            refs: 1,
            opens: 0,
            dirty: link.is_none(),
            link,
            meta,
            closed: false,
            size: 0,
            holes: 0,
            used: 0,
            claimed: false,
            times: Times::default(),
        };
        let dirty = usize::from(inode.dirty);
        let inodes = HashMap::from([(ROOT_INO, inode)]);
        Self {
            profile,
            inodes,
            last: ROOT_INO,
            clock: 0,
            now,
            dirty,
            dirty_bytes: 0,
            gained: 0,
            heavy_at: MAX_IDLE,
            orphans: BTreeMap::new(),
            settled: BTreeSet::new(),
        }
    }

    /// Inodes in memory.
    pub(super) fn len(&self) -> usize {
        self.inodes.len()
    }

    /// Inodes with changes.
    pub(super) fn dirty(&self) -> usize {
        self.dirty
    }

    /// Bytes of files in memory alone.
    pub(super) fn dirty_bytes(&self) -> u64 {
        self.dirty_bytes
    }

    /// Roots of what was unlinked and is still in use.
    pub(super) fn orphans(&self) -> impl Iterator<Item = Cid> {
        self.orphans.values().copied()
    }

    pub(super) fn inode(&self, ino: Ino) -> Result<&Inode, MfsError> {
        self.inodes.get(&ino).ok_or(MfsError::Stale(ino))
    }

    pub(super) fn inode_mut(&mut self, ino: Ino) -> Result<&mut Inode, MfsError> {
        self.clock += 1;
        let inode = self.inodes.get_mut(&ino).ok_or(MfsError::Stale(ino))?;
        inode.used = self.clock;
        Ok(inode)
    }

    /// What messages call an inode.
    pub(super) fn name(&self, ino: Ino) -> String {
        match self.inodes.get(&ino).map(|inode| &inode.parent) {
            Some(Some((_, name))) => shown(name),
            _ if ino == ROOT_INO => "/".to_owned(),
            _ => format!("inode {ino}"),
        }
    }

    fn dir(&self, ino: Ino) -> Result<&Dir, MfsError> {
        match &self.inode(ino)?.body {
            Body::Dir(dir) => Ok(dir),
            _ => Err(MfsError::NotDir(self.name(ino))),
        }
    }

    fn dir_mut(&mut self, ino: Ino) -> Result<&mut Dir, MfsError> {
        // What is no directory is refused with its name.
        self.dir(ino)?;
        match &mut self.inode_mut(ino)?.body {
            Body::Dir(dir) => Ok(dir),
            _ => Err(MfsError::Stale(ino)),
        }
    }

    /// The names and links of a directory.
    fn directory(&self, ino: Ino) -> Step<&Directory> {
        match &self.dir(ino)?.directory {
            Some(directory) => Ok(directory),
            None => Err(self.needs_body(ino)),
        }
    }

    fn directory_mut(&mut self, ino: Ino) -> Step<&mut Directory> {
        self.directory(ino)?;
        self.dir_mut(ino)?.directory.as_deref_mut().ok_or(Fail::Error(MfsError::Stale(ino)))
    }

    fn needs_body(&self, ino: Ino) -> Fail {
        match self.inodes.get(&ino).and_then(|inode| inode.link) {
            Some(link) => Fail::from(Needed::Body { ino, cid: link.cid }),
            None => Fail::Error(MfsError::Stale(ino)),
        }
    }

    /// The content of a file, to be changed.
    pub(super) fn content(&mut self, ino: Ino) -> Step<Content> {
        match &self.file(ino)?.content {
            Some(content) => Ok(Arc::clone(content)),
            None => Err(self.needs_body(ino)),
        }
    }

    pub(super) fn file(&mut self, ino: Ino) -> Result<&mut FileBody, MfsError> {
        let name = match &self.inode(ino)?.body {
            Body::File(_) => String::new(),
            _ => self.name(ino),
        };
        match &mut self.inode_mut(ino)?.body {
            Body::File(file) => Ok(file),
            Body::Dir(_) => Err(MfsError::IsDir(name)),
            Body::Symlink { .. } => Err(MfsError::IsSymlink(name)),
        }
    }

    /// What is said of an inode.
    pub(super) fn attr(&self, ino: Ino) -> Result<Attr, MfsError> {
        let inode = self.inode(ino)?;
        let cid = inode.link.filter(|_| !inode.dirty).map(|link| link.cid);
        let mode = if inode.closed { Some(0) } else { inode.meta.mode };
        Ok(Attr {
            ino,
            kind: inode.kind(),
            size: inode.size,
            holes: inode.holes,
            meta: FileMeta { mode, ..inode.meta },
            ctime: inode.times.changed,
            atime: inode.times.accessed,
            claimed: inode.claimed,
            cid,
        })
    }

    /// Notes that nobody has permissions, or that what is stored counts again. It is not stored: readers take permissions
    /// of zero for none that were stored.
    pub(super) fn close_to_all(&mut self, ino: Ino, closed: bool) -> Result<(), MfsError> {
        self.inode_mut(ino)?.closed = closed;
        Ok(())
    }

    /// The same, counted as a reference.
    pub(super) fn refer(&mut self, ino: Ino) -> Result<Attr, MfsError> {
        self.inode_mut(ino)?.refs += 1;
        self.attr(ino)
    }

    /// Takes references back.
    pub(super) fn forget(&mut self, ino: Ino, count: u64) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            // The root's own reference stays.
            let own = u64::from(ino == ROOT_INO);
            inode.refs = inode.refs.saturating_sub(count).max(own);
            self.drop_unused(ino);
        }
    }

    pub(super) fn open(&mut self, ino: Ino) -> Result<(), MfsError> {
        self.inode_mut(ino)?.opens += 1;
        Ok(())
    }

    pub(super) fn release(&mut self, ino: Ino) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.opens = inode.opens.saturating_sub(1);
            inode.put_away();
            self.drop_unused(ino);
        }
    }

    /// Adds an inode.
    fn add(&mut self, mut inode: Inode) -> Ino {
        self.last += 1;
        self.clock += 1;
        inode.used = self.clock;
        self.inodes.insert(self.last, inode);
        self.last
    }

    /// Notes that an inode has changes, and all directories above it.
    pub(super) fn touch(&mut self, ino: Ino) {
        let mut at = ino;
        while let Some(inode) = self.inodes.get_mut(&at) {
            let was_dirty = std::mem::replace(&mut inode.dirty, true);
            self.dirty += usize::from(!was_dirty);
            let Some((parent, _)) = inode.parent else { return };
            let Some(Inode { body: Body::Dir(dir), .. }) = self.inodes.get_mut(&parent) else { return };
            // What was dirty is there already, and so are the directories above.
            if !dir.unsealed.insert(at) && was_dirty {
                return;
            }
            at = parent;
        }
    }

    /// Notes when an inode was changed, or what is said of it.
    pub(super) fn note_change(&mut self, ino: Ino) {
        let now = (self.now)();
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.times.changed = Some(now);
        }
    }

    /// Notes the time of a change of a directory's entries, if it is to be stored.
    fn stamp_dir(&mut self, ino: Ino, now: Option<Mtime>) {
        self.note_change(ino);
        if let Some(now) = now
            && let Some(inode) = self.inodes.get_mut(&ino)
            && let Body::Dir(Dir { directory: Some(directory), .. }) = &mut inode.body
        {
            inode.meta = FileMeta { mtime: Some(now), ..inode.meta };
            directory.set_meta(inode.meta);
        }
    }
}

impl Inode {
    pub(super) fn kind(&self) -> Kind {
        match self.body {
            Body::Dir(_) => Kind::Directory,
            Body::File(_) => Kind::File,
            Body::Symlink { .. } => Kind::Symlink,
        }
    }
}

/// How a profile has nodes named.
pub(super) fn naming_of(profile: &Profile) -> Naming {
    Naming { version: profile.cid_version, hash: profile.hash }
}

impl From<FileBody> for Body {
    fn from(file: FileBody) -> Self {
        Self::File(file)
    }
}
