//! What is set once for the whole process, before any thread exists, and its memory later on.

#![allow(unsafe_code)]

use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Allocations from this many bytes on are given back to the system when they are freed; smaller ones, every
/// block among them, come from the heap. The default threshold of glibc grows with use, and the 4 MiB buffers of
/// an import would then stay in the heaps of its threads: it would peak at 170 MB for 1 GiB instead of 130.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD: i32 = 3 << 20;
/// Bytes of freed memory that each heap keeps at most. Fresh pages for each copy of each block cost more than all
/// else in `cat`.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: i32 = 8 << 20;

/// Heaps for each core, and how many there are at least and at most. By default there are 8 for each core, and every
/// thread of the blocking pool that gets one of its own leaves what it freed in it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HEAPS: (usize, usize, usize) = (2, 4, 32);

/// Size that stdout gets if it is a pipe, in bytes: what an unprivileged process may ask for. The default of 64 KiB
/// makes writer and reader wait for each other four times in every block.
#[cfg(target_os = "linux")]
const PIPE: i32 = 1 << 20;

/// Makes the process behave like other Unix tools: a closed pipe ends it quietly, and large memory that is freed
/// is given back.
pub fn prepare() {
    // SAFETY: called first in `main`, before any thread exists; SIG_DFL is a valid disposition.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    let heaps = std::thread::available_parallelism().map_or(1, usize::from);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` only sets parameters of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        let heaps = heaps.saturating_mul(HEAPS.0).clamp(HEAPS.1, HEAPS.2);
        libc::mallopt(libc::M_ARENA_MAX, i32::try_from(heaps).unwrap_or(i32::MAX));
    }
    #[cfg(target_os = "linux")]
    // SAFETY: on anything but a pipe it is refused and changes nothing.
    unsafe {
        libc::fcntl(libc::STDOUT_FILENO, libc::F_SETPIPE_SZ, PIPE);
    }
}

/// Time between two [`trim`]s of a process that stays.
const TRIM: Duration = Duration::from_secs(15);

/// Gives freed memory back to the system that lies between what is in use: in an hour of fetching it would come to more
/// than that. It takes a few milliseconds, and as many to get it back.
fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes the locks of the heaps, and touches only pages that hold nothing.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Trims until told to stop.
pub async fn trim_regularly(stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(TRIM)).await.is_some() {
        // It ends by itself.
        let _ = tokio::task::spawn_blocking(trim).await;
    }
}
