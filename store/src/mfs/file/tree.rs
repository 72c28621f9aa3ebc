//! The mirror of a file's DAG: its inner nodes in an arena, what is below them as far as it was looked into.

use crate::Cid;
use bytes::Bytes;

/// A node in the arena.
pub(super) type Id = usize;
/// The node above the root: its only child is the root, so that the root is a child like any other.
pub(super) const ANCHOR: Id = 0;
/// Place of the root.
pub(super) const ROOT: Place = Place { node: ANCHOR, slot: 0 };

/// Where a child is. Slots do not move: children come and go at the end of a node only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) node: Id,
    pub(super) slot: usize,
}

/// What a parent writes of a child, besides its size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) cid: Cid,
    pub(super) tsize: u64,
}

/// How the bytes of a leaf are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The block is the bytes.
    Raw,
    /// A node without links.
    Node,
    /// The first bytes of the node above: some writers put bytes next to links.
    Inline,
}

/// Bytes in memory.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) bytes: Bytes,
    pub(super) form: Form,
    /// The block that holds them; `None` while there is none.
    pub(super) link: Option<Link>,
}

/// A child.
#[derive(Debug, Clone)]
pub(super) enum Child {
    /// A leaf or a tree that was not looked into.
    Sealed(Link),
    /// A leaf in memory.
    Leaf(Leaf),
    /// A balanced tree of that height, of zeros.
    Zeros(u32),
    /// A node in the arena.
    Inner(Id),
}

/// A node.
#[derive(Debug, Clone)]
pub(super) struct Inner {
    pub(super) parent: Place,
    pub(super) children: Vec<Child>,
    /// Where each child ends, counted from the beginning of the node.
    pub(super) ends: Vec<u64>,
    /// Bytes below it that are in trees of zeros, if they were counted since the last change.
    pub(super) holes: Option<u64>,
    /// Its block; `None` while it has changes.
    pub(super) link: Option<Link>,
}

/// A child and what it covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    pub(super) place: Place,
    /// First byte in the file.
    pub(super) start: u64,
    pub(super) size: u64,
    /// Nodes above, the anchor not counted: 0 for the root.
    pub(super) depth: u32,
}

/// The nodes.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: Vec<Inner>,
    /// Ids that nothing leads to.
    free: Vec<Id>,
    /// Bytes of leaves without a block.
    pub(super) dirty: u64,
    /// Bytes of leaves that have one.
    pub(super) clean: u64,
    /// Children of all nodes.
    pub(super) entries: usize,
}

impl Leaf {
    pub(super) fn new(bytes: Bytes, form: Form) -> Self {
        Self { bytes, form, link: None }
    }
}

impl Spot {
    pub(super) fn end(&self) -> u64 {
        self.start + self.size
    }
}

impl Inner {
    pub(super) fn new() -> Self {
        Self { parent: ROOT, children: Vec::new(), ends: Vec::new(), holes: None, link: None }
    }

    /// Length of what is below.
    pub(super) fn size(&self) -> u64 {
        self.ends.last().copied().unwrap_or_default()
    }

    /// Where a child begins, counted from the beginning of the node.
    pub(super) fn start(&self, slot: usize) -> u64 {
        slot.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    pub(super) fn push(&mut self, child: Child, size: u64) {
        self.ends.push(self.size() + size);
        self.children.push(child);
    }
}

impl Tree {
    /// A tree of that root.
    pub(super) fn new(root: Child, size: u64) -> Self {
        let mut anchor = Inner::new();
        anchor.push(Child::Zeros(0), size);
        let mut tree = Self { nodes: vec![anchor], free: Vec::new(), dirty: 0, clean: 0, entries: 1 };
        tree.put(ROOT, root);
        tree
    }

    pub(super) fn len(&self) -> u64 {
        self.node(ANCHOR).size()
    }

    pub(super) fn node(&self, id: Id) -> &Inner {
        &self.nodes[id]
    }

    pub(super) fn node_mut(&mut self, id: Id) -> &mut Inner {
        &mut self.nodes[id]
    }

    pub(super) fn child(&self, place: Place) -> &Child {
        &self.node(place.node).children[place.slot]
    }

    /// The child at a place that may be none any more.
    pub(super) fn find(&self, place: Place) -> Option<&Child> {
        self.nodes.get(place.node)?.children.get(place.slot)
    }

