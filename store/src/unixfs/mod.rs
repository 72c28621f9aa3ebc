//! UnixFS: files, directories and symlinks as DAGs (specification: specs.ipfs.tech/unixfs).
//!
//! Writing: a [`profile::Profile`] decides every CID; [`crate::chunker`] cuts a file, [`leaf`] encodes the
//! chunks, [`layout`] builds the tree over them, [`directory`] builds directories, [`hamt`] the sharded ones.

pub mod directory;
pub mod hamt;
pub mod layout;
pub mod leaf;
pub mod meta;
pub mod node;
pub mod profile;
mod writer;

pub use writer::{BuildError, Root};
