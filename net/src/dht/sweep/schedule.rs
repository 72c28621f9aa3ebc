//! When which region is due. No I/O; times are Unix seconds passed in.
//!
//! A point at fraction x of the keyspace is due x · interval after the start of each cycle. A cursor runs through the
//! keyspace; what lies between it and the point that is due now is overdue and is handed out region by region. A region
//! that could not be served waits in a list of its own and does not hold up the others.

use super::super::key::{Id, Prefix};
use std::collections::BTreeMap;

/// After a region could not be served (no peers, say), the next try.
const RETRY_AFTER: u64 = 60;
/// Regions that wait for their next try. At the limit no others are handed out: it is the network that is away.
const MAX_FAILED: usize = 64;

/// Where the sweep stands, as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// When the cycle began.
    pub(crate) cycle_start: u64,
    /// Everything before this point was served in this cycle: the first 64 bits.
    pub(crate) served: u64,
}

/// The schedule of one DHT.
#[derive(Debug)]
pub(crate) struct Schedule {
    interval: u64,
    cycle_start: u64,
    /// Everything before is handed out.
    cursor: u64,
    /// Regions handed out and not finished: by number, where they begin and in which cycle.
    running: BTreeMap<u64, Position>,
    next_number: u64,
    /// Regions to try again: where they begin, in which cycle they were due, and when.
    failed: BTreeMap<Id, Failed>,
    restarted: bool,
}

#[derive(Debug)]
struct Failed {
    prefix: Prefix,
    at: Position,
    retry: u64,
}

/// A region that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    number: u64,
    /// The region.
    pub(crate) prefix: Prefix,
}

impl Schedule {
    /// Goes on from a position, or, without one, begins with everything overdue: nothing is known to be announced.
    pub(crate) fn new(interval: u64, now: u64, position: Option<Position>) -> Self {
        let interval = interval.max(1);
        let fresh = Position { cycle_start: now.saturating_sub(interval), served: 0 };
        // A position from the future is a clock that was set back.
        let position = position.filter(|p| p.cycle_start <= now).unwrap_or(fresh);
        Self {
            interval,
            cycle_start: position.cycle_start,
            cursor: position.served,
            running: BTreeMap::new(),
            next_number: 0,
            failed: BTreeMap::new(),
            restarted: false,
        }
    }

    /// Begins again with everything overdue. Regions that are being served do not count.
    pub(crate) fn restart(&mut self, now: u64) {
        // Numbers go on, so that what ends now is not taken for a region of the new pass.
        *self = Self { next_number: self.next_number, restarted: true, ..Self::new(self.interval, now, None) };
    }

    /// Goes on from where an earlier run stopped, unless it was restarted already.
    pub(crate) fn resume(&mut self, now: u64, position: Option<Position>) {
        if !self.restarted {
            *self = Self { next_number: self.next_number, ..Self::new(self.interval, now, position) };
        }
    }

    /// The point up to which everything is due.
    fn due_point(&self, now: u64) -> u128 {
        let passed = u128::from(now.saturating_sub(self.cycle_start));
        (passed << 64) / u128::from(self.interval)
    }

    /// A region that is due now. `len`: how long prefixes of regions are at the moment.
    pub(crate) fn next(&mut self, now: u64, len: usize) -> Option<Due> {
        if let Some(start) = self.failed.iter().find(|(_, f)| f.retry <= now).map(|(start, _)| *start) {
            let Failed { prefix, at, .. } = self.failed.remove(&start)?;
            return Some(self.hand_out(prefix, at));
        }
        if self.failed.len() >= MAX_FAILED || u128::from(self.cursor) >= self.due_point(now) {
            return None;
        }
        let mut point = Id([0; 32]);
        point.0[..8].copy_from_slice(&self.cursor.to_be_bytes());
        let prefix = Prefix::new(&point, len);
        // What failed there before is served with it.
        let mut at = Position { cycle_start: self.cycle_start, served: self.cursor };
        self.failed.retain(|start, failed| {
            let inside = prefix.contains(start);
            if inside {
                at = at.min(failed.at);
            }
            !inside
        });
        let due = self.hand_out(prefix, at);
        match prefix.end() {
            Some(end) => self.cursor = end.head(),
            None => {
                self.cursor = 0;
                // After a long stop one full pass is enough, however many were missed.
                self.cycle_start = (self.cycle_start + self.interval).max(now.saturating_sub(self.interval));
            }
        }
        Some(due)
    }

