//! The read-only trees: without a kernel, and mounted.

mod claims;
mod mounted;
#[path = "../support/mod.rs"]
mod support;
