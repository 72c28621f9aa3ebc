//! UnixFS: files, directories and symlinks as DAGs (specification: specs.ipfs.tech/unixfs).
//!
//! Writing: a [`profile::Profile`] decides every CID; [`crate::chunker`] cuts a file, [`leaf`] encodes the
//! chunks, [`layout`] builds the tree over them, [`directory`] builds directories, [`hamt`] the sharded ones.
//!
//! Reading: [`entity`] says what a block is, and checks it; [`reader`] reads files, [`dir`] directories, and
//! [`tree`] goes through all of them below a root, for [`extract`] and [`archive`].

mod ahead;
pub mod archive;
pub mod dir;
pub mod directory;
pub mod entity;
pub mod extract;
pub mod hamt;
pub mod layout;
pub mod leaf;
pub mod listing;
pub mod meta;
pub mod node;
pub mod profile;
pub mod reader;
pub mod tree;
pub(crate) mod writer;

pub use dir::{Dir, Entries, Entry};
pub use entity::ReadError;
pub use reader::FileReader;
pub(crate) use writer::NodeWriter;
pub use writer::{BuildError, Root};

/// Whether a name is one plain component of a path. Others lead elsewhere, or nowhere: nothing may be written by them.
pub(crate) fn is_plain_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|&byte| byte == b'/' || byte == 0)
}
