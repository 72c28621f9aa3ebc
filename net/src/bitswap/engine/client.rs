//! The task that owns the client: feeds it what happens, and does what it says.

use super::{
    super::{
        behaviour::Dial,
        client::{Client, Output, Urgency, Verdict},
        gateway::is_http,
        link::{Outgoing, SendError},
        message::{Entry, Message},
        session::{Order, SessionId},
    },
    PeerEvent, ServerEvent, Shared, count,
    ingest::Hashed,
    unix_now,
    writer::{Arrived, Waiter, deliver},
};
use crate::routing::Routing;
use cairn_store::{Block, Cid, Multihash};
use futures::StreamExt as _;
use libp2p::{Multiaddr, PeerId};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};
use tracing::Instrument as _;

/// How long a search for providers may take.
const SEARCH_TIME: Duration = Duration::from_secs(60);
/// How often wants that nobody waits for any more are given up.
const SWEEP: Duration = Duration::from_millis(50);
/// How often cancels that can wait are sent, and some of what is waited for is looked for in the store: it may have been
/// stored between a look into it and the want.
const FLUSH: Duration = Duration::from_secs(1);
/// Blocks that are looked for in the store at once; the others wait.
const LOOK: usize = 64;
/// Events handled before messages go out: what comes in a burst is answered together.
const BURST: usize = 64;

/// What callers ask for.
#[derive(Debug)]
pub(in super::super) enum Command {
    /// A session begins. It ends when `alive` is gone.
    Open { session: SessionId, order: Order, alive: Weak<()> },
    /// Blocks are wanted, each until its receiver is dropped.
    Want { session: SessionId, urgency: Urgency, blocks: Vec<Waiter> },
    /// What is wanted.
    Wantlist(oneshot::Sender<Vec<Cid>>),
    /// Measurements of a peer.
    Speed(PeerId, oneshot::Sender<Option<(Option<Duration>, Option<f64>)>>),
}

/// What happens to the client.
#[derive(Debug)]
pub(in super::super) enum Event {
    /// A message came.
    Message(Hashed),
    /// A search found a provider.
    Provider { session: SessionId, cid: Cid, peer: PeerId, addrs: Vec<Multiaddr> },
    /// A search ended.
    SearchEnd(SessionId),
    /// Blocks were stored by somebody else.
    Stored(Vec<Multihash>),
    /// A look into the store ended: what was there.
    Looked(Vec<Block>),
}

struct Task {
    shared: Arc<Shared>,
    client: Client,
    waiters: HashMap<Multihash, Vec<(SessionId, Waiter)>>,
    alive: HashMap<SessionId, Weak<()>>,
    searches: HashMap<SessionId, AbortHandle>,
    /// Whose connections were said to be of use.
    kept: HashSet<PeerId>,
    /// Connected peers that are asked who has a block, whatever the limits are.
    always: HashSet<PeerId>,
    /// Among `waiters`, what is to be looked for in the store, and whether that is under way.
    to_look: HashSet<Multihash>,
    looking: bool,
    /// Where the next look at `waiters` goes on.
    looked: usize,
    writer: mpsc::Sender<Arrived>,
}

