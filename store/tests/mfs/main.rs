//! The mutable tree, on memory that loses what was not made durable.

mod behind;
mod collections;
mod commits;
mod copies;
mod hostile;
mod large;
mod model;
mod names;
mod replace;
mod run;
mod stuck;
#[path = "../support/mod.rs"]
mod support;
mod world;
