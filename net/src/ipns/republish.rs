//! Publishing again: the DHT forgets a record after 48 hours, and records end.

use super::{Content, DEFAULT_TTL, Name, Names, NamesConfig, Network, PublishError, Record, local::Row};
use crate::keystore::PrivateKey;
use std::{sync::Arc, time::Duration};

/// From the start of the node to the first time, so that it has found peers by then.
const FIRST: Duration = Duration::from_secs(60);
/// After a failure it is tried again that soon.
const RETRY: Duration = Duration::from_secs(300);
/// How long the network may take for one name.
const PATIENCE: Duration = Duration::from_secs(120);

/// The keys whose names are published again, read anew each time. It may block.
pub type Keys = Arc<dyn Fn() -> Vec<PrivateKey> + Send + Sync>;

/// Publishes the records of all keys again, for ever: run it as a task. One name at a time.
pub async fn republish_forever(names: Names, keys: Keys, config: NamesConfig) {
    let mut wait = FIRST.min(config.republish_period);
    loop {
        tokio::time::sleep(wait).await;
        let read = Arc::clone(&keys);
        let keys = tokio::task::spawn_blocking(move || read()).await.unwrap_or_default();
        let mut failed = false;
        for key in &keys {
            if let Err(error) = names.republish(key, config.record_lifetime).await {
                tracing::warn!(name = %Name::from(key.peer_id()), %error, "a name was not published again");
                failed = true;
            }
        }
        wait = if failed { RETRY.min(config.republish_period) } else { config.republish_period };
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
