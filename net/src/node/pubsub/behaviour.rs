//! PubSub in the swarm: gossipsub, with commands from [`PubSub`] drained in its poll.

use super::{
    BACKLOG, Command, MAX_MESSAGE, MAX_SUBSCRIBERS, MAX_TOPIC, MAX_TOPICS, Message, PubSub, PubSubError, QUEUE,
    Validator, Verdict,
};
use crate::node::config::PubSubConfig;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    gossipsub::{
        self, AllowAllSubscriptionFilter, IdentTopic, IdentityTransform, MaxCountSubscriptionFilter, MessageAcceptance,
        MessageAuthenticity, MessageId, PublishError, ValidationMode,
    },
    identity::Keypair,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm,
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    task::{Context, Poll},
};
use tokio::sync::mpsc::{self, error::TrySendError};

/// Topics that a peer may be subscribed to, and subscriptions in one of its messages; a message with more is dropped.
const PEER_TOPICS: usize = 1024;
/// Messages that wait for a peer; further ones do not go to it. Each has up to [`MAX_MESSAGE`] bytes.
const PEER_QUEUE: usize = 64;
/// Message bytes besides the data: signature, key of a 8192-bit RSA author, and topic.
const OVERHEAD: usize = 4096 + MAX_TOPIC;

type Inner = gossipsub::Behaviour<IdentityTransform, MaxCountSubscriptionFilter<AllowAllSubscriptionFilter>>;

/// Gossipsub and its subscribers.
pub struct Behaviour {
    inner: Inner,
    local: PeerId,
    commands: mpsc::Receiver<Command>,
    subscribers: BTreeMap<String, Vec<mpsc::Sender<Message>>>,
    validators: HashMap<String, Validator>,
    watcher: Option<mpsc::Sender<(PeerId, String)>>,
}

/// go-libp2p-pubsub's name of a message: its author, then its number. Peers that named messages otherwise would take
/// each for two.
fn message_id(message: &gossipsub::Message) -> MessageId {
    let mut id = message.source.map(PeerId::to_bytes).unwrap_or_default();
    id.extend_from_slice(&message.sequence_number.unwrap_or_default().to_be_bytes());
    MessageId::from(id)
}

/// Makes both.
///
/// # Errors
/// When gossipsub refuses its settings.
pub fn new(config: &PubSubConfig, keys: &Keypair) -> Result<(Behaviour, PubSub), String> {
    let mut settings = gossipsub::ConfigBuilder::default();
    settings
        .max_transmit_size(MAX_MESSAGE + OVERHEAD)
        .duplicate_cache_time(config.seen_ttl)
        .connection_handler_queue_len(PEER_QUEUE)
        .validate_messages()
        .message_id_fn(message_id)
        .validation_mode(if config.signing { ValidationMode::Strict } else { ValidationMode::None });
    let settings = settings.build().map_err(|e| e.to_string())?;
    let local = keys.public().to_peer_id();
    let author = match config.signing {
        true => MessageAuthenticity::Signed(keys.clone()),
        false => MessageAuthenticity::Author(local),
    };
    let filter = MaxCountSubscriptionFilter {
        filter: AllowAllSubscriptionFilter {},
        max_subscribed_topics: PEER_TOPICS,
        max_subscriptions_per_request: PEER_TOPICS,
    };
    let inner = Inner::new_with_subscription_filter(author, settings, filter).map_err(str::to_owned)?;
    let (sender, commands) = mpsc::channel(QUEUE);
    let behaviour =
        Behaviour { inner, local, commands, subscribers: BTreeMap::new(), validators: HashMap::new(), watcher: None };
    Ok((behaviour, PubSub(Some(sender))))
}

impl Behaviour {
    fn obey(&mut self, command: Command) {
        // Whoever asked may be gone.
        match command {
            Command::Subscribe(topic, reply) => {
                if reply.send(self.subscribe(topic)).is_err() {
                    self.prune();
                }
            }
            Command::Watch(watcher) => self.watcher = Some(watcher),
            Command::Prune => self.prune(),
            Command::Publish(topic, data, reply) => drop(reply.send(self.publish(topic, data))),
            Command::Topics(reply) => drop(reply.send(Ok(self.subscribers.keys().cloned().collect()))),
            Command::Peers(topic, reply) => drop(reply.send(Ok(self.peers(topic.as_deref())))),
            Command::Validate(topic, validator, reply) => drop(reply.send(self.validate(topic, validator))),
        }
    }

