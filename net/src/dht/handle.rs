//! [`Dht`]: what the rest of the node asks of the DHTs.

use super::{
    Config, Mode, Net, Validator,
    behaviour::Command,
    diversity,
    key::Id,
    message::{Kind, Message, MessageError},
    query::{Network, Walk, lookup::K, size::NetworkSize},
    sweep::ProvideTarget,
    wire::{self, WireError},
};
use crate::routing::Provider;
use async_trait::async_trait;
use libp2p::{Multiaddr, PeerId, identity::Keypair};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// For one exchange, a dial included; what is part of it has shorter limits, but for a dial that others began.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// One bucket of a routing table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketStats {
    /// Leading bits that its members share with this node.
    pub shared_bits: usize,
    /// Its members.
    pub peers: Vec<PeerId>,
}

/// What the behaviour knows of one DHT.
#[derive(Debug)]
pub(super) struct NetStats {
    pub(super) net: Net,
    pub(super) mode: Mode,
    pub(super) buckets: Vec<BucketStats>,
    pub(super) provider_records: usize,
    pub(super) values: usize,
    pub(super) refused: u64,
}

/// One DHT, for `stats dht`.
#[derive(Debug, Clone)]
pub struct Stats {
    /// Which.
    pub net: Net,
    /// Whether this node answers.
    pub mode: Mode,
    /// Buckets that are not empty, farthest first.
    pub buckets: Vec<BucketStats>,
    /// Provider records kept for others.
    pub provider_records: usize,
    /// Values kept for others.
    pub values: usize,
    /// Inbound records refused since the start.
    pub refused: u64,
    /// Estimated number of servers; `None` before three lookups.
    pub network_size: Option<u64>,
    /// Lookups since the start.
    pub lookups: u64,
}

/// Asks the DHTs. Cheap to clone.
#[derive(Clone)]
pub struct Dht {
    pub(super) local: PeerId,
    pub(super) links: Vec<Arc<Link>>,
    pub(super) validator: Arc<dyn Validator>,
    pub(super) clock: Arc<dyn super::Clock>,
    commands: mpsc::Sender<Command>,
}

/// One DHT as seen by walks.
pub(super) struct Link {
    pub(super) net: Net,
    pub(super) local: PeerId,
    loopback: bool,
    commands: mpsc::Sender<Command>,
    size: Mutex<NetworkSize>,
    lookups: AtomicU64,
}

impl Dht {
    pub(super) fn new(config: &Config, keypair: &Keypair, commands: mpsc::Sender<Command>) -> Self {
        let local = keypair.public().to_peer_id();
        let link = |net: Net| {
            Arc::new(Link {
                net,
                local,
                loopback: config.loopback_on_lan,
                commands: commands.clone(),
                size: Mutex::default(),
                lookups: AtomicU64::new(0),
            })
        };
        let mut links = Vec::new();
        links.extend(config.wan.map(|_| link(Net::Wan)));
        links.extend(config.lan.map(|_| link(Net::Lan)));
        Self { local, links, validator: Arc::clone(&config.validator), clock: Arc::clone(&config.clock), commands }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Tables and counts of each DHT.
    pub async fn stats(&self) -> Vec<Stats> {
        let stats = self.ask(|reply| Command::Stats { reply }).await.unwrap_or_default();
        stats
            .into_iter()
            .filter_map(|s| {
                let link = self.links.iter().find(|l| l.net == s.net)?;
                Some(Stats {
                    net: s.net,
                    mode: s.mode,
                    buckets: s.buckets,
                    provider_records: s.provider_records,
                    values: s.values,
                    refused: s.refused,
                    network_size: link.size().map(|n| n as u64),
                    lookups: link.lookups.load(Ordering::Relaxed),
                })
            })
            .collect()
    }

    /// Peers nearest to a key (`query`), nearest first: of the public DHT when it has peers, else of the local one.
    pub async fn get_closest_peers(&self, key: Vec<u8>) -> Vec<PeerId> {
        for link in &self.links {
            let question = Message::ask(Kind::FindNode, key.clone());
            let closest = Walk::start(link.network(), question).await.closest().await;
            if !closest.is_empty() {
                return closest.into_iter().map(|p| p.peer).collect();
            }
        }
        Vec::new()
    }

    pub(super) async fn local_providers(&self, net: Net, key: &[u8]) -> Vec<Provider> {
        let id = Id::of(key);
        self.ask(|reply| Command::LocalProviders { net, id, reply }).await.unwrap_or_default()
    }

    pub(super) async fn local_value(&self, net: Net, key: &[u8]) -> Option<Vec<u8>> {
        let id = Id::of(key);
        self.ask(|reply| Command::LocalValue { net, id, reply }).await.flatten()
    }

    pub(super) async fn known_addresses(&self, peer: PeerId) -> Vec<Multiaddr> {
        self.ask(|reply| Command::AddressesOf { peer, reply }).await.unwrap_or_default()
    }

    pub(super) async fn own_addresses(&self) -> Vec<Multiaddr> {
        self.ask(|reply| Command::OwnAddresses { reply }).await.unwrap_or_default()
    }

    /// Keeps a value that was validated.
    pub(super) async fn keep_value(&self, net: Net, key: Vec<u8>, value: Vec<u8>) {
        let (id, end) = (Id::of(&key), self.validator.end(&key, &value));
        // A stopped node keeps nothing.
        let _ = self.commands.send(Command::KeepValue { net, id, key, value, end }).await;
    }

    pub(super) async fn keep_provider(&self, net: Net, key: Vec<u8>) {
        let _ = self.commands.send(Command::KeepProvider { net, id: Id::of(&key), key }).await;
    }

    /// This node as a DHT should know it: with addresses of its kind.
    pub(super) async fn own_record(&self, net: Net) -> Provider {
        let mut addrs = self.own_addresses().await;
        // A node behind a NAT may know no public address of its own; what it announces is then its relays'.
        let loopback = self.links.iter().any(|l| l.net == Net::Lan && l.loopback);
        addrs.retain(|addr| diversity::is_announced(net, loopback, addr));
        addrs.truncate(super::message::MAX_ADDRS);
        Provider { peer: self.local, addrs }
    }

    /// What a [`super::sweep::Sweep`] announces to: one DHT.
    pub fn provide_targets(&self) -> Vec<ProvideTarget> {
        let target = |link: &Arc<Link>| ProvideTarget::new(self.clone(), link.net, link.network());
        self.links.iter().map(target).collect()
    }
}

impl Link {
    /// Whether an address is one that a peer of this network may announce.
    pub(super) fn may_announce(&self, addr: &Multiaddr) -> bool {
        diversity::is_announced(self.net, self.loopback, addr)
    }

