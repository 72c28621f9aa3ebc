//! Blocks at rest, and what they mean.
//!
//! This crate knows no network, no HTTP and no kernel. From the bottom up:
//!
//! | Layer | Modules |
//! |---|---|
//! | ordered tables with atomic batches | [`kv`] (RocksDB, memory, and a wrapper that injects faults) |
//! | names and hashes | [`cid`], [`multicodec`], [`hash`], [`block`] |
//! | blocks by multihash | [`blockstore`], [`session`], `unflushed`, `sync` |
//! | a block from anywhere | [`fetch`] |
//! | what blocks say | [`dag`], [`unixfs`] |
//! | UnixFS that can be changed | [`mfs`] |
//! | paths | [`path`], [`names`], [`resolve`], [`refs`] |
//! | bulk ways in and out | [`chunker`], [`import`], [`car`] |
//! | what is kept, what is collected, what is checked | [`pin`], [`gc`], [`check`] |
//! | dates; context on other threads | [`calendar`], [`task`] |
//! | the whole | `repo` (with RocksDB), [`config`], [`error`] |
//!
//! Start with [`block::Block`]: it is the only thing that can be stored, and it exists only after its bytes
//! were hashed.

pub mod block;
pub mod blockstore;
pub mod calendar;
pub mod car;
pub mod check;
pub mod chunker;
pub mod cid;
pub mod config;
pub mod dag;
pub mod error;
pub mod fetch;
pub mod gc;
pub mod hash;
pub mod import;
pub mod kv;
pub mod mfs;
pub mod multicodec;
pub mod names;
pub mod path;
pub mod pin;
pub mod refs;
#[cfg(feature = "rocks")]
pub mod repo;
pub mod resolve;
pub mod session;
mod sync;
pub mod task;
mod unflushed;
pub mod unixfs;

pub use block::Block;
pub use cid::{Cid, Multihash};
pub use error::StoreError;
