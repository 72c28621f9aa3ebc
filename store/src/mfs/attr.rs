//! What is said of an entry, and what may be asked of a new one.

use crate::{
    Cid,
    hash::HashFn,
    unixfs::{meta::FileMeta, node::Mtime},
};
use bytes::Bytes;

/// Number of an inode. It is never used again in one process.
pub type Ino = u64;

/// The root directory.
pub const ROOT_INO: Ino = 1;

/// Longest name of an entry that is made, in bytes. Those that are there may be longer.
pub const MAX_NAME: usize = 1024;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

/// What is said of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// Its number.
    pub ino: Ino,
    /// What it is.
    pub kind: Kind,
    /// Bytes of a file, or of a symbolic link's target; 0 for a directory.
    pub size: u64,
    /// Bytes of those that are zeros which no block of their own holds, as far as the file was looked into.
    pub holes: u64,
    /// Permissions and modification time, where they are stored.
    pub meta: FileMeta,
    /// When it was changed last, or what is said of it, and when it was accessed last: as far as that was noted since the
    /// inode came into memory. They are not stored.
    pub ctime: Option<Mtime>,
    /// See `ctime`.
    pub atime: Option<Mtime>,
    /// Whether nobody but its directory says what size it has. So it is with a file of one raw block that nobody looked at.
    pub claimed: bool,
    /// Its root, if nothing of it was changed since it was sealed last.
    pub cid: Option<Cid>,
}

/// How new nodes are named, where it shall not be as the parent directory's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Naming {
    /// Version of CIDs.
    pub version: ::cid::Version,
    /// Hash function; version 0 has SHA-256 alone.
    pub hash: HashFn,
}

/// What a new inode begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct New {
    /// Permissions, if any are to be stored. A stamping view (see [`Mfs::stamping`](super::Mfs::stamping)) adds a time.
    pub meta: FileMeta,
    /// How its nodes are named; `None`: as the parent directory's are.
    pub naming: Option<Naming>,
    /// Whether the leaves of a file are raw; `None`: as the profile says if the naming is the profile's, else whether the
    /// version is 1.
    pub raw_leaves: Option<bool>,
}

/// A change to an inode. What is `None` stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Permissions; 0 stores none.
    pub mode: Option<u32>,
    /// Modification time.
    pub mtime: Option<Mtime>,
    /// Length of a file: cut, or filled up with zeros.
    pub size: Option<u64>,
    /// How the nodes of a directory are named from now on, and those of new entries in it.
    pub naming: Option<Naming>,
}

/// What a rename does with an entry of the new name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameMode {
    /// Replaces it: a directory only if it is empty and replaced by a directory, as POSIX wants.
    Replace,
    /// Replaces it by anything, a directory too, unless it is a directory itself.
    ReplaceFile,
    /// Refuses.
    NoReplace,
    /// Gives it the old name; both must be there.
    Exchange,
}

/// Where a listing goes on. The order of a listing is that of the hashes of the names: whatever is created or removed
/// meanwhile, an entry that was there all the time is listed exactly once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cursor(pub(super) Option<(u64, Bytes)>);

impl Cursor {
    /// The beginning.
    pub const START: Self = Self(None);
}

/// An entry of a listing. Nothing was fetched to tell what the entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Bytes,
    /// Where a listing goes on behind it.
    pub cursor: Cursor,
    /// Its number, if it is in memory. It holds no reference.
    pub ino: Option<Ino>,
    /// What it is, if that can be told.
    pub kind: Option<Kind>,
    /// Bytes of it, if that can be told.
    pub size: Option<u64>,
    /// Its root, if nothing of it was changed since it was sealed last.
    pub cid: Option<Cid>,
}

/// Numbers of a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Inodes in memory.
    pub inodes: usize,
    /// Bytes of files that were written and are in memory alone.
    pub dirty_bytes: u64,
    /// Inodes that the last commit does not know as they are.
    pub dirty_inodes: usize,
    /// Commits of this process.
    pub commits: u64,
}
