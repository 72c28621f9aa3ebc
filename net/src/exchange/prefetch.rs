//! Fetches ahead what a walk will ask for next, so that a tree costs few round trips.
//!
//! Nothing is guessed from a block alone: a directory that is opened for one name must not be fetched as a whole. When
//! the links of a node are asked for one after another, more of its links are fetched, twice as many each time. When
//! the links of such a child are asked for as well, the walk goes down: then the links of further children are fetched
//! as those come, and whole sub-trees are under way at once.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | blocks fetched ahead and not yet asked for | [`MAX_AHEAD`], and [`AHEAD_BYTES`] by their mean size | no more are fetched |
//! | nodes whose links are remembered | [`MAX_NODES`], [`MAX_LINKS`] links together | those used longest ago are forgotten |
//! | tasks | one for each [`Run`], of at most `MAX_AHEAD` blocks together | |

use super::session::Inner;
use crate::bitswap::Urgency;
use cairn_store::{Block, Cid, dag};
use futures::{StreamExt as _, stream::FuturesUnordered};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Weak,
};

/// Blocks fetched ahead and not yet asked for.
const MAX_AHEAD: usize = 2048;
/// Their bytes.
const AHEAD_BYTES: u64 = 16 << 20;
/// Nodes whose links are remembered.
const MAX_NODES: usize = 2048;
/// Links that are remembered, about 300 bytes each.
const MAX_LINKS: usize = 1 << 16;
/// Links of a node that are fetched ahead at its first sign, and at most.
const FIRST_WINDOW: usize = 4;
const MAX_WINDOW: usize = 1024;
/// Links fetched ahead of a node below which the walk will probably go.
const CHILD_WINDOW: usize = 64;
/// Inner nodes of the store that are remembered before anything was missing.
const MAX_EARLY: usize = 16;

type NodeId = u64;

struct Node {
    links: Vec<Cid>,
    /// First link that was neither asked for nor fetched ahead.
    next: usize,
    /// Links after the last one asked for that may be fetched ahead.
    taken: usize,
    window: usize,
    /// The node that links here.
    parent: Option<NodeId>,
    /// Whether links of children were asked for.
    descends: bool,
}

/// What was seen of a walk.
#[derive(Default)]
pub(super) struct Prefetch {
    nodes: BTreeMap<NodeId, Node>,
    by_child: HashMap<Cid, (NodeId, usize)>,
    known: HashMap<Cid, NodeId>,
    ahead: HashSet<Cid>,
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
        let (id, index) = *self.by_child.get(cid)?;
        let node = self.nodes.get_mut(&id)?;
        node.taken = node.taken.max(index + 1);
        node.next = node.next.max(node.taken);
        node.window = (2 * node.window).clamp(FIRST_WINDOW, MAX_WINDOW);
        // What was passed over will not be asked for any more.
        let passed: Vec<Cid> = node.links[index.saturating_sub(8)..index].to_vec();
        let parent = node.parent;
        for cid in passed {
            self.ahead.remove(&cid);
        }
        if let Some(parent) = parent.and_then(|p| self.nodes.get_mut(&p)) {
            parent.descends = true;
        }
        self.fill(&[id], mean)
    }

    /// A block was given to whoever asked for it.
    pub(super) fn on_block(&mut self, block: &Block, active: bool, mean: u64) -> Option<Run> {
        if dag::is_leaf(block.cid()) {
            return None;
        }
        if !active {
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
        if dag::is_leaf(block.cid()) || !self.nodes.get(&parent)?.descends {
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
        let links = dag::links(block.cid(), block.data()).ok().filter(|links| links.len() > 1 && links.len() < MAX_LINKS / 4)?;
        self.next += 1;
        let id = self.next;
        let parent = self.by_child.get(block.cid()).map(|(parent, _)| *parent);
        let window = match parent.and_then(|p| self.nodes.get(&p)) {
            Some(parent) if parent.descends => CHILD_WINDOW,
            _ => 0,
        };
        for (index, cid) in links.iter().enumerate() {
            self.by_child.insert(*cid, (id, index));
        }
        self.links += links.len();
        self.known.insert(*block.cid(), id);
        self.nodes.insert(id, Node { links, next: 0, taken: 0, window, parent, descends: false });
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
        self.known.retain(|_, of| *of != id);
    }

    /// Takes from those nodes what may be fetched ahead now.
    fn fill(&mut self, ids: &[NodeId], mean: u64) -> Option<Run> {
        let most = usize::try_from(AHEAD_BYTES / mean.max(1)).unwrap_or(MAX_AHEAD).clamp(8, MAX_AHEAD);
        let mut cids = Vec::new();
        for id in ids {
            let Some(node) = self.nodes.get_mut(id) else { continue };
            let end = (node.taken + node.window).min(node.links.len());
            while node.next < end && self.ahead.len() < most {
                let cid = node.links[node.next];
                node.next += 1;
                if cid.hash().code() != 0 && self.ahead.insert(cid) {
                    cids.push(cid);
                }
            }
        }
        (!cids.is_empty()).then_some(Run(cids))
    }

    #[cfg(test)]
    pub(super) fn ahead(&self) -> usize {
        self.ahead.len()
    }
}

#[cfg(test)]
impl Run {
    pub(super) fn cids(&self) -> &[Cid] {
        &self.0
    }
}

impl Run {
    /// Fetches the blocks into the store, for as long as somebody uses the session.
    pub(super) async fn go(self, inner: Weak<Inner>) {
        let Some(user) = inner.upgrade() else { return };
        let store = std::sync::Arc::clone(&user.store);
        let cids = self.0;
        let looked = tokio::task::spawn_blocking(move || {
            let hashes: Vec<_> = cids.iter().map(|cid| *cid.hash()).collect();
            let entries = store.entries(&hashes);
            let (mut missing, mut here) = (Vec::new(), Vec::new());
            for (cid, entry) in cids.into_iter().zip(entries) {
                match entry {
                    Ok(Some(entry)) if entry.leaf || dag::is_leaf(&cid) => {}
                    Ok(Some(_)) => here.extend(store.get(&cid).ok().flatten()),
                    Ok(None) => missing.push(cid),
                    Err(_) => {}
                }
            }
            (missing, here)
        });
        let Ok((missing, here)) = looked.await else { return };
        for block in &here {
            user.arrived_ahead(block);
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

impl Inner {
    fn arrived_ahead(self: &std::sync::Arc<Self>, block: &Block) {
        let run = self.prefetch.lock().on_ahead(block, self.mean());
        self.start(run);
    }
}
