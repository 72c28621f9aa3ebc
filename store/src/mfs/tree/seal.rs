//! Sealing directories: what is to be done is copied out under the namespace's lock, done without it, and brought back.
//! Nothing may be changed between; reading may go on.

use super::{
    Body, Content, Dir, Inode, Tree,
    plan::{Done, Left, Node, Plan, Planned, Trouble},
};
use crate::{
    mfs::{
        Ino, MfsError,
        dir::{Directory, Link},
    },
    unixfs::Root,
};

impl Tree {
    /// Dirty inodes below one and itself, parents first.
    fn dirty_below(&self, below: Ino) -> Vec<Ino> {
        let mut order = Vec::new();
        let mut stack = vec![below];
        while let Some(ino) = stack.pop() {
            let Some(inode) = self.inodes.get(&ino).filter(|inode| inode.dirty) else { continue };
            order.push(ino);
            if let Body::Dir(dir) = &inode.body {
                stack.extend(&dir.unsealed);
            }
        }
        order
    }

    /// Files with changes below an inode, by number; with `None` all of them, also those that were unlinked.
    pub(in crate::mfs) fn dirty_files(&self, below: Option<Ino>) -> Vec<(Ino, Content)> {
        let content = |ino: Ino, inode: &Inode| match &inode.body {
            Body::File(file) if inode.dirty => file.content.clone().map(|content| (ino, content)),
            _ => None,
        };
        let mut files: Vec<(Ino, Content)> = match below {
            None => self.inodes.iter().filter_map(|(ino, inode)| content(*ino, inode)).collect(),
            Some(below) => {
                let order = self.dirty_below(below);
                order.iter().filter_map(|ino| content(*ino, self.inodes.get(ino)?)).collect()
            }
        };
        files.sort_unstable_by_key(|(ino, _)| *ino);
        files
    }

    /// Files with bytes in memory alone, those with the most first.
    pub(in crate::mfs) fn fat_files(&self) -> Vec<(u64, Ino, Content)> {
        let mut files: Vec<_> = self
            .inodes
            .iter()
            .filter_map(|(ino, inode)| match &inode.body {
                Body::File(file) if file.dirty_bytes > 0 => Some((file.dirty_bytes, *ino, file.content.clone()?)),
                _ => None,
            })
            .collect();
        files.sort_unstable_by_key(|(bytes, ..)| std::cmp::Reverse(*bytes));
        files
    }

    /// Notes that a file was sealed, whose content is locked by the caller.
    pub(in crate::mfs) fn file_sealed(&mut self, ino: Ino, root: &Root) {
        let unlinked = !self.is_linked(ino);
        let Some(inode) = self.inodes.get_mut(&ino) else { return };
        let Body::File(file) = &mut inode.body else { return };
        self.dirty_bytes = self.dirty_bytes.saturating_sub(file.dirty_bytes);
        (file.dirty_bytes, file.refused) = (0, None);
        inode.link = Some(Link { cid: root.cid, tsize: root.tsize });
        self.dirty -= usize::from(std::mem::replace(&mut inode.dirty, false));
        self.settled.insert(ino);
        if unlinked {
            self.orphans.insert(ino, root.cid);
        }
    }

    /// Directories with changes below an inode, and itself, of which it is not known whether they are still to be sharded.
    pub(in crate::mfs) fn unreckoned(&self, below: Ino) -> Vec<(Ino, Directory)> {
        let unknown = |ino: Ino| match &self.inodes.get(&ino)?.body {
            Body::Dir(Dir { directory: Some(directory), .. }) if !directory.is_reckoned() => {
                Some((ino, Directory::clone(directory)))
            }
            _ => None,
        };
        self.dirty_below(below).into_iter().filter_map(unknown).collect()
    }

    /// Takes what was found out about a directory, unless it has changed since.
    pub(in crate::mfs) fn reckoned(&mut self, ino: Ino, before: &Directory, after: Directory) {
        if let Ok(Dir { directory: Some(directory), .. }) = self.dir_mut(ino)
            && directory.is_same(before)
        {
            let more = after.weight().saturating_sub(directory.weight());
            **directory = after;
            self.gained += more;
        }
    }

    /// What is to be done to seal what is below an inode, once the files there are sealed, but for those that are left.
    pub(in crate::mfs) fn plan(&self, below: Ino, left: Left) -> Result<Plan, MfsError> {
        let mut plan = Plan::new(below, left);
        for ino in self.dirty_below(below).into_iter().rev() {
            let inode = self.inode(ino)?;
            let node = match &inode.body {
                Body::File(file) => {
                    let error = || MfsError::Invalid(format!("{} was written to meanwhile", self.name(ino)));
                    plan.left.entry(ino).or_insert_with(|| Trouble::Error(error()));
                    Node::File(file.profile)
                }
                Body::Symlink { target, profile } => {
                    Node::Symlink { target: target.clone(), meta: inode.meta, profile: *profile }
                }
                Body::Dir(dir) => {
                    let mut children = Vec::with_capacity(dir.unsealed.len());
                    for child in &dir.unsealed {
                        let inode = self.inode(*child)?;
                        if let Some((_, name)) = &inode.parent {
                            children.push((name.clone(), *child));
                        }
                        if let Some(link) = inode.link.filter(|_| !inode.dirty) {
                            plan.links.insert(*child, link);
                        }
                    }
                    let directory = dir.directory.clone().ok_or(MfsError::Stale(ino))?;
                    Node::Dir { directory, children }
                }
            };
            plan.nodes.push(Planned { ino, last: inode.link, node });
        }
        Ok(plan)
    }

    /// Brings back what was sealed. A directory stays dirty with those of its children that were left.
    pub(in crate::mfs) fn apply(&mut self, sealed: Vec<Done>) {
        for Done { ino, directory, link, stuck } in sealed {
            let Some(inode) = self.inodes.get_mut(&ino) else { continue };
            inode.link = Some(link);
            if let Body::Dir(dir) = &mut inode.body {
                let weigh = |directory: &Option<Box<Directory>>| directory.as_ref().map_or(0, |d| d.weight());
                self.gained += weigh(&directory).saturating_sub(weigh(&dir.directory));
                dir.directory = directory;
                dir.unsealed.retain(|child| stuck.contains(child));
            }
            if stuck.is_empty() {
                self.dirty -= usize::from(std::mem::replace(&mut inode.dirty, false));
            }
        }
    }

    /// Whether an inode is another one, or below it.
    pub(in crate::mfs) fn is_below(&self, ino: Ino, above: Ino) -> bool {
        let mut at = Some(ino);
        while let Some(ino) = at {
            if ino == above {
                return true;
            }
            at = self.inodes.get(&ino).and_then(|inode| inode.parent.as_ref()).map(|(parent, _)| *parent);
        }
        false
    }

    /// The root of an inode, if it has no changes.
    pub(in crate::mfs) fn sealed_link(&self, ino: Ino) -> Result<Option<Link>, MfsError> {
        let inode = self.inode(ino)?;
        Ok(inode.link.filter(|_| !inode.dirty))
    }
}
