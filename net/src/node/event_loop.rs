//! The task that owns the swarm. It never blocks and never touches the disk.

mod command;
mod peer;
mod reached;
mod swarm;

pub(super) use command::Command;

use super::{
    NodeError, Protection, Reachability,
    addr::split_peer,
    announce::Announce,
    bandwidth::Meters,
    behaviour::Behaviour,
    bootstrap::{self, Bootstrap},
    config::{Config, RoutingKind},
    peering::{self, Peering},
    peerstore::{disk::Changes, unix_now},
    relays::{self, Relays},
};
use crate::bitswap::Bitswap;
use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::transport::ListenerId,
    metrics::Metrics,
    relay::Status,
    swarm::{
        ConnectionId, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use peer::Peer;
use rand::{SeedableRng as _, rngs::StdRng};
use reached::Reached;
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

/// How often the schedules are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two savings of the address book, and between two looks at what peers see of this node.
const SAVE_EVERY: u64 = 60;
/// Ticks between two looks at who is in the DHT's tables, besides those when a peer was identified.
const VALUE_EVERY: u64 = 10;
/// What a member of the DHT's tables is worth to the connection manager: go-libp2p-kad-dht's number.
const MEMBER: i32 = 5;
/// Tag of that.
const KBUCKET: &str = "kbucket";
/// How long a start waits for the addresses of its listeners.
const LISTEN: Duration = Duration::from_secs(1);
/// How long a shutdown waits for connections to close, and how long for the address book to be written.
const CLOSE: Duration = Duration::from_secs(3);
const FLUSH: Duration = Duration::from_secs(5);
/// Callers that wait for a connection; more are refused.
const MAX_WAITING: usize = 1024;
/// Addresses of one dial; further ones are left out.
const MAX_DIALED: usize = 64;

/// What an event loop is made of besides the configuration.
pub(super) struct Setup {
    pub swarm: Swarm<Behaviour>,
    pub bitswap: Bitswap,
    pub commands: mpsc::Receiver<Command>,
    pub meters: Meters,
    pub metrics: Metrics,
    pub protection: Protection,
    pub writer: mpsc::Sender<Changes>,
    pub writing: JoinHandle<()>,
    pub reachability: watch::Sender<Reachability>,
    pub finished: watch::Sender<bool>,
}

/// A caller that waits for a connection.
struct Waiting {
    peer: PeerId,
    reply: oneshot::Sender<Result<(), NodeError>>,
}

/// The state of the task.
pub(super) struct EventLoop {
    setup: Setup,
    announce: Announce,
    peers: HashMap<PeerId, Peer>,
    waiting: HashMap<ConnectionId, Waiting>,
    peering: Peering,
    /// Bitswap's friends of the configuration.
    friends: HashSet<PeerId>,
    bootstrap: Bootstrap,
    relays: Option<Relays>,
    reached: Reached,
    lan: HashSet<PeerId>,
    /// Members of the DHT's tables, which the connection manager keeps before others: as many as the tables hold.
    valued: HashSet<PeerId>,
    /// Whether the public DHT is served when others can reach this node.
    serves_by_reachability: bool,
    rng: StdRng,
    ticks: u64,
    /// When it was said last that connections are refused for want of memory.
    warned: Option<Instant>,
}

/// Keeps and trusts a peer that the node stays connected with.
fn favour(setup: &mut Setup, peer: PeerId) {
    setup.protection.protect(peer, peering::TAG);
    setup.swarm.behaviour_mut().gate.trust(peer);
}

/// Whether others may ask this node to relay for them.
fn relay_status(on: bool) -> Status {
    if on { Status::Enable } else { Status::Disable }
}

impl EventLoop {
    pub fn new(config: &Config, mut setup: Setup) -> Self {
        let now = Instant::now();
        let mut peering = Peering::default();
        for (peer, addrs) in &config.peering {
            if peering.add(*peer, addrs.clone(), false, now) {
                favour(&mut setup, *peer);
            }
        }
        for addr in config.announce.fixed() {
            setup.swarm.add_external_address(split_peer(addr).0);
        }
        if let Some(service) = setup.swarm.behaviour_mut().relay_service.as_mut() {
            // By itself it would begin with any address, be it one of the LAN.
            service.set_status(Some(relay_status(config.announce.fixed().next().is_some())));
        }
        let event_loop = Self {
            announce: config.announce.clone(),
            friends: config.bitswap.friends.clone(),
            peers: HashMap::new(),
            waiting: HashMap::new(),
            peering,
            bootstrap: Bootstrap::new(config.bootstrap.iter().cloned()),
            relays: config.nat.relay_client.as_ref().map(|client| Relays::new(&client.static_relays, now)),
            reached: Reached::default(),
            valued: HashSet::new(),
            lan: HashSet::new(),
            serves_by_reachability: matches!(config.routing.kind, RoutingKind::Auto | RoutingKind::Dht),
            rng: StdRng::from_os_rng(),
            ticks: 0,
            warned: None,
            setup,
        };
        event_loop.befriend();
        event_loop
    }

    /// Tells Bitswap whom no limits hold for: peers of the configuration, and those that this node stays connected with.
    fn befriend(&self) {
        let peered = self.peering.list().into_iter().map(|(peer, _)| peer);
        self.setup.bitswap.set_friends(peered.chain(self.friends.iter().copied()).collect());
    }

    /// Listens, and waits a moment until it is known on which addresses.
    ///
    /// # Errors
    /// When none of them can be listened on: why not, for each.
    pub async fn listen(&mut self, addrs: &[Multiaddr]) -> Result<(), String> {
        let mut opening: HashSet<ListenerId> = HashSet::new();
        let mut errors = Vec::new();
        for addr in addrs {
            match self.setup.swarm.listen_on(addr.clone()) {
                Ok(id) => drop(opening.insert(id)),
                Err(error) => errors.push(format!("{addr}: {error}")),
            }
        }
        let mut open = 0_usize;
        let wait = async {
            while !opening.is_empty() {
                let event = self.setup.swarm.select_next_some().await;
                match &event {
                    SwarmEvent::NewListenAddr { listener_id, .. } => open += usize::from(opening.remove(listener_id)),
                    SwarmEvent::ListenerClosed { listener_id, reason: Err(error), .. } => {
                        opening.remove(listener_id);
                        errors.push(error.to_string());
                    }
                    _ => {}
                }
                self.on_event(event);
            }
        };
        let _ = timeout(LISTEN, wait).await;
        if open == 0 && opening.is_empty() && !addrs.is_empty() {
            return Err(errors.join("; "));
        }
        for error in errors {
            tracing::warn!(error, "not listening on one of the addresses in Addresses.Swarm");
        }
        Ok(())
    }

    /// Runs until a command, or the end of all handles, stops it.
    pub async fn run(mut self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = self.setup.commands.recv() => match command {
                    Some(Command::Shutdown) | None => break,
                    Some(command) => self.obey(command),
                },
                event = self.setup.swarm.select_next_some() => self.on_event(event),
                _ = ticks.tick() => self.tick(Instant::now()),
            }
        }
        Box::pin(self.close()).await;
    }

    async fn close(mut self) {
        // Whoever still asks is told that the node is gone, now and not after the connections.
        self.setup.commands.close();
        while self.setup.commands.try_recv().is_ok() {}
        self.waiting.clear();
        let peers: Vec<PeerId> = self.setup.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.setup.swarm.disconnect_peer_id(peer);
        }
        let closing = async {
            while self.setup.swarm.network_info().num_peers() > 0 {
                let event = self.setup.swarm.select_next_some().await;
                self.on_event(event);
            }
        };
        let _ = timeout(CLOSE, closing).await;
        let changes = self.setup.swarm.behaviour_mut().peers.book().take_changes();
        let Setup { writer, writing, finished, .. } = self.setup;
        let flush = async {
            let _ = writer.send(changes).await;
            drop(writer);
            writing.await
        };
        if timeout(FLUSH, flush).await.is_err() {
            tracing::warn!("addresses of peers were not saved: the disk is too slow");
        }
        let _ = finished.send(true);
    }

    fn tick(&mut self, now: Instant) {
        self.setup.meters.sample(now);
        self.keep_peering(now);
        self.find_peers(now);
        self.find_relays(now);
        self.ticks += 1;
        if self.ticks.is_multiple_of(VALUE_EVERY) {
            self.value_members();
        }
        if self.ticks.is_multiple_of(SAVE_EVERY) {
            self.see_addresses(now);
            self.save();
        }
    }

    fn keep_peering(&mut self, now: Instant) {
        for (peer, addrs) in self.peering.due(now, &mut self.rng) {
            self.setup.swarm.behaviour_mut().gate.insist(&peer);
            self.dial(peer, addrs);
        }
    }

    fn find_peers(&mut self, now: Instant) {
        let connected = self.peers.len();
        if !self.bootstrap.is_due(connected, now) {
            return;
        }
        let peers = &self.peers;
        let mut dials = self.bootstrap.round(connected, |peer| peers.contains_key(peer), now, &mut self.rng);
        let friends = self.setup.swarm.behaviour_mut().peers.book().old_friends(bootstrap::FRIENDS);
        dials.extend(friends.into_iter().map(|peer| (peer, Vec::new())));
        for (peer, addrs) in dials {
            self.dial(peer, addrs);
        }
    }

    fn find_relays(&mut self, now: Instant) {
        let Some(known) = &mut self.relays else { return };
        for (relay, addr) in known.due(*self.setup.reachability.borrow() == Reachability::Public, now) {
            match self.setup.swarm.listen_on(addr.clone()) {
                Ok(id) => {
                    known.listening(&addr, id);
                    self.setup.protection.protect(relay, relays::TAG);
                }
                Err(error) => {
                    tracing::debug!(%relay, %error, "no place at a relay");
                    known.refused(&addr, now);
                }
            }
        }
    }

    /// Gives members of the DHT's tables their worth, and takes it from those that were. Tables have some hundreds.
    fn value_members(&mut self) {
        let members = self.setup.swarm.behaviour_mut().dht.members();
        for gone in self.valued.difference(&members) {
            self.setup.protection.set_value(*gone, KBUCKET, 0);
        }
        for new in members.difference(&self.valued) {
            self.setup.protection.set_value(*new, KBUCKET, MEMBER);
        }
        self.valued = members;
    }

    fn save(&mut self) {
        // When the disk is that slow, the changes stay in the book until the next time.
        let Ok(slot) = self.setup.writer.try_reserve() else { return };
        let mut book = self.setup.swarm.behaviour_mut().peers.book();
        book.expire(unix_now());
        slot.send(book.take_changes());
    }

    /// Dials a peer at these addresses and those that are known, unless it is connected or being dialed.
    fn dial(&mut self, peer: PeerId, addrs: Vec<Multiaddr>) {
        let opts = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addrs)
            .extend_addresses_through_behaviour()
            .build();
        if let Err(error) = self.setup.swarm.dial(opts) {
            tracing::debug!(%peer, %error, "not dialed");
        }
    }
}
