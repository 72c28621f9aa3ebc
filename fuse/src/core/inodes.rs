//! The inodes of the read-only trees that the kernel knows of.
//!
//! An inode lives while the kernel has references to it. A file is one inode wherever it stands, so that the kernel holds
//! its content once. A directory is an inode for each place: the kernel gives a directory one place only.

use super::{attr::Ino, seen::Seen};
use bytes::Bytes;
use cairn_store::{Cid, fetch::Fetch};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::Arc,
};

/// Inodes that are kept without asking the kernel to let go of some: about 90 MiB of them.
const MAX_NODES: usize = 1 << 18;
/// Names that the kernel is asked to let go of at a time.
const SHED: usize = 64;

/// An inode.
pub(super) struct Node {
    pub(super) cid: Cid,
    /// Where its blocks are asked for.
    pub(super) source: Arc<dyn Fetch>,
    /// A place where it stands.
    pub(super) parent: Ino,
    pub(super) name: Bytes,
    seen: Mutex<Seen>,
}

impl Node {
    pub(super) fn new(cid: Cid, source: Arc<dyn Fetch>, (parent, name): (Ino, Bytes), seen: Seen) -> Self {
        Self { cid, source, parent, name, seen: Mutex::new(seen) }
    }

    pub(super) fn seen(&self) -> Seen {
        *self.seen.lock()
    }

    /// Corrects what was said of it; says whether it was another thing.
    pub(super) fn correct(&self, seen: Seen) -> bool {
        std::mem::replace(&mut *self.seen.lock(), seen) != seen
    }

    /// Takes what was said of it elsewhere. A directory may claim anything: it is believed for its own entries, as far as
    /// nobody knows better.
    fn hear(&self, seen: Seen) {
        let mut own = self.seen.lock();
        if own.claimed {
            *own = seen;
        }
    }
}

struct Slot {
    node: Arc<Node>,
    lookups: u64,
}

/// Names of entries that the kernel should let go of.
pub(super) type Shed = Vec<(Ino, Bytes)>;

#[derive(Default)]
struct Maps {
    slots: HashMap<u64, Slot>,
    folders: HashMap<(Ino, Bytes), u64>,
    /// By a hash of their CID, which is a third of all that an inode takes: whoever looks compares it with the inode's.
    files: HashMap<u64, u64>,
    hasher: RandomState,
    /// In the order in which they came, when there are too many.
    order: VecDeque<u64>,
    next: u64,
}

/// The table.
pub(super) struct Inodes {
    maps: Mutex<Maps>,
    max: usize,
}

impl Inodes {
    pub(super) fn new() -> Self {
        Self::with_room(MAX_NODES)
    }

    fn with_room(max: usize) -> Self {
        Self { maps: Mutex::default(), max }
    }

    pub(super) fn get(&self, number: u64) -> Option<Arc<Node>> {
        Some(Arc::clone(&self.maps.lock().slots.get(&number)?.node))
    }

    /// Refers to an inode once more, which is made if it is new. Also says what is to go to make room.
    pub(super) fn refer(&self, node: Node) -> (u64, Arc<Node>, Shed) {
        let mut maps = self.maps.lock();
        let folder = node.seen().kind == super::attr::Kind::Directory;
        let key = (node.parent, node.name.clone());
        let file = maps.hasher.hash_one(node.cid);
        let known = if folder { maps.folders.get(&key) } else { maps.files.get(&file) }.copied();
        if let Some(number) = known
            && let Some(slot) = maps.slots.get_mut(&number)
            && slot.node.cid == node.cid
        {
            slot.lookups += 1;
            slot.node.hear(node.seen());
            return (number, Arc::clone(&slot.node), Vec::new());
        }
        maps.next += 1;
        let number = maps.next;
        let node = Arc::new(node);
        if folder {
            maps.folders.insert(key, number);
        } else {
            maps.files.insert(file, number);
        }
        maps.slots.insert(number, Slot { node: Arc::clone(&node), lookups: 1 });
        maps.order.push_back(number);
        let shed = maps.shed(self.max);
        (number, node, shed)
    }

