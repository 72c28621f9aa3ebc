//! What is set once for the whole process, before any thread exists.

#![allow(unsafe_code)]

/// Allocations from this many bytes on are given back to the system when they are freed. The default threshold
/// of glibc grows with use, and the pipeline's buffers would then stay in the heaps of its threads: with it, an
/// import of 1 GiB peaks at 170 MB instead of 117.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD: i32 = 3 << 20;

/// Allocations below this many bytes are kept: the largest block that is read, and what goes with it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BLOCK: i32 = (2 << 20) + (64 << 10);
/// Bytes that each heap keeps at most.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_TOTAL: i32 = 32 << 20;

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

/// Makes the process keep freed memory for the next block of the same size: for commands that read block after
/// block, and hold few at a time. Fresh pages for each copy of each block cost more than all else in `cat`.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` only sets parameters of the allocator, and locks it meanwhile.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BLOCK);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_TOTAL);
    }
}
