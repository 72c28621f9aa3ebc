//! The network as a folder: a FUSE mount.
//!
//! | Module | Says |
//! |---|---|
//! | [`core`] | the file system without a kernel: trees, inodes, handles, errnos |
//! | `adapter` | requests of the kernel, each a task on the runtime |
//! | [`mount`] | where it is mounted: options, stale mounts, unmounting |
//!
//! It is given sources of blocks and names, and mutable trees, and knows neither libp2p nor the repository.

mod adapter;
pub mod core;
pub mod mount;
