//! MFS: UnixFS that can be changed.
//!
//! [`Mfs`] is the tree as others use it. Below it, from the bottom up: [`file`](mod@file) is a file's content, [`dir`] a directory's
//! entries, `tree` the inodes and names over both, `front` locks, fetches, seals and commits.
//!
//! The structures are plain data: operations on them are synchronous and never fetch. A part that was not looked into is
//! a CID; an operation that has to look into it answers with the [`Need`] for its block and is repeated with the block.

mod attr;
mod below;
mod cell;
pub mod dir;
mod error;
pub mod file;
mod front;
mod named;
pub mod need;
mod tree;

pub use attr::{Attr, Change, Cursor, Ino, Kind, Listed, MAX_NAME, Naming, New, ROOT_INO, RenameMode, Stats};
pub use below::stored_below;
pub use cell::{MetaCell, RootCell, stored_root};
pub use error::MfsError;
pub use file::Seek;
pub use front::{Draft, Held, Mfs, Options, Snapshot, interruptible};
pub use named::{NamedCell, NamedRoot, named_roots};
pub use need::{Blocks, Need, Supplied};
