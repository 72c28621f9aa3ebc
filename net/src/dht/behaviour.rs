//! The DHTs' part in the swarm: routing tables, answers to others, and the way out for questions.

use super::{
    Config, Mode, Net,
    disk::{Journal, Restored},
    diversity,
    handle::{BucketStats, NetStats},
    key::Id,
    message::without_peer,
    table::{self, ConnectedAddrs, Kad, MAX_PEER_ADDRS, is_diverse, kad_mode, nearest, plain},
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
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Commands that wait for the swarm; then callers wait.
pub(super) const MAX_COMMANDS: usize = 512;
/// Commands carried out before the rest of the swarm gets its turn.
const MAX_COMMANDS_PER_POLL: usize = 64;
/// How often records are looked through for dead ones.
const EXPIRE_EVERY: Duration = Duration::from_secs(600);

/// What a [`super::Dht`] asks for.
pub(super) enum Command {
    /// The nearest peers of the routing table.
    Seeds { net: Net, target: Id, count: usize, reply: oneshot::Sender<Vec<Provider>> },
    /// One exchange.
    Send { peer: PeerId, addrs: Vec<Multiaddr>, request: wire::Request },
    /// A peer that does not answer.
    Unresponsive { net: Net, peer: PeerId },
    /// Provider records that this node keeps.
    LocalProviders { net: Net, key: Vec<u8>, reply: oneshot::Sender<Vec<Provider>> },
    /// The value that this node keeps.
    LocalValue { net: Net, key: Vec<u8>, reply: oneshot::Sender<Option<Vec<u8>>> },
    /// Something that this node provides, to say so when asked.
    KeepProvider { net: Net, key: Vec<u8> },
    /// A value of this node's own, to keep.
    KeepValue { net: Net, key: Vec<u8>, value: Vec<u8> },
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
    fn kad(&mut self, net: Net) -> Option<&mut Kad> {
        match net {
            Net::Wan => self.wan.as_mut(),
            Net::Lan => self.lan.as_mut(),
        }
    }
}

/// The DHTs in the swarm. Its events say nothing.
pub struct Behaviour {
    inner: Inner,
    local: PeerId,
    loopback_on_lan: bool,
    commands: mpsc::Receiver<Command>,
    expire: tokio::time::Interval,
    listening: HashSet<Multiaddr>,
    external: HashSet<Multiaddr>,
    connected: ConnectedAddrs,
}

impl Behaviour {
    pub(super) fn new(config: &Config, local: PeerId, journal: Journal, commands: mpsc::Receiver<Command>) -> Self {
        let part = |net, mode: Option<Mode>| Some(table::kad(config, net, local, journal.clone(), mode?));
        let inner = Inner {
            wan: part(Net::Wan, config.wan).into(),
            lan: part(Net::Lan, config.lan).into(),
            wire: wire::Behaviour::default(),
        };
        let mut expire = tokio::time::interval(EXPIRE_EVERY);
        expire.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self {
            inner,
            local,
            loopback_on_lan: config.loopback_on_lan,
            commands,
            expire,
            listening: HashSet::new(),
            external: HashSet::new(),
            connected: ConnectedAddrs::default(),
        }
    }

    /// Sets whether others may ask this node on the public DHT. The local one keeps the mode it was made with.
    pub fn set_mode(&mut self, mode: Mode) {
        if let Some(kad) = self.inner.kad(Net::Wan) {
            kad.set_mode(Some(kad_mode(mode)));
        }
    }

    /// Takes what a peer said of itself: it enters the table of each DHT whose protocol it advertises, if it has an
    /// address of the right kind and the table stays diverse, and leaves the others.
    pub fn identified(&mut self, peer: PeerId, info: &identify::Info) {
        if peer == self.local || info.public_key.to_peer_id() != peer {
            return;
        }
        self.connected.identified(peer, &info.listen_addrs);
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
            if addrs.is_empty() || !is_diverse(kad, net, &peer, &addrs) {
                continue;
            }
            for addr in addrs {
                kad.add_address(&peer, addr);
            }
        }
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
            Command::LocalProviders { net, key, reply } => {
                let rows = self.inner.kad(net).map(|kad| kad.store_mut().providers_of(&key)).unwrap_or_default();
                let _ = reply.send(rows.into_iter().map(|r| Provider { peer: r.peer, addrs: r.addrs }).collect());
            }
            Command::LocalValue { net, key, reply } => {
                let _ = reply.send(self.inner.kad(net).and_then(|kad| kad.store_mut().value(&key)));
            }
            Command::KeepProvider { net, key } => {
                let local = self.local;
                if let Some(kad) = self.inner.kad(net) {
                    // Without addresses: libp2p-kad puts in those that hold when it answers.
                    let _ = kad.store_mut().provide_from_peer(&key, local, Vec::new());
                }
            }
            Command::KeepValue { net, key, value } => {
                if let Some(kad) = self.inner.kad(net) {
                    // Refused when an equal or better one is there, which is as good.
                    let _ = kad.store_mut().put_from_peer(&key, &value);
                }
            }
            Command::AddressesOf { peer, reply } => {
                let _ = reply.send(self.addresses_of(&peer));
            }
            Command::OwnAddresses { reply } => {
                let _ = reply.send(self.external.union(&self.listening).cloned().collect());
            }
            Command::Stats { reply } => {
                let stats = Net::ALL.into_iter().filter_map(|net| self.stats(net)).collect();
                let _ = reply.send(stats);
            }
            Command::Restore { net, rows } => {
                if let Some(kad) = self.inner.kad(net) {
                    kad.store_mut().restore(rows.providers, rows.values);
                }
            }
        }
    }

    fn addresses_of(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        let mut addrs = self.connected.of(peer);
        for net in Net::ALL {
            let Some(kad) = self.inner.kad(net) else { continue };
            for bucket in kad.kbuckets() {
                for entry in bucket.iter().filter(|e| e.node.key.preimage() == peer) {
                    addrs.extend(plain(entry.node.value, peer));
                }
            }
        }
        let mut seen = HashSet::new();
        addrs.retain(|a| seen.insert(a.clone()));
        addrs
    }

    pub(super) fn stats(&mut self, net: Net) -> Option<NetStats> {
        let local = Id::of_peer(&self.local);
        let kad = self.inner.kad(net)?;
        let mode = if kad.mode() == kad::Mode::Server { Mode::Server } else { Mode::Client };
        let buckets = kad
            .kbuckets()
            .filter_map(|bucket| {
                let peers: Vec<PeerId> = bucket.iter().map(|e| *e.node.key.preimage()).collect();
                let shared_bits = local.common_bits(&Id::of_peer(peers.first()?));
                Some(BucketStats { shared_bits, peers })
            })
            .collect();
        let (provider_records, values, refused) = kad.store_mut().counts();
        Some(NetStats { net, mode, buckets, provider_records, values, refused })
    }

    /// Records that peers sent, and addresses that libp2p-kad adds on its own account.
    fn on_event(&mut self, net: Net, event: kad::Event) {
        let loopback = self.loopback_on_lan;
        let Some(kad) = self.inner.kad(net) else { return };
        match event {
            kad::Event::InboundRequest { request: kad::InboundRequest::AddProvider { record: Some(record) } } => {
                // libp2p-kad dropped it if the provider is not the sender.
                let own = record.addresses.into_iter().filter_map(|a| without_peer(a, &record.provider));
                let addrs = diversity::usable(net, loopback, own);
                let _ = kad.store_mut().provide_from_peer(record.key.as_ref(), record.provider, addrs);
            }
            kad::Event::InboundRequest { request: kad::InboundRequest::PutRecord { record: Some(record), .. } } => {
                let _ = kad.store_mut().put_from_peer(record.key.as_ref(), &record.value);
            }
            kad::Event::RoutingUpdated { peer, addresses, .. } => {
                // It adds every address at which it reached a peer of the table; not all of them belong there.
                for addr in addresses.iter().filter(|a| !diversity::is_usable(net, loopback, a)) {
                    kad.remove_address(&peer, addr);
                }
            }
            _ => {}
        }
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
        self.inner.handle_pending_outbound_connection(connection, peer, addrs, role)
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
            FromSwarm::NewListenAddr(e) => {
                self.listening.insert(e.addr.clone());
            }
            FromSwarm::ExpiredListenAddr(e) => {
                self.listening.remove(e.addr);
            }
            FromSwarm::ExternalAddrConfirmed(e) => {
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
        for turn in 0.. {
            if turn == MAX_COMMANDS_PER_POLL {
                cx.waker().wake_by_ref();
                break;
            }
            // A closed channel means that nobody asks any more; others may still be answered.
            let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) else { break };
            self.carry_out(command);
        }
        if self.expire.poll_tick(cx).is_ready() {
            for net in Net::ALL {
                if let Some(kad) = self.inner.kad(net) {
                    kad.store_mut().expire();
                }
            }
            cx.waker().wake_by_ref();
        }
        while let Poll::Ready(event) = self.inner.poll(cx) {
            match event {
                ToSwarm::GenerateEvent(InnerEvent::Wan(event)) => self.on_event(Net::Wan, event),
                ToSwarm::GenerateEvent(InnerEvent::Lan(event)) => self.on_event(Net::Lan, event),
                ToSwarm::GenerateEvent(InnerEvent::Wire(never)) => match never {},
                other => return Poll::Ready(other.map_out(|_| ())),
            }
        }
        Poll::Pending
    }
}
