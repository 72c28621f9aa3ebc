//! Whether the repository is what it should be.
//!
//! [`verify`] reads every block and hashes it. [`fsck`] compares the tables with each other.

pub mod fsck;
pub mod verify;
