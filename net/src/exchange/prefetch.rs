//! Fetches ahead what a walk will ask for next, so that a tree costs few round trips.
//!
//! Nothing is guessed from a block alone: a directory that is opened for one name must not be fetched as a whole. When
//! the links of a node are asked for one after another, more of its links are fetched, twice as many each time. When a
//! good part of the links of a child is asked for as well, the walk goes down: then the links of further children are
//! fetched as those come, as many levels deep as was seen, and whole sub-trees are under way at once.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | blocks fetched ahead and not yet asked for | [`MAX_AHEAD`], and [`AHEAD_BYTES`] by their mean size | no more are fetched |
//! | nodes whose links are remembered | [`MAX_NODES`], [`MAX_LINKS`] links together | those used longest ago are forgotten |
//! | tasks | one for each [`Run`], of at most `MAX_AHEAD` blocks together | |
//! | blocks that are here, read for their links | [`READ_AT_ONCE`] by each task | the others wait |

use super::session::Inner;
use crate::bitswap::Urgency;
use cairn_store::{Block, Cid, blockstore::Blockstore, dag, task::in_context};
use futures::{StreamExt as _, stream::FuturesUnordered};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Weak},
};

/// Blocks fetched ahead and not yet asked for.
const MAX_AHEAD: usize = 2048;
/// Their bytes. They are in the store, not in memory: this is what is lost when nobody asks for them after all.
const AHEAD_BYTES: u64 = 64 << 20;
/// Nodes whose links are remembered.
const MAX_NODES: usize = 2048;
/// Links that are remembered, about 300 bytes each.
const MAX_LINKS: usize = 1 << 16;
/// Links of a node that are fetched ahead at its first sign, and at most.
const FIRST_WINDOW: usize = 4;
const MAX_WINDOW: usize = 1024;
/// Links that are fetched ahead together, once a walk is well under way: a task and a trip to the store for each link
/// would cost more than the link.
const TOGETHER: usize = 16;
/// Links of a node half of which are to be asked for before it counts as walked through.
const DENSE: usize = 16;
/// Links that may be passed over without being given up.
const FAR: usize = 128;
/// Levels that are learned.
const MAX_DEEP: usize = 16;
/// Links fetched ahead of a node below which the walk will probably go.
const CHILD_WINDOW: usize = 64;
/// Inner nodes of the store that are remembered before anything was missing, and the largest in bytes.
const MAX_EARLY: usize = 16;
const MAX_EARLY_SIZE: usize = 256 << 10;

/// Blocks that are looked for, and read if they are here, at a time: 32 MiB at the very most.
const READ_AT_ONCE: usize = 16;
/// Levels that count for the order of nodes; a walk of deeper ones has little to fetch ahead.
const MAX_PLACE: usize = 64;

type NodeId = u64;

struct Node {
    cid: Cid,
    /// Where it lies: the place of each link on the way to it. Sorted, it is the order of a walk.
    place: Vec<u64>,
    links: Vec<Cid>,
    /// Which of the links were asked for, and how many.
    asked: Vec<bool>,
    count: usize,
    /// First link that was not looked at, and the end of those that may be fetched ahead.
    next: usize,
    end: usize,
    window: usize,
    /// The node that links here.
    parent: Option<NodeId>,
    /// Levels below of which all links are probably wanted.
    deep: usize,
}

impl Node {
    /// Whether a good part of its links was asked for: then it is walked through, and not searched for some of them.
    fn is_dense(&self) -> bool {
        2 * self.count >= self.links.len().min(DENSE)
    }

    fn reach(&mut self, end: usize) {
        self.end = self.end.max(end.min(self.links.len()));
    }
}

/// What was seen of a walk.
#[derive(Default)]
pub(super) struct Prefetch {
    nodes: BTreeMap<NodeId, Node>,
    by_child: HashMap<Cid, (NodeId, usize)>,
    known: HashMap<Cid, NodeId>,
    ahead: HashSet<Cid>,
    /// Nodes with links that are to be fetched ahead once there is room, in the order of the walk: what is needed
    /// last must not take the room of what is needed next.
    hungry: BTreeSet<(Vec<u64>, NodeId)>,
    links: usize,
    next: NodeId,
    early: VecDeque<Block>,
}

/// Blocks to be fetched ahead.
pub(super) struct Run(Vec<Cid>);

