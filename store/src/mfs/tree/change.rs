//! Taking entries away, moving them, and changing what is said of them.

use super::{Body, Dir, Inode, Step, Tree, in_dir};
use crate::{
    mfs::{Change, Ino, Kind, MfsError, RenameMode, dir::Link, error::shown, file::File},
    unixfs::{meta::FileMeta, node::Mtime},
};
use bytes::Bytes;

/// Directories above each other, at most.
const MAX_DEPTH: usize = 1 << 16;

/// What may be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mfs) enum Removal {
    /// Anything but a directory.
    Unlink,
    /// A directory without entries.
    Rmdir,
    /// Anything, unseen.
    Any,
}

/// What the namespace knows of a file's content.
#[derive(Debug, Clone, Copy)]
pub(in crate::mfs) struct Present {
    size: u64,
    holes: u64,
    meta: FileMeta,
    dirty_bytes: u64,
    dirty: bool,
}

impl Present {
    /// That of a file as it is.
    pub(in crate::mfs) fn of(file: &mut File) -> Self {
        Self {
            size: file.len(),
            holes: file.holes(),
            meta: file.meta(),
            dirty_bytes: file.dirty_bytes(),
            dirty: file.is_dirty(),
        }
    }

    /// That of one whose changes are not in its directory.
    pub(in crate::mfs) fn unsealed(file: &mut File) -> Self {
        Self { dirty: true, ..Self::of(file) }
    }
}

/// An entry that is about to be moved.
struct Moved {
    name: Bytes,
    live: Option<Ino>,
    link: Option<Link>,
    /// Whether its link is not the present one.
    unsealed: bool,
}

impl Tree {
    /// Takes an entry away.
    pub(in crate::mfs) fn remove(
        &mut self,
        parent: Ino,
        name: &[u8],
        removal: Removal,
        now: Option<Mtime>,
    ) -> Step<()> {
        if removal == Removal::Any {
            if !self.has(parent, name)? {
                return Err(MfsError::NotFound(shown(name)).into());
            }
        } else {
            let ino = self.find(parent, name)?;
            match (removal, self.inode(ino)?.kind()) {
                (Removal::Unlink, Kind::Directory) => return Err(MfsError::IsDir(shown(name)).into()),
                (Removal::Rmdir, Kind::Directory) => self.check_empty(ino)?,
                (Removal::Rmdir, _) => return Err(MfsError::NotDir(shown(name)).into()),
                _ => {}
            }
        }
        self.directory_mut(parent)?.remove(name).map_err(in_dir(parent))?;
        self.detach(parent, name);
        self.stamp_dir(parent, now);
        self.touch(parent);
        Ok(())
    }

    fn check_empty(&self, ino: Ino) -> Step<()> {
        if self.directory(ino)?.is_empty() { Ok(()) } else { Err(MfsError::NotEmpty(self.name(ino)).into()) }
    }

    /// Parts the inode of an entry, if it has one, from its directory.
    pub(super) fn detach(&mut self, parent: Ino, name: &[u8]) {
        let Ok(Dir { children, unsealed, .. }) = self.dir_mut(parent) else { return };
        let Some(ino) = children.remove(name) else { return };
        unsealed.remove(&ino);
        let Some(inode) = self.inodes.get_mut(&ino) else { return };
        inode.parent = None;
        inode.times.changed = Some((self.now)());
        if let Some(link) = inode.link {
            self.orphans.insert(ino, link.cid);
        }
        self.drop_below(ino);
    }

    /// Moves an entry, in one step for whoever looks.
    pub(in crate::mfs) fn rename(
        &mut self,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        mode: RenameMode,
        now: Option<Mtime>,
    ) -> Step<()> {
        super::names::check_name(to.1)?;
        let source = self.take(from.0, from.1)?.ok_or_else(|| MfsError::NotFound(shown(from.1)))?;
        let target = self.take(to.0, to.1)?;
        if target.is_none() && mode == RenameMode::Exchange {
            return Err(MfsError::NotFound(shown(to.1)).into());
        }
        if target.is_some() && mode == RenameMode::NoReplace {
            return Err(MfsError::Exists(shown(to.1)).into());
        }
        if from == to {
            return Ok(());
        }
        self.check_loop(source.live, to.0, from.1)?;
        if let Some(target) = &target {
            match mode {
                RenameMode::Exchange => self.check_loop(target.live, from.0, to.1)?,
                _ => self.check_replaces(from, to, mode)?,
            }
        }
        self.check_linked(to.0)?;
        // IMPORTANT: first what may fail; by now all shards on the way to both names were looked into.
        self.directory_mut(to.0)?.insert(to.1, source.link).map_err(in_dir(to.0))?;
        match target {
            Some(target) if mode == RenameMode::Exchange => {
                self.directory_mut(from.0)?.insert(from.1, target.link).map_err(in_dir(from.0))?;
                self.part(&source, from.0);
                self.part(&target, to.0);
                self.join(&target, from);
            }
            target => {
                self.directory_mut(from.0)?.remove(from.1).map_err(in_dir(from.0))?;
                if target.is_some() {
                    self.detach(to.0, to.1);
                }
                self.part(&source, from.0);
            }
        }
        self.join(&source, to);
        for dir in [from.0, to.0] {
            self.stamp_dir(dir, now);
            self.touch(dir);
        }
        Ok(())
    }

