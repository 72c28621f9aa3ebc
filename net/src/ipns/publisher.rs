//! Making a name point somewhere, and keeping records and keys for others.

use super::{
    Content, Name, Names, Record, RecordError, ResolveOptions, Timestamp, compare,
    local::Row,
    validate::{PUBLIC_KEY_PREFIX, read_public_key},
};
use crate::{keystore::PrivateKey, routing::RoutingError};
use bytes::Bytes;
use cairn_store::{StoreError, fetch::Deadline, names::Target, path::Path};
use futures::StreamExt as _;
use libp2p::identity::PublicKey;
use std::{
    cmp::Ordering,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long an earlier record is searched for in the network before a first one is made.
pub(super) const MAX_LOOK_BACK: Duration = Duration::from_secs(30);

/// What a publication needs of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// It fails when the network does not take it.
    Required,
    /// It is enough that this node keeps it (`--allow-offline`); a network that is there is told too.
    Optional,
    /// HTTP servers (`Ipns.DelegatedPublishers`) have to take it, and nobody else is told (`--allow-delegated`).
    Delegated,
}

/// How a name is published.
#[derive(Debug, Clone, Copy)]
pub struct Publish {
    /// How long the record is valid.
    pub lifetime: Duration,
    /// How long an answer may be kept.
    pub ttl: Duration,
    /// The number of this version; else one more than the last one's if the value changes.
    pub sequence: Option<u64>,
    /// Whether readers of version 1 shall understand it.
    pub v1: bool,
    /// What is needed of the network.
    pub network: Network,
    /// When to give up on the network.
    pub deadline: Deadline,
}