    /// Takes back references of the kernel.
    pub(super) fn forget(&self, number: u64, count: u64) {
        let mut maps = self.maps.lock();
        let Some(slot) = maps.slots.get_mut(&number) else { return };
        slot.lookups = slot.lookups.saturating_sub(count);
        if slot.lookups > 0 {
            return;
        }
        let Some(Slot { node, .. }) = maps.slots.remove(&number) else { return };
        let key = (node.parent, node.name.clone());
        // The place may have another inode by now.
        if maps.folders.get(&key) == Some(&number) {
            maps.folders.remove(&key);
        }
        let file = maps.hasher.hash_one(node.cid);
        if maps.files.get(&file) == Some(&number) {
            maps.files.remove(&file);
        }
        let Maps { order, slots, .. } = &mut *maps;
        if order.len() > 2 * slots.len() + SHED {
            order.retain(|number| slots.contains_key(number));
        }
    }

    /// What is known of a file wherever it stands.
    pub(super) fn seen(&self, cid: &Cid) -> Option<Seen> {
        let maps = self.maps.lock();
        let number = maps.files.get(&maps.hasher.hash_one(cid))?;
        let slot = maps.slots.get(number).filter(|slot| slot.node.cid == *cid)?;
        Some(slot.node.seen())
    }

    pub(super) fn len(&self) -> usize {
        self.maps.lock().slots.len()
    }
}

impl Maps {
    /// The oldest ones, if there are more than `max`. They come to the end of the order: what is in use stays.
    fn shed(&mut self, max: usize) -> Shed {
        let mut shed = Vec::new();
        if self.slots.len() <= max {
            return shed;
        }
        for _ in 0..self.order.len().min(4 * SHED) {
            let Some(number) = self.order.pop_front() else { break };
            let Some(slot) = self.slots.get(&number) else { continue };
            shed.push((slot.node.parent, slot.node.name.clone()));
            self.order.push_back(number);
            if shed.len() == SHED {
                break;
            }
        }
        shed
    }
}

#[cfg(test)]
mod tests {
    use super::{super::attr::Kind, *};
    use cairn_store::{Block, block::Prefix, blockstore::KvBlocks, cid::codec, fetch::Offline, kv::MemoryKv};

    fn node(name: &str, kind: Kind, content: &str) -> Node {
        let blocks = Arc::new(KvBlocks::open(Arc::new(MemoryKv::new())).expect("opens"));
        let block = Block::seal(Prefix::v1(codec::RAW), content.to_owned().into()).expect("seals");
        let seen = Seen { kind, ..Seen::raw(5) };
        let source = Arc::new(Offline::new(blocks));
        Node::new(*block.cid(), source, (1, Bytes::copy_from_slice(name.as_bytes())), seen)
    }

    #[test]
    fn files_are_one_everywhere_and_folders_are_one_for_each_place() {
        let inodes = Inodes::new();
        let refer = |node| inodes.refer(node).0;
        let file = refer(node("a", Kind::File, "x"));
        assert_eq!(refer(node("b", Kind::File, "x")), file);
        assert_ne!(refer(node("b", Kind::File, "y")), file);
        let folder = refer(node("d", Kind::Directory, "x"));
        assert_eq!(refer(node("d", Kind::Directory, "x")), folder);
        assert_ne!(refer(node("e", Kind::Directory, "x")), folder);
        let other = refer(node("d", Kind::Directory, "z"));
        assert_ne!(other, folder, "the name leads elsewhere now");
        inodes.forget(folder, 2);
        assert!(inodes.get(folder).is_none());
        assert_eq!(refer(node("d", Kind::Directory, "z")), other, "its place was not taken from it");
        inodes.forget(file, 1);
        assert!(inodes.get(file).is_some(), "one reference is left");
        inodes.forget(file, 1);
        assert!(inodes.get(file).is_none());
    }

    #[test]
    fn the_kernel_is_asked_to_let_go_and_memory_is_given_back() {
        let inodes = Inodes::with_room(10);
        let mut shed = 0;
        for i in 0..200 {
            let (number, _, names) = inodes.refer(node(&i.to_string(), Kind::File, &i.to_string()));
            assert_eq!(names.is_empty(), i < 10, "{i}");
            shed += names.len();
            if i >= 100 {
                inodes.forget(number, 1);
            }
        }
        assert!(shed > 0);
        assert_eq!(inodes.len(), 100);
        assert!(inodes.maps.lock().order.len() <= 2 * 100 + SHED);
    }
}
