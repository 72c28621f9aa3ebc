//! Walks of the DHT: [`lookup`] decides, [`Walk`] asks over a [`Network`], which is the swarm or a simulation.

pub(crate) mod lookup;
pub(crate) mod region;
pub(crate) mod size;

use super::{key::Id, message::Message, wire::WireError};
use crate::routing::Provider;
use async_trait::async_trait;
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use libp2p::PeerId;
use lookup::Lookup;
use std::sync::Arc;

/// A DHT to ask.
#[async_trait]
pub(crate) trait Network: Send + Sync + 'static {
    /// The peers of the routing table nearest to a point, nearest first.
    async fn seeds(&self, target: &Id) -> Vec<Provider>;

    /// One question and its answer.
    async fn ask(&self, peer: &Provider, message: &Message) -> Result<Message, WireError>;

    /// Messages that have no answer, over one stream.
    async fn tell(&self, peer: &Provider, messages: &[Message]) -> Result<(), WireError>;

    /// A peer did not do what a server has to: it leaves the routing table.
    fn unresponsive(&self, peer: &PeerId);

    /// The addresses that may be dialled of a contact that a stranger named, and whether it may be asked at all.
    fn admit(&self, answer: Vec<Provider>) -> Vec<Provider>;

    /// Estimated number of peers.
    fn size(&self) -> Option<f64>;

    /// The distances, nearest first, that a finished lookup found.
    fn observed(&self, distances: &[Id]);

    /// A lookup began.
    fn count_lookup(&self) {}
}

/// A running lookup. Dropping it stops it and cancels its questions.
pub(crate) struct Walk {
    network: Arc<dyn Network>,
    lookup: Lookup,
    question: Message,
    running: FuturesUnordered<BoxFuture<'static, (Provider, Result<Message, WireError>)>>,
    /// Peers that failed before anybody answered: perhaps it is this node that is offline.
    suspects: Vec<PeerId>,
    online: bool,
}

impl Walk {
    /// Starts a walk to `question.key`.
    pub(crate) async fn start(network: Arc<dyn Network>, question: Message) -> Self {
        let target = Id::of(&question.key);
        let seeds = network.seeds(&target).await;
        network.count_lookup();
        let lookup = Lookup::new(target, seeds, network.size());
        Self { network, lookup, question, running: FuturesUnordered::new(), suspects: Vec::new(), online: false }
    }

    /// The next answer; `None` when the walk is over. Answers that failed are not seen here.
    pub(crate) async fn next(&mut self) -> Option<(Provider, Message)> {
        loop {
            while let Some(contact) = self.lookup.next() {
                let (network, question) = (Arc::clone(&self.network), self.question.clone());
                self.running.push(Box::pin(async move {
                    let answer = network.ask(&contact, &question).await;
                    (contact, answer)
                }));
            }
            let Some((contact, answer)) = self.running.next().await else {
                self.finish();
                return None;
            };
            match answer {
                Ok(answer) => {
                    tracing::trace!(peer = %contact.peer, closer = answer.closer.len(), "an answer to a walk");
                    let closer = self.network.admit(answer.closer.clone());
                    self.lookup.answered(&contact.peer, closer);
                    self.online = true;
                    self.accuse();
                    return Some((contact, answer));
                }
                Err(error) => {
                    tracing::trace!(peer = %contact.peer, %error, "a question of a walk failed");
                    // Too many requests of our own are no fault of the peer's.
                    if !matches!(error, WireError::Busy) {
                        self.suspects.push(contact.peer);
                    }
                    self.accuse();
                    self.lookup.failed(&contact.peer);
                }
            }
        }
    }

    fn accuse(&mut self) {
        if self.online {
            for peer in self.suspects.drain(..) {
                self.network.unresponsive(&peer);
            }
        }
    }

    fn finish(&self) {
        if self.lookup.is_crowded() {
            tracing::warn!(
                target = ?self.lookup.target(),
                "far more peers than chance explains are near this key: somebody may be hiding it. \
                 The whole region where it belongs is asked"
            );
        } else {
            let distances: Vec<Id> = self.lookup.closest().iter().map(|p| self.lookup.distance(&p.peer)).collect();
            self.network.observed(&distances);
        }
    }

    /// Runs to the end and returns the nearest peers that answered.
    pub(crate) async fn closest(mut self) -> Vec<Provider> {
        while self.next().await.is_some() {}
        self.lookup.closest()
    }

    /// The state machine inside.
    pub(crate) fn lookup(&self) -> &Lookup {
        &self.lookup
    }
}
