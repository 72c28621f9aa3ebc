//! Finding, listing and making entries.

use super::{Body, Dir, Fail, FileBody, Inode, Needed, Step, Times, Tree, in_dir, naming_of};
use crate::{
    Block,
    cid::codec,
    mfs::{
        Attr, Cursor, Ino, Kind, Listed, MAX_NAME, MfsError, New, ROOT_INO,
        dir::{Directory, Link},
        error::shown,
        file::File,
    },
    unixfs::{hamt::hash_name, is_plain_name, meta::FileMeta, node::Mtime, profile::Profile},
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::Mutex;

/// What a new entry is.
pub(in crate::mfs) enum Make<'a> {
    File,
    Directory,
    Symlink(&'a [u8]),
}

/// Refuses names that no path leads to.
pub(in crate::mfs) fn check_name(name: &[u8]) -> Result<(), MfsError> {
    if name.len() > MAX_NAME {
        return Err(MfsError::TooLong(shown(name)));
    }
    if is_plain_name(name) { Ok(()) } else { Err(MfsError::Invalid(format!("{:?} can't be a name", shown(name)))) }
}

impl Tree {
    /// The inode of an entry, which is looked at if it has none yet.
    pub(in crate::mfs) fn find(&mut self, parent: Ino, name: &[u8]) -> Step<Ino> {
        if let Some(ino) = self.live(parent, name)? {
            return Ok(ino);
        }
        match self.directory(parent)?.get(name).map_err(in_dir(parent))? {
            Some(Some(link)) if link.cid.codec() == codec::RAW && link.tsize > 0 => Ok(self.claim(parent, name, link)?),
            Some(Some(link)) => {
                Err(Fail::from(Needed::Child { parent, name: Bytes::copy_from_slice(name), cid: link.cid }))
            }
            _ => Err(MfsError::NotFound(shown(name)).into()),
        }
    }

    /// The inode of a file in one raw block, which is what its link says until somebody opens it.
    fn claim(&mut self, parent: Ino, name: &[u8], link: Link) -> Result<Ino, MfsError> {
        let name = Bytes::copy_from_slice(name);
        self.gained += 1;
        let ino = self.add(Inode {
            body: Body::File(FileBody { content: None, profile: self.profile, dirty_bytes: 0, refused: None }),
            parent: Some((parent, name.clone())),
            refs: 0,
            opens: 0,
            link: Some(link),
            dirty: false,
            meta: FileMeta::NONE,
            closed: false,
            size: link.tsize,
            holes: 0,
            used: 0,
            claimed: true,
            times: Times::default(),
        });
        self.dir_mut(parent)?.children.insert(name, ino);
        Ok(ino)
    }

    /// Takes the true length of a file in one raw block.
    pub(in crate::mfs) fn measured(&mut self, ino: Ino, block: &Block) {
        if let Some(inode) = self.inodes.get_mut(&ino)
            && inode.claimed
            && inode.link.is_some_and(|link| link.cid == *block.cid())
        {
            inode.size = block.data().len() as u64;
            inode.claimed = false;
        }
    }

    /// The inode of an entry, if it has one.
    pub(super) fn live(&mut self, parent: Ino, name: &[u8]) -> Result<Option<Ino>, MfsError> {
        Ok(self.dir_mut(parent)?.children.get(name).copied())
    }

    /// Whether there is an entry of that name.
    pub(super) fn has(&mut self, parent: Ino, name: &[u8]) -> Step<bool> {
        Ok(self.live(parent, name)?.is_some() || self.directory(parent)?.get(name).map_err(in_dir(parent))?.is_some())
    }

    /// The entry at a path below the root.
    pub(in crate::mfs) fn walk(&mut self, path: &[u8]) -> Step<Attr> {
        let mut at = ROOT_INO;
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            at = self.find(at, name)?;
        }
        Ok(self.refer(at)?)
    }

    /// The entry of a name, counted as a reference. `..` is the directory above, and `.` the same one.
    pub(in crate::mfs) fn lookup(&mut self, parent: Ino, name: &[u8]) -> Step<Attr> {
        let ino = match name {
            b"." => parent,
            b".." => self.inode(parent)?.parent.as_ref().map_or(ROOT_INO, |(above, _)| *above),
            _ => self.find(parent, name)?,
        };
        Ok(self.refer(ino)?)
    }

    /// Refuses directories that were removed, or one above them was: nothing can be made in them.
    pub(super) fn check_linked(&self, ino: Ino) -> Result<(), MfsError> {
        self.inode(ino)?;
        if self.is_linked(ino) { Ok(()) } else { Err(MfsError::NotFound(self.name(ino))) }
    }

    /// Refuses a new entry of that name in a directory.
    pub(in crate::mfs) fn check_new(&mut self, parent: Ino, name: &[u8]) -> Step<()> {
        check_name(name)?;
        if self.has(parent, name)? {
            return Err(MfsError::Exists(shown(name)).into());
        }
        Ok(self.check_linked(parent)?)
    }

    /// Makes an entry, counted as a reference.
    pub(in crate::mfs) fn make(
        &mut self,
        parent: Ino,
        name: &[u8],
        new: New,
        what: &Make<'_>,
        now: Option<Mtime>,
    ) -> Step<Attr> {
        self.check_new(parent, name)?;
        let profile = self.profile_for(self.directory(parent)?, new);
        let meta = FileMeta { mtime: new.meta.mtime.or(now), ..new.meta };
        let (body, size) = match what {
            Make::File => {
                let content = Some(Arc::new(Mutex::new(File::empty(&profile, meta))));
                (Body::File(FileBody { content, profile, dirty_bytes: 0, refused: None }), 0)
            }
            Make::Directory => {
                let directory = Some(Box::new(Directory::empty(&profile, meta)));
                (Body::Dir(Dir { directory, ..Dir::default() }), 0)
            }
            Make::Symlink(target) => {
                let target = Bytes::copy_from_slice(target);
                let size = target.len() as u64;
                (Body::Symlink { target, profile }, size)
            }
        };
        self.directory_mut(parent)?.insert(name, None).map_err(in_dir(parent))?;
        let name = Bytes::copy_from_slice(name);
        let parent_name = Some((parent, name.clone()));
        let ino = self.add(Inode {
            body,
            parent: parent_name,
            refs: 1,
            opens: 0,
            link: None,
            dirty: false,
            meta: FileMeta { mode: meta.mode.map(|m| m & 0o7777).filter(|&m| m != 0), ..meta },
            closed: false,
            size,
            holes: 0,
            used: 0,
            claimed: false,
            times: Times::default(),
        });
        self.dir_mut(parent)?.children.insert(name, ino);
        self.note_change(ino);
        self.stamp_dir(parent, now);
        self.touch(ino);
        Ok(self.attr(ino)?)
    }

    /// What blocks of a new entry are made by.
    pub(super) fn profile_for(&self, directory: &Directory, new: New) -> Profile {
        let naming = new.naming.unwrap_or_else(|| directory.naming());
        let same = naming == naming_of(&self.profile);
        let raw = if same { self.profile.raw_leaves } else { naming.version == ::cid::Version::V1 };
        Profile {
            cid_version: naming.version,
            hash: naming.hash,
            raw_leaves: new.raw_leaves.unwrap_or(raw),
            ..self.profile
        }
    }

    /// Makes an entry of something that is stored.
    pub(in crate::mfs) fn link(&mut self, parent: Ino, name: &[u8], link: Link, now: Option<Mtime>) -> Step<()> {
        self.check_new(parent, name)?;
        self.directory_mut(parent)?.insert(name, Some(link)).map_err(in_dir(parent))?;
        self.stamp_dir(parent, now);
        self.touch(parent);
        Ok(())
    }

    /// At most `max` entries behind the cursor; none at the end. Names that no path leads to are left out.
    pub(in crate::mfs) fn list(
        &mut self,
        ino: Ino,
        cursor: &Cursor,
        max: usize,
    ) -> Step<(Vec<Listed>, Option<Cursor>)> {
        let entries = self.directory(ino)?.list(cursor, max).map_err(in_dir(ino))?;
        let end = entries.last().map(|(name, _)| cursor_at(name));
        let children = &self.dir(ino)?.children;
        let listed = entries.into_iter().filter(|(name, _)| is_plain_name(name)).map(|(name, link)| {
            let cursor = cursor_at(&name);
            let attr = children.get(&name).and_then(|child| self.attr(*child).ok());
            match attr {
                Some(attr) => Listed {
                    name,
                    cursor,
                    ino: Some(attr.ino),
                    kind: Some(attr.kind),
                    size: Some(attr.size),
                    cid: attr.cid,
                },
                None => {
                    let raw = link.filter(|link| link.cid.codec() == crate::cid::codec::RAW);
                    Listed {
                        name,
                        cursor,
                        ino: None,
                        kind: raw.map(|_| Kind::File),
                        size: raw.map(|link| link.tsize),
                        cid: link.map(|link| link.cid),
                    }
                }
            }
        });
        Ok((listed.collect(), end))
    }

    /// The link of something whose root block is at hand, if it is UnixFS.
    pub(in crate::mfs) fn link_of(block: &Block, profile: &Profile) -> Result<Link, MfsError> {
        let bytes = block.data().len() as u64;
        let below = match block.cid().codec() {
            crate::cid::codec::DAG_PB => {
                let node = crate::dag::pb::PbNode::decode(block.data())
                    .map_err(|_| MfsError::NotUnixfs(Box::new(*block.cid())))?;
                node.links.iter().fold(0u64, |sum, link| sum.saturating_add(link.tsize.unwrap_or_default()))
            }
            _ => 0,
        };
        let link = Link { cid: *block.cid(), tsize: bytes.saturating_add(below) };
        super::supply::read_inode(profile, link, block)?;
        Ok(link)
    }
}

fn cursor_at(name: &Bytes) -> Cursor {
    Cursor(Some((hash_name(name), name.clone())))
}
