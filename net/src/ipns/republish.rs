//! Publishing again: the DHT forgets a record after 48 hours, and records end.

use super::{Content, DEFAULT_TTL, Name, Names, NamesConfig, Network, PublishError, Record, local::Row};
use crate::keystore::PrivateKey;
use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// From the start of the node to the first time, so that it has found peers by then.
const FIRST: Duration = Duration::from_secs(60);
/// What failed is tried again that soon.
const RETRY: Duration = Duration::from_secs(300);
/// How long the network may take for one name.
const PATIENCE: Duration = Duration::from_secs(120);

/// When which names are published again.
struct Rounds {
    period: Duration,
    all_at: Instant,
    /// Of the last round: at most as many as there are keys.
    failed: HashSet<Name>,
}

impl Rounds {
    fn new(period: Duration, now: Instant) -> Self {
        Self { period, all_at: now + FIRST.min(period), failed: HashSet::new() }
    }

    /// When the next round is, if the last one ended now.
    fn next(&self, now: Instant) -> Instant {
        if self.failed.is_empty() { self.all_at } else { self.all_at.min(now + RETRY) }
    }

    /// Begins a round: of these names only, or of all.
    fn begin(&mut self, now: Instant) -> Option<HashSet<Name>> {
        let failed = std::mem::take(&mut self.failed);
        if now < self.all_at {
            return Some(failed);
        }
        self.all_at = now + self.period;
        None
    }

    fn failed(&mut self, name: Name) {
        self.failed.insert(name);
    }
}

/// The keys whose names are published again, read anew each time. It may block.
pub type Keys = Arc<dyn Fn() -> Vec<PrivateKey> + Send + Sync>;

/// Publishes the records of all keys again, for ever: run it as a task. One name at a time. Those that the network did
/// not take are tried again soon.
pub async fn republish_forever(names: Names, keys: Keys, config: NamesConfig) {
    let mut rounds = Rounds::new(config.republish_period, Instant::now());
    loop {
        tokio::time::sleep_until(rounds.next(Instant::now()).into()).await;
        let read = Arc::clone(&keys);
        let keys = tokio::task::spawn_blocking(move || read()).await.unwrap_or_default();
        let due = rounds.begin(Instant::now());
        for key in &keys {
            let name = Name::from(key.peer_id());
            if due.as_ref().is_some_and(|due| !due.contains(&name)) {
                continue;
            }
            let Err(error) = names.republish(key, config.record_lifetime).await else { continue };
            tracing::warn!(%name, %error, "a name was not published again");
            // A record that can't be made today can't be made in five minutes.
            if !matches!(error, PublishError::Record(_)) {
                rounds.failed(name);
            }
        }
    }
}

impl Names {
    /// Publishes the record of a key again, with the same value, number and TTL, valid for `lifetime` from now on, or
    /// as long as it was if that is longer. Whether there was one.
    ///
    /// # Errors
    /// [`PublishError`], as [`Names::publish`].
    pub async fn republish(&self, key: &PrivateKey, lifetime: Duration) -> Result<bool, PublishError> {
        let name = Name::from(key.peer_id());
        let record = {
            let _one = self.inner.publishing.lock().await;
            let Some(bytes) = self.inner.local.get(Row::Record, name).await? else { return Ok(false) };
            // What was put here and is not valid is nothing to publish.
            let old = Record::parse(&bytes).and_then(|old| super::validate_at_any_time(&old, name).map(|()| old));
            let Ok(old) = old else { return Ok(false) };
            let value = old.value()?.to_string();
            let content = Content {
                value: &value,
                sequence: old.sequence()?,
                eol: Self::now().after(lifetime).or_later(old.eol().ok()),
                ttl: old.ttl().unwrap_or(DEFAULT_TTL),
                v1: old.has_v1(),
            };
            let record = Record::new(key, &content)?;
            self.inner.local.put(Row::Record, name, record.bytes().clone()).await?;
            record
        };
        let deadline = Some(std::time::Instant::now() + PATIENCE);
        self.announce(name, &record, Some(key.public()), Network::Required, deadline).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_that_fails_does_not_have_all_published_again() {
        let (start, period) = (Instant::now(), Duration::from_secs(4 * 3600));
        let mut rounds = Rounds::new(period, start);
        let first = rounds.next(start);
        assert_eq!((first, rounds.begin(first)), (start + FIRST, None));
        assert_eq!(rounds.next(first), first + period);
        let name = Name::from(libp2p::PeerId::random());
        rounds.failed(name);
        let again = rounds.next(first);
        assert_eq!((again, rounds.begin(again)), (first + RETRY, Some(HashSet::from([name]))));
        rounds.failed(name);
        let last = first + period - RETRY / 2;
        assert_eq!(rounds.next(last), first + period, "all are due before");
        assert_eq!(rounds.begin(first + period), None);
        assert_eq!(rounds.next(first + period), first + period * 2, "what failed was among all");
    }
}
