//! Taking blocks that an operation asked for.

use super::{Body, Dir, FileBody, Inode, Needed, Times, Tree, naming_of};
use crate::{
    Block, Cid,
    cid::codec,
    mfs::{
        Ino, MfsError, ROOT_INO,
        dir::{self, Directory, Link, Opened, Want},
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

/// What blocks are to be read as.
pub(in crate::mfs) struct Reading {
    needed: Needed,
    what: What,
}

enum What {
    Directory(Profile),
    File(Profile),
    Child(Profile, Link),
    Shards(usize),
    /// They are not needed any more.
    Nothing,
}

/// Blocks that were read.
pub(in crate::mfs) struct Ready {
    /// Entries in them, about.
    gained: usize,
    read: Read,
}

enum Read {
    Directory(Box<Directory>),
    File(Box<File>),
    Child(Box<Inode>),
    Shards(Vec<(Want, Opened)>),
    Nothing,
}

impl Reading {
    /// Reads them.
    ///
    /// # Errors
    /// When a block is not what it should be.
    pub(in crate::mfs) fn read(&self, blocks: &[Block]) -> Result<Ready, MfsError> {
        // A link takes about that much in a block.
        let gained = blocks.iter().map(|block| block.data().len() / 64 + 1).sum();
        let at_hand = |cid: &Cid| blocks.iter().find(|block| block.cid() == cid);
        let only = match &self.needed {
            Needed::Body { cid, .. } | Needed::Child { cid, .. } => at_hand(cid),
            Needed::Shards { .. } => None,
        };
        let read = match (&self.needed, &self.what, only) {
            (_, What::Directory(profile), Some(block)) => {
                Read::Directory(Box::new(Directory::from_block(profile, block)?))
            }
            (_, What::File(profile), Some(block)) => Read::File(Box::new(File::from_block(profile, block)?)),
            (_, What::Child(profile, link), Some(block)) => Read::Child(Box::new(read_inode(profile, *link, block)?)),
            (Needed::Shards { wanted, .. }, What::Shards(fanout), _) => {
                let some = wanted.iter().filter_map(|want| Some((want, at_hand(&want.cid)?)));
                let read = some.map(|(want, block)| Ok((*want, Opened::read(want, block, *fanout)?)));
                Read::Shards(read.collect::<Result<_, MfsError>>()?)
            }
            _ => Read::Nothing,
        };
        Ok(Ready { gained, read })
    }
}

impl Tree {
    /// What blocks that are needed are to be read as.
    pub(in crate::mfs) fn reading(&self, needed: &Needed) -> Reading {
        let what = match needed {
            Needed::Body { ino, cid } => match self.inodes.get(ino) {
                Some(inode) if inode.link.is_none_or(|link| link.cid != *cid) => What::Nothing,
                Some(Inode { body: Body::Dir(Dir { directory: None, .. }), .. }) => What::Directory(self.profile),
                Some(Inode { body: Body::File(FileBody { content: None, profile, .. }), .. }) => What::File(*profile),
                _ => What::Nothing,
            },
            Needed::Child { parent, name, cid } => {
                self.link_at(*parent, name, cid).map_or(What::Nothing, |link| What::Child(self.profile, link))
            }
            Needed::Shards { ino, .. } => match self.dir(*ino) {
                Ok(Dir { directory: Some(directory), .. }) => directory.fanout().map_or(What::Nothing, What::Shards),
                _ => What::Nothing,
            },
        };
        Reading { needed: needed.clone(), what }
    }

    /// The link of an entry that has no inode, if it is that one.
    fn link_at(&self, parent: Ino, name: &Bytes, cid: &Cid) -> Option<Link> {
        let Ok(Dir { directory: Some(directory), children, .. }) = self.dir(parent) else { return None };
        match directory.get(name) {
            Ok(Some(Some(link))) if link.cid == *cid && !children.contains_key(name) => Some(link),
            _ => None,
        }
    }

    /// Takes blocks that were needed. What is no longer needed is passed over.
    ///
    /// # Errors
    /// When there is no such directory.
    pub(in crate::mfs) fn supply(&mut self, needed: &Needed, ready: Ready) -> Result<(), MfsError> {
        self.gained += ready.gained;
        match (needed, ready.read) {
            (Needed::Body { ino, cid }, Read::Directory(mut read)) => {
                let naming = (*ino == ROOT_INO).then(|| naming_of(&self.profile));
                let Some(inode) = self.inodes.get_mut(ino) else { return Ok(()) };
                if let Body::Dir(Dir { directory: directory @ None, known, .. }) = &mut inode.body
                    && inode.link.is_some_and(|link| link.cid == *cid)
                {
                    read.recall(*known);
                    if let Some(naming) = naming {
                        read.rename_later(naming);
                    }
                    *directory = Some(read);
                }
            }
            (Needed::Body { ino, cid }, Read::File(mut read)) => {
                let Some(inode) = self.inodes.get_mut(ino) else { return Ok(()) };
                if let Body::File(FileBody { content: content @ None, .. }) = &mut inode.body
                    && inode.link.is_some_and(|link| link.cid == *cid)
                {
                    (inode.size, inode.holes, inode.claimed) = (read.len(), read.holes(), false);
                    *content = Some(Arc::new(Mutex::new(*read)));
                }
            }
            (Needed::Child { parent, name, cid }, Read::Child(mut inode)) => {
                let Some(link) = self.link_at(*parent, name, cid) else { return Ok(()) };
                (inode.link, inode.parent) = (Some(link), Some((*parent, name.clone())));
                let ino = self.add(*inode);
                self.dir_mut(*parent)?.children.insert(name.clone(), ino);
            }
            (Needed::Shards { ino, .. }, Read::Shards(shards)) => {
                let Ok(Dir { directory: Some(directory), .. }) = self.dir_mut(*ino) else { return Ok(()) };
                for (want, opened) in shards {
                    directory.place(&want, opened);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// An inode of what is stored.
pub(super) fn read_inode(profile: &Profile, link: Link, block: &Block) -> Result<Inode, MfsError> {
    if !matches!(link.cid.codec(), codec::RAW | codec::DAG_PB) {
        return Err(MfsError::NotUnixfs(Box::new(link.cid)));
    }
    let (meta, entity) = entity::decode(block)?;
    let holes = match &entity {
        Entity::File(node) if node.children.len() > 1 => File::from_block(profile, block)?.holes(),
        _ => 0,
    };
    let named = dir::named_as(profile, &link.cid);
    let (body, size) = match entity {
        Entity::File(node) => {
            (FileBody { content: None, profile: *profile, dirty_bytes: 0, refused: None }.into(), node.size)
        }
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
        holes,
        used: 0,
        claimed: false,
        times: Times::default(),
    })
}
