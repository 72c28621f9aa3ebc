//! MFS: UnixFS that can be changed.
//!
//! The structures are plain data: operations on them are synchronous and never fetch. A part that was not looked into is
//! a CID; an operation that has to look into it answers with the [`Need`] for its block and is repeated with the block.

pub mod file;
pub mod need;

pub use need::{Blocks, Need, Supplied};