/// Why a record or key can't be published.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    /// There is no network here.
    #[error("can't publish while offline")]
    Offline,
    /// There is no HTTP server to give it to.
    #[error(
        "no delegated publishers configured: add Ipns.DelegatedPublishers or use --allow-offline for local-only publishing"
    )]
    NoPublishers,
    /// The number that was asked for is not higher than the last one.
    #[error("sequence number must be greater than the current record sequence")]
    Sequence,
    /// There is a better record: what is kept would not count.
    #[error("can't replace a newer value with an older value: the record here has sequence {0}")]
    Older(u64),
    /// There is a valid record, and the new one is not valid.
    #[error("there is a valid record for this name, and the new one is not: {0}")]
    Worse(RecordError),
    /// The record or key can't be made or used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The network did not take it. It is kept here all the same.
    #[error("kept here, but not in the network: {0}")]
    Routing(#[from] RoutingError),
    /// It can't be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Names {
    /// Makes the name of a key point at `value`. The record is kept durably before the network is told.
    ///
    /// # Errors
    /// [`PublishError`]. After [`PublishError::Routing`] the record counts on this node, and is published again later.
    pub async fn publish(&self, key: &PrivateKey, value: &Path, options: &Publish) -> Result<Record, PublishError> {
        self.check_network(options.network)?;
        let name = Name::from(key.peer_id());
        let value = value.to_string();
        let record = {
            // The network is asked before, so that others who publish do not wait for it.
            let there = self.last_there(name, options.network).await?;
            let _one = self.inner.publishing.lock().await;
            let last = self.last_here(name).await?.or(there);
            let sequence = next_sequence(last.as_ref(), &value, options.sequence)?;
            let eol = Self::now().after(options.lifetime);
            let content = Content { value: &value, sequence, eol, ttl: options.ttl, v1: options.v1 };
            let record = Record::new(key, &content)?;
            self.inner.local.put(Row::Record, name, record.bytes().clone()).await?;
            self.remember(name, &record);
            record
        };
        self.announce(name, &record, Some(key.public()), options.network, options.deadline).await?;
        Ok(record)
    }

    /// Keeps a record that was made elsewhere, as it is, and tells the network. A record that is not valid is kept
    /// where there is no valid one, as Kubo does when it is offline; whoever asks for it learns why it does not count.
    ///
    /// # Errors
    /// [`PublishError::Older`], [`PublishError::Worse`], or what the network says. Gives why the record is not valid.
    pub async fn put(
        &self,
        name: Name,
        bytes: Bytes,
        network: Network,
        deadline: Deadline,
    ) -> Result<Result<Record, RecordError>, PublishError> {
        self.check_network(network)?;
        let now = Self::now();
        let new = super::parse_valid(&bytes, name, now);
        {
            let _one = self.inner.publishing.lock().await;
            let old = self.inner.local.get(Row::Record, name).await?;
            let old = old.and_then(|old| super::parse_valid(&old, name, now).ok());
            match (&new, &old) {
                (Err(why), Some(_)) => return Err(PublishError::Worse(why.clone())),
                (Ok(new), Some(old)) if compare(new, old) == Ordering::Less => {
                    return Err(PublishError::Older(old.sequence()?));
                }
                _ => {}
            }
            if network != Network::Optional {
                new.clone()?;
            }
            self.inner.local.put(Row::Record, name, bytes).await?;
            new.iter().for_each(|record| self.remember(name, record));
        }
        if let Ok(record) = &new {
            self.announce(name, record, None, network, deadline).await?;
        }
        Ok(new)
    }

    /// Keeps a public key for those who know only its hash, and tells the network.
    ///
    /// # Errors
    /// [`PublishError::Record`] when it is not the key of that name; else what the network says.
    pub async fn put_public_key(
        &self,
        name: Name,
        bytes: Bytes,
        network: Network,
        deadline: Deadline,
    ) -> Result<(), PublishError> {
        self.check_network(network)?;
        let key = read_public_key(name, &bytes)?;
        self.inner.local.put(Row::PublicKey, name, bytes).await?;
        self.announce_key(name, &key, network, deadline).await
    }

    /// The public key of a name: in the name itself, kept here, or in the network.
    ///
    /// # Errors
    /// [`PublishError::Record`] when it can't be had.
    pub async fn public_key(&self, name: Name, deadline: Deadline) -> Result<Bytes, PublishError> {
        if let Some(key) = name.public_key() {
            return Ok(key.encode_protobuf().into());
        }
        if let Some(bytes) = self.inner.local.get(Row::PublicKey, name).await? {
            return Ok(bytes);
        }
        let routing = self.inner.routing.as_ref().ok_or(RecordError::KeyNotFound)?;
        let deadline = deadline.unwrap_or_else(|| Instant::now() + super::MAX_SEARCH);
        let mut found = Arc::clone(routing).search_value(key_of_key(name).into(), Some(deadline));
        while let Ok(Some(bytes)) = tokio::time::timeout_at(deadline.into(), found.next()).await {
            if let Ok(bytes) = bytes
                && read_public_key(name, &bytes).is_ok()
            {
                return Ok(bytes);
            }
        }
        Err(RecordError::KeyNotFound.into())
    }

    /// Whether there is a network to tell.
    pub fn is_online(&self) -> bool {
        self.inner.routing.is_some()
    }

    fn check_network(&self, network: Network) -> Result<(), PublishError> {
        match network {
            Network::Required if !self.is_online() => Err(PublishError::Offline),
            Network::Delegated if self.inner.publishers[1].is_none() => Err(PublishError::NoPublishers),
            _ => Ok(()),
        }
    }

    /// The record of a name that this node has, expired or not. What is no record is none.
    async fn last_here(&self, name: Name) -> Result<Option<Record>, PublishError> {
        let Some(bytes) = self.inner.local.get(Row::Record, name).await? else { return Ok(None) };
        let record = Record::parse(&bytes);
        Ok(record.and_then(|r| super::validate_at_any_time(&r, name).map(|()| r)).ok())
    }

    /// The last record in the network of a name that this node has none of.
    async fn last_there(&self, name: Name, network: Network) -> Result<Option<Record>, PublishError> {
        if self.last_here(name).await?.is_some() {
            return Ok(None);
        }
        let deadline = Some(Instant::now() + MAX_LOOK_BACK);
        if let (Network::Delegated, Some(publishers)) = (network, &self.inner.publishers[1]) {
            let found: Vec<_> =
                Arc::clone(publishers).search_value(name.routing_key().into(), deadline).collect().await;
            let records =
                found.into_iter().filter_map(|bytes| super::parse_valid(&bytes.ok()?, name, Self::now()).ok());
            return Ok(records.max_by(compare));
        }
        if !self.is_online() {
            return Ok(None);
        }
        Ok(self.best(name, ResolveOptions { deadline, ..ResolveOptions::default() }).await.ok())
    }

    /// Gives the new answer from now on. Called while nobody else publishes, so that the last one stays.
    fn remember(&self, name: Name, record: &Record) {
        let (time, now) = (Self::now(), Instant::now());
        let target = record.value().ok().map(|path| Target { path, ttl: record.cache_ttl(time) });
        let valid = now.checked_add(record.valid_for(time)).unwrap_or(now);
        self.inner.cache.lock().remember(name.to_string(), target.map(|target| (target, valid)), now);
    }

    pub(super) async fn announce(
        &self,
        name: Name,
        record: &Record,
        key: Option<&PublicKey>,
        network: Network,
        deadline: Deadline,
    ) -> Result<(), PublishError> {
        if network == Network::Delegated {
            let publishers = self.inner.publishers[1].as_ref().ok_or(PublishError::NoPublishers)?;
            return Ok(publishers.put_value(name.routing_key().into(), record.bytes().clone(), deadline).await?);
        }
        if let Some(publishers) = &self.inner.publishers[0]
            && self.is_online()
            && let Err(error) = publishers.put_value(name.routing_key().into(), record.bytes().clone(), deadline).await
        {
            tracing::warn!(%name, %error, "a record was not taken by Ipns.DelegatedPublishers");
        }
        if let Some(pubsub) = &self.inner.pubsub
            && let Err(error) = pubsub.publish(name, record.bytes().clone()).await
        {
            tracing::warn!(%name, %error, "a record was not published on PubSub");
        }
        if let Some(key) = key.filter(|_| name.public_key().is_none()) {
            // Records carry such keys; this is for those who need the key alone.
            self.announce_key(name, key, Network::Optional, deadline).await?;
        }
        self.tell(name.routing_key(), record.bytes().clone(), network, deadline).await
    }

    async fn announce_key(
        &self,
        name: Name,
        key: &PublicKey,
        network: Network,
        deadline: Deadline,
    ) -> Result<(), PublishError> {
        self.tell(key_of_key(name), key.encode_protobuf().into(), network, deadline).await
    }

    async fn tell(&self, key: Vec<u8>, value: Bytes, network: Network, deadline: Deadline) -> Result<(), PublishError> {
        let Some(routing) = &self.inner.routing else { return Ok(()) };
        match routing.put_value(key.into(), value, deadline).await {
            Err(error) if network == Network::Optional => {
                tracing::warn!(%error, "kept here, but not in the network");
                Ok(())
            }
            result => Ok(result?),
        }
    }
}

/// The number of the next record.
fn next_sequence(last: Option<&Record>, value: &str, wanted: Option<u64>) -> Result<u64, PublishError> {
    let Some(last) = last else {
        // 0 is what a first record has by itself; whoever asks for a number wants one that counts.
        return if wanted == Some(0) { Err(PublishError::Sequence) } else { Ok(wanted.unwrap_or(0)) };
    };
    let current = last.sequence()?;
    match wanted {
        Some(wanted) if wanted <= current => Err(PublishError::Sequence),
        Some(wanted) => Ok(wanted),
        // The same value again only lives longer.
        None if last.value().is_ok_and(|path| path.to_string() == value) => Ok(current),
        None => current.checked_add(1).ok_or(PublishError::Sequence),
    }
}

/// The key under which routing keeps a public key.
fn key_of_key(name: Name) -> Vec<u8> {
    [PUBLIC_KEY_PREFIX, &name.peer_id().to_bytes()].concat()
}

impl Timestamp {
    /// The later of the end of a new record and of the one before it: a long lifetime is not shortened.
    pub(super) fn or_later(self, before: Option<Self>) -> Self {
        before.map_or(self, |before| self.max(before))
    }
}
