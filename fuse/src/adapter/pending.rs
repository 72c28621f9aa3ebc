//! Requests that take their time, and the signals that end the wait for them.

use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use tokio::sync::oneshot;

/// Interrupts that came before their request was under way; the oldest are dropped. Such a request runs to its deadline.
const MAX_EARLY: usize = 1024;

#[derive(Default)]
struct Tables {
    waiting: HashMap<u64, oneshot::Sender<()>>,
    early: VecDeque<u64>,
}

/// What is under way and may be interrupted.
#[derive(Default)]
pub(super) struct Pending(Mutex<Tables>);

impl Pending {
    /// Says when that request is interrupted. [`Pending::done`] has to follow.
    pub(super) fn wait(&self, unique: u64) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut tables = self.0.lock();
        if let Some(at) = tables.early.iter().position(|&early| early == unique) {
            tables.early.remove(at);
            // The receiver is here.
            let _ = sender.send(());
        } else {
            tables.waiting.insert(unique, sender);
        }
        receiver
    }

    pub(super) fn done(&self, unique: u64) {
        self.0.lock().waiting.remove(&unique);
    }

    /// The process that waits for that request got a signal.
    pub(super) fn interrupt(&self, unique: u64) {
        let mut tables = self.0.lock();
        if let Some(sender) = tables.waiting.remove(&unique) {
            // It may be done at this moment.
            let _ = sender.send(());
            return;
        }
        if tables.early.len() == MAX_EARLY {
            tables.early.pop_front();
        }
        tables.early.push_back(unique);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_is_heard_before_and_after_the_request_is_under_way() {
        let pending = Pending::default();
        let mut late = pending.wait(1);
        assert!(late.try_recv().is_err());
        pending.interrupt(1);
        assert!(late.try_recv().is_ok());
        pending.interrupt(2);
        assert!(pending.wait(2).try_recv().is_ok());
        for unique in 0..3000 {
            pending.interrupt(unique);
        }
        assert_eq!(pending.0.lock().early.len(), MAX_EARLY);
        let mut done = pending.wait(5000);
        pending.done(5000);
        assert!(done.try_recv().is_err());
        assert!(pending.0.lock().waiting.is_empty());
    }
}
