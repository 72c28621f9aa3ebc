//! Letting go of inodes.

use super::{Body, Dir, Inode, MAX_IDLE, MAX_WEIGHT, Tree};
use crate::{
    Cid,
    mfs::{Ino, ROOT_INO},
};
use std::sync::Arc;

impl Inode {
    /// Whether nobody has its number or its content.
    fn unused(&self) -> bool {
        let alone = match &self.body {
            Body::Dir(dir) => dir.children.is_empty(),
            Body::File(file) => file.content.as_ref().is_none_or(|content| Arc::strong_count(content) == 1),
            Body::Symlink { .. } => true,
        };
        alone && self.refs == 0 && self.opens == 0
    }

    /// Lets go of the content of a file that nobody has open, if it can be read again: a small one has all its bytes in
    /// memory.
    pub(super) fn put_away(&mut self) {
        if let Body::File(file) = &mut self.body
            && !self.dirty
            && self.opens == 0
            && self.link.is_some()
            && file.content.as_ref().is_some_and(|content| Arc::strong_count(content) == 1)
        {
            file.content = None;
        }
    }
}

impl Tree {
    /// Drops an inode that was unlinked and is not used any more.
    pub(super) fn drop_unused(&mut self, ino: Ino) {
        let mut at = Some(ino);
        while let Some(ino) = at.take() {
            let Some(inode) = self.inodes.get(&ino) else { return };
            if ino != ROOT_INO && inode.unused() && !self.is_linked(ino) {
                at = inode.parent.as_ref().map(|(above, _)| *above);
                self.discard(ino);
            }
        }
    }

    /// Whether an inode can be reached from the root.
    pub(in crate::mfs) fn is_linked(&self, ino: Ino) -> bool {
        let mut at = ino;
        // Directories can't be moved below themselves, so this ends.
        while let Some((above, _)) = self.inodes.get(&at).and_then(|inode| inode.parent.as_ref()) {
            at = *above;
        }
        at == ROOT_INO
    }

    /// The root of what was unlinked and is in use, if it was ever sealed.
    pub(in crate::mfs) fn orphan(&self, ino: Ino) -> Option<Cid> {
        self.orphans.get(&ino).copied()
    }

    /// Drops what is not used of a tree that was unlinked.
    pub(super) fn drop_below(&mut self, ino: Ino) {
        let mut order = vec![ino];
        let mut next = 0;
        while let Some(&at) = order.get(next) {
            next += 1;
            if let Some(Inode { body: Body::Dir(dir), .. }) = self.inodes.get(&at) {
                order.extend(dir.children.values());
            }
        }
        for &at in order.iter().rev() {
            if self.inodes.get(&at).is_some_and(Inode::unused) {
                self.discard(at);
            } else if at != ino
                && let Some(link) = self.inodes.get(&at).and_then(|inode| inode.link)
            {
                self.orphans.insert(at, link.cid);
            }
        }
    }

    /// Drops what was unlinked, and was in use for a moment longer than somebody had its number.
    pub(in crate::mfs) fn drop_orphans(&mut self) {
        let orphans: Vec<Ino> = self.orphans.keys().copied().collect();
        for ino in orphans {
            self.drop_unused(ino);
        }
    }

    /// Removes an inode from memory.
    fn discard(&mut self, ino: Ino) {
        let Some(inode) = self.inodes.remove(&ino) else { return };
        self.orphans.remove(&ino);
        self.settled.remove(&ino);
        self.dirty -= usize::from(inode.dirty);
        if let Body::File(file) = &inode.body {
            self.dirty_bytes = self.dirty_bytes.saturating_sub(file.dirty_bytes);
        }
        if let Some((parent, name)) = &inode.parent
            && let Some(Inode { body: Body::Dir(dir), .. }) = self.inodes.get_mut(parent)
        {
            dir.children.remove(name);
            dir.unsealed.remove(&ino);
        }
    }

    /// Lets go of the content of files that were sealed and that nobody has open.
    pub(in crate::mfs) fn put_away(&mut self) {
        for ino in std::mem::take(&mut self.settled) {
            if let Some(inode) = self.inodes.get_mut(&ino) {
                inode.put_away();
            }
        }
    }

    /// Whether much has come into memory since [`Tree::trim`].
    pub(in crate::mfs) fn is_heavy(&self) -> bool {
        self.inodes.len() > self.heavy_at || self.gained > MAX_WEIGHT / 2
    }

    /// Lets go of what nobody uses and of what can be read again, of that which was used longest ago first.
    pub(in crate::mfs) fn trim(&mut self) {
        let mut idle: Vec<(u64, Ino)> =
            self.inodes.iter().filter(|(_, i)| i.unused()).map(|(n, i)| (i.used, *n)).collect();
        if idle.len() > MAX_IDLE {
            idle.sort_unstable();
            idle.truncate(idle.len() - MAX_IDLE / 2);
            for (_, ino) in idle {
                self.evict(ino);
            }
        }
        self.lighten();
        if self.inodes.capacity() > 4 * self.inodes.len() {
            self.inodes.shrink_to(2 * self.inodes.len());
        }
        // With many references this looks again when as many more have come.
        self.heavy_at = self.inodes.len() + MAX_IDLE;
        self.gained = 0;
    }

    /// Drops an inode without changes, and then directories above it that are not used either.
    fn evict(&mut self, ino: Ino) {
        let mut at = Some(ino);
        while let Some(ino) = at.take() {
            let Some(inode) = self.inodes.get(&ino) else { return };
            let saved = !inode.dirty && !self.in_unsealed(ino);
            if ino != ROOT_INO && inode.unused() && (saved || !self.is_linked(ino)) {
                at = inode.parent.as_ref().map(|(above, _)| *above);
                self.discard(ino);
            }
        }
    }

    /// Whether an inode's directory does not have its link yet.
    fn in_unsealed(&self, ino: Ino) -> bool {
        let parent = self.inodes.get(&ino).and_then(|inode| inode.parent.as_ref()).map(|(above, _)| *above);
        let parent = parent.and_then(|parent| self.inodes.get(&parent));
        matches!(parent, Some(Inode { body: Body::Dir(dir), .. }) if dir.unsealed.contains(&ino))
    }

    /// Forgets the entries of directories, and the nodes of files that are not open.
    fn lighten(&mut self) {
        let weigh = |inode: &Inode| match &inode.body {
            Body::Dir(Dir { directory: Some(directory), .. }) => directory.weight(),
            _ => 0,
        };
        let mut weights: Vec<(u64, Ino, usize)> =
            self.inodes.iter().map(|(n, i)| (i.used, *n, weigh(i))).filter(|(_, _, w)| *w > 0).collect();
        let mut total: usize = weights.iter().map(|(_, _, weight)| weight).sum();
        weights.sort_unstable();
        for (_, ino, weight) in weights {
            if total <= MAX_WEIGHT / 2 {
                break;
            }
            let Some(inode) = self.inodes.get_mut(&ino) else { continue };
            let Body::Dir(dir) = &mut inode.body else { continue };
            total -= weight;
            if inode.dirty {
                dir.directory.iter_mut().for_each(|directory| directory.shrink());
            } else if inode.link.is_some() {
                dir.known = dir.directory.take().map(|directory| directory.known()).unwrap_or_default();
            }
            total += dir.directory.as_ref().map_or(0, |directory| directory.weight());
        }
        self.inodes.values_mut().for_each(Inode::put_away);
    }
}