    /// Takes a node in, below `parent`. The nodes below it learn of their new parent.
    pub(super) fn insert(&mut self, mut inner: Inner, parent: Place) -> Id {
        inner.parent = parent;
        self.entries += inner.children.len();
        let id = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Inner::new());
            self.nodes.len() - 1
        });
        for slot in 0..inner.children.len() {
            if let Child::Inner(below) = inner.children[slot] {
                self.node_mut(below).parent = Place { node: id, slot };
            }
            self.count(&inner.children[slot], true);
        }
        self.nodes[id] = inner;
        id
    }

    fn count(&mut self, child: &Child, more: bool) {
        let Child::Leaf(leaf) = child else { return };
        if leaf.form == Form::Inline {
            return;
        }
        let counter = if leaf.link.is_some() { &mut self.clean } else { &mut self.dirty };
        let len = leaf.bytes.len() as u64;
        *counter = if more { *counter + len } else { *counter - len };
    }

    /// Puts a child in the place of another, which is dropped with all below it. Nodes above are not told.
    pub(super) fn put(&mut self, place: Place, child: Child) {
        let old = self.swap(place, child);
        self.discard(old);
    }

    /// Puts a child in the place of another, and answers that one. Nodes above are not told.
    pub(super) fn swap(&mut self, place: Place, child: Child) -> Child {
        if let Child::Inner(id) = child {
            self.node_mut(id).parent = place;
        }
        self.count(&child, true);
        let old = std::mem::replace(&mut self.node_mut(place.node).children[place.slot], child);
        self.count(&old, false);
        old
    }

    /// Drops the children from `slot` on.
    pub(super) fn cut(&mut self, id: Id, slot: usize) {
        let node = self.node_mut(id);
        node.ends.truncate(slot);
        let gone = node.children.split_off(slot);
        self.entries -= gone.len();
        for child in gone {
            self.count(&child, false);
            self.discard(child);
        }
    }

    /// Appends a child to a node, which grows by its size, as those above it do. They must be the last of their nodes.
    pub(super) fn append(&mut self, id: Id, child: Child, size: u64) {
        self.count(&child, true);
        self.entries += 1;
        let node = self.node_mut(id);
        (node.link, node.holes) = (None, None);
        node.push(child, size);
        let parent = node.parent;
        if id != ANCHOR {
            self.lengthen(parent, size);
        }
    }

    /// Adds to the size of a child that is the last of its node, and of those above it.
    pub(super) fn lengthen(&mut self, place: Place, bytes: u64) {
        let mut at = place;
        loop {
            let node = self.node_mut(at.node);
            node.ends[at.slot] += bytes;
            (node.link, node.holes) = (None, None);
            if at.node == ANCHOR {
                return;
            }
            at = node.parent;
        }
    }

    /// Notes that a node has changes, and so have those above it.
    pub(super) fn touch(&mut self, id: Id) {
        self.climb(id, |node| (node.link, node.holes) = (None, None));
    }

    /// Has the holes below a node, and those above it, counted again.
    pub(super) fn recount(&mut self, id: Id) {
        self.climb(id, |node| node.holes = None);
    }

    /// Does something with a node and all above it.
    fn climb(&mut self, mut id: Id, change: impl Fn(&mut Inner)) {
        loop {
            let node = self.node_mut(id);
            change(node);
            if id == ANCHOR {
                return;
            }
            id = node.parent.node;
        }
    }

    /// Bytes in trees of zeros, as far as it was looked into: what was counted before a change elsewhere is not counted
    /// again.
    pub(super) fn holes(&mut self) -> u64 {
        let mut todo = vec![ANCHOR];
        while let Some(&id) = todo.last() {
            let (node, known) = (self.node(id), todo.len());
            let mut sum = 0u64;
            let mut start = 0;
            for (child, &end) in node.children.iter().zip(&node.ends) {
                match child {
                    Child::Zeros(_) => sum += end - start,
                    Child::Inner(below) => match self.node(*below).holes {
                        Some(holes) => sum += holes,
                        None => todo.push(*below),
                    },
                    Child::Sealed(_) | Child::Leaf(_) => {}
                }
                start = end;
            }
            if todo.len() == known {
                self.node_mut(id).holes = Some(sum);
                todo.pop();
            }
        }
        self.node(ANCHOR).holes.unwrap_or_default()
    }

    fn discard(&mut self, child: Child) {
        let mut gone = vec![child];
        while let Some(child) = gone.pop() {
            let Child::Inner(id) = child else { continue };
            let node = std::mem::replace(&mut self.nodes[id], Inner::new());
            self.free.push(id);
            self.entries -= node.children.len();
            for below in node.children {
                self.count(&below, false);
                gone.push(below);
            }
        }
    }

    pub(super) fn root(&self) -> Spot {
        Spot { place: ROOT, start: 0, size: self.len(), depth: 0 }
    }

    /// The child at a byte before the end, as far down as it was looked into, or as `stop` wants it.
    pub(super) fn spot(&self, at: u64, stop: impl Fn(&Self, &Spot) -> bool) -> Spot {
        let mut spot = self.root();
        while !stop(self, &spot)
            && let Child::Inner(id) = *self.child(spot.place)
        {
            let node = self.node(id);
            let slot = node.ends.partition_point(|&end| spot.start + end <= at).min(node.ends.len() - 1);
            spot = self.below(&spot, id, slot);
        }
        spot
    }

    /// The last child, as far down as it was looked into.
    pub(super) fn tail(&self) -> Spot {
        let mut spot = self.root();
        while let Child::Inner(id) = *self.child(spot.place) {
            spot = self.below(&spot, id, self.node(id).children.len() - 1);
        }
        spot
    }

    fn below(&self, spot: &Spot, id: Id, slot: usize) -> Spot {
        let node = self.node(id);
        let start = node.start(slot);
        Spot {
            place: Place { node: id, slot },
            start: spot.start + start,
            size: node.ends[slot] - start,
            depth: spot.depth + 1,
        }
    }

    /// What holds a child, if it has no changes.
    pub(super) fn link(&self, child: &Child) -> Option<Link> {
        match child {
            Child::Sealed(link) => Some(*link),
            Child::Leaf(leaf) => leaf.link,
            Child::Inner(id) => self.node(*id).link,
            Child::Zeros(_) => None,
        }
    }
}