pub(super) async fn run(
    shared: Arc<Shared>,
    mut events: mpsc::Receiver<Event>,
    mut commands: mpsc::Receiver<Command>,
    mut peers: mpsc::Receiver<PeerEvent>,
    writer: mpsc::Sender<Arrived>,
) {
    let client = Client::new(shared.config.client.clone(), rand::random());
    let mut task = Task {
        shared,
        client,
        waiters: HashMap::new(),
        alive: HashMap::new(),
        searches: HashMap::new(),
        kept: HashSet::new(),
        always: HashSet::new(),
        to_look: HashSet::new(),
        looking: false,
        looked: 0,
        writer,
    };
    let (mut swept, mut flushed) = (Instant::now(), Instant::now());
    let mut peers_open = true;
    loop {
        let wakeup = task.client.next_wakeup(Instant::now()).or(task.next_chore());
        let sleep = async move {
            match wakeup {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            event = peers.recv(), if peers_open => match event {
                Some(event) => task.on_peer(event).await,
                None => peers_open = false,
            },
            event = events.recv() => if let Some(event) = event { task.on_event(event).await },
            command = commands.recv() => match command {
                Some(command) => task.on_command(command),
                None => break,
            },
            () = sleep => {}
        }
        for _ in 0..BURST {
            if let Ok(event) = events.try_recv() {
                task.on_event(event).await;
            } else if let Ok(command) = commands.try_recv() {
                task.on_command(command);
            } else {
                break;
            }
        }
        let now = Instant::now();
        if now.duration_since(swept) >= SWEEP {
            swept = now;
            task.sweep();
        }
        if now.duration_since(flushed) >= FLUSH {
            flushed = now;
            task.client.flush_cancels(now);
            task.keep();
            task.look_again();
        }
        task.client.poll(now);
        task.act().await;
        task.send();
    }
    task.searches.values().for_each(AbortHandle::abort);
    let _ = task.shared.server.send(ServerEvent::Stop).await;
}

impl Task {
    /// Waiters and sessions that may have ended are looked after even while the client has nothing to do.
    fn next_chore(&self) -> Option<Instant> {
        (!self.alive.is_empty() || self.client.owes_cancels()).then(|| Instant::now() + FLUSH)
    }

    async fn on_peer(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Connected { peer, addr } => {
                let friend = self.shared.is_friend(&peer, &addr);
                self.shared.connected.lock().insert(peer, friend);
                let always = self.shared.is_always_asked(&peer, &addr);
                if always {
                    self.always.insert(peer);
                }
                if self.shared.admits(&peer) {
                    self.client.on_connected(peer, always);
                } else {
                    self.client.on_dial_failed(&peer);
                }
            }
            PeerEvent::Disconnected(peer) => {
                self.shared.connected.lock().remove(&peer);
                self.always.remove(&peer);
                self.client.on_disconnected(&peer);
                let _ = self.shared.server.send(ServerEvent::Disconnected(peer)).await;
            }
            PeerEvent::AnotherConnection(peer) => self.client.on_another_connection(&peer, Instant::now()),
            PeerEvent::ConnectionLost(peer) => self.client.on_connection_lost(&peer),
            PeerEvent::DialFailed(peer) => self.client.on_dial_failed(&peer),
            PeerEvent::Speaks(peer, version) => {
                // It may have been left out for not speaking it a moment ago.
                let connected = self.shared.connected.lock().contains_key(&peer);
                if connected && !self.client.knows(&peer) && self.shared.admits(&peer) {
                    self.client.on_connected(peer, self.always.contains(&peer));
                }
                self.client.on_version(&peer, version);
            }
            PeerEvent::Unsupported(peer) => self.client.on_disconnected(&peer),
        }
    }

    async fn on_event(&mut self, event: Event) {
        match event {
            Event::Message(message) => self.on_message(message).await,
            Event::Provider { session, cid, peer, addrs } => self.client.on_provider(session, &cid, peer, addrs),
            Event::SearchEnd(session) => {
                self.searches.remove(&session);
                self.client.on_search_end(session, Instant::now());
            }
            Event::Stored(hashes) => {
                self.to_look.extend(hashes.into_iter().filter(|hash| self.waiters.contains_key(hash)));
                self.look();
            }
            Event::Looked(blocks) => self.on_looked(blocks),
        }
    }

    fn on_command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Open { session, order, alive } => {
                self.alive.insert(session, alive);
                self.client.open(session, order, now);
            }
            // A session that has ended meanwhile gets no answers.
            Command::Want { session, .. } if !self.alive.contains_key(&session) => {}
            Command::Want { session, urgency, blocks } => {
                for waiter in blocks {
                    self.client.want(session, &waiter.cid, urgency, now);
                    self.waiters.entry(*waiter.cid.hash()).or_default().push((session, waiter));
                }
            }
            Command::Wantlist(reply) => {
                let _ = reply.send(self.client.wantlist());
            }
            Command::Speed(peer, reply) => {
                let _ = reply.send(self.client.speed(&peer));
            }
        }
    }

    async fn on_message(&mut self, message: Hashed) {
        let Hashed { peer, blocks, presences, permit } = message;
        let names: Vec<(Multihash, u64)> = blocks.iter().map(|b| (*b.cid().hash(), b.data().len() as u64)).collect();
        let verdicts = self.client.on_message(peer, &names, &presences, Instant::now());
        let counters = &self.shared.counters;
        let (mut wanted, mut bytes) = (Vec::new(), 0);
        for (block, verdict) in blocks.into_iter().zip(verdicts) {
            let size = block.data().len() as u64;
            count(&counters.blocks_received, 1);
            count(&counters.data_received, size);
            if verdict == Verdict::Wanted {
                bytes += size;
                let waiters = self.waiters.remove(block.cid().hash()).unwrap_or_default();
                for (_, waiter) in &waiters {
                    tracing::debug!(parent: &waiter.span, %peer, bytes = size, "a block came");
                }
                wanted.push((block, waiters.into_iter().map(|(_, waiter)| waiter).collect()));
            } else {
                count(&counters.dup_blocks, 1);
                count(&counters.dup_data, size);
            }
        }
        if wanted.is_empty() {
            return;
        }
        self.shared.ledger.lock().on_received(peer, bytes, unix_now());
        // IMPORTANT: wants go out before this may have to wait for the disk.
        self.client.poll(Instant::now());
        self.send();
        let begun = Instant::now();
        let _ = self.writer.send(Arrived { blocks: wanted, permit }).await;
        // What peers said meanwhile was not heard: a slow disk of ours is no silence of theirs.
        self.client.paused(begun.elapsed());
    }

    /// Looks for some of what is waited for in the store, for others the next time.
    fn look_again(&mut self) {
        if self.looked >= self.waiters.len() {
            self.looked = 0;
        }
        self.to_look.extend(self.waiters.keys().skip(self.looked).take(LOOK));
        self.looked += LOOK;
        self.look();
    }

    fn look(&mut self) {
        self.to_look.retain(|hash| self.waiters.contains_key(hash));
        if self.looking || self.to_look.is_empty() {
            return;
        }
        let hashes: Vec<Multihash> = self.to_look.iter().take(LOOK).copied().collect();
        let name = |hash| {
            self.to_look.remove(hash);
            self.waiters.get(hash)?.first().map(|(_, waiter)| waiter.cid)
        };
        let cids: Vec<Cid> = hashes.iter().filter_map(name).collect();
        self.looking = true;
        let (store, events) = (Arc::clone(&self.shared.store), self.shared.client.clone());
        tokio::spawn(async move {
            let found = tokio::task::spawn_blocking(move || store.get_many(&cids)).await.unwrap_or_default();
            // A store that fails is a store without the block.
            let blocks = found.into_iter().filter_map(|block| block.ok().flatten()).collect();
            let _ = events.send(Event::Looked(blocks)).await;
        });
    }

    fn on_looked(&mut self, blocks: Vec<Block>) {
        self.looking = false;
        for block in blocks {
            self.client.on_stored(block.cid().hash(), Instant::now());
            let waiters = self.waiters.remove(block.cid().hash()).unwrap_or_default();
            deliver(&block, waiters.into_iter().map(|(_, waiter)| waiter).collect(), &Ok(()));
        }
        self.look();
    }

    /// Gives up what nobody waits for any more.
    fn sweep(&mut self) {
        let client = &mut self.client;
        self.waiters.retain(|_, waiters| {
            let mut index = 0;
            while let Some((session, waiter)) = waiters.get(index) {
                if !waiter.to.is_closed() {
                    index += 1;
                    continue;
                }
                let (session, cid) = (*session, waiter.cid);
                waiters.swap_remove(index);
                if !waiters.iter().any(|(other, _)| *other == session) {
                    client.cancel(session, &cid);
                }
            }
            !waiters.is_empty()
        });
        let ended: Vec<SessionId> =
            self.alive.iter().filter(|(_, alive)| alive.strong_count() == 0).map(|(id, _)| *id).collect();
        let any = !ended.is_empty();
        for session in ended {
            client.close(session);
            self.alive.remove(&session);
            if let Some(search) = self.searches.remove(&session) {
                search.abort();
            }
            // Whoever still waits learns that there will be no answer.
            self.waiters.retain(|_, waiters| {
                waiters.retain(|(of, _)| *of != session);
                !waiters.is_empty()
            });
        }
        if any {
            self.keep();
        }
    }

    /// Says whose connections are of use.
    fn keep(&mut self) {
        let Some(keep) = &self.shared.keep else { return };
        let needed = self.client.needed();
        self.kept.difference(&needed).for_each(|peer| keep(*peer, false));
        needed.difference(&self.kept).for_each(|peer| keep(*peer, true));
        self.kept = needed;
    }

    /// Does what the client asks for besides messages.
    async fn act(&mut self) {
        while let Some(output) = self.client.next_output() {
            match output {
                Output::FindProviders { session, cid } => self.search(session, cid),
                Output::Connect { peer, addrs } => self.connect(peer, addrs),
                Output::Refuse(peer) => {
                    self.shared.refuse(peer);
                    let _ = self.shared.server.send(ServerEvent::Refused(peer)).await;
                }
            }
        }
    }

    fn search(&mut self, session: SessionId, cid: Cid) {
        let Some(routing) = self.shared.routing.read().clone() else {
            return self.client.on_search_end(session, Instant::now());
        };
        let (events, most) = (self.shared.client.clone(), self.shared.config.max_providers);
        let waiting = self.waiters.get(cid.hash()).and_then(|all| all.iter().find(|(of, _)| *of == session));
        let span = tracing::debug_span!(parent: waiting.and_then(|(_, w)| w.span.id()), "search", providers_of = %cid);
        let search = async move {
            let deadline = Some(Instant::now() + SEARCH_TIME);
            let mut found = routing.find_providers(*cid.hash(), most, deadline);
            while let Some(provider) = found.next().await {
                let Ok(provider) = provider else { continue };
                tracing::debug!(peer = %provider.peer, "a provider was found");
                let event = Event::Provider { session, cid, peer: provider.peer, addrs: provider.addrs };
                if events.send(event).await.is_err() {
                    return;
                }
            }
            let _ = events.send(Event::SearchEnd(session)).await;
        };
        let search = tokio::spawn(search.instrument(span));
        self.searches.insert(session, search.abort_handle());
    }

    fn connect(&mut self, peer: PeerId, addrs: Vec<Multiaddr>) {
        // One that is connected and not known here does not speak Bitswap.
        if !self.shared.admits(&peer) || (self.shared.connected.lock().contains_key(&peer) && !self.client.knows(&peer))
        {
            return self.client.on_dial_failed(&peer);
        }
        if self.shared.gateways.as_ref().is_some_and(|gateways| gateways.connect(peer, &addrs)) {
            return;
        }
        let (http, addrs): (Vec<_>, Vec<_>) = addrs.into_iter().partition(is_http);
        if addrs.is_empty() && !http.is_empty() {
            return self.client.on_dial_failed(&peer);
        }
        let routing: Option<Arc<dyn Routing>> = self.shared.routing.read().clone();
        match routing {
            Some(routing) if addrs.is_empty() => {
                let dials = self.shared.dials.clone();
                tokio::spawn(async move {
                    let deadline = Some(Instant::now() + SEARCH_TIME);
                    // Without an address the swarm may still know one.
                    let addrs = routing.find_peer(peer, deadline).await.map_or_else(|_| Vec::new(), |p| p.addrs);
                    let _ = dials.send(Dial { peer, addrs }).await;
                });
            }
            _ => {
                if self.shared.dials.try_send(Dial { peer, addrs }).is_err() {
                    self.client.on_dial_failed(&peer);
                }
            }
        }
    }

    /// Sends wants and cancels. What a peer's queue has no room for is kept.
    fn send(&mut self) {
        for (peer, mut wants) in self.client.take_messages() {
            while !wants.is_empty() {
                let rest = wants.split_off(wants.len().min(MAX_SENT));
                let message = Message { wants, ..Message::default() };
                if let Err((error, outgoing)) = self.shared.links.send(&peer, Outgoing { message, receipt: None }) {
                    if matches!(error, SendError::Full) {
                        let mut back: Vec<Entry> = outgoing.message.wants;
                        back.extend(rest);
                        self.client.put_back(&peer, back);
                    }
                    break;
                }
                wants = rest;
            }
        }
    }
}

/// Entries in one message.
const MAX_SENT: usize = 1024;
