//! Work on other threads, in the context of whoever asked for it: what it logs names the same request.

use tracing::Span;

/// The work, which will run within the span that this is called in; for threads and blocking pools. Futures have
/// `tracing::Instrument`.
pub fn in_context<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let span = Span::current();
    move || span.in_scope(work)
}