impl Prefetch {
    /// A block is asked for.
    pub(super) fn on_request(&mut self, cid: &Cid, mean: u64) -> Option<Run> {
        self.ahead.remove(cid);
        let Some(&(id, index)) = self.by_child.get(cid) else { return self.fill(&[], mean) };
        let node = self.nodes.get_mut(&id)?;
        if !std::mem::replace(&mut node.asked[index], true) {
            node.count += 1;
        }
        if index > node.next + FAR {
            // A jump: what lies before it was not wanted.
            node.next = index + 1;
        }
        if node.is_dense() || index <= node.next {
            node.window = (2 * node.window).clamp(FIRST_WINDOW, MAX_WINDOW);
            node.reach(index + 1 + node.window);
        }
        // What was passed over will not be asked for any more.
        for cid in &node.links[index.saturating_sub(2 * FAR)..index.saturating_sub(FAR)] {
            self.ahead.remove(cid);
        }
        let mut opened = Vec::new();
        if node.is_dense() {
            self.learn(id, &mut opened);
        }
        let few = node_is_well_ahead(self.nodes.get(&id));
        let run = if few { self.fill(&[], mean) } else { self.fill(&[id], mean) };
        if opened.is_empty() {
            return run;
        }
        opened.extend(run.into_iter().flat_map(|run| run.0));
        Some(Run(opened))
    }

    /// A node is walked through: so will be others that lie as deep below its ancestors. Nodes that have come, and
    /// were not looked into so far, are `opened`: read again, from the store.
    fn learn(&mut self, id: NodeId, opened: &mut Vec<Cid>) {
        let mut at = Some(id);
        for deep in 1..=MAX_DEEP {
            let Some(node) = at.and_then(|id| self.nodes.get(&id)) else { return };
            let parent = node.parent;
            if let Some(id) = at.filter(|_| node.deep < deep) {
                self.deepen(id, deep, opened);
            }
            at = parent;
        }
    }

    fn deepen(&mut self, id: NodeId, deep: usize, opened: &mut Vec<Cid>) {
        let mut stack = vec![(id, deep)];
        while let Some((id, deep)) = stack.pop() {
            let Some(node) = self.nodes.get_mut(&id).filter(|node| node.deep < deep) else { continue };
            node.deep = deep;
            if node.parent.is_some() {
                node.reach(node.next.max(CHILD_WINDOW));
                self.hungry.insert((node.place.clone(), id));
            }
            if deep < 2 {
                continue;
            }
            for cid in node.links[..node.next].iter().filter(|cid| !dag::is_leaf(cid)) {
                match self.known.get(cid) {
                    Some(child) => stack.push((*child, deep - 1)),
                    None if opened.len() < MAX_AHEAD => opened.push(*cid),
                    None => {}
                }
            }
        }
    }

    /// A block was given to whoever asked for it.
    pub(super) fn on_block(&mut self, block: &Block, active: bool, mean: u64) -> Option<Run> {
        if dag::is_leaf(block.cid()) {
            return None;
        }
        if !active {
            if block.data().len() > MAX_EARLY_SIZE {
                return None;
            }
            if self.early.len() >= MAX_EARLY {
                self.early.pop_front();
            }
            self.early.push_back(block.clone());
            return None;
        }
        let mut ids = Vec::new();
        for early in std::mem::take(&mut self.early) {
            ids.extend(self.add(&early));
        }
        ids.extend(self.add(block));
        self.fill(&ids, mean)
    }

    /// A block that was fetched ahead has come.
    fn on_ahead(&mut self, block: &Block, mean: u64) -> Option<Run> {
        let (parent, _) = *self.by_child.get(block.cid())?;
        if dag::is_leaf(block.cid()) || self.nodes.get(&parent)?.deep < 2 {
            return None;
        }
        let id = self.add(block)?;
        self.fill(&[id], mean)
    }

    /// Remembers the links of a node.
    fn add(&mut self, block: &Block) -> Option<NodeId> {
        if let Some(id) = self.known.get(block.cid()) {
            return Some(*id);
        }
        let links = dag::links(block.cid(), block.data())
            .ok()
            .filter(|links| links.len() > 1 && links.len() < MAX_LINKS / 4)?;
        self.next += 1;
        let id = self.next;
        let above = self.by_child.get(block.cid()).copied();
        let parent = above.map(|(parent, _)| parent);
        let place = match above.and_then(|(p, index)| Some((self.nodes.get(&p)?.place.clone(), index as u64))) {
            Some((mut place, index)) if place.len() < MAX_PLACE => {
                place.push(index);
                place
            }
            Some((place, _)) => place,
            None => vec![id],
        };
        let deep = parent.and_then(|p| self.nodes.get(&p)).map_or(0, |p| p.deep.saturating_sub(1));
        let end = if deep > 0 { CHILD_WINDOW.min(links.len()) } else { 0 };
        for (index, cid) in links.iter().enumerate() {
            self.by_child.insert(*cid, (id, index));
        }
        self.links += links.len();
        self.known.insert(*block.cid(), id);
        let asked = vec![false; links.len()];
        let node = Node { cid: *block.cid(), place, links, asked, count: 0, next: 0, end, window: 0, parent, deep };
        self.nodes.insert(id, node);
        while self.nodes.len() > MAX_NODES || self.links > MAX_LINKS {
            self.forget_oldest();
        }
        Some(id)
    }

