//! The last stage: from sealed leaves to files, and from files to folders.
//!
//! A sender may return to a folder that it left (`a/x`, `b`, `a/y`), and two arguments that are wrapped may be folders
//! of one name: both are merged, as in Kubo. So a folder that was left is built when the one around it is, if that is
//! possible within [`MAX_KEPT`] and [`MAX_KEPT_DEPTH`].

use super::{Added, ImportError, Options, Progress, Sink, read::Item};
use crate::{
    Block,
    unixfs::{
        Root,
        directory::DirBuilder,
        layout::LayoutBuilder,
        leaf::{Leaf, symlink},
        meta::FileMeta,
    },
};
use std::collections::{BTreeMap, HashSet};

/// Blocks that are handed to the sink at once, at the most.
const FLUSH_BLOCKS: usize = 1024;

/// Entries of folders that were left and may be entered again, about 100 bytes each. What is left beyond them is built
/// at once, and can't be entered again.
const MAX_KEPT: usize = 1 << 18;

/// Folders around one that is kept, at most: what is nested deeper is built at once.
const MAX_KEPT_DEPTH: usize = 256;

/// A window after hashing: its items, and its leaves in the order of its chunks.
pub struct Hashed {
    /// The items; the bytes of the chunks are gone.
    pub items: Vec<Item>,
    /// One leaf for each chunk.
    pub leaves: std::vec::IntoIter<Leaf>,
}

struct File {
    /// `None`: a stream without one.
    name: Option<Vec<u8>>,
    meta: FileMeta,
    layout: LayoutBuilder,
    /// Bytes of it that became blocks.
    bytes: u64,
}

struct Folder {
    name: Vec<u8>,
    meta: FileMeta,
    entries: DirBuilder,
    /// Names of its entries, where two of one name have to be noticed.
    names: HashSet<Vec<u8>>,
    /// Folders inside it that were left and not built yet, by name.
    left: BTreeMap<Vec<u8>, Folder>,
    /// Folders inside it that are finished: announced after all files of the argument, as Kubo does.
    finished: Vec<Added>,
}

/// Builds the tree.
pub struct Builder<'a> {
    options: &'a Options,
    out: Vec<Block>,
    folders: Vec<Folder>,
    file: Option<File>,
    /// Bytes of content that became blocks.
    bytes: u64,
    /// Whether folders that were left may be entered again.
    merge: bool,
    /// Entries of all folders that were left and not built yet.
    kept: usize,
}

impl<'a> Builder<'a> {
    /// Prepares the stage; `foreign`: whether somebody else says what is in which folder.
    pub fn new(options: &'a Options, foreign: bool) -> Self {
        let merge = foreign || options.wrap;
        let mut builder = Self { options, out: Vec::new(), folders: Vec::new(), file: None, bytes: 0, merge, kept: 0 };
        if options.wrap {
            builder.open(Vec::new(), FileMeta { mode: options.mode, mtime: options.mtime });
        }
        builder
    }

    /// Takes one window.
    ///
    /// # Errors
    /// When the sink refuses, or a node can't be made.
    pub fn take(&mut self, window: Hashed, sink: &mut dyn Sink) -> Result<(), ImportError> {
        let Hashed { items, mut leaves } = window;
        for item in items {
            match item {
                Item::Source => {}
                Item::Enter(name, meta) => self.enter(name, meta)?,
                Item::Leave => self.leave(sink)?,
                Item::Symlink(name, target, meta) => {
                    self.claim(&name)?;
                    let root = symlink(&self.options.profile, &target, meta, &mut self.out)?;
                    self.entry(&name, root, meta, sink)?;
                }
                Item::File(name, meta) => {
                    if let Some(name) = &name {
                        self.claim(name)?;
                    }
                    self.file = Some(File { name, meta, layout: LayoutBuilder::new(&self.options.profile), bytes: 0 });
                }
                Item::Chunk(_) => {
                    let leaf = leaves.next().ok_or(ImportError::Broken("hashing"))?;
                    self.bytes += leaf.file_size;
                    if let Some(file) = &mut self.file {
                        file.bytes += leaf.file_size;
                        file.layout.push(leaf, &mut self.out)?;
                    }
                }
                Item::EndFile => self.end_file(sink)?,
            }
            if self.out.len() >= FLUSH_BLOCKS {
                sink.put(std::mem::take(&mut self.out))?;
            }
        }
        sink.put(std::mem::take(&mut self.out))?;
        if let Some(file) = &self.file {
            let path = file.name.as_deref().map(|name| self.path(name)).unwrap_or_default();
            sink.progress(&Progress { path: &path, file: file.bytes, all: self.bytes });
        }
        Ok(())
    }

    /// Ends the import: closes the wrapping folder, if there is one.
    ///
    /// # Errors
    /// When the sink refuses, or a node can't be made.
    pub fn finish(mut self, sink: &mut dyn Sink) -> Result<(), ImportError> {
        while !self.folders.is_empty() {
            self.leave(sink)?;
        }
        sink.put(self.out)
    }