    pub(super) fn network(self: &Arc<Self>) -> Arc<dyn Network> {
        Arc::clone(self) as Arc<dyn Network>
    }

    async fn send(&self, peer: &Provider, bytes: Vec<u8>, answered: bool) -> Result<Option<Message>, WireError> {
        let (reply, answer) = oneshot::channel();
        let request = wire::Request { protocol: self.net.protocol(), bytes, answered, reply };
        let addrs = diversity::usable(self.net, self.loopback, peer.addrs.iter().cloned());
        let command = Command::Send { peer: peer.peer, addrs, request };
        let exchange = async {
            self.commands.send(command).await.map_err(|_| WireError::Unreachable)?;
            // The sender is dropped when the connection closes under it.
            answer.await.unwrap_or(Err(WireError::Unreachable))
        };
        tokio::time::timeout(SEND_TIMEOUT, exchange).await.unwrap_or(Err(WireError::TimedOut))
    }
}

#[async_trait]
impl Network for Link {
    async fn seeds(&self, target: &Id) -> Vec<Provider> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Seeds { net: self.net, target: *target, count: K, reply };
        if self.commands.send(command).await.is_err() {
            return Vec::new();
        }
        answer.await.unwrap_or_default()
    }

    async fn ask(&self, peer: &Provider, message: &Message) -> Result<Message, WireError> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let answer = self.send(peer, bytes, true).await?;
        answer
            .filter(|a| a.kind == message.kind)
            .ok_or(WireError::Malformed(MessageError("the answer is of another kind than the question")))
    }

    async fn tell(&self, peer: &Provider, messages: &[Message]) -> Result<(), WireError> {
        let mut bytes = Vec::new();
        for message in messages {
            message.encode(&mut bytes);
        }
        self.send(peer, bytes, false).await.map(|_| ())
    }

    fn unresponsive(&self, peer: &PeerId) {
        // When commands queue up, forgetting a peer can wait: the next walk that meets it says so again.
        let _ = self.commands.try_send(Command::Unresponsive { net: self.net, peer: *peer });
    }

    fn admit(&self, answer: Vec<Provider>) -> Vec<Provider> {
        let mut peers: Vec<Provider> = answer
            .into_iter()
            .filter(|p| p.peer != self.local)
            .map(|p| Provider { addrs: diversity::usable(self.net, self.loopback, p.addrs), ..p })
            .filter(|p| !p.addrs.is_empty())
            .collect();
        if self.net == Net::Wan {
            peers = diversity::thin(peers);
        }
        peers
    }

    fn size(&self) -> Option<f64> {
        self.size.lock().estimate()
    }

    fn observed(&self, distances: &[Id]) {
        self.size.lock().observe(distances);
    }

    fn count_lookup(&self) {
        self.lookups.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Dht {
    /// Lets a peer leave the tables.
    pub(super) fn unresponsive(&self, peer: PeerId) {
        for link in &self.links {
            link.unresponsive(&peer);
        }
    }
}

#[cfg(test)]
impl Link {
    /// Bytes as they are, and the answer.
    pub(super) async fn send_raw(&self, peer: PeerId, bytes: Vec<u8>) -> Result<Option<Message>, WireError> {
        self.send(&Provider { peer, addrs: Vec::new() }, bytes, true).await
    }
}