    fn forget_oldest(&mut self) {
        let Some((id, node)) = self.nodes.pop_first() else { return };
        self.links -= node.links.len();
        for cid in &node.links {
            self.ahead.remove(cid);
            if self.by_child.get(cid).is_some_and(|(of, _)| *of == id) {
                self.by_child.remove(cid);
            }
        }
        self.known.remove(&node.cid);
        self.hungry.remove(&(node.place, id));
    }

    /// Takes from those nodes what may be fetched ahead now.
    fn fill(&mut self, ids: &[NodeId], mean: u64) -> Option<Run> {
        let most = usize::try_from(AHEAD_BYTES / mean.max(1)).unwrap_or(MAX_AHEAD).clamp(8, MAX_AHEAD);
        let mut cids = Vec::new();
        for id in ids {
            if let Some(node) = self.nodes.get(id) {
                self.hungry.insert((node.place.clone(), *id));
            }
        }
        if !self.ahead.is_empty() && self.ahead.len() + TOGETHER.min(most / 8) > most {
            return None;
        }
        while self.ahead.len() < most
            && let Some(first) = self.hungry.pop_first()
        {
            if self.feed(first.1, most, &mut cids) {
                self.hungry.insert(first);
            }
        }
        (!cids.is_empty()).then_some(Run(cids))
    }

    /// Takes from a node what its window allows; `false` when nothing of that is left.
    fn feed(&mut self, id: NodeId, most: usize, cids: &mut Vec<Cid>) -> bool {
        let Some(node) = self.nodes.get_mut(&id) else { return false };
        while node.next < node.end && self.ahead.len() < most {
            let cid = node.links[node.next];
            let asked = node.asked[node.next];
            node.next += 1;
            if !asked && cid.hash().code() != 0 && self.ahead.insert(cid) {
                cids.push(cid);
            }
        }
        node.next < node.end
    }

    #[cfg(test)]
    pub(super) fn ahead(&self) -> usize {
        self.ahead.len()
    }
}

/// Whether so few more links of a node may be fetched that they can wait for others: what is asked for next has been
/// fetched already.
fn node_is_well_ahead(node: Option<&Node>) -> bool {
    node.is_some_and(|n| n.window > 4 * TOGETHER && n.end < n.links.len() && n.end < n.next + TOGETHER)
}

#[cfg(test)]
impl Run {
    pub(super) fn cids(&self) -> &[Cid] {
        &self.0
    }
}

impl Run {
    /// The first of these blocks, as many as are fetched ahead.
    pub(super) fn of(cids: &[Cid]) -> Self {
        Self(cids.iter().filter(|cid| cid.hash().code() != 0).take(MAX_AHEAD).copied().collect())
    }

    /// Fetches the blocks into the store, for as long as somebody uses the session.
    pub(super) async fn go(self, inner: Weak<Inner>) {
        let Some(user) = inner.upgrade() else { return };
        let mut missing = Vec::new();
        // In pieces: nodes that are here are read, and a stranger says how large and how many they are.
        for cids in self.0.chunks(READ_AT_ONCE) {
            let (store, cids) = (Arc::clone(&user.store), cids.to_vec());
            let looked = tokio::task::spawn_blocking(in_context(move || look(store.as_ref(), cids)));
            let Ok((not_here, here)) = looked.await else { return };
            missing.extend(not_here);
            for block in &here {
                user.arrived_ahead(block);
            }
        }
        if missing.is_empty() {
            return;
        }
        let mut answers: FuturesUnordered<_> = user.want(&missing, Urgency::Ahead).await.into_iter().collect();
        // IMPORTANT: a session that nobody uses ends, and with it what was fetched ahead.
        drop(user);
        while let Some(answer) = answers.next().await {
            let (Ok(Ok(block)), Some(user)) = (answer, inner.upgrade()) else { continue };
            user.arrived_ahead(&block);
        }
    }
}

/// Which of these blocks are missing, and those that are here and have links.
fn look(store: &dyn Blockstore, cids: Vec<Cid>) -> (Vec<Cid>, Vec<Block>) {
    let hashes: Vec<_> = cids.iter().map(|cid| *cid.hash()).collect();
    let (mut missing, mut here) = (Vec::new(), Vec::new());
    for (cid, entry) in cids.into_iter().zip(store.entries(&hashes)) {
        match entry {
            Ok(Some(entry)) if entry.leaf || dag::is_leaf(&cid) => {}
            Ok(Some(_)) => here.extend(store.get(&cid).ok().flatten()),
            Ok(None) => missing.push(cid),
            Err(_) => {}
        }
    }
    (missing, here)
}

impl Inner {
    fn arrived_ahead(self: &Arc<Self>, block: &Block) {
        let run = self.prefetch.lock().on_ahead(block, self.mean());
        self.start(run);
    }
}
