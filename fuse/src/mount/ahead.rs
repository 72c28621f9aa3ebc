//! How far the kernel reads ahead.

use std::fs;

/// What the kernel is told to read ahead, in KiB: with the usual 128 it asks so little at a time that one reader gets a
/// fifth of what it gets with this.
const READ_AHEAD_KIB: u32 = 4096;

/// Has the kernel read further ahead on the mount with that number, where it lets us: only root may ask for it.
pub(super) fn raise(device: &str) {
    let file = format!("/sys/class/bdi/{device}/read_ahead_kb");
    if let Err(error) = fs::write(&file, READ_AHEAD_KIB.to_string()) {
        tracing::debug!(%error, file, "the kernel reads ahead as far as it likes");
    }
}
