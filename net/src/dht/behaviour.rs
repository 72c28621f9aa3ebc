//! The DHTs' part in the swarm: routing tables, records, and the way in and out for questions.

use super::{
    Config, Mode, Net,
    disk::{Journal, Restored},
    diversity,
    handle::{BucketStats, NetStats},
    key::Id,
    message::without_peer,
    records::Records,
    serve::{self, Desk, Question, Refused, Served},
    table::{self, ConnectedAddrs, Groups, Kad, MAX_PEER_ADDRS, nearest, set_addresses},
    wire,
};
use crate::routing::Provider;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    identify, kad,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm, behaviour::toggle::Toggle,
    },
};
use std::{
    collections::HashSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, Sleep, sleep},
};

/// Commands that wait for the swarm; then callers wait.
pub(super) const MAX_COMMANDS: usize = 512;
/// Commands carried out, and questions answered, before the rest of the swarm gets its turn.
const MAX_PER_POLL: usize = 64;
/// How often records are looked through for dead ones.
const EXPIRE_EVERY: Duration = Duration::from_secs(600);
/// Between the parts in which that is done.
const EXPIRE_NEXT: Duration = Duration::from_millis(100);
/// Addresses of each DHT that a dial is told.
const MAX_DIALED: usize = 16;

/// What a [`super::Dht`] asks for.
pub(super) enum Command {
    /// The nearest peers of the routing table.
    Seeds { net: Net, target: Id, count: usize, reply: oneshot::Sender<Vec<Provider>> },
    /// One exchange.
    Send { peer: PeerId, addrs: Vec<Multiaddr>, request: wire::Request },
    /// A peer that does not answer.
    Unresponsive { net: Net, peer: PeerId },
    /// Provider records that this node keeps.
    LocalProviders { net: Net, id: Id, reply: oneshot::Sender<Vec<Provider>> },
    /// The value that this node keeps.
    LocalValue { net: Net, id: Id, reply: oneshot::Sender<Option<Vec<u8>>> },
    /// Something that this node provides, to say so when asked.
    KeepProvider { net: Net, id: Id, key: Vec<u8> },
    /// A value of this node's own, valid and until when, to keep.
    KeepValue { net: Net, id: Id, key: Vec<u8>, value: Vec<u8>, end: u64 },
    /// Addresses that the swarm knows of a peer.
    AddressesOf { peer: PeerId, reply: oneshot::Sender<Vec<Multiaddr>> },
    /// This node's addresses.
    OwnAddresses { reply: oneshot::Sender<Vec<Multiaddr>> },
    /// Tables and counts.
    Stats { reply: oneshot::Sender<Vec<NetStats>> },
    /// Records of an earlier run.
    Restore { net: Net, rows: Restored },
}

/// The parts.
#[derive(NetworkBehaviour)]
pub struct Inner {
    wan: Toggle<Kad>,
    lan: Toggle<Kad>,
    wire: wire::Behaviour,
}

impl Inner {
    pub(super) fn kad(&mut self, net: Net) -> Option<&mut Kad> {
        match net {
            Net::Wan => self.wan.as_mut(),
            Net::Lan => self.lan.as_mut(),
        }
    }
}

/// The DHTs in the swarm. Its events say nothing.
pub struct Behaviour {
    pub(super) inner: Inner,
    pub(super) local: PeerId,
    pub(super) loopback_on_lan: bool,
    pub(super) connected: ConnectedAddrs,
    pub(super) served: Served,
    wan: Option<Records>,
    lan: Option<Records>,
    /// Of the public network.
    groups: Groups,
    refused: Refused,
    commands: mpsc::Receiver<Command>,
    questions: mpsc::Receiver<Question>,
    expire: Pin<Box<Sleep>>,
    announces: Arc<dyn Fn(&Multiaddr) -> bool + Send + Sync>,
    pub(super) book: super::AddressesOf,
    listening: HashSet<Multiaddr>,
    external: HashSet<Multiaddr>,
}

