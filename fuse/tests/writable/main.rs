//! The writable tree: without a kernel against a model, and mounted against a local directory.

mod actions;
mod core;
mod differential;
mod model;
mod modelled;
mod semantics;
#[path = "../support/mod.rs"]
mod support;
mod syscalls;
