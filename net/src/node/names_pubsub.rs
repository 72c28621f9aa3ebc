//! IPNS over PubSub: the node's PubSub as [`crate::ipns::pubsub`] needs it.

use super::{
    pubsub::{Message, PubSub, PubSubError, Validator, Verdict},
    record_fetch::Fetcher,
};
use crate::ipns::{
    Timestamp,
    pubsub::{self as ipns, Follower},
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use libp2p::PeerId;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::SystemTime,
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Topics to join and to leave that wait for their turn; joining one more is refused.
const QUEUE: usize = 2 * ipns::MAX_FOLLOWED;
/// Peers that joined a topic and wait to be asked for its record; further ones are not asked.
const NEWCOMERS: usize = 64;
/// Peers that are asked at once; further ones are not asked.
const MAX_ASKED: usize = 16;
/// Peers of a topic that are asked when this node joins it.
const FIRST_ASKED: usize = 4;

enum Change {
    Join(String),
    Leave(String),
}

/// Topics of names.
pub(super) struct Topics {
    pubsub: PubSub,
    changes: mpsc::Sender<Change>,
}

impl Topics {
    /// What follows names over that PubSub, and answers for them. Inside of a tokio runtime.
    pub fn follower(pubsub: &PubSub, fetcher: Fetcher) -> Arc<Follower> {
        let (changes, changed) = mpsc::channel(QUEUE);
        let follower = Follower::new(Arc::new(Self { pubsub: pubsub.clone(), changes }));
        let known = Arc::downgrade(&follower);
        fetcher.serve(move |key| known.upgrade()?.known(key, now()));
        let keeper = Keeper { pubsub: pubsub.clone(), fetcher, follower: Arc::downgrade(&follower) };
        tokio::spawn(keeper.run(changed));
        follower
    }
}

#[async_trait]
impl ipns::Topics for Topics {
    fn subscribe(&self, topic: &str) -> Result<(), String> {
        self.changes.try_send(Change::Join(topic.to_owned())).map_err(|e| e.to_string())
    }

    fn unsubscribe(&self, topic: &str) {
        if let Err(error) = self.changes.try_send(Change::Leave(topic.to_owned())) {
            tracing::warn!(topic, %error, "a topic is not left");
        }
    }

    async fn publish(&self, topic: &str, data: Bytes) -> Result<(), String> {
        self.pubsub.publish(topic, data.to_vec()).await.map_err(|e| e.to_string())
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn judge(follower: &Weak<Follower>, topic: &str, data: &Bytes) -> Verdict {
    let verdict = follower.upgrade().map(|follower| follower.received(topic, data, false, now()));
    match verdict {
        Some(ipns::Verdict::Accept) => Verdict::Accept,
        Some(ipns::Verdict::Reject) => Verdict::Reject,
        Some(ipns::Verdict::Ignore) | None => Verdict::Ignore,
    }
}

/// Joins and leaves topics, one after the other in the order in which that was asked for, and asks peers for records.
struct Keeper {
    pubsub: PubSub,
    fetcher: Fetcher,
    follower: Weak<Follower>,
}

impl Keeper {
    /// Runs until nobody follows names any more.
    async fn run(self, mut changes: mpsc::Receiver<Change>) {
        let (watcher, mut newcomers) = mpsc::channel(NEWCOMERS);
        self.pubsub.watch(watcher).await;
        // A reader for each topic that is followed, and what is asked: at most MAX_FOLLOWED and MAX_ASKED.
        let mut readers: HashMap<String, AbortOnDropHandle<()>> = HashMap::new();
        let mut asked: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    None => return,
                    Some(Change::Join(topic)) => match self.join(&topic).await {
                        Ok((reader, peers)) => {
                            for peer in peers.into_iter().take(MAX_ASKED.saturating_sub(asked.len())) {
                                asked.push(self.ask(peer, topic.clone()));
                            }
                            readers.insert(topic, reader);
                        }
                        Err(error) => tracing::debug!(topic, %error, "a name is not followed on PubSub"),
                    },
                    Some(Change::Leave(topic)) => {
                        if let Some(reader) = readers.remove(&topic) {
                            reader.abort();
                            let _ = reader.await;
                        }
                        // A node that stops has no validators left to remove.
                        let _ = self.pubsub.set_validator(&topic, None).await;
                    }
                },
                Some((peer, topic)) = newcomers.recv() => if asked.len() < MAX_ASKED {
                    asked.push(self.ask(peer, topic));
                },
                Some(()) = asked.next() => {}
            }
        }
    }

    /// Joins a topic: what reads it, and whom to ask for its record.
    async fn join(&self, topic: &str) -> Result<(AbortOnDropHandle<()>, Vec<PeerId>), PubSubError> {
        let follower = self.follower.clone();
        let validator: Validator =
            Arc::new(move |message: &Message| judge(&follower, &message.topic, &Bytes::copy_from_slice(&message.data)));
        self.pubsub.set_validator(topic, Some(validator)).await?;
        let mut messages = self.pubsub.subscribe(topic).await?;
        // What matters of a message was done when it was judged.
        let read = async move { while messages.next().await.is_some() {} };
        let mut peers = self.pubsub.peers(Some(topic)).await?;
        peers.truncate(FIRST_ASKED);
        Ok((AbortOnDropHandle::new(tokio::spawn(read)), peers))
    }

    /// Asks a peer for the record of a topic's name, and judges it as if it had come by PubSub.
    fn ask(&self, peer: PeerId, topic: String) -> BoxFuture<'static, ()> {
        let (fetcher, follower) = (self.fetcher.clone(), self.follower.clone());
        async move {
            let Some(name) = ipns::name_of(&topic) else { return };
            if let Some(record) = fetcher.ask(peer, name.routing_key()).await {
                judge(&follower, &topic, &record);
            }
        }
        .boxed()
    }
}