    fn hand_out(&mut self, prefix: Prefix, at: Position) -> Due {
        let number = self.next_number;
        self.next_number += 1;
        self.running.insert(number, at);
        Due { number, prefix }
    }

    /// A region was served.
    pub(crate) fn served(&mut self, due: Due) {
        self.running.remove(&due.number);
    }

    /// A region was not served: it comes again after a pause.
    pub(crate) fn failed(&mut self, due: Due, now: u64) {
        if let Some(at) = self.running.remove(&due.number) {
            let failed = Failed { prefix: due.prefix, at, retry: now + RETRY_AFTER };
            self.failed.insert(due.prefix.start(), failed);
        }
    }

    /// When to ask for the next region, if nothing else happens.
    pub(crate) fn wake_at(&self) -> u64 {
        let offset = (u128::from(self.cursor) * u128::from(self.interval)) >> 64;
        let due = self.cycle_start + u64::try_from(offset).unwrap_or(u64::MAX) + 1;
        let retry = self.failed.values().map(|f| f.retry).min();
        match retry {
            Some(retry) if self.failed.len() >= MAX_FAILED => retry,
            Some(retry) => due.min(retry),
            None => due,
        }
    }

    /// What to write down: everything before it is served.
    pub(crate) fn position(&self) -> Position {
        let here = Position { cycle_start: self.cycle_start, served: self.cursor };
        let unserved = self.running.values().chain(self.failed.values().map(|failed| &failed.at));
        unserved.copied().fold(here, Position::min)
    }

    /// Where the cursor is.
    pub(crate) fn cursor(&self) -> Id {
        let mut point = Id([0; 32]);
        point.0[..8].copy_from_slice(&self.cursor.to_be_bytes());
        point
    }

