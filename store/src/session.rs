//! Who may still need a block that no pin names yet: sessions, stamps and the sweep lock.
//!
//! Garbage collection does not stop the world, so "unreachable from every pin" is not enough to delete a
//! block: an import may have written it a moment ago, and will pin it a moment later. The rule:
//!
//! 1. The store has a current *epoch*, a number that only grows. Every block carries the *stamp* of the last
//!    put or touch: the epoch of that moment.
//! 2. Whoever writes or adopts blocks that it will pin opens a [`Session`] first, and keeps it until the pin
//!    is durable. A session remembers the epoch at which it began.
//! 3. A collection begins by [`Epochs::advance`]: in one step the epoch grows to `E` and the *floor* is taken,
//!    the smallest start of all sessions open at that moment, `E` if there are none. It holds the sweep lock
//!    exclusively for that step, so that nobody is between reading the epoch and writing a stamp.
//! 4. Only then it reads the pins, and marks. It deletes a block only if it is not marked and its stamp is
//!    below the floor.
//! 5. Putting a block that is already there re-stamps it. "Is it there? then stamp it" holds the sweep lock
//!    shared; "is its stamp still below the floor? then delete it" holds it exclusively, one short batch at a
//!    time.
//!
//! Why nothing live is removed: take a block `b` that a session `S` put or touched. If `S` was open at step 3,
//! `b`'s stamp is at least `S`'s start, so at least the floor. If `S` opened later, the stamp is at least `E`.
//! If `S` had ended before step 3, its pin was durable before the pins were read, so `b` is marked. By (5) the
//! stamp can't change between the sweep's check and its delete.
//!
//! Stamps never go back: all writers that hold the sweep lock shared at one time see one epoch (3), so that two of
//! them that stamp one block write the same stamp. Without that, a slow writer of the old epoch could overwrite
//! the stamp of a session of the new one.

use crate::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::{collections::BTreeMap, sync::Arc};

/// The epoch of the store and the sessions that are open.
#[derive(Debug)]
pub struct Epochs {
    state: Mutex<State>,
    sweep: RwLock<()>,
}

#[derive(Debug)]
struct State {
    current: u64,
    /// Number of open sessions by the epoch at which they began.
    open: BTreeMap<u64, usize>,
    /// Whether a collection is running.
    collecting: bool,
}

/// What a collection has to respect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// The new epoch.
    pub epoch: u64,
    /// Blocks with this stamp or a later one stay.
    pub floor: u64,
}

/// A promise that somebody is about to pin what it writes: until this is dropped, no block that was put or
/// touched since it began is collected.
#[derive(Debug)]
#[must_use = "blocks are only guarded while the session is held"]
pub struct Session {
    epochs: Arc<Epochs>,
    start: u64,
}

impl Epochs {
    /// Starts at an epoch that no stamp in the store is above. Stamps of an earlier process may equal it: they keep
    /// garbage for one more collection, nothing else.
    pub fn new(current: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { current, open: BTreeMap::new(), collecting: false }),
            sweep: RwLock::new(()),
        })
    }

    /// The stamp for a block that is written now.
    pub fn current(&self) -> u64 {
        self.state.lock().current
    }

    /// Opens a session.
    pub fn session(self: &Arc<Self>) -> Session {
        let mut state = self.state.lock();
        let start = state.current;
        *state.open.entry(start).or_default() += 1;
        Session { epochs: Arc::clone(self), start }
    }

    /// The right to collect, or `None` while somebody else has it: two collections would disagree on the floor.
    pub fn collector(self: &Arc<Self>) -> Option<Collector> {
        let mut state = self.state.lock();
        if state.collecting {
            return None;
        }
        state.collecting = true;
        Some(Collector(Arc::clone(self)))
    }

    /// Whether a collection is running.
    pub fn collecting(&self) -> bool {
        self.state.lock().collecting
    }

    /// Begins a collection. IMPORTANT: call it before the pins are read; step 3 of the module's rule.
    pub fn advance(&self) -> Advance {
        let _nobody_stamps = self.sweep();
        let mut state = self.state.lock();
        state.current += 1;
        let epoch = state.current;
        let floor = state.open.keys().next().copied().unwrap_or(epoch);
        Advance { epoch, floor }
    }

    /// Held by whoever checks for a block and then puts or stamps it.
    pub fn adopt(&self) -> RwLockReadGuard<'_, ()> {
        self.sweep.read()
    }

    /// Held by the sweep from checking a short batch of stamps to deleting that batch.
    pub fn sweep(&self) -> RwLockWriteGuard<'_, ()> {
        self.sweep.write()
    }
}

/// The right to collect: one at a time has it.
#[derive(Debug)]
#[must_use = "the right ends when this is dropped"]
pub struct Collector(Arc<Epochs>);

impl Drop for Collector {
    fn drop(&mut self) {
        self.0.state.lock().collecting = false;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut state = self.epochs.state.lock();
        if let Some(count) = state.open.get_mut(&self.start) {
            *count -= 1;
            if *count == 0 {
                state.open.remove(&self.start);
            }
        }
    }
}
