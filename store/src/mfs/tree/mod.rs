//! The namespace: inodes, names, references.

mod front;

pub use front::{Held, Mfs, Options};
