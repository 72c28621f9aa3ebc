//! Networks of clients and servers in virtual time: every node has an uplink of its own, every message a delay. A run
//! is a function of its seed.

use super::{
    super::{
        message::{Entry, Presence, WantType},
        server::{Server, ServerConfig},
        session::Order,
    },
    Client, ClientConfig, Output, Urgency, Verdict,
};
use cairn_store::{Cid, Multihash, cid::codec};
use libp2p::{PeerId, identity::Keypair};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
    time::{Duration, Instant},
};

pub(super) fn peer(n: u64) -> PeerId {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&n.to_le_bytes());
    Keypair::ed25519_from_bytes(seed).expect("32 bytes").public().to_peer_id()
}

pub(super) fn cid(n: u64) -> Cid {
    let digest = cairn_store::hash::sha256(&n.to_le_bytes());
    Cid::new_v1(codec::RAW, Multihash::wrap(0x12, &digest).expect("32 bytes"))
}

/// What a node does when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conduct {
    Honest,
    /// Never answers.
    Silent,
    /// Says that it has everything, and sends nothing.
    Boasting,
    /// Sends blocks that nobody asked for.
    Garbage,
}

#[derive(Debug)]
enum Event {
    /// Entries reach a node.
    Wants(PeerId, PeerId, Vec<Entry>),
    /// Blocks and presences reach a node.
    Answer(PeerId, PeerId, Vec<(Cid, u64)>, Vec<(Cid, Presence)>),
    /// An uplink is free again.
    Free(PeerId),
    Wake(PeerId),
    Die(PeerId),
    Return(PeerId),
}

pub(super) struct Node {
    pub(super) client: Client,
    server: Server,
    conduct: Conduct,
    alive: bool,
    pub(super) store: HashSet<Multihash>,
    uplink: f64,
    delay: Duration,
    busy: bool,
    wakes: Option<Instant>,
    /// What it fetches: everything in order, the place of the reader, and how far it may look ahead of it.
    list: Vec<Cid>,
    read: usize,
    asked: usize,
    window: usize,
    pub(super) done: Option<Duration>,
    pub(super) from: BTreeMap<PeerId, u64>,
    pub(super) duplicates: u64,
    pub(super) sent: u64,
    pub(super) messages: u64,
}

pub(super) struct Network {
    pub(super) nodes: BTreeMap<PeerId, Node>,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    payload: HashMap<u64, Event>,
    sequence: u64,
    start: Instant,
    pub(super) now: Instant,
    pub(super) size: u64,
}

impl Network {
    pub(super) fn new(size: u64) -> Self {
        let start = Instant::now();
        Self {
            nodes: BTreeMap::new(),
            events: BinaryHeap::new(),
            payload: HashMap::new(),
            sequence: 0,
            start,
            now: start,
            size,
        }
    }

    /// A node with that uplink in bytes per second, and that delay to everybody.
    pub(super) fn add(&mut self, n: u64, uplink: f64, delay_ms: u64, conduct: Conduct) -> PeerId {
        let id = peer(n);
        let node = Node {
            client: Client::new(ClientConfig::default(), n),
            server: Server::new(ServerConfig::default()),
            conduct,
            alive: true,
            store: HashSet::new(),
            uplink,
            delay: Duration::from_millis(delay_ms),
            busy: false,
            wakes: None,
            list: Vec::new(),
            read: 0,
            asked: 0,
            window: 0,
            done: None,
            from: BTreeMap::new(),
            duplicates: 0,
            sent: 0,
            messages: 0,
        };
        self.nodes.insert(id, node);
        id
    }

    /// Connects everybody with everybody.
    pub(super) fn connect_all(&mut self) {
        let ids: Vec<PeerId> = self.nodes.keys().copied().collect();
        for a in &ids {
            for b in ids.iter().filter(|b| *b != a) {
                self.nodes.get_mut(a).expect("a node").client.on_connected(*b, false);
            }
        }
    }

