//! What `stat` says.

use cairn_store::unixfs::node::Mtime;
use std::time::Duration;

/// Number of an inode, as the kernel and `st_ino` have it.
pub type Ino = u64;

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

impl Kind {
    /// The type bits of a mode.
    pub fn bits(self) -> u32 {
        match self {
            Self::File => libc::S_IFREG,
            Self::Directory => libc::S_IFDIR,
            Self::Symlink => libc::S_IFLNK,
        }
    }
}

/// A time since 1970.
pub type Time = Mtime;

/// 1 January 1970: the time of what has none.
pub const EPOCH: Time = Mtime { seconds: 0, nanos: 0 };

/// Attributes of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// Its number.
    pub ino: Ino,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, without the type.
    pub perm: u32,
    /// Length in bytes.
    pub size: u64,
    /// Bytes that are stored for it, as far as it is known.
    pub stored: u64,
    /// Time of the last access, as far as somebody set it; else that of the last change.
    pub atime: Time,
    /// Time of the last change of its content.
    pub mtime: Time,
    /// Time of the last change of its content or of what is said of it.
    pub ctime: Time,
    /// Names: 0 once it was deleted while open.
    pub nlink: u32,
}

/// How long the kernel may keep what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl {
    /// That the name leads to the inode, or to nothing.
    pub entry: Duration,
    /// The attributes.
    pub attr: Duration,
}

impl Ttl {
    /// Content that never changes.
    pub const FOREVER: Self =
        Self { entry: Duration::from_secs(365 * 24 * 3600), attr: Duration::from_secs(365 * 24 * 3600) };
    /// Not at all.
    pub const NONE: Self = Self { entry: Duration::ZERO, attr: Duration::ZERO };
}

/// What a look-up found. It counts as one reference of the kernel, until forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The inode.
    pub attr: Attr,
    /// How long the answer holds.
    pub ttl: Ttl,
}

/// Answer to a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The name leads there.
    Entry(Entry),
    /// The name does not exist, and will not for that long.
    Nothing(Duration),
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirent {
    /// Number of the inode, [`UNKNOWN_INO`] if it has none yet.
    pub ino: Ino,
    /// Where the listing goes on behind this line.
    pub next: u64,
    /// What it is, if that is known without asking for its block.
    pub kind: Option<Kind>,
    /// Its name.
    pub name: bytes::Bytes,
    /// What a look-up would find, if that was asked for and is known. It counts as one.
    pub entry: Option<Entry>,
}

/// Stands in a listing for a number that is not known.
pub const UNKNOWN_INO: Ino = 0xffff_ffff;

/// The longest name, in bytes. Directories of the network may hold longer ones: no system call could ask for them.
pub const MAX_NAME: usize = 255;

/// Whether a name can stand in a path.
pub fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && name.len() <= MAX_NAME && !name.iter().any(|&b| b == b'/' || b == 0)
}
