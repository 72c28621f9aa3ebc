//! The last stage: from sealed leaves to files, and from files to folders.

use super::{Added, ImportError, Options, Sink, read::Item};
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
use std::collections::HashSet;

/// Blocks that are handed to the sink at once, at the most.
const FLUSH_BLOCKS: usize = 1024;

/// A window after hashing: its items, and its leaves in the order of its chunks.
pub struct Hashed {
    /// The items; the bytes of the chunks are gone.
    pub items: Vec<Item>,
    /// One leaf for each chunk.
    pub leaves: std::vec::IntoIter<Leaf>,
}

struct Folder {
    name: Vec<u8>,
    meta: FileMeta,
    entries: DirBuilder,
    /// Folders inside it that are finished: announced after all files of the argument, as Kubo does.
    finished: Vec<Added>,
}

/// Builds the tree.
pub struct Builder<'a> {
    options: &'a Options,
    out: Vec<Block>,
    folders: Vec<Folder>,
    file: Option<(Option<Vec<u8>>, FileMeta, LayoutBuilder)>,
    /// Bytes of content that became blocks.
    bytes: u64,
    wrapped: HashSet<Vec<u8>>,
}

impl<'a> Builder<'a> {
    /// Prepares the stage.
    pub fn new(options: &'a Options) -> Self {
        let mut builder =
            Self { options, out: Vec::new(), folders: Vec::new(), file: None, bytes: 0, wrapped: HashSet::new() };
        if options.wrap {
            let meta = FileMeta { mode: options.mode, mtime: options.mtime };
            builder.enter(Vec::new(), meta);
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
                Item::Enter(name, meta) => {
                    self.claim(&name)?;
                    self.enter(name, meta);
                }
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
                    self.file = Some((name, meta, LayoutBuilder::new(&self.options.profile)));
                }
                Item::Chunk(_) => {
                    let leaf = leaves.next().ok_or(ImportError::Broken("hashing"))?;
                    self.bytes += leaf.file_size;
                    if let Some((_, _, layout)) = &mut self.file {
                        layout.push(leaf, &mut self.out)?;
                    }
                }
                Item::EndFile => self.end_file(sink)?,
            }
            if self.out.len() >= FLUSH_BLOCKS {
                sink.put(std::mem::take(&mut self.out))?;
            }
        }
        sink.put(std::mem::take(&mut self.out))?;
        sink.progress(self.bytes);
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

    /// Two arguments of one name would silently replace each other in the wrapping folder.
    fn claim(&mut self, name: &[u8]) -> Result<(), ImportError> {
        if self.options.wrap && self.folders.len() == 1 && !self.wrapped.insert(name.to_vec()) {
            return Err(ImportError::SameName { name: String::from_utf8_lossy(name).into_owned() });
        }
        Ok(())
    }

    fn enter(&mut self, name: Vec<u8>, meta: FileMeta) {
        let entries = DirBuilder::new(&self.options.profile, meta);
        self.folders.push(Folder { name, meta, entries, finished: Vec::new() });
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
        let name = self.path(&folder.name);
        let root = folder.entries.finish_with(|block| {
            self.out.push(block);
            if self.out.len() >= FLUSH_BLOCKS { sink.put(std::mem::take(&mut self.out)) } else { Ok(()) }
        })?;
        let is_root = self.folders.is_empty();
        let mut finished = folder.finished;
        finished.push(Added { name, cid: root.cid, size: root.tsize, meta: folder.meta, root: is_root });
        match self.folders.last_mut() {
            Some(parent) => {
                let entry = parent.entries.add(&folder.name, &root.cid, root.tsize);
                entry?;
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
        let Some((name, meta, layout)) = self.file.take() else { return Err(ImportError::Broken("reading")) };
        let root = layout.finish(meta, &mut self.out)?;
        let name = name.unwrap_or_else(|| root.cid.to_string().into_bytes());
        self.entry(&name, root, meta, sink)
    }

    fn entry(&mut self, name: &[u8], root: Root, meta: FileMeta, sink: &mut dyn Sink) -> Result<(), ImportError> {
        let path = self.path(name);
        let is_root = self.folders.is_empty();
        if let Some(parent) = self.folders.last_mut() {
            let entry = parent.entries.add(name, &root.cid, root.tsize);
            entry?;
        }
        if is_root {
            sink.put(std::mem::take(&mut self.out))?;
        }
        sink.added(Added { name: path, cid: root.cid, size: root.tsize, meta, root: is_root })
    }
}
