//! Answers that may be given again until their time is over.

use cairn_store::names::Target;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

struct Entry {
    target: Target,
    until: Instant,
}

/// A bounded map from names to answers. When it is full, the answer that would have ended first makes room.
pub(super) struct Cache {
    entries: HashMap<String, Entry>,
    size: usize,
    most: Option<Duration>,
}

impl Cache {
    /// Keeps at most `size` answers, each for at most `most`. Zero of either keeps none.
    pub(super) fn new(size: usize, most: Option<Duration>) -> Self {
        Self { entries: HashMap::new(), size, most }
    }

    /// An answer that is still good; its TTL is what is left of its time.
    pub(super) fn get(&self, name: &str, now: Instant) -> Option<Target> {
        let entry = self.entries.get(name)?;
        let left = entry.until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some(Target { path: entry.target.path.clone(), ttl: entry.target.ttl.min(left) })
    }

    /// Keeps an answer for its TTL.
    pub(super) fn set(&mut self, name: String, target: Target, now: Instant) {
        let keep = self.cap(target.ttl);
        let Some(until) = now.checked_add(keep).filter(|_| !keep.is_zero() && self.size > 0) else {
            self.entries.remove(&name);
            return;
        };
        if self.entries.len() >= self.size && !self.entries.contains_key(&name) {
            // A few hundred entries at most: a scan is quicker than keeping an order.
            let first = self.entries.iter().min_by_key(|(_, entry)| entry.until).map(|(name, _)| name.clone());
            if let Some(first) = first {
                self.entries.remove(&first);
            }
        }
        self.entries.insert(name, Entry { target, until });
    }

    /// A TTL as it may be kept and reported.
    pub(super) fn cap(&self, ttl: Duration) -> Duration {
        self.most.map_or(ttl, |most| ttl.min(most))
    }

    /// Forgets an answer.
    pub(super) fn forget(&mut self, name: &str) {
        self.entries.remove(name);
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
        cache.set("a".into(), target(10), start);
        assert_eq!(ttl(&cache, "a", start + 3 * SECOND), Some(7 * SECOND));
        assert_eq!(ttl(&cache, "a", start + 10 * SECOND), None);
        cache.set("a".into(), target(0), start);
        assert_eq!(ttl(&cache, "a", start), None, "a TTL of zero is not kept");
    }

    #[test]
    fn the_configured_bound_shortens_an_answers_time() {
        let start = Instant::now();
        let mut cache = Cache::new(2, Some(5 * SECOND));
        cache.set("a".into(), target(10), start);
        assert_eq!(ttl(&cache, "a", start + 4 * SECOND), Some(SECOND));
        assert_eq!(ttl(&cache, "a", start + 5 * SECOND), None);
        let mut none = Cache::new(2, Some(Duration::ZERO));
        none.set("a".into(), target(10), start);
        assert_eq!(ttl(&none, "a", start), None);
    }

    #[test]
    fn a_full_cache_drops_what_would_end_first() {
        let start = Instant::now();
        let mut cache = Cache::new(2, None);
        for (name, seconds) in [("a", 20), ("b", 10), ("c", 30), ("c", 30)] {
            cache.set(name.into(), target(seconds), start);
        }
        let kept = ["a", "b", "c"].map(|name| cache.get(name, start).is_some());
        assert_eq!(kept, [true, false, true]);
        cache.forget("a");
        assert_eq!(ttl(&cache, "a", start), None);
        let mut none = Cache::new(0, None);
        none.set("a".into(), target(10), start);
        assert!(none.entries.is_empty());
    }
}
