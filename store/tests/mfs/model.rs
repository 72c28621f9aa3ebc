//! What a tree is expected to do, on maps: paths, no inodes, no blocks.

use crate::world::Seen;
use bytes::Bytes;
use cairn_store::{
    Block, Cid,
    chunker::ChunkerSpec,
    mfs::RenameMode,
    unixfs::{
        Root,
        directory::DirBuilder,
        layout::LayoutBuilder,
        leaf::{self, Leaf},
        meta::FileMeta,
        profile::Profile,
    },
};
use std::collections::BTreeMap;

pub type Path = Vec<u8>;

/// Names of errors.
pub type Outcome<T> = Result<T, &'static str>;

#[derive(Debug, Clone)]
pub struct Model(pub Seen);

impl Default for Model {
    fn default() -> Self {
        Self(Seen::Dir(BTreeMap::new()))
    }
}

type Entries = BTreeMap<Vec<u8>, Seen>;

impl Model {
    pub fn get(&self, path: &[u8]) -> Outcome<&Seen> {
        path.iter().try_fold(&self.0, |at, name| match at {
            Seen::Dir(entries) => entries.get(&vec![*name]).ok_or("not found"),
            _ => Err("not a directory"),
        })
    }

    fn get_mut(&mut self, path: &[u8]) -> Outcome<&mut Seen> {
        path.iter().try_fold(&mut self.0, |at, name| match at {
            Seen::Dir(entries) => entries.get_mut(&vec![*name]).ok_or("not found"),
            _ => Err("not a directory"),
        })
    }

    /// The directory of an entry, and its name.
    fn place(&mut self, path: &[u8]) -> Outcome<(&mut Entries, Vec<u8>)> {
        let (name, above) = path.split_last().expect("is not the root");
        match self.get_mut(above)? {
            Seen::Dir(entries) => Ok((entries, vec![*name])),
            _ => Err("not a directory"),
        }
    }

    pub fn make(&mut self, path: &[u8], new: Seen, exclusive: bool) -> Outcome<()> {
        let (entries, name) = self.place(path)?;
        match entries.get(&name) {
            None => drop(entries.insert(name, new)),
            Some(_) if exclusive => return Err("exists"),
            Some(Seen::File(_)) => {}
            Some(Seen::Dir(_)) => return Err("a directory"),
            Some(Seen::Link(_)) => return Err("a link"),
        }
        Ok(())
    }

    pub fn unlink(&mut self, path: &[u8]) -> Outcome<()> {
        let (entries, name) = self.place(path)?;
        match entries.get(&name) {
            None => Err("not found"),
            Some(Seen::Dir(_)) => Err("a directory"),
            Some(_) => Ok(drop(entries.remove(&name))),
        }
    }

    pub fn rmdir(&mut self, path: &[u8]) -> Outcome<()> {
        let (entries, name) = self.place(path)?;
        match entries.get(&name) {
            None => Err("not found"),
            Some(Seen::Dir(below)) if below.is_empty() => Ok(drop(entries.remove(&name))),
            Some(Seen::Dir(_)) => Err("not empty"),
            Some(_) => Err("not a directory"),
        }
    }

    pub fn remove(&mut self, path: &[u8]) -> Outcome<()> {
        let (entries, name) = self.place(path)?;
        entries.remove(&name).map(drop).ok_or("not found")
    }

    pub fn rename(&mut self, from: &[u8], to: &[u8], mode: RenameMode) -> Outcome<()> {
        // Both directories are found first, then the entries.
        self.get(&from[..from.len() - 1])?;
        self.get(&to[..to.len() - 1])?;
        let source = {
            let (entries, name) = self.place(from)?;
            entries.get(&name).cloned().ok_or("not found")?
        };
        let target = {
            let (entries, name) = self.place(to)?;
            entries.get(&name).cloned()
        };
        match (mode, &target) {
            (RenameMode::Exchange, None) => return Err("not found"),
            (RenameMode::NoReplace, Some(_)) => return Err("exists"),
            _ => {}
        }
        if from == to {
            return Ok(());
        }
        let below = |a: &[u8], b: &[u8]| a.len() > b.len() && a.starts_with(b);
        if below(to, from) {
            return Err("a loop");
        }
        match (mode, &source, &target) {
            (RenameMode::Exchange, ..) if below(from, to) => return Err("a loop"),
            (RenameMode::Exchange, ..) | (_, _, None) => {}
            (_, Seen::Dir(_), Some(Seen::Dir(entries))) if entries.is_empty() => {}
            (_, Seen::Dir(_), Some(Seen::Dir(_))) => return Err("not empty"),
            (_, Seen::Dir(_), _) => return Err("not a directory"),
            (_, _, Some(Seen::Dir(_))) => return Err("a directory"),
            _ => {}
        }
        let (entries, name) = self.place(from)?;
        match (mode, target) {
            (RenameMode::Exchange, Some(target)) => drop(entries.insert(name, target)),
            _ => drop(entries.remove(&name)),
        }
        let (entries, name) = self.place(to)?;
        entries.insert(name, source);
        Ok(())
    }

    pub fn file(&mut self, path: &[u8]) -> Outcome<&mut Vec<u8>> {
        match self.get_mut(path)? {
            Seen::File(content) => Ok(content),
            Seen::Dir(_) => Err("a directory"),
            Seen::Link(_) => Err("a link"),
        }
    }

    pub fn write(&mut self, path: &[u8], at: usize, data: &[u8]) -> Outcome<()> {
        let content = self.file(path)?;
        if data.is_empty() {
            return Ok(());
        }
        if content.len() < at + data.len() {
            content.resize(at + data.len(), 0);
        }
        content[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }

    pub fn copy(&mut self, from: &[u8], to: &[u8]) -> Outcome<()> {
        let source = self.get(from)?.clone();
        let (entries, name) = self.place(to)?;
        if entries.contains_key(&name) {
            return Err("exists");
        }
        entries.insert(name, source);
        Ok(())
    }

    /// The root that `add` gives to the same.
    pub fn added(&self, profile: &Profile) -> Cid {
        added(&self.0, profile).cid
    }
}

/// Adds what was seen. It is not deep.
fn added(seen: &Seen, profile: &Profile) -> Root {
    let mut out: Vec<Block> = Vec::new();
    match seen {
        Seen::Link(target) => leaf::symlink(profile, target, FileMeta::NONE, &mut out).expect("a link"),
        Seen::File(content) => {
            let ChunkerSpec::Size(size) = profile.chunker else { panic!("cut by size") };
            let mut layout = LayoutBuilder::new(profile);
            for chunk in content.chunks(size as usize) {
                let encoded = leaf::encode(profile, Bytes::copy_from_slice(chunk));
                let block = profile.seal_leaf(encoded).expect("seals");
                layout.push(Leaf { block, file_size: chunk.len() as u64 }, &mut out).expect("a node");
            }
            layout.finish(FileMeta::NONE, &mut out).expect("a root")
        }
        Seen::Dir(entries) => {
            let mut dir = DirBuilder::new(profile, FileMeta::NONE);
            for (name, seen) in entries {
                let root = added(seen, profile);
                dir.add(name, &root.cid, root.tsize).expect("a good name");
            }
            dir.finish(&mut out).expect("builds")
        }
    }
}