impl Behaviour {
    pub(super) fn new(config: &Config, local: PeerId, journal: Journal, commands: mpsc::Receiver<Command>) -> Self {
        let records = |net| {
            let (validator, clock) = (Arc::clone(&config.validator), Arc::clone(&config.clock));
            Records::new(net, &local, config.max_provider_records, rand::random(), validator, clock, journal.clone())
        };
        let (sender, questions) = mpsc::channel(serve::MAX_QUESTIONS);
        let desk = Desk {
            questions: sender,
            validator: Arc::clone(&config.validator),
            clock: Arc::clone(&config.clock),
            refused: Refused::default(),
        };
        let refused = desk.refused.clone();
        let served = Served { wan: config.wan == Some(Mode::Server), lan: config.lan == Some(Mode::Server) };
        let inner = Inner {
            wan: config.wan.map(|_| table::kad(config, Net::Wan, local)).into(),
            lan: config.lan.map(|_| table::kad(config, Net::Lan, local)).into(),
            wire: wire::Behaviour::new(desk, served),
        };
        Self {
            inner,
            local,
            loopback_on_lan: config.loopback_on_lan,
            connected: ConnectedAddrs::default(),
            served,
            wan: config.wan.map(|_| records(Net::Wan)),
            lan: config.lan.map(|_| records(Net::Lan)),
            groups: Groups::default(),
            refused,
            commands,
            questions,
            expire: Box::pin(sleep(EXPIRE_NEXT)),
            announces: Arc::clone(&config.announces),
            book: Arc::clone(&config.addresses),
            listening: HashSet::new(),
            external: HashSet::new(),
        }
    }

    /// Sets whether others may ask this node on the public DHT. The local one keeps the mode it was made with.
    pub fn set_mode(&mut self, mode: Mode) {
        self.served.wan = self.wan.is_some() && mode == Mode::Server;
        self.inner.wire.serve(self.served);
    }

    pub(super) fn records(&mut self, net: Net) -> Option<&mut Records> {
        match net {
            Net::Wan => self.wan.as_mut(),
            Net::Lan => self.lan.as_mut(),
        }
    }

    /// Takes what a peer said of itself over a connection from `remote`: it enters the table of each DHT whose protocol
    /// it advertises, if it has an address of the right kind and the table stays diverse, and leaves the others. To
    /// enter that of the LAN it has to be connected over the LAN: peers of the internet advertise both.
    pub fn identified(&mut self, peer: PeerId, info: &identify::Info, remote: &Multiaddr) {
        if peer == self.local || info.public_key.to_peer_id() != peer {
            return;
        }
        self.connected.identified(peer, &info.listen_addrs, remote);
        for net in Net::ALL {
            let serves = info.protocols.contains(&net.protocol());
            let loopback = self.loopback_on_lan;
            let Some(kad) = self.inner.kad(net) else { continue };
            if !serves {
                kad.remove_peer(&peer);
                continue;
            }
            let own = info.listen_addrs.iter().filter_map(|a| without_peer(a.clone(), &peer));
            let mut addrs = diversity::usable(net, loopback, own);
            addrs.truncate(MAX_PEER_ADDRS);
            let fits = match net {
                Net::Wan => !addrs.is_empty() && self.groups.admit(kad, peer, remote),
                Net::Lan => !addrs.is_empty() && diversity::is_usable(Net::Lan, true, remote),
            };
            if fits {
                set_addresses(kad, &peer, &addrs);
            }
        }
    }

    pub(super) fn own_addresses(&self) -> Vec<Multiaddr> {
        self.external.union(&self.listening).cloned().collect()
    }

