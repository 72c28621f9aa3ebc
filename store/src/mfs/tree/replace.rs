//! Entries that are put in the place of others, whole.

use super::{Present, Step, Tree, in_dir, names::check_name};
use crate::{
    mfs::{Attr, Ino, Kind, MfsError, New, dir::Link, error::shown, file::File},
    unixfs::node::Mtime,
};
use std::sync::Arc;
use tokio::sync::Mutex;

impl Tree {
    /// The content that a new file of that name would begin with.
    pub(in crate::mfs) fn begin_file(&mut self, parent: Ino, name: &[u8], new: New) -> Step<File> {
        self.check_new(parent, name)?;
        let profile = self.profile_for(self.directory(parent)?, new);
        Ok(File::empty(&profile, new.meta))
    }

    /// Makes an entry of a file that has its content already, counted as a reference.
    pub(in crate::mfs) fn make_file(
        &mut self,
        parent: Ino,
        name: &[u8],
        new: New,
        content: &File,
        now: Option<Mtime>,
    ) -> Step<Attr> {
        let made = self.make(parent, name, new, &super::Make::File, now)?;
        let mut file = content.clone();
        file.set_meta(made.meta);
        let now = Present::unsealed(&mut file);
        self.file(made.ino)?.content = Some(Arc::new(Mutex::new(file)));
        self.file_changed(made.ino, now);
        Ok(self.attr(made.ino)?)
    }

    /// Refuses an entry of that name in place of a directory, or where there can be none.
    pub(in crate::mfs) fn check_over(&mut self, parent: Ino, name: &[u8]) -> Step<()> {
        check_name(name)?;
        if self.has(parent, name)? {
            let there = self.find(parent, name)?;
            if self.inode(there)?.kind() == Kind::Directory {
                return Err(MfsError::IsDir(shown(name)).into());
            }
        }
        Ok(self.check_linked(parent)?)
    }

    /// Makes an entry of something that is stored, in the place of what is there unless it is a directory.
    pub(in crate::mfs) fn link_over(&mut self, parent: Ino, name: &[u8], link: Link, now: Option<Mtime>) -> Step<()> {
        self.check_over(parent, name)?;
        self.directory_mut(parent)?.insert(name, Some(link)).map_err(in_dir(parent))?;
        self.detach(parent, name);
        self.stamp_dir(parent, now);
        self.touch(parent);
        Ok(())
    }
}
