//! Work on other threads, in the context of whoever asked for it: what it logs names the same request.

use std::cell::Cell;
use tracing::Span;

/// The work, which will run within the span that this is called in; for threads and blocking pools. Futures have
/// `tracing::Instrument`.
pub fn in_context<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let span = Span::current();
    move || span.in_scope(work)
}

thread_local! {
    static READS: Cell<bool> = const { Cell::new(false) };
}

/// From now on this thread may wait for the disk: futures that it polls read the local store themselves, instead of having
/// it read by the blocking pool and being woken. For threads that somebody polls futures on who answers requests there,
/// and not for those of a runtime.
pub fn reads_here() {
    READS.set(true);
}

/// Does something on a thread that may wait for the disk meanwhile, as after [`reads_here`].
pub fn reading_here<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            READS.set(self.0);
        }
    }
    let _restore = Restore(READS.replace(true));
    work()
}

/// Whether this thread may wait for the disk.
pub(crate) fn may_read() -> bool {
    READS.get()
}
