//! A file system in a few maps: what the core is compared with.

use crate::{
    actions::{Kind, Range, Rename, Stat},
    core::Inodes,
};
use std::collections::{BTreeMap, HashMap};

struct Node {
    kind: Kind,
    data: Vec<u8>,
    entries: BTreeMap<String, u64>,
    perm: u32,
    time: (i64, u32),
}

/// The model.
pub struct Model {
    nodes: HashMap<u64, Node>,
    last: u64,
}

impl Model {
    pub fn new() -> Self {
        let mut model = Self { nodes: HashMap::new(), last: 0 };
        model.make(Kind::Folder, Vec::new(), 0o755);
        model
    }

    fn make(&mut self, kind: Kind, data: Vec<u8>, perm: u32) -> u64 {
        self.last += 1;
        let node = Node { kind, data, entries: BTreeMap::new(), perm, time: (0, 0) };
        self.nodes.insert(self.last, node);
        self.last
    }

    fn node(&mut self, ino: u64) -> &mut Node {
        self.nodes.get_mut(&ino).expect("the tests use numbers that they were given")
    }

    fn folder(&mut self, ino: u64) -> Result<&mut BTreeMap<String, u64>, i32> {
        let node = self.node(ino);
        if node.kind == Kind::Folder { Ok(&mut node.entries) } else { Err(libc::ENOTDIR) }
    }

    fn add(&mut self, parent: u64, name: &str, kind: Kind, data: Vec<u8>, perm: u32) -> Result<u64, i32> {
        if self.folder(parent)?.contains_key(name) {
            return Err(libc::EEXIST);
        }
        let ino = self.make(kind, data, perm);
        self.folder(parent)?.insert(name.to_owned(), ino);
        Ok(ino)
    }

    fn is_below(&mut self, ino: u64, above: u64) -> bool {
        let mut open = vec![above];
        while let Some(next) = open.pop() {
            if next == ino {
                return true;
            }
            open.extend(self.node(next).entries.values().copied());
        }
        false
    }
}

impl Inodes for Model {
    fn lookup(&mut self, parent: u64, name: &str) -> Result<(u64, Kind), i32> {
        let ino = *self.folder(parent)?.get(name).ok_or(libc::ENOENT)?;
        Ok((ino, self.node(ino).kind))
    }

    fn stat(&mut self, ino: u64) -> Result<Stat, i32> {
        let node = self.node(ino);
        let size = if node.kind == Kind::Folder { 0 } else { node.data.len() as u64 };
        Ok(Stat { kind: node.kind, size, perm: node.perm })
    }

    fn time(&mut self, ino: u64) -> Result<(i64, u32), i32> {
        Ok(self.node(ino).time)
    }

    fn create(&mut self, parent: u64, name: &str, exclusive: bool) -> Result<u64, i32> {
        match self.lookup(parent, name) {
            Ok(_) if exclusive => Err(libc::EEXIST),
            Ok((ino, _)) => Ok(ino),
            Err(_) => self.add(parent, name, Kind::File, Vec::new(), 0o644),
        }
    }

    fn mkdir(&mut self, parent: u64, name: &str) -> Result<(), i32> {
        let setgid = self.node(parent).perm & 0o2000;
        self.add(parent, name, Kind::Folder, Vec::new(), 0o755 | setgid).map(drop)
    }

    fn symlink(&mut self, parent: u64, name: &str, target: &str) -> Result<(), i32> {
        self.add(parent, name, Kind::Link, target.as_bytes().to_vec(), 0o777).map(drop)
    }

    fn readlink(&mut self, ino: u64) -> Result<Vec<u8>, i32> {
        let node = self.node(ino);
        if node.kind == Kind::Link { Ok(node.data.clone()) } else { Err(libc::EINVAL) }
    }

    fn unlink(&mut self, parent: u64, name: &str) -> Result<(), i32> {
        let (_, kind) = self.lookup(parent, name)?;
        if kind == Kind::Folder {
            return Err(libc::EISDIR);
        }
        self.folder(parent)?.remove(name);
        Ok(())
    }