    /// Lets a node fetch that list with so many blocks ahead of its reader.
    pub(super) fn fetch(&mut self, id: PeerId, list: &[Cid], order: Order, window: usize) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("a node");
        node.client.open(1, order, now);
        (node.list, node.window) = (list.to_vec(), window);
        self.step(id);
    }

    pub(super) fn die_at(&mut self, id: PeerId, after: Duration) {
        self.push(self.now + after, Event::Die(id));
    }

    /// A node that died comes back, with what it had stored.
    pub(super) fn return_at(&mut self, id: PeerId, after: Duration) {
        self.push(self.now + after, Event::Return(id));
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence)));
        self.payload.insert(self.sequence, event);
    }

    /// Runs until those nodes are done; says how long that took, or `None` at the limit.
    pub(super) fn run(&mut self, wait_for: &[PeerId], limit: Duration) -> Option<Duration> {
        while let Some(Reverse((at, sequence))) = self.events.pop() {
            self.now = at;
            if wait_for.iter().all(|id| self.nodes[id].done.is_some()) {
                return Some(self.now.duration_since(self.start));
            }
            if self.now.duration_since(self.start) > limit {
                return None;
            }
            let event = self.payload.remove(&sequence).expect("an event");
            self.handle(event);
        }
        None
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Wants(from, to, entries) => self.on_wants(from, to, &entries),
            Event::Answer(from, to, blocks, presences) => self.on_answer(from, to, &blocks, &presences),
            Event::Free(id) => {
                self.nodes.get_mut(&id).expect("a node").busy = false;
                self.serve(id);
            }
            Event::Wake(id) => self.step(id),
            Event::Die(id) => {
                let node = self.nodes.get_mut(&id).expect("a node");
                node.alive = false;
                let others: Vec<PeerId> = self.nodes.keys().copied().filter(|o| *o != id).collect();
                for other in others {
                    let node = self.nodes.get_mut(&other).expect("a node");
                    node.client.on_disconnected(&id);
                    node.server.on_disconnected(&id);
                    self.step(other);
                }
            }
            Event::Return(id) => {
                let others: Vec<PeerId> = self.nodes.keys().copied().filter(|o| *o != id).collect();
                let node = self.nodes.get_mut(&id).expect("a node");
                node.alive = true;
                others.iter().for_each(|other| node.server.on_disconnected(other));
                for other in others {
                    self.nodes.get_mut(&other).expect("a node").client.on_connected(id, false);
                    self.step(other);
                }
            }
        }
    }

    fn on_wants(&mut self, from: PeerId, to: PeerId, entries: &[Entry]) {
        let size = self.size;
        let now = self.now;
        let node = self.nodes.get_mut(&to).expect("a node");
        node.messages += 1;
        if !node.alive {
            return;
        }
        let delay = node.delay;
        match node.conduct {
            Conduct::Silent => {}
            Conduct::Boasting => {
                let haves = entries.iter().filter(|e| !e.cancel).map(|e| (e.cid, Presence::Have)).collect();
                self.push(now + delay, Event::Answer(to, from, Vec::new(), haves));
            }
            Conduct::Garbage => {
                let wrong =
                    entries.iter().map(|e| (cid(u64::from(e.cid.hash().digest()[0]) + (1 << 50)), size)).collect();
                let haves =
                    entries.iter().filter(|e| e.want == WantType::Have).map(|e| (e.cid, Presence::Have)).collect();
                self.push(now + delay, Event::Answer(to, from, wrong, haves));
            }
            Conduct::Honest => {
                let hashes = node.server.on_wantlist(from, entries, false);
                let found: Vec<_> = hashes.iter().map(|h| (*h, node.store.contains(h).then_some(size))).collect();
                node.server.on_found(&from, &found);
                self.serve(to);
            }
        }
    }

    /// Sends on while the uplink is free.
    fn serve(&mut self, id: PeerId) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("a node");
        if node.busy || !node.alive {
            return;
        }
        let Some(envelope) = node.server.next_envelope(now) else { return };
        let bytes: u64 =
            envelope.blocks.iter().map(|(_, s)| s).sum::<u64>() + 60 * envelope.presences.len() as u64 + 20;
        node.busy = true;
        node.sent += bytes;
        let took = Duration::from_secs_f64(bytes as f64 / node.uplink);
        let delay = node.delay;
        self.push(now + took, Event::Free(id));
        let answer = Event::Answer(id, envelope.peer, envelope.blocks, envelope.presences);
        self.push(now + took + delay, answer);
    }

    fn on_answer(&mut self, from: PeerId, to: PeerId, blocks: &[(Cid, u64)], presences: &[(Cid, Presence)]) {
        let now = self.now;
        if !self.nodes[&from].alive {
            return;
        }
        let node = self.nodes.get_mut(&to).expect("a node");
        node.messages += 1;
        let names: Vec<(Multihash, u64)> = blocks.iter().map(|(c, s)| (*c.hash(), *s)).collect();
        let verdicts = node.client.on_message(from, &names, presences, now);
        let mut new = Vec::new();
        for ((cid, size), verdict) in blocks.iter().zip(verdicts) {
            match verdict {
                Verdict::Wanted => {
                    *node.from.entry(from).or_default() += size;
                    node.store.insert(*cid.hash());
                    new.push((*cid.hash(), *size));
                }
                Verdict::Duplicate => node.duplicates += size,
                Verdict::Garbage => {}
            }
        }
        node.server.on_new_blocks(&new);
        self.serve(to);
        self.step(to);
    }

    /// Lets a node ask for what it may, and send what it has to say.
    fn step(&mut self, id: PeerId) {
        let (now, start) = (self.now, self.start);
        let node = self.nodes.get_mut(&id).expect("a node");
        while node.list.get(node.read).is_some_and(|c| node.store.contains(c.hash())) {
            node.read += 1;
        }
        if node.read == node.list.len() && !node.list.is_empty() && node.done.is_none() {
            node.done = Some(now.duration_since(start));
        }
        while node.asked < node.list.len().min(node.read + node.window) {
            let cid = node.list[node.asked];
            node.client.want(1, &cid, Urgency::Awaited, now);
            node.asked += 1;
        }
        node.client.poll(now);
        while let Some(output) = node.client.next_output() {
            if let Output::FindProviders { session, .. } = output {
                node.client.on_search_end(session, now);
            }
        }
        let messages = node.client.take_messages();
        let delay = node.delay;
        let wake = node.client.next_wakeup(now);
        if let Some(at) = wake
            && node.wakes.is_none_or(|set| set <= now)
        {
            node.wakes = Some(at);
            self.push(at, Event::Wake(id));
        }
        for (to, entries) in messages {
            self.push(now + delay.max(self.nodes[&to].delay), Event::Wants(id, to, entries));
        }
    }
}
