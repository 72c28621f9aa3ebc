//! Where peers can be reached: in memory while the node runs, and on disk for its next start.
//!
//! [`Book`] is the memory and knows no I/O; [`Behaviour`] hands its addresses to dials; [`disk`] reads and writes rows.

mod behaviour;
mod book;
pub mod disk;

pub use behaviour::Behaviour;
pub use book::{Book, Entry, Known};

/// Seconds since 1970.
pub fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
