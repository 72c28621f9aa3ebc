//! PubSub: messages by topic, over gossipsub.
//!
//! Messages are signed, and those that are not are refused, unless the configuration says otherwise. A topic may have
//! a validator: what it refuses is neither delivered nor passed on.

mod behaviour;

pub use behaviour::{Behaviour, new};

use futures::Stream;
use libp2p::PeerId;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::{mpsc, oneshot};

/// Largest message, in bytes: go-libp2p-pubsub's.
pub const MAX_MESSAGE: usize = 1 << 20;
/// Longest name of a topic, in bytes.
pub const MAX_TOPIC: usize = 1024;
/// Messages that wait for a subscriber. Beyond, they are lost to it: a slow reader does not hold up the others.
const BACKLOG: usize = 256;
/// Topics that this node may be subscribed to.
const MAX_TOPICS: usize = 4096;
/// Subscribers of one topic.
const MAX_SUBSCRIBERS: usize = 256;
/// Commands that wait for the swarm; the caller waits beyond.
const QUEUE: usize = 256;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PubSubError {
    /// The node does no PubSub.
    #[error("pubsub is not enabled: set Pubsub.Enabled to true in the configuration and start the daemon again")]
    Disabled,
    /// The message is too large.
    #[error("a message of {0} bytes is larger than {MAX_MESSAGE}")]
    TooLarge(usize),
    /// The name of the topic is empty or too long.
    #[error("the name of a topic must have 1 to {MAX_TOPIC} bytes")]
    Topic,
    /// There are too many topics or subscribers.
    #[error("too many subscriptions: close some first")]
    TooMany,
    /// All peers of the topic are slow: the message went to none of them.
    #[error("the message was not sent: the queues of all peers are full; try again later")]
    Busy,
    /// Something else.
    #[error("pubsub: {0}")]
    Failed(String),
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who wrote it; none when it is not signed.
    pub from: Option<PeerId>,
    /// Its number, the writer's.
    pub seqno: Option<u64>,
    /// What it says.
    pub data: Vec<u8>,
    /// The topic.
    pub topic: String,
}

/// What a validator says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered and passed on.
    Accept,
    /// Neither; and whoever sent it is thought the worse of.
    Reject,
    /// Neither.
    Ignore,
}

/// Judges the messages of a topic. It runs in the swarm: it must be quick and must not block.
pub type Validator = Arc<dyn Fn(&Message) -> Verdict + Send + Sync>;

type Reply<T> = oneshot::Sender<Result<T, PubSubError>>;

pub(super) enum Command {
    Subscribe(String, Reply<mpsc::Receiver<Message>>),
    /// A subscriber is gone.
    Prune,
    Publish(String, Vec<u8>, Reply<()>),
    Topics(Reply<Vec<String>>),
    Peers(Option<String>, Reply<Vec<PeerId>>),
    Validate(String, Option<Validator>, Reply<()>),
    Watch(mpsc::Sender<(PeerId, String)>),
}

/// Sends and receives messages.
#[derive(Debug, Clone)]
pub struct PubSub(Option<mpsc::Sender<Command>>);

impl PubSub {
    /// One that says that there is none.
    pub fn disabled() -> Self {
        Self(None)
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, PubSubError> {
        let closed = || PubSubError::Failed("the node is shutting down".into());
        let (reply, answer) = oneshot::channel();
        let sender = self.0.as_ref().ok_or(PubSubError::Disabled)?;
        sender.send(command(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// The messages of a topic from now on, this node's own included. Dropping the stream ends the subscription.
    ///
    /// # Errors
    /// When there are too many.
    pub async fn subscribe(&self, topic: &str) -> Result<Subscription, PubSubError> {
        check_topic(topic)?;
        let messages = self.ask(|reply| Command::Subscribe(topic.to_owned(), reply)).await?;
        Ok(Subscription { messages: Some(messages), commands: self.0.clone() })
    }

    /// Publishes a message. That nobody listens is no error.
    ///
    /// # Errors
    /// When it is too large, or could go to none of those who listen.
    pub async fn publish(&self, topic: &str, data: Vec<u8>) -> Result<(), PubSubError> {
        check_topic(topic)?;
        if data.len() > MAX_MESSAGE {
            return Err(PubSubError::TooLarge(data.len()));
        }
        self.ask(|reply| Command::Publish(topic.to_owned(), data, reply)).await
    }

    /// Topics that this node is subscribed to, in order.
    ///
    /// # Errors
    /// When there is no PubSub.
    pub async fn topics(&self) -> Result<Vec<String>, PubSubError> {
        self.ask(Command::Topics).await
    }

    /// Peers that are subscribed to a topic, or do PubSub at all.
    ///
    /// # Errors
    /// When there is no PubSub.
    pub async fn peers(&self, topic: Option<&str>) -> Result<Vec<PeerId>, PubSubError> {
        self.ask(|reply| Command::Peers(topic.map(str::to_owned), reply)).await
    }

    /// Sets, or removes, the validator of a topic.
    ///
    /// # Errors
    /// When there is no PubSub, or there are too many validators.
    pub async fn set_validator(&self, topic: &str, validator: Option<Validator>) -> Result<(), PubSubError> {
        check_topic(topic)?;
        self.ask(|reply| Command::Validate(topic.to_owned(), validator, reply)).await
    }

    /// Tells of peers that join topics that have a validator, from now on and only there. What does not fit is lost.
    pub(super) async fn watch(&self, watcher: mpsc::Sender<(PeerId, String)>) {
        if let Some(commands) = &self.0 {
            let _ = commands.send(Command::Watch(watcher)).await;
        }
    }
}

fn check_topic(topic: &str) -> Result<(), PubSubError> {
    if topic.is_empty() || topic.len() > MAX_TOPIC { Err(PubSubError::Topic) } else { Ok(()) }
}

/// The messages of a topic.
#[derive(Debug)]
pub struct Subscription {
    messages: Option<mpsc::Receiver<Message>>,
    commands: Option<mpsc::Sender<Command>>,
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.messages.as_mut().map_or(Poll::Ready(None), |messages| messages.poll_recv(cx))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // When its queue is full, the behaviour learns of it with the topic's next message.
        drop(self.messages.take());
        if let Some(commands) = &self.commands {
            let _ = commands.try_send(Command::Prune);
        }
    }
}
