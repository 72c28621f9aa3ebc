//! Sealing directories: what is to be done is copied out under the namespace's lock, done without it, and brought back.
//! Nothing may be changed between; reading may go on.

use super::{Body, Content, Dir, Fail, Inode, Needed, Step, Tree, in_dir};
use crate::{
    Block, StoreError,
    blockstore::{Blockstore as _, KvBlocks},
    fetch::FetchError,
    mfs::{
        Ino, MfsError,
        dir::{DirError, Directory, Link, WANTED, Want},
    },
    unixfs::{Root, leaf, meta::FileMeta, profile::Profile},
};
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};

/// What is to be sealed of a tree, children first.
pub(in crate::mfs) struct Plan {
    nodes: Vec<(Ino, Node)>,
    /// Links of what is sealed.
    links: HashMap<Ino, Link>,
}

enum Node {
    Symlink { target: Bytes, meta: FileMeta, profile: Profile },
    Dir { directory: Box<Directory>, children: Vec<(Bytes, Ino)> },
}

/// What was sealed.
pub(in crate::mfs) struct Sealed(Vec<(Ino, Option<Box<Directory>>, Link)>);

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
        file.dirty_bytes = 0;
        inode.link = Some(Link { cid: root.cid, tsize: root.tsize });
        self.dirty -= usize::from(std::mem::replace(&mut inode.dirty, false));
        if unlinked {
            self.orphans.insert(ino, root.cid);
        }
    }

    /// Looks into the shards that the links of what is dirty are to go into.
    pub(in crate::mfs) fn prepare_links(&self, below: Ino) -> Step<()> {
        for ino in self.dirty_below(below) {
            let Some(Inode { body: Body::Dir(dir), .. }) = self.inodes.get(&ino) else { continue };
            let mut missing: Vec<Want> = Vec::new();
            for child in &dir.unsealed {
                let Some((_, name)) = self.inodes.get(child).and_then(|inode| inode.parent.as_ref()) else { continue };
                match self.directory(ino)?.get(name) {
                    Err(DirError::Missing(wanted)) => missing.extend(wanted),
                    other => {
                        other.map_err(in_dir(ino))?;
                    }
                }
                if missing.len() >= WANTED {
                    break;
                }
            }
            if !missing.is_empty() {
                // Many entries may be in one shard.
                missing.sort_unstable_by_key(|want| want.cid);
                missing.dedup();
                return Err(Fail::from(Needed::Shards { ino, wanted: missing }));
            }
        }
        Ok(())
    }

    /// Looks into the shards that say whether directories are still to be sharded, but for those in `skip`.
    pub(in crate::mfs) fn prepare_forms(&mut self, below: Ino, skip: &BTreeSet<Ino>) -> Step<()> {
        for ino in self.dirty_below(below) {
            if let Some(Inode { body: Body::Dir(Dir { directory: Some(directory), .. }), .. }) =
                self.inodes.get_mut(&ino)
                && !skip.contains(&ino)
            {
                directory.reckon().map_err(in_dir(ino))?;
            }
        }
        Ok(())
    }

    /// What is to be done to seal what is below an inode, once all files there are sealed.
    pub(in crate::mfs) fn plan(&self, below: Ino) -> Result<Plan, MfsError> {
        let mut plan = Plan { nodes: Vec::new(), links: HashMap::new() };
        for ino in self.dirty_below(below).into_iter().rev() {
            let inode = self.inode(ino)?;
            let node = match &inode.body {
                Body::File(_) => return Err(MfsError::Invalid(format!("{} was written to meanwhile", self.name(ino)))),
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
            plan.nodes.push((ino, node));
        }
        Ok(plan)
    }

    /// Brings back what was sealed.
    pub(in crate::mfs) fn apply(&mut self, sealed: Sealed) {
        for (ino, directory, link) in sealed.0 {
            let Some(inode) = self.inodes.get_mut(&ino) else { continue };
            self.dirty -= usize::from(std::mem::replace(&mut inode.dirty, false));
            inode.link = Some(link);
            if let Body::Dir(dir) = &mut inode.body {
                dir.directory = directory;
                dir.unsealed.clear();
            }
        }
    }

    /// The root of an inode, if it has no changes.
    pub(in crate::mfs) fn sealed_link(&self, ino: Ino) -> Result<Option<Link>, MfsError> {
        let inode = self.inode(ino)?;
        Ok(inode.link.filter(|_| !inode.dirty))
    }
}

impl Plan {
    /// Makes the blocks. Shards that were forgotten meanwhile are read from the store.
    pub(in crate::mfs) fn seal(
        mut self,
        blocks: &KvBlocks,
        emit: &mut dyn FnMut(Block) -> Result<(), StoreError>,
    ) -> Result<Sealed, MfsError> {
        let mut sealed = Vec::with_capacity(self.nodes.len());
        for (ino, node) in self.nodes {
            let (directory, link) = match node {
                Node::Symlink { target, meta, profile } => {
                    let mut out = Vec::new();
                    let root = leaf::symlink(&profile, &target, meta, &mut out)?;
                    out.into_iter().try_for_each(&mut *emit)?;
                    (None, Link { cid: root.cid, tsize: root.tsize })
                }
                Node::Dir { mut directory, children } => {
                    for (name, child) in children {
                        let link = self.links.get(&child).copied().ok_or(MfsError::Stale(child))?;
                        set_link(&mut directory, blocks, &name, link)?;
                    }
                    reckon(&mut directory, blocks)?;
                    let link = directory.seal(emit)?;
                    (Some(directory), link)
                }
            };
            self.links.insert(ino, link);
            sealed.push((ino, directory, link));
        }
        Ok(Sealed(sealed))
    }
}

/// Gives a directory shards out of the store. Whether all were there.
fn supply(directory: &mut Directory, blocks: &KvBlocks, wanted: &[Want]) -> Result<Option<Want>, MfsError> {
    for want in wanted {
        match blocks.get(&want.cid)? {
            Some(block) => directory.supply(want, &block)?,
            None => return Ok(Some(*want)),
        }
    }
    Ok(None)
}

fn set_link(directory: &mut Directory, blocks: &KvBlocks, name: &[u8], link: Link) -> Result<(), MfsError> {
    loop {
        match directory.insert(name, Some(link)) {
            Ok(_) => return Ok(()),
            // Each round goes a level down.
            Err(DirError::Missing(wanted)) => {
                if let Some(missing) = supply(directory, blocks, &wanted)? {
                    return Err(FetchError::NotFound(Box::new(missing.cid)).into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Looks into what says whether a directory is still to be sharded, as far as it is here.
fn reckon(directory: &mut Directory, blocks: &KvBlocks) -> Result<(), MfsError> {
    while let Err(DirError::Missing(wanted)) = directory.reckon() {
        if supply(directory, blocks, &wanted)?.is_some() {
            return Ok(());
        }
    }
    Ok(())
}
