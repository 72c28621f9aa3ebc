//! Which requests run, and which ran lately: `cairn diag cmds`.

use crate::ctx::Cancel;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tracing::Span;

/// Requests that have ended and are remembered, at most.
const MAX_ENDED: usize = 1024;
/// How long they are remembered, unless another time is set: Kubo's.
const KEEP: Duration = Duration::from_secs(3600);

/// Arguments of one that are remembered, and characters of each.
const MAX_ARGUMENTS: usize = 32;
const MAX_ARGUMENT: usize = 256;

/// A request.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its number.
    pub id: u64,
    /// The command: `pin/ls`.
    pub command: String,
    /// Its options, cut short as its arguments are.
    pub options: BTreeMap<String, String>,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// When it began.
    pub begun: SystemTime,
    /// When it ended, if it did.
    pub ended: Option<SystemTime>,
}

/// All of them.
#[derive(Debug)]
pub struct Log(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    next: u64,
    keep: Duration,
    running: BTreeMap<u64, (Entry, Cancel)>,
    ended: VecDeque<Entry>,
}

impl Default for Log {
    fn default() -> Self {
        Self(Mutex::new(Inner { next: 0, keep: KEEP, running: BTreeMap::new(), ended: VecDeque::new() }))
    }
}

/// A request that runs; it has ended when this is dropped.
pub struct Running {
    log: Arc<Log>,
    id: u64,
    span: Span,
}

impl Running {
    /// The span within which it runs.
    pub fn span(&self) -> &Span {
        &self.span
    }
}

impl Log {
    /// Notes that a request begins.
    pub fn begin(
        self: &Arc<Self>,
        command: &str,
        mut options: BTreeMap<String, String>,
        mut arguments: Vec<String>,
        cancel: Cancel,
    ) -> Running {
        if arguments.len() > MAX_ARGUMENTS {
            arguments.truncate(MAX_ARGUMENTS);
            arguments.push("…".to_owned());
        }
        options.values_mut().chain(&mut arguments).for_each(cut);
        let mut inner = self.0.lock();
        let id = inner.next;
        inner.next += 1;
        let span = tracing::debug_span!("request", id, cmd = command, arg = arguments.first());
        let begun = SystemTime::now();
        let entry = Entry { id, command: command.to_owned(), options, arguments, begun, ended: None };
        inner.running.insert(id, (entry, cancel));
        Running { log: Arc::clone(self), id, span }
    }

    /// How many run, and how many began.
    pub fn counts(&self) -> (usize, u64) {
        let inner = self.0.lock();
        (inner.running.len(), inner.next)
    }

    /// All, by their numbers.
    pub fn entries(&self) -> Vec<Entry> {
        let mut inner = self.0.lock();
        inner.forget(SystemTime::now());
        let mut all: Vec<Entry> = inner.ended.iter().chain(inner.running.values().map(|(e, _)| e)).cloned().collect();
        all.sort_by_key(|e| e.id);
        all
    }

    /// Forgets those that have ended.
    pub fn clear(&self) {
        self.0.lock().ended.clear();
    }

    /// Sets how long those that have ended are remembered.
    pub fn set_keep(&self, keep: Duration) {
        self.0.lock().keep = keep;
    }

    /// Tells all to stop.
    pub fn cancel_all(&self) {
        self.0.lock().running.values().for_each(|(_, cancel)| cancel.request());
    }
}

/// Makes a text short enough to be remembered.
fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_ARGUMENT) {
        text.truncate(end);
        text.push('…');
    }
}

impl Inner {
    fn forget(&mut self, now: SystemTime) {
        let keep = self.keep;
        let old = |e: &Entry| e.ended.and_then(|t| now.duration_since(t).ok()).is_some_and(|age| age > keep);
        while self.ended.len() > MAX_ENDED || self.ended.front().is_some_and(old) {
            self.ended.pop_front();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut inner = self.log.0.lock();
        if let Some((mut entry, _)) = inner.running.remove(&self.id) {
            let now = SystemTime::now();
            entry.ended = Some(now);
            inner.ended.push_back(entry);
            inner.forget(now);
        }
    }
}
