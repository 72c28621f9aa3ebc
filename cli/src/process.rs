//! What is set once for the whole process, before any thread exists.

#![allow(unsafe_code)]

/// Allocations from this many bytes on are given back to the system when they are freed. The default threshold
/// of glibc grows with use, and the pipeline's buffers would then stay in the heaps of its threads: with it, an
/// import of 1 GiB peaks at 170 MB instead of 117.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD: i32 = 3 << 20;

/// Makes the process behave like other Unix tools: a closed pipe ends it quietly, and memory that is freed is
/// given back.
pub fn prepare() {
    // SAFETY: called first in `main`, before any thread exists; SIG_DFL is a valid disposition.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` only sets parameters of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    }
}