    /// When the running cycle began.
    pub(crate) fn cycle_start(&self) -> u64 {
        self.cycle_start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const START: u64 = 1_000_000_000;

    /// Runs the schedule minute by minute; when each region was handed out, in order.
    fn run(schedule: &mut Schedule, from: u64, to: u64, len: usize) -> Vec<(u64, String)> {
        let mut out = Vec::new();
        for now in (from..to).step_by(60) {
            while let Some(due) = schedule.next(now, len) {
                out.push((now, due.prefix.bits()));
                schedule.served(due);
            }
        }
        out
    }

    #[test]
    fn a_fresh_node_announces_everything_at_once_and_then_evenly() {
        let mut schedule = Schedule::new(22 * HOUR, START, None);
        let first = run(&mut schedule, START, START + 60, 4);
        assert_eq!(first.len(), 16, "all that it has");
        let later = run(&mut schedule, START + 60, START + 22 * HOUR + 60, 4);
        assert_eq!(later.len(), 16, "and each region once in the next 22 h");
        for (n, (at, bits)) in later.iter().enumerate() {
            let due = START + 22 * HOUR * n as u64 / 16;
            assert!((due..due + 180).contains(at), "region {bits} due {due} came {at}");
        }
    }

    #[test]
    fn a_restart_goes_on_where_it_stopped() {
        let mut schedule = Schedule::new(22 * HOUR, START, Some(Position { cycle_start: START, served: 0 }));
        let before = run(&mut schedule, START, START + 11 * HOUR, 4);
        let position = schedule.position();
        // Five hours of darkness.
        let again = START + 16 * HOUR;
        let mut schedule = Schedule::new(22 * HOUR, again, Some(position));
        let missed = run(&mut schedule, again, again + 60, 4);
        let after = run(&mut schedule, again + 60, START + 22 * HOUR, 4);
        let all: Vec<String> = before.iter().chain(&missed).chain(&after).map(|(_, bits)| bits.clone()).collect();
        let mut once = all.clone();
        once.dedup();
        assert_eq!(all.len(), 16, "{all:?}");
        assert_eq!(all, once, "each region once");
        assert_eq!(missed.len(), 4, "what was due in the dark comes at once");
    }

    #[test]
    fn a_month_of_darkness_costs_one_pass() {
        let position = Position { cycle_start: START, served: 1 << 63 };
        let now = START + 30 * 24 * HOUR;
        let mut schedule = Schedule::new(22 * HOUR, now, Some(position));
        let burst = run(&mut schedule, now, now + 60, 4);
        assert_eq!(burst.len(), 8 + 16);
        assert!(run(&mut schedule, now + 60, now + 22 * HOUR, 4).len() <= 16);
    }

    #[test]
    fn what_fails_is_tried_again_and_not_written_down_as_served() {
        let mut schedule = Schedule::new(22 * HOUR, START, None);
        let a = schedule.next(START, 2).expect("due");
        let b = schedule.next(START, 2).expect("due");
        schedule.served(b);
        assert_eq!(schedule.position().served, 0, "the first is still running");
        schedule.failed(a, START);
        assert_eq!(schedule.position().served, 0, "and has failed");
        // The others go on meanwhile.
        let others: Vec<Due> = std::iter::from_fn(|| schedule.next(START, 2)).collect();
        assert_eq!(others.len(), 2, "each of the rest once");
        assert!(others.iter().all(|due| due.prefix != a.prefix && due.prefix != b.prefix));
        assert!(schedule.wake_at() <= START + RETRY_AFTER);
        let again = schedule.next(START + RETRY_AFTER, 2).expect("due again");
        assert_eq!(again.prefix, a.prefix);
        for due in others.into_iter().chain([again]) {
            schedule.served(due);
        }
        assert_eq!(schedule.position(), Position { cycle_start: START, served: 0 });
    }

    #[test]
    fn when_everything_fails_the_sweep_waits() {
        let mut schedule = Schedule::new(22 * HOUR, START, None);
        for _ in 0..MAX_FAILED {
            let due = schedule.next(START, 10).expect("due");
            schedule.failed(due, START);
        }
        assert_eq!((schedule.next(START, 10), schedule.wake_at()), (None, START + RETRY_AFTER));
        let first = schedule.next(START + RETRY_AFTER, 10).expect("the first again");
        assert_eq!(first.prefix.start(), Id([0; 32]));
        // A wider region comes round in the next cycle and takes the smaller ones along.
        schedule.failed(first, START + RETRY_AFTER);
        schedule.restart(START);
        assert_eq!(schedule.failed.len(), 0);
    }

    #[test]
    fn what_ends_after_a_restart_is_not_of_the_new_pass() {
        let mut schedule = Schedule::new(22 * HOUR, START, None);
        let old = schedule.next(START, 2).expect("due");
        schedule.restart(START + 10);
        let new = schedule.next(START + 10, 2).expect("everything is due again");
        assert_eq!(old.prefix, new.prefix);
        schedule.served(old);
        assert_eq!(schedule.running.len(), 1, "the new one is still running");
        // What an earlier run wrote down does not undo it.
        schedule.resume(START + 10, Some(Position { cycle_start: START + 10, served: 0 }));
        assert!(schedule.next(START + 10, 2).is_some());
    }

    #[test]
    fn regions_may_change_their_size_on_the_way() {
        let mut schedule = Schedule::new(22 * HOUR, START, None);
        let mut end = 0u128;
        for len in [4, 6, 3, 8, 2, 2, 1, 5].into_iter().cycle() {
            let due = schedule.next(START, len).expect("all is due");
            assert!(u128::from(due.prefix.start().head()) <= end, "no gap");
            match due.prefix.end() {
                Some(e) => end = u128::from(e.head()),
                None => break,
            }
        }
        assert_eq!(schedule.position(), Position { cycle_start: START, served: 0 }.max_running(&schedule));
    }

    impl Position {
        /// Nothing was marked as served above, so the position is still the beginning of the cycle before.
        fn max_running(self, schedule: &Schedule) -> Self {
            schedule.running.values().copied().min().unwrap_or(self)
        }
    }
}
