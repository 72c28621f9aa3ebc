//! IPNS over PubSub: the node's PubSub as [`crate::ipns::pubsub`] needs it.

use super::pubsub::{Message, PubSub, Validator, Verdict};
use crate::ipns::{
    Timestamp,
    pubsub::{self as ipns, Follower},
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, Weak},
    time::SystemTime,
};
use tokio::task::AbortHandle;

/// Topics of names.
pub(super) struct Topics {
    pubsub: PubSub,
    follower: OnceLock<Weak<Follower>>,
    /// A task for each topic that is followed: at most [`ipns::MAX_FOLLOWED`].
    tasks: Mutex<HashMap<String, AbortHandle>>,
}

impl Topics {
    /// What follows names over that PubSub.
    pub fn follower(pubsub: &PubSub) -> Arc<Follower> {
        let topics =
            Arc::new(Self { pubsub: pubsub.clone(), follower: OnceLock::new(), tasks: Mutex::new(HashMap::new()) });
        let follower = Follower::new(Arc::clone(&topics) as Arc<dyn ipns::Topics>);
        // It was not set: the cell is new.
        let _ = topics.follower.set(Arc::downgrade(&follower));
        follower
    }

    fn validator(follower: Weak<Follower>) -> Validator {
        Arc::new(move |message: &Message| {
            let Some(follower) = follower.upgrade() else { return Verdict::Ignore };
            let data = Bytes::copy_from_slice(&message.data);
            match follower.received(&message.topic, &data, false, Timestamp::from(SystemTime::now())) {
                ipns::Verdict::Accept => Verdict::Accept,
                ipns::Verdict::Ignore => Verdict::Ignore,
                ipns::Verdict::Reject => Verdict::Reject,
            }
        })
    }
}

#[async_trait]
impl ipns::Topics for Topics {
    fn subscribe(&self, topic: &str) -> Result<(), String> {
        let Some(follower) = self.follower.get().cloned() else { return Err("not set up yet".into()) };
        let (pubsub, name) = (self.pubsub.clone(), topic.to_owned());
        let task = tokio::spawn(async move {
            let joined = async {
                pubsub.set_validator(&name, Some(Self::validator(follower))).await?;
                pubsub.subscribe(&name).await
            };
            match joined.await {
                // What matters of a message was done when it was judged.
                Ok(mut messages) => while messages.next().await.is_some() {},
                Err(error) => tracing::debug!(topic = name, %error, "a name is not followed on PubSub"),
            }
        });
        if let Some(old) = self.tasks.lock().insert(topic.to_owned(), task.abort_handle()) {
            old.abort();
        }
        Ok(())
    }

    fn unsubscribe(&self, topic: &str) {
        if let Some(task) = self.tasks.lock().remove(topic) {
            task.abort();
        }
        let (pubsub, name) = (self.pubsub.clone(), topic.to_owned());
        tokio::spawn(async move {
            // A node that stops has no validators left to remove.
            let _ = pubsub.set_validator(&name, None).await;
        });
    }

    async fn publish(&self, topic: &str, data: Bytes) -> Result<(), String> {
        self.pubsub.publish(topic, data.to_vec()).await.map_err(|e| e.to_string())
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        for task in self.tasks.lock().values() {
            task.abort();
        }
    }
}