    /// Notes an entry of the innermost folder: one of the same name would silently be replaced by it.
    fn claim(&mut self, name: &[u8]) -> Result<(), ImportError> {
        let merge = self.merge;
        if self.folders.last_mut().is_none_or(|folder| !merge || folder.names.insert(name.to_vec())) {
            return Ok(());
        }
        Err(ImportError::SameName { name: String::from_utf8_lossy(&self.path(name)).into_owned() })
    }

    /// Enters a folder, again if it was left before.
    fn enter(&mut self, name: Vec<u8>, meta: FileMeta) -> Result<(), ImportError> {
        let Some(mut folder) = self.folders.last_mut().and_then(|parent| parent.left.remove(&name)) else {
            self.claim(&name)?;
            self.open(name, meta);
            return Ok(());
        };
        self.kept -= folder.entries.len();
        // Who only names something in it says nothing of the folder itself.
        folder.meta = FileMeta { mode: meta.mode.or(folder.meta.mode), mtime: meta.mtime.or(folder.meta.mtime) };
        self.folders.push(folder);
        Ok(())
    }

    fn open(&mut self, name: Vec<u8>, meta: FileMeta) {
        let entries = DirBuilder::new(&self.options.profile, meta);
        let (names, left, finished) = (HashSet::new(), BTreeMap::new(), Vec::new());
        self.folders.push(Folder { name, meta, entries, names, left, finished });
    }

    /// Path of an entry of the innermost folder, without the wrapping folder's empty name.
    fn path(&self, name: &[u8]) -> Vec<u8> {
        let mut path = Vec::new();
        for folder in self.folders.iter().filter(|f| !f.name.is_empty()) {
            path.extend_from_slice(&folder.name);
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    fn leave(&mut self, sink: &mut dyn Sink) -> Result<(), ImportError> {
        let Some(folder) = self.folders.pop() else { return Err(ImportError::Broken("walking")) };
        let (kept, depth) = (self.kept + folder.entries.len(), self.folders.len());
        match self.folders.last_mut() {
            Some(parent) if self.merge && kept <= MAX_KEPT && depth <= MAX_KEPT_DEPTH => {
                self.kept = kept;
                parent.left.insert(folder.name.clone(), folder);
                Ok(())
            }
            _ => self.build(folder, sink),
        }
    }

    /// Builds a folder of the innermost one that is open, after what was left in it.
    fn build(&mut self, folder: Folder, sink: &mut dyn Sink) -> Result<(), ImportError> {
        let depth = self.folders.len();
        self.folders.push(folder);
        while self.folders.len() > depth {
            let Some(mut folder) = self.folders.pop() else { break };
            match folder.left.pop_first() {
                Some((_, inner)) => {
                    self.kept -= inner.entries.len();
                    self.folders.extend([folder, inner]);
                }
                None => self.seal(folder, sink)?,
            }
        }
        Ok(())
    }

    fn seal(&mut self, mut folder: Folder, sink: &mut dyn Sink) -> Result<(), ImportError> {
        let name = self.path(&folder.name);
        folder.entries.set_meta(folder.meta);
        let root = folder.entries.finish_with(|block| {
            self.out.push(block);
            if self.out.len() >= FLUSH_BLOCKS { sink.put(std::mem::take(&mut self.out)) } else { Ok(()) }
        })?;
        let is_root = self.folders.is_empty();
        let mut finished = folder.finished;
        finished.push(Added { name, cid: root.cid, size: root.tsize, meta: folder.meta, root: is_root });
        match self.folders.last_mut() {
            Some(parent) => {
                parent.entries.add(&folder.name, &root.cid, root.tsize)?;
                parent.finished.append(&mut finished);
            }
            None => {
                sink.put(std::mem::take(&mut self.out))?;
                finished.into_iter().try_for_each(|added| sink.added(added))?;
            }
        }
        Ok(())
    }

    fn end_file(&mut self, sink: &mut dyn Sink) -> Result<(), ImportError> {
        let Some(File { name, meta, layout, bytes }) = self.file.take() else {
            return Err(ImportError::Broken("reading"));
        };
        let path = name.as_deref().map(|name| self.path(name)).unwrap_or_default();
        sink.progress(&Progress { path: &path, file: bytes, all: self.bytes });
        let root = layout.finish(meta, &mut self.out)?;
        let name = name.unwrap_or_else(|| root.cid.to_string().into_bytes());
        self.entry(&name, root, meta, sink)
    }

    fn entry(&mut self, name: &[u8], root: Root, meta: FileMeta, sink: &mut dyn Sink) -> Result<(), ImportError> {
        let path = self.path(name);
        let is_root = self.folders.is_empty();
        if let Some(parent) = self.folders.last_mut() {
            parent.entries.add(name, &root.cid, root.tsize)?;
        }
        if is_root {
            sink.put(std::mem::take(&mut self.out))?;
        }
        sink.added(Added { name: path, cid: root.cid, size: root.tsize, meta, root: is_root })
    }
}