    /// The members of both tables.
    pub fn members(&mut self) -> HashSet<PeerId> {
        let mut members = HashSet::new();
        for net in Net::ALL {
            let buckets = self.inner.kad(net).into_iter().flat_map(kad::Behaviour::kbuckets);
            for bucket in buckets {
                members.extend(bucket.iter().map(|entry| *entry.node.key.preimage()));
            }
        }
        members
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Seeds { net, target, count, reply } => {
                let peers = self.inner.kad(net).map(|kad| nearest(kad, &target, count)).unwrap_or_default();
                let _ = reply.send(peers);
            }
            Command::Send { peer, addrs, request } => self.inner.wire.send(peer, addrs, request),
            Command::Unresponsive { net, peer } => {
                if let Some(kad) = self.inner.kad(net) {
                    kad.remove_peer(&peer);
                }
            }
            Command::LocalProviders { net, id, reply } => {
                let rows = self.records(net).map(|records| records.providers_of(&id)).unwrap_or_default();
                let _ = reply.send(rows.into_iter().map(|r| Provider { peer: r.peer, addrs: r.addrs }).collect());
            }
            Command::LocalValue { net, id, reply } => {
                let _ = reply.send(self.records(net).and_then(|records| records.value(&id)));
            }
            Command::KeepProvider { net, id, key } => {
                let local = self.local;
                if let Some(records) = self.records(net) {
                    // Without addresses: an answer has those that hold when it is given.
                    let _ = records.provide(&id, &key, local, Vec::new());
                }
            }
            Command::KeepValue { net, id, key, value, end } => {
                if let Some(records) = self.records(net) {
                    // Refused when a better one is there, which is as good.
                    let _ = records.put(&id, &key, &value, end);
                }
            }
            Command::AddressesOf { peer, reply } => {
                let _ = reply.send(self.addresses_of(&peer));
            }
            Command::OwnAddresses { reply } => {
                let _ = reply.send(self.own_addresses());
            }
            Command::Stats { reply } => {
                let stats = Net::ALL.into_iter().filter_map(|net| self.stats(net)).collect();
                let _ = reply.send(stats);
            }
            Command::Restore { net, rows } => {
                if let Some(records) = self.records(net) {
                    records.restore(rows);
                }
            }
        }
    }

    pub(super) fn stats(&mut self, net: Net) -> Option<NetStats> {
        let local = Id::of_peer(&self.local);
        let kad = self.inner.kad(net)?;
        let mode = if self.served.contains(net) { Mode::Server } else { Mode::Client };
        let buckets = kad
            .kbuckets()
            .filter_map(|bucket| {
                let peers: Vec<PeerId> = bucket.iter().map(|e| *e.node.key.preimage()).collect();
                let shared_bits = local.common_bits(&Id::of_peer(peers.first()?));
                Some(BucketStats { shared_bits, peers })
            })
            .collect();
        let (provider_records, values) = self.records(net)?.counts();
        Some(NetStats { net, mode, buckets, provider_records, values, refused: self.refused.of(net) })
    }

    /// libp2p-kad adds every address at which it reached a peer of the table; not all of them belong there.
    fn on_event(&mut self, net: Net, event: &kad::Event) {
        let loopback = self.loopback_on_lan;
        let (Some(kad), kad::Event::RoutingUpdated { peer, addresses, .. }) = (self.inner.kad(net), event) else {
            return;
        };
        for addr in addresses.iter().filter(|a| !diversity::is_usable(net, loopback, a)) {
            kad.remove_address(peer, addr);
        }
    }

    fn expire(&mut self) {
        let done = Net::ALL.into_iter().all(|net| self.records(net).is_none_or(Records::expire));
        let wait = if done { EXPIRE_EVERY } else { EXPIRE_NEXT };
        self.expire.as_mut().reset(Instant::now() + wait);
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<Inner>;
    type ToSwarm = ();

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addrs: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        // What libp2p-kad knows comes in part from strangers' answers to its own walks.
        let mut found = Vec::new();
        for net in Net::ALL {
            let Some(kad) = self.inner.kad(net) else { continue };
            let named = kad.handle_pending_outbound_connection(connection, peer, addrs, role)?;
            let mut usable = diversity::usable(net, self.loopback_on_lan, named);
            usable.truncate(MAX_DIALED);
            found.extend(usable);
        }
        Ok(found)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, addr, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::NewListenAddr(e) if (self.announces)(e.addr) => {
                self.listening.insert(e.addr.clone());
            }
            FromSwarm::ExpiredListenAddr(e) => {
                self.listening.remove(e.addr);
            }
            FromSwarm::ExternalAddrConfirmed(e) if (self.announces)(e.addr) => {
                self.external.insert(e.addr.clone());
            }
            FromSwarm::ExternalAddrExpired(e) => {
                self.external.remove(e.addr);
            }
            FromSwarm::ConnectionClosed(e) if e.remaining_established == 0 => {
                self.connected.disconnected(&e.peer_id);
            }
            _ => {}
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        let mut turns = 0;
        while turns < MAX_PER_POLL {
            turns += 1;
            // A closed channel means that nobody asks any more; others may still be answered.
            if let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
                self.carry_out(command);
            } else if let Poll::Ready(Some(question)) = self.questions.poll_recv(cx) {
                self.answer(question);
            } else {
                break;
            }
        }
        if turns == MAX_PER_POLL {
            cx.waker().wake_by_ref();
        }
        while self.expire.as_mut().poll(cx).is_ready() {
            self.expire();
        }
        while let Poll::Ready(event) = self.inner.poll(cx) {
            match event {
                ToSwarm::GenerateEvent(InnerEvent::Wan(event)) => self.on_event(Net::Wan, &event),
                ToSwarm::GenerateEvent(InnerEvent::Lan(event)) => self.on_event(Net::Lan, &event),
                ToSwarm::GenerateEvent(InnerEvent::Wire(never)) => match never {},
                other => return Poll::Ready(other.map_out(|_| ())),
            }
        }
        Poll::Pending
    }
}