    fn rmdir(&mut self, parent: u64, name: &str) -> Result<(), i32> {
        let (ino, kind) = self.lookup(parent, name)?;
        match kind {
            Kind::Folder if self.node(ino).entries.is_empty() => {
                self.folder(parent)?.remove(name);
                Ok(())
            }
            Kind::Folder => Err(libc::ENOTEMPTY),
            Kind::File | Kind::Link => Err(libc::ENOTDIR),
        }
    }

    fn rename(&mut self, (parent, name): (u64, &str), (to, to_name): (u64, &str), how: Rename) -> Result<(), i32> {
        let (ino, kind) = self.lookup(parent, name)?;
        let there = self.lookup(to, to_name).ok();
        match (how, there) {
            (Rename::NoReplace, Some(_)) => return Err(libc::EEXIST),
            (Rename::Exchange, None) => return Err(libc::ENOENT),
            _ if self.is_below(to, ino) => return Err(libc::EINVAL),
            (_, Some((there, _))) if self.is_below(parent, there) => {
                return Err(match (how, kind) {
                    (Rename::Exchange, _) => libc::EINVAL,
                    (_, Kind::Folder) => libc::ENOTEMPTY,
                    _ => libc::EISDIR,
                });
            }
            (Rename::Exchange, Some((other, _))) => {
                self.folder(parent)?.insert(name.to_owned(), other);
                self.folder(to)?.insert(to_name.to_owned(), ino);
                return Ok(());
            }
            (_, Some((other, other_kind))) if other != ino => match (kind, other_kind) {
                (Kind::Folder, Kind::Folder) if self.node(other).entries.is_empty() => {}
                (Kind::Folder, Kind::Folder) => return Err(libc::ENOTEMPTY),
                (Kind::Folder, _) => return Err(libc::ENOTDIR),
                (_, Kind::Folder) => return Err(libc::EISDIR),
                _ => {}
            },
            _ => {}
        }
        self.folder(parent)?.remove(name);
        self.folder(to)?.insert(to_name.to_owned(), ino);
        Ok(())
    }

    fn chmod(&mut self, ino: u64, mode: u32) -> Result<(), i32> {
        self.node(ino).perm = mode;
        Ok(())
    }

    fn touch(&mut self, ino: u64, time: (i64, u32)) -> Result<(), i32> {
        self.node(ino).time = time;
        Ok(())
    }

    fn list(&mut self, ino: u64) -> Result<Vec<(String, Kind)>, i32> {
        let entries = self.folder(ino)?.clone();
        Ok(entries.into_iter().map(|(name, ino)| (name, self.node(ino).kind)).collect())
    }

    fn open(&mut self, ino: u64) -> Result<u64, i32> {
        Ok(ino)
    }

    fn close(&mut self, _: u64) {}

    fn read(&mut self, handle: u64, offset: u64, len: usize) -> Result<Vec<u8>, i32> {
        let data = &self.node(handle).data;
        let from = (offset as usize).min(data.len());
        Ok(data[from..(from + len).min(data.len())].to_vec())
    }

    fn write(&mut self, handle: u64, offset: u64, bytes: Vec<u8>) -> Result<(), i32> {
        let (data, from) = (&mut self.node(handle).data, offset as usize);
        if !bytes.is_empty() {
            data.resize(data.len().max(from + bytes.len()), 0);
            data[from..from + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn truncate(&mut self, handle: u64, len: u64) -> Result<(), i32> {
        self.node(handle).data.resize(len as usize, 0);
        Ok(())
    }

    fn fallocate(&mut self, handle: u64, range: Range, offset: u64, len: u64) -> Result<(), i32> {
        let (data, from, to) = (&mut self.node(handle).data, offset as usize, (offset + len) as usize);
        if matches!(range, Range::Punch | Range::Zero | Range::ZeroKeep) {
            let size = data.len();
            data[from.min(size)..to.min(size)].fill(0);
        }
        if matches!(range, Range::Grow | Range::Zero) && data.len() < to {
            data.resize(to, 0);
        }
        Ok(())
    }

    fn copy(&mut self, (from, from_offset): (u64, u64), (to, to_offset): (u64, u64), len: u64) -> Result<u64, i32> {
        let bytes = self.read(from, from_offset, len as usize)?;
        let count = bytes.len() as u64;
        self.write(to, to_offset, bytes)?;
        Ok(count)
    }

    fn sync(&mut self, _: u64) -> Result<(), i32> {
        Ok(())
    }
}
