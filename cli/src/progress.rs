//! Progress bars: drawn by this process, or by the client that a command runs for.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::Read,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Time between two frames of a bar that moves by itself.
const FRAME: Duration = Duration::from_millis(100);
/// Time between two reports to a client.
const REPORT: Duration = Duration::from_millis(100);

/// What a bar shows.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct State {
    /// A template of indicatif.
    pub template: String,
    /// All there is to do, where it is known.
    pub total: Option<u64>,
    /// What is done.
    pub done: u64,
    /// A text in the template.
    pub message: String,
    /// Whether this is the last word.
    pub end: Option<End>,
}

/// How a bar ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum End {
    /// It is taken away.
    Clear,
    /// It stays, full.
    Finish,
    /// It stays as it is.
    Abandon,
}

/// Takes what a client shall draw.
pub type Report = Box<dyn Fn(&State) + Send + Sync>;

/// A bar. Clones are the same bar.
#[derive(Clone)]
pub struct Bar(Inner);

#[derive(Clone)]
enum Inner {
    Hidden,
    Near(ProgressBar),
    Far(Arc<Far>),
}

struct Far {
    state: Mutex<(State, Option<Instant>)>,
    report: Report,
}

impl Far {
    fn change(&self, now: bool, change: impl FnOnce(&mut State)) {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, last) = &mut *guard;
        change(state);
        if now || last.is_none_or(|last| last.elapsed() >= REPORT) {
            *last = Some(Instant::now());
            (self.report)(state);
        }
    }
}

impl Bar {
    /// None.
    pub fn hidden() -> Self {
        Self(Inner::Hidden)
    }

    /// On this process's stderr.
    pub fn on_terminal(template: &str, total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bar.with_style(style);
        if template.contains("{spinner}") {
            bar.enable_steady_tick(FRAME);
        }
        Self(Inner::Near(bar))
    }

    /// Drawn by whoever takes the reports.
    pub fn far(template: &str, total: Option<u64>, report: Report) -> Self {
        let state = State { template: template.to_owned(), total, ..State::default() };
        report(&state);
        Self(Inner::Far(Arc::new(Far { state: Mutex::new((state, Some(Instant::now()))), report })))
    }

    /// Shows that this much more is done.
    pub fn inc(&self, more: u64) {
        match &self.0 {
            Inner::Hidden => {}
            Inner::Near(bar) => bar.inc(more),
            Inner::Far(far) => far.change(false, |s| s.done += more),
        }
    }

    /// Shows how much is done.
    pub fn set_position(&self, done: u64) {
        match &self.0 {
            Inner::Hidden => {}
            Inner::Near(bar) => bar.set_position(done),
            Inner::Far(far) => far.change(false, |s| s.done = done),
        }
    }

    /// Says how much there is to do.
    pub fn set_length(&self, total: u64) {
        match &self.0 {
            Inner::Hidden => {}
            Inner::Near(bar) => bar.set_length(total),
            Inner::Far(far) => far.change(true, |s| s.total = Some(total)),
        }
    }

    /// Shows a text.
    pub fn set_message(&self, message: String) {
        match &self.0 {
            Inner::Hidden => {}
            Inner::Near(bar) => bar.set_message(message),
            Inner::Far(far) => far.change(false, |s| s.message = message),
        }
    }

    /// Hides the bar while something else is printed.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Inner::Near(bar) => bar.suspend(print),
            // A client hides its bar when it is given something to print.
            Inner::Hidden | Inner::Far(_) => print(),
        }
    }

    /// Ends the bar.
    pub fn end(&self, end: End) {
        match (&self.0, end) {
            (Inner::Hidden, _) => {}
            (Inner::Near(bar), End::Clear) => bar.finish_and_clear(),
            (Inner::Near(bar), End::Finish) => bar.finish(),
            (Inner::Near(bar), End::Abandon) => bar.abandon(),
            (Inner::Far(far), end) => far.change(true, |s| s.end = Some(end)),
        }
    }

    /// Ends the bar and takes it away.
    pub fn finish_and_clear(&self) {
        self.end(End::Clear);
    }

    /// Counts what is read.
    pub fn wrap_read(&self, reader: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        match &self.0 {
            Inner::Hidden => reader,
            _ => Box::new(Counted { reader, bar: self.clone() }),
        }
    }
}

struct Counted {
    reader: Box<dyn Read + Send>,
    bar: Bar,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.bar.inc(n as u64);
        Ok(n)
    }
}