    /// What is known of an entry.
    fn take(&mut self, parent: Ino, name: &[u8]) -> Step<Option<Moved>> {
        let Some(link) = self.directory(parent)?.get(name).map_err(in_dir(parent))? else { return Ok(None) };
        let dir = self.dir_mut(parent)?;
        let live = dir.children.get(name).copied();
        let unsealed = live.is_some_and(|ino| dir.unsealed.contains(&ino));
        Ok(Some(Moved { name: Bytes::copy_from_slice(name), live, link, unsealed }))
    }

    /// Refuses to move a directory below itself. One that nobody looked at has nothing below it that somebody did.
    fn check_loop(&self, moved: Option<Ino>, to: Ino, name: &[u8]) -> Step<()> {
        let mut at = Some(to);
        for _ in 0..MAX_DEPTH {
            let Some(ino) = at else { return Ok(()) };
            if Some(ino) == moved {
                return Err(MfsError::Loop(shown(name)).into());
            }
            at = self.inode(ino)?.parent.as_ref().map(|(above, _)| *above);
        }
        Err(MfsError::Invalid(format!("more than {MAX_DEPTH} directories above each other")).into())
    }

    /// Refuses to replace what POSIX, or the mode, would not.
    fn check_replaces(&mut self, from: (Ino, &[u8]), to: (Ino, &[u8]), mode: RenameMode) -> Step<()> {
        if mode == RenameMode::ReplaceFile {
            return self.check_over(to.0, to.1);
        }
        let (source, target) = (self.find(from.0, from.1)?, self.find(to.0, to.1)?);
        match (self.inode(source)?.kind(), self.inode(target)?.kind()) {
            (Kind::Directory, Kind::Directory) => self.check_empty(target),
            (Kind::Directory, _) => Err(MfsError::NotDir(shown(to.1)).into()),
            (_, Kind::Directory) => Err(MfsError::IsDir(shown(to.1)).into()),
            _ => Ok(()),
        }
    }

    /// Takes an inode out of the directory where it was.
    fn part(&mut self, moved: &Moved, parent: Ino) {
        if let Some(ino) = moved.live
            && let Ok(dir) = self.dir_mut(parent)
        {
            dir.unsealed.remove(&ino);
            if dir.children.get(&moved.name) == Some(&ino) {
                dir.children.remove(&moved.name);
            }
        }
    }

    /// Puts an inode into a directory under that name.
    fn join(&mut self, moved: &Moved, (parent, name): (Ino, &[u8])) {
        let Some(ino) = moved.live else { return };
        let name = Bytes::copy_from_slice(name);
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.parent = Some((parent, name.clone()));
            inode.times.changed = Some((self.now)());
        }
        if let Ok(dir) = self.dir_mut(parent) {
            dir.children.insert(name, ino);
            if moved.unsealed {
                dir.unsealed.insert(ino);
            }
        }
    }

    /// Changes what is said of a directory or a symbolic link.
    pub(in crate::mfs) fn set_meta(&mut self, ino: Ino, change: Change) -> Step<()> {
        if change.size.is_some() {
            self.file(ino)?;
        }
        if change.naming.is_some() {
            self.dir(ino)?;
        }
        let old = self.inode(ino)?.meta;
        let mode = change.mode.map_or(old.mode, |mode| Some(mode & 0o7777).filter(|&mode| mode != 0));
        let meta = FileMeta { mode, mtime: change.mtime.or(old.mtime) };
        if let Body::Dir(_) = self.inode(ino)?.body {
            self.directory(ino)?.check_meta(meta).map_err(in_dir(ino))?;
        }
        let inode = self.inode_mut(ino)?;
        let mut changed = false;
        match &mut inode.body {
            Body::Dir(Dir { directory: Some(directory), .. }) => {
                directory.set_meta(meta);
                if let Some(naming) = change.naming {
                    directory.set_naming(naming);
                }
                inode.meta = meta;
                changed = directory.root().is_none();
            }
            // Deployed writers store no mode with a symbolic link.
            Body::Symlink { .. } if meta.mtime != inode.meta.mtime => {
                inode.meta.mtime = meta.mtime;
                changed = true;
            }
            _ => {}
        }
        self.note_change(ino);
        if changed {
            self.touch(ino);
        }
        Ok(())
    }

    /// Notes what has become of a file, whose content is locked by the caller.
    pub(in crate::mfs) fn file_changed(&mut self, ino: Ino, now: Present) {
        let Some(Inode { body: Body::File(file), size, holes, meta, .. }) = self.inodes.get_mut(&ino) else { return };
        self.dirty_bytes = self.dirty_bytes.saturating_sub(file.dirty_bytes).saturating_add(now.dirty_bytes);
        file.dirty_bytes = now.dirty_bytes;
        (*size, *holes, *meta) = (now.size, now.holes, now.meta);
        if now.dirty {
            self.touch(ino);
        }
    }
}
