//! Answers that may be given again until their time is over.

use cairn_store::names::Target;
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

struct Entry {
    target: Target,
    until: Instant,
    /// Of an answer that this node gives itself, until when it is valid.
    own: Option<Instant>,
    number: u64,
}

/// A bounded map from names to answers. When it is full, the answer that was kept longest ago makes room. An answer that
/// was looked for takes no longer the place of one that this node gave in the meantime: [`Cache::remembered`].
pub(super) struct Cache {
    entries: HashMap<String, Entry>,
    /// Numbers of entries, the oldest first; at most twice as many as there may be entries.
    order: VecDeque<(u64, String)>,
    next: u64,
    remembered: u64,
    size: usize,
    most: Option<Duration>,
}

impl Cache {
    /// Keeps at most `size` answers, each for at most `most`. Zero of either keeps none.
    pub(super) fn new(size: usize, most: Option<Duration>) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), next: 0, remembered: 0, size, most }
    }

    /// An answer that is still good. Its TTL is what is left of its time; of an answer that this node gives itself, which is
    /// as new as on the first day, all of its TTL while it is valid.
    pub(super) fn get(&self, name: &str, now: Instant) -> Option<Target> {
        let entry = self.entries.get(name)?;
        let left = entry.until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        let left = entry.own.map_or(left, |valid| self.cap(valid.saturating_duration_since(now)));
        Some(Target { path: entry.target.path.clone(), ttl: self.cap(entry.target.ttl).min(left) })
    }

    /// Keeps an answer for its TTL; `own` says until when it is valid if this node gives it itself.
    pub(super) fn set(&mut self, name: String, target: Target, own: Option<Instant>, now: Instant) {
        let keep = self.cap(target.ttl);
        let Some(until) = now.checked_add(keep).filter(|_| !keep.is_zero() && self.size > 0) else {
            self.entries.remove(&name);
            return;
        };
        let number = self.next;
        self.next += 1;
        self.order.push_back((number, name.clone()));
        self.entries.insert(name, Entry { target, until, own, number });
        while self.entries.len() > self.size || self.order.len() > 2 * self.size {
            let Some((number, name)) = self.order.pop_front() else { break };
            // What was replaced or forgotten is not there any more under that number.
            if self.entries.get(&name).is_some_and(|entry| entry.number == number) {
                self.entries.remove(&name);
            }
        }
    }

    /// How often answers were kept that this node gave itself. Who looks for an answer compares before and after.
    pub(super) fn remembered(&self) -> u64 {
        self.remembered
    }

    /// Keeps an answer, or none, that this node gave itself.
    pub(super) fn remember(&mut self, name: String, target: Option<(Target, Instant)>, now: Instant) {
        self.remembered += 1;
        match target {
            Some((target, valid)) => self.set(name, target, Some(valid), now),
            None => drop(self.entries.remove(&name)),
        }
    }

    /// A TTL as it may be kept and reported.
    pub(super) fn cap(&self, ttl: Duration) -> Duration {
        self.most.map_or(ttl, |most| ttl.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_store::path::Path;

    const SECOND: Duration = Duration::from_secs(1);

    fn target(ttl: u32) -> Target {
        Target { path: Path::parse("/ipfs/bafkqaaa").expect("a path"), ttl: ttl * SECOND }
    }

    fn ttl(cache: &Cache, name: &str, now: Instant) -> Option<Duration> {
        cache.get(name, now).map(|target| target.ttl)
    }

    #[test]
    fn an_answer_is_given_until_its_time_is_over() {
        let start = Instant::now();
        let mut cache = Cache::new(2, None);
        cache.set("a".into(), target(10), None, start);
        assert_eq!(ttl(&cache, "a", start + 3 * SECOND), Some(7 * SECOND));
        assert_eq!(ttl(&cache, "a", start + 10 * SECOND), None);
        cache.set("a".into(), target(0), None, start);
        assert_eq!(ttl(&cache, "a", start), None, "a TTL of zero is not kept");
    }

    #[test]
    fn the_configured_bound_shortens_an_answers_time() {
        let start = Instant::now();
        let mut cache = Cache::new(2, Some(5 * SECOND));
        cache.set("a".into(), target(10), None, start);
        assert_eq!(ttl(&cache, "a", start + 4 * SECOND), Some(SECOND));
        assert_eq!(ttl(&cache, "a", start + 5 * SECOND), None);
        let mut none = Cache::new(2, Some(Duration::ZERO));
        none.set("a".into(), target(10), None, start);
        assert_eq!(ttl(&none, "a", start), None);
    }

    #[test]
    fn an_answer_of_this_nodes_own_keeps_its_ttl_while_it_is_valid() {
        let start = Instant::now();
        let mut cache = Cache::new(2, None);
        cache.set("a".into(), target(600), Some(start + 3600 * SECOND), start);
        assert_eq!(ttl(&cache, "a", start + 599 * SECOND), Some(600 * SECOND));
        assert_eq!(ttl(&cache, "a", start + 600 * SECOND), None, "it is looked at again");
        cache.remember("b".into(), Some((target(600), start + 700 * SECOND)), start);
        assert_eq!(ttl(&cache, "b", start + 100 * SECOND), Some(600 * SECOND));
        assert_eq!(ttl(&cache, "b", start + 300 * SECOND), Some(400 * SECOND), "no longer than it is valid");
    }

    #[test]
    fn a_full_cache_drops_what_was_kept_first() {
        let start = Instant::now();
        let mut cache = Cache::new(2, None);
        for (name, seconds) in [("a", 20), ("b", 10), ("c", 30), ("c", 30)] {
            cache.set(name.into(), target(seconds), None, start);
        }
        let kept = ["a", "b", "c"].map(|name| cache.get(name, start).is_some());
        assert_eq!(kept, [false, true, true]);
        cache.set("b".into(), target(10), None, start);
        cache.set("d".into(), target(10), None, start);
        let kept = ["b", "c", "d"].map(|name| cache.get(name, start).is_some());
        assert_eq!(kept, [true, false, true], "what is kept again is new");
        for _ in 0..100 {
            cache.set("b".into(), target(10), None, start);
        }
        assert!(cache.order.len() <= 4 && cache.get("b", start).is_some());
        cache.remember("b".into(), None, start);
        assert_eq!(ttl(&cache, "b", start), None);
        let mut none = Cache::new(0, None);
        none.set("a".into(), target(10), None, start);
        assert!(none.entries.is_empty());
    }
}
