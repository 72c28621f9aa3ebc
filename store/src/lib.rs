//! Blocks at rest, and what they mean.
//!
//! This crate knows no network, no HTTP and no kernel. From the bottom up:
//!
//! | Layer | Modules |
//! |---|---|
//! | ordered tables with atomic batches | [`kv`] (RocksDB, memory, and a wrapper that injects faults) |
//! | names and hashes | [`cid`], [`hash`], [`block`] |
//! | blocks by multihash | [`blockstore`], [`session`] |
//! | a block from anywhere | [`fetch`] |
//!
//! Start with [`block::Block`]: it is the only thing that can be stored, and it exists only after its bytes
//! were hashed.

pub mod block;
pub mod blockstore;
pub mod cid;
pub mod config;
pub mod dag;
pub mod error;
pub mod fetch;
pub mod hash;
pub mod kv;
#[cfg(feature = "rocks")]
pub mod repo;
pub mod session;
pub mod unixfs;

pub use block::Block;
pub use cid::{Cid, Multihash};
pub use error::StoreError;
