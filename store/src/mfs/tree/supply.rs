//! Taking blocks that an operation asked for.

use super::{Body, Dir, FileBody, Inode, Needed, Times, Tree, naming_of};
use crate::{
    Block,
    cid::codec,
    mfs::{
        Ino, MfsError, ROOT_INO,
        dir::{self, Directory, Link},
        file::File,
    },
    unixfs::{
        entity::{self, Entity},
        profile::Profile,
    },
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::Mutex;

impl Tree {
    /// Takes blocks that were needed. What is no longer needed is passed over.
    ///
    /// # Errors
    /// When a block is not what it should be.
    pub(in crate::mfs) fn supply(&mut self, needed: &Needed, blocks: &[Block]) -> Result<(), MfsError> {
        // A link takes about that much in a block.
        self.gained += blocks.iter().map(|block| block.data().len() / 64 + 1).sum::<usize>();
        match needed {
            Needed::Body { ino, cid } => {
                let block = blocks.iter().find(|block| block.cid() == cid);
                block.map_or(Ok(()), |block| self.supply_body(*ino, block))
            }
            Needed::Child { parent, name, cid } => {
                let block = blocks.iter().find(|block| block.cid() == cid);
                block.map_or(Ok(()), |block| self.supply_child(*parent, name, block))
            }
            Needed::Shards { ino, wanted } => {
                let Ok(Dir { directory: Some(directory), .. }) = self.dir_mut(*ino) else { return Ok(()) };
                for want in wanted {
                    if let Some(block) = blocks.iter().find(|block| *block.cid() == want.cid) {
                        directory.supply(want, block)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn supply_body(&mut self, ino: Ino, block: &Block) -> Result<(), MfsError> {
        let profile = self.profile;
        let Some(inode) = self.inodes.get_mut(&ino) else { return Ok(()) };
        if inode.link.is_none_or(|link| link.cid != *block.cid()) {
            return Ok(());
        }
        match &mut inode.body {
            Body::Dir(Dir { directory: directory @ None, known, .. }) => {
                let mut read = Directory::from_block(&profile, block)?;
                read.recall(*known);
                if ino == ROOT_INO {
                    read.rename_later(naming_of(&profile));
                }
                *directory = Some(Box::new(read));
            }
            Body::File(FileBody { content: content @ None, profile, .. }) => {
                let file = File::from_block(profile, block)?;
                inode.size = file.len();
                inode.claimed = false;
                *content = Some(Arc::new(Mutex::new(file)));
            }
            _ => {}
        }
        Ok(())
    }

    fn supply_child(&mut self, parent: Ino, name: &Bytes, block: &Block) -> Result<(), MfsError> {
        let Ok(Dir { directory: Some(directory), children, .. }) = self.dir(parent) else { return Ok(()) };
        let link = match directory.get(name) {
            Ok(Some(Some(link))) if link.cid == *block.cid() && !children.contains_key(name) => link,
            _ => return Ok(()),
        };
        let mut inode = read_inode(&self.profile, link, block)?;
        inode.parent = Some((parent, name.clone()));
        let ino = self.add(inode);
        self.dir_mut(parent)?.children.insert(name.clone(), ino);
        Ok(())
    }
}

/// An inode of what is stored.
pub(super) fn read_inode(profile: &Profile, link: Link, block: &Block) -> Result<Inode, MfsError> {
    if !matches!(link.cid.codec(), codec::RAW | codec::DAG_PB) {
        return Err(MfsError::NotUnixfs(Box::new(link.cid)));
    }
    let (meta, entity) = entity::decode(block)?;
    let named = dir::named_as(profile, &link.cid);
    let (body, size) = match entity {
        Entity::File(node) => (FileBody { content: None, profile: *profile, dirty_bytes: 0 }.into(), node.size),
        Entity::Symlink(target) => {
            let size = target.len() as u64;
            (Body::Symlink { target, profile: named }, size)
        }
        entity => {
            let directory = Box::new(Directory::from_entity(profile, block, meta, entity)?);
            (Body::Dir(Dir { directory: Some(directory), ..Dir::default() }), 0)
        }
    };
    Ok(Inode {
        body,
        parent: None,
        refs: 0,
        opens: 0,
        link: Some(link),
        dirty: false,
        meta,
        closed: false,
        size,
        used: 0,
        claimed: false,
        times: Times::default(),
    })
}