    fn subscribe(&mut self, topic: String) -> Result<mpsc::Receiver<Message>, PubSubError> {
        self.prune();
        let full = self.subscribers.len() >= MAX_TOPICS && !self.subscribers.contains_key(&topic);
        if full || self.subscribers.get(&topic).is_some_and(|all| all.len() >= MAX_SUBSCRIBERS) {
            return Err(PubSubError::TooMany);
        }
        self.inner.subscribe(&IdentTopic::new(&topic)).map_err(|e| PubSubError::Failed(e.to_string()))?;
        let (sender, receiver) = mpsc::channel(BACKLOG);
        self.subscribers.entry(topic).or_default().push(sender);
        Ok(receiver)
    }

    fn prune(&mut self) {
        let inner = &mut self.inner;
        self.subscribers.retain(|topic, all| {
            all.retain(|sender| !sender.is_closed());
            if all.is_empty() {
                inner.unsubscribe(&IdentTopic::new(topic));
            }
            !all.is_empty()
        });
    }

    fn publish(&mut self, topic: String, data: Vec<u8>) -> Result<(), PubSubError> {
        let seqno = match self.inner.publish(IdentTopic::new(&topic), data.clone()) {
            // The last 8 bytes of a message's name are its number: see `message_id`.
            Ok(MessageId(id)) => id.last_chunk().map(|seqno| u64::from_be_bytes(*seqno)),
            Err(PublishError::NoPeersSubscribedToTopic) => Some(rand::random()),
            Err(PublishError::AllQueuesFull(_)) => return Err(PubSubError::Busy),
            Err(PublishError::MessageTooLarge) => return Err(PubSubError::TooLarge(data.len())),
            Err(error) => return Err(PubSubError::Failed(error.to_string())),
        };
        self.deliver(Message { from: Some(self.local), seqno, data, topic });
        Ok(())
    }

    fn peers(&self, topic: Option<&str>) -> Vec<PeerId> {
        let wanted = topic.map(|topic| IdentTopic::new(topic).hash());
        let all = self.inner.all_peers();
        all.filter(|(_, topics)| wanted.as_ref().is_none_or(|w| topics.contains(&w))).map(|(peer, _)| *peer).collect()
    }

    fn validate(&mut self, topic: String, validator: Option<Validator>) -> Result<(), PubSubError> {
        match validator {
            None => drop(self.validators.remove(&topic)),
            Some(_) if self.validators.len() >= MAX_TOPICS => return Err(PubSubError::TooMany),
            Some(validator) => drop(self.validators.insert(topic, validator)),
        }
        Ok(())
    }

    fn deliver(&mut self, message: Message) {
        let mut gone = false;
        for sender in self.subscribers.get(&message.topic).into_iter().flatten() {
            match sender.try_send(message.clone()) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    tracing::debug!(topic = message.topic, "a message was lost: the subscriber is slow");
                }
                Err(TrySendError::Closed(_)) => gone = true,
            }
        }
        if gone {
            self.prune();
        }
    }

    /// Tells the watcher of a peer that joined a topic of ours. When its queue is full, it misses some.
    fn joined(&self, peer: PeerId, topic: String) {
        if let Some(watcher) = self.watcher.as_ref().filter(|_| self.validators.contains_key(&topic)) {
            let _ = watcher.try_send((peer, topic));
        }
    }

    fn received(&mut self, from: &PeerId, id: &MessageId, message: gossipsub::Message) {
        let message = Message {
            from: message.source,
            seqno: message.sequence_number,
            data: message.data,
            topic: message.topic.into_string(),
        };
        let verdict = match self.validators.get(&message.topic) {
            Some(validator) => validator(&message),
            None => Verdict::Accept,
        };
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Reject => MessageAcceptance::Reject,
            Verdict::Ignore => MessageAcceptance::Ignore,
        };
        self.inner.report_message_validation_result(id, from, acceptance);
        if verdict == Verdict::Accept {
            self.deliver(message);
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<Inner>;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(id, peer, addr, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, id, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        while let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
            self.obey(command);
        }
        loop {
            match self.inner.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(ToSwarm::GenerateEvent(event)) => match event {
                    gossipsub::Event::Message { propagation_source, message_id, message } => {
                        self.received(&propagation_source, &message_id, message);
                    }
                    gossipsub::Event::Subscribed { peer_id, topic } => self.joined(peer_id, topic.into_string()),
                    _ => {}
                },
                // An event is all that is mapped, and there is none left here.
                Poll::Ready(other) => return Poll::Ready(other.map_out(|_| unreachable!("events are taken above"))),
            }
        }
    }
}
