//! The writable tree: without a kernel against a model, and mounted against a local directory.

mod absent;
mod actions;
mod attributes;
mod core;
mod differential;
mod model;
mod modelled;
mod semantics;
mod shared;
mod sparse;
#[path = "../support/mod.rs"]
mod support;
mod syscalls;
mod twins;
