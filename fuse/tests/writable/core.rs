//! The core as something that actions are done to, by paths, as a kernel would.

use crate::{
    actions::{Action, Gives, Kind, Outcome, Path, Range, Rename, SLOTS, Stat, content},
    support::settings,
};
use cairn_fuse::core::{self, Entry, Errno, Fallocate, Filesystem, Found, Layout, ROOT, Room, SetAttr, Time, Writable};
use cairn_store::{
    Cid, StoreError,
    blockstore::KvBlocks,
    chunker::ChunkerSpec,
    fetch::{Fetch, Offline},
    kv::MemoryKv,
    mfs::{self, Mfs, RenameMode, RootCell},
    names::NoNames,
    unixfs::profile::Profile,
};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A file system by numbers of inodes and of handles.
pub trait Inodes {
    fn lookup(&mut self, parent: u64, name: &str) -> Result<(u64, Kind), i32>;
    fn stat(&mut self, ino: u64) -> Result<Stat, i32>;
    fn time(&mut self, ino: u64) -> Result<(i64, u32), i32>;
    fn create(&mut self, parent: u64, name: &str, exclusive: bool) -> Result<u64, i32>;
    fn mkdir(&mut self, parent: u64, name: &str) -> Result<(), i32>;
    fn symlink(&mut self, parent: u64, name: &str, target: &str) -> Result<(), i32>;
    fn readlink(&mut self, ino: u64) -> Result<Vec<u8>, i32>;
    fn unlink(&mut self, parent: u64, name: &str) -> Result<(), i32>;
    fn rmdir(&mut self, parent: u64, name: &str) -> Result<(), i32>;
    fn rename(&mut self, from: (u64, &str), to: (u64, &str), how: Rename) -> Result<(), i32>;
    fn chmod(&mut self, ino: u64, mode: u32) -> Result<(), i32>;
    fn touch(&mut self, ino: u64, time: (i64, u32)) -> Result<(), i32>;
    fn list(&mut self, ino: u64) -> Result<Vec<(String, Kind)>, i32>;
    /// Opens what a look-up or a creation gave a number for.
    fn open(&mut self, ino: u64) -> Result<u64, i32>;
    fn close(&mut self, handle: u64);
    fn read(&mut self, handle: u64, offset: u64, len: usize) -> Result<Vec<u8>, i32>;
    fn write(&mut self, handle: u64, offset: u64, bytes: Vec<u8>) -> Result<(), i32>;
    fn truncate(&mut self, handle: u64, len: u64) -> Result<(), i32>;
    fn fallocate(&mut self, handle: u64, range: Range, offset: u64, len: u64) -> Result<(), i32>;
    fn copy(&mut self, from: (u64, u64), to: (u64, u64), len: u64) -> Result<u64, i32>;
    fn sync(&mut self, handle: u64) -> Result<(), i32>;
}

/// Does actions by paths.
pub struct Walker<F> {
    pub fs: F,
    slots: [Option<(u64, u64)>; SLOTS],
}

impl<F: Inodes> Walker<F> {
    pub fn new(fs: F) -> Self {
        Self { fs, slots: [None; SLOTS] }
    }

    fn find(&mut self, path: &str) -> Result<(u64, Kind), i32> {
        let mut at = (ROOT, Kind::Folder);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if at.1 != Kind::Folder {
                return Err(libc::ENOTDIR);
            }
            at = self.fs.lookup(at.0, name)?;
        }
        Ok(at)
    }

    /// The directory and the name of a path.
    fn place<'a>(&mut self, path: &'a Path, of_root: i32) -> Result<(u64, &'a str), i32> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() {
            return Err(of_root);
        }
        match self.find(parent)? {
            (ino, Kind::Folder) => Ok((ino, name)),
            _ => Err(libc::ENOTDIR),
        }
    }

    fn slot(&self, slot: usize) -> Result<(u64, u64), i32> {
        self.slots[slot].ok_or(libc::EBADF)
    }

    pub fn act(&mut self, action: &Action) -> Outcome {
        match action {
            Action::Open { slot, path, create, exclusive, truncate } => {
                self.open(*slot, path, (*create, *exclusive, *truncate))
            }
            Action::Close { slot } => {
                let (_, handle) = self.slot(*slot)?;
                self.slots[*slot] = None;
                self.fs.close(handle);
                Ok(Gives::Nothing)
            }
            Action::Read { slot, offset, len } => {
                let (_, handle) = self.slot(*slot)?;
                self.fs.read(handle, *offset, *len).map(Gives::Bytes)
            }
            Action::Write { slot, offset, len, seed } => {
                let (_, handle) = self.slot(*slot)?;
                self.fs.write(handle, *offset, content(*len, *seed))?;
                Ok(Gives::Count(*len as u64))
            }
            Action::Append { slot, len, seed } => {
                let (ino, handle) = self.slot(*slot)?;
                let end = self.fs.stat(ino)?.size;
                self.fs.write(handle, end, content(*len, *seed))?;
                Ok(Gives::Count(*len as u64))
            }
            Action::Truncate { slot, len } => {
                let (_, handle) = self.slot(*slot)?;
                self.fs.truncate(handle, *len).map(|()| Gives::Nothing)
            }
            Action::Fallocate { slot, range, offset, len } => {
                let (_, handle) = self.slot(*slot)?;
                self.fs.fallocate(handle, *range, *offset, *len).map(|()| Gives::Nothing)
            }
            Action::Copy { from, from_offset, to, to_offset, len } => {
                let ((ino, from), (to_ino, to)) = (self.slot(*from)?, self.slot(*to)?);
                // As the kernel has it, before the file system is asked.
                let len = &(*len).min(self.fs.stat(ino)?.size.saturating_sub(*from_offset));
                if ino == to_ino && from_offset < &(to_offset + len) && to_offset < &(from_offset + len) {
                    return Err(libc::EINVAL);
                }
                self.fs.copy((from, *from_offset), (to, *to_offset), *len).map(Gives::Count)
            }
            Action::StatOpen { slot } => {
                let (ino, _) = self.slot(*slot)?;
                self.fs.stat(ino).map(Gives::Stat)
            }
            Action::Sync { slot } => {
                let (_, handle) = self.slot(*slot)?;
                self.fs.sync(handle).map(|()| Gives::Nothing)
            }
            other => self.act_by_name(other),
        }
    }

    fn act_by_name(&mut self, action: &Action) -> Outcome {
        let nothing = |()| Gives::Nothing;
        match action {
            Action::Mkdir { path } => {
                let (parent, name) = self.place(path, libc::EEXIST)?;
                self.fs.mkdir(parent, name).map(nothing)
            }
            Action::Rmdir { path } => {
                let (parent, name) = self.place(path, libc::EBUSY)?;
                self.fs.rmdir(parent, name).map(nothing)
            }
            Action::Unlink { path } => {
                let (parent, name) = self.place(path, libc::EISDIR)?;
                self.fs.unlink(parent, name).map(nothing)
            }
            Action::Symlink { path, target } => {
                let (parent, name) = self.place(path, libc::EEXIST)?;
                self.fs.symlink(parent, name, target).map(nothing)
            }
            Action::Rename { from, to, how } => {
                let from = self.place(from, libc::EBUSY)?;
                let to = self.place(to, libc::EBUSY)?;
                self.fs.rename(from, to, *how).map(nothing)
            }
            Action::Readlink { path } => {
                let (ino, _) = self.find(path)?;
                self.fs.readlink(ino).map(Gives::Bytes)
            }
            Action::Chmod { path, mode } => match self.find(path)? {
                (_, Kind::Link) => Err(libc::EOPNOTSUPP),
                (ino, _) => self.fs.chmod(ino, *mode).map(nothing),
            },
            Action::Touch { path, seconds, nanos } => {
                let (ino, _) = self.find(path)?;
                self.fs.touch(ino, (*seconds, *nanos))?;
                self.fs.time(ino).map(|(seconds, nanos)| Gives::Time(seconds, nanos))
            }
            Action::Stat { path } => {
                let (ino, _) = self.find(path)?;
                self.fs.stat(ino).map(Gives::Stat)
            }
            Action::List { path } => match self.find(path)? {
                (ino, Kind::Folder) => self.fs.list(ino).map(Gives::Names),
                _ => Err(libc::ENOTDIR),
            },
            other => unreachable!("{other:?} is done to what is open"),
        }
    }

    fn open(&mut self, slot: usize, path: &Path, (create, exclusive, truncate): (bool, bool, bool)) -> Outcome {
        if let Some((_, handle)) = self.slots[slot].take() {
            self.fs.close(handle);
        }
        let ino = match self.find(path) {
            Ok(_) if create && exclusive => return Err(libc::EEXIST),
            Ok((_, Kind::Folder)) => return Err(libc::EISDIR),
            Ok((_, Kind::Link)) => return Err(libc::ELOOP),
            Ok((ino, Kind::File)) => ino,
            Err(libc::ENOENT) if create => {
                let (parent, name) = self.place(path, libc::EISDIR)?;
                self.fs.create(parent, name, exclusive)?
            }
            Err(error) => return Err(error),
        };
        let handle = self.fs.open(ino)?;
        self.slots[slot] = Some((ino, handle));
        if truncate {
            self.fs.truncate(handle, 0)?;
        }
        Ok(Gives::Nothing)
    }

    /// All that is there: paths, what they are, and the content of files.
    pub fn all(&mut self) -> BTreeMap<String, (Stat, Vec<u8>)> {
        let mut all = BTreeMap::new();
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, ino)) = open.pop() {
            for (name, kind) in self.fs.list(ino).expect("lists") {
                let (child, found) = self.fs.lookup(ino, &name).expect("is listed");
                assert_eq!(found, kind, "{path}/{name}");
                let path = format!("{path}/{name}");
                let bytes = match kind {
                    Kind::File => {
                        let handle = self.fs.open(child).expect("opens");
                        let bytes = self.fs.read(handle, 0, 1 << 30).expect("reads");
                        self.fs.close(handle);
                        bytes
                    }
                    Kind::Link => self.fs.readlink(child).expect("reads"),
                    Kind::Folder => {
                        open.push((path.clone(), child));
                        Vec::new()
                    }
                };
                all.insert(path, (self.fs.stat(child).expect("stat"), bytes));
            }
        }
        all
    }
}

/// Keeps a root in memory.
#[derive(Default)]
pub struct Cell(pub Mutex<Option<Cid>>);

impl RootCell for Cell {
    fn load(&self) -> Result<Option<Cid>, StoreError> {
        Ok(*self.0.lock())
    }

    fn commit(&self, root: &Cid) -> Result<(), StoreError> {
        *self.0.lock() = Some(*root);
        Ok(())
    }
}

/// A repository in memory.
pub struct Ground {
    pub blocks: Arc<KvBlocks>,
    pub cell: Arc<Cell>,
    pub profile: Profile,
}

impl Ground {
    pub fn new(chunk: usize) -> Self {
        let blocks = Arc::new(KvBlocks::open(Arc::new(MemoryKv::new())).expect("opens"));
        let profile = Profile { chunker: ChunkerSpec::Size(chunk), ..Profile::cid_v1() };
        Self { blocks, cell: Arc::default(), profile }
    }

    pub async fn tree(&self) -> Mfs {
        let options = mfs::Options { commit_after: None, ..mfs::Options::new(self.profile) };
        let fetch: Arc<dyn Fetch> = Arc::new(Offline::new(Arc::clone(&self.blocks) as _));
        Mfs::open(Arc::clone(&self.blocks), fetch, Arc::clone(&self.cell) as _, options).await.expect("opens")
    }

    pub fn sources(&self) -> core::Sources {
        let fetch: Arc<dyn Fetch> = Arc::new(Offline::new(Arc::clone(&self.blocks) as _));
        core::Sources::local(fetch, Arc::new(NoNames))
    }
}

/// The core, driven from one thread.
pub struct Core {
    pub fs: Arc<Filesystem>,
    runtime: tokio::runtime::Runtime,
    /// Which inode a handle is of.
    handles: BTreeMap<u64, u64>,
}

impl Core {
    pub fn new(ground: &Ground) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let tree = runtime.block_on(ground.tree());
        let writable = Writable { files: Some(tree), own: None };
        let fs = Filesystem::new(ground.sources(), writable, settings(Layout::Files, Duration::from_secs(60)));
        Self { fs, runtime, handles: BTreeMap::new() }
    }

    pub fn sync(&self) {
        self.runtime.block_on(self.fs.sync_all()).expect("syncs");
    }

    fn run<T>(&self, work: impl Future<Output = Result<T, Errno>>) -> Result<T, i32> {
        self.runtime.block_on(work).map_err(Errno::code)
    }
}

fn kind(kind: core::Kind) -> Kind {
    match kind {
        core::Kind::File => Kind::File,
        core::Kind::Directory => Kind::Folder,
        core::Kind::Symlink => Kind::Link,
    }
}

const PAGE: Room = Room { bytes: 300, line: 24, plus: false };

impl Inodes for Core {
    fn lookup(&mut self, parent: u64, name: &str) -> Result<(u64, Kind), i32> {
        match self.run(self.fs.lookup(parent, name.as_bytes()))? {
            Found::Entry(Entry { attr, .. }) => Ok((attr.ino, kind(attr.kind))),
            Found::Nothing(_) => Err(libc::ENOENT),
        }
    }

    fn stat(&mut self, ino: u64) -> Result<Stat, i32> {
        let (attr, _) = self.run(self.fs.getattr(ino))?;
        let size = if attr.kind == core::Kind::Directory { 0 } else { attr.size };
        Ok(Stat { kind: kind(attr.kind), size, perm: attr.perm })
    }

    fn time(&mut self, ino: u64) -> Result<(i64, u32), i32> {
        let (attr, _) = self.run(self.fs.getattr(ino))?;
        Ok((attr.mtime.seconds, attr.mtime.nanos))
    }

    fn create(&mut self, parent: u64, name: &str, exclusive: bool) -> Result<u64, i32> {
        let (entry, opened) = self.run(self.fs.create(parent, name.as_bytes(), 0o644, exclusive))?;
        self.fs.release(opened.handle);
        Ok(entry.attr.ino)
    }

    fn mkdir(&mut self, parent: u64, name: &str) -> Result<(), i32> {
        let entry = self.run(self.fs.mkdir(parent, name.as_bytes(), 0o755))?;
        self.fs.forget(entry.attr.ino, 1);
        Ok(())
    }

    fn symlink(&mut self, parent: u64, name: &str, target: &str) -> Result<(), i32> {
        let entry = self.run(self.fs.symlink(parent, name.as_bytes(), target.as_bytes()))?;
        self.fs.forget(entry.attr.ino, 1);
        Ok(())
    }

    fn readlink(&mut self, ino: u64) -> Result<Vec<u8>, i32> {
        self.run(self.fs.readlink(ino)).map(|target| target.to_vec())
    }

    fn unlink(&mut self, parent: u64, name: &str) -> Result<(), i32> {
        self.run(self.fs.unlink(parent, name.as_bytes()))
    }

    fn rmdir(&mut self, parent: u64, name: &str) -> Result<(), i32> {
        self.run(self.fs.rmdir(parent, name.as_bytes()))
    }

    fn rename(&mut self, (parent, name): (u64, &str), (to, to_name): (u64, &str), how: Rename) -> Result<(), i32> {
        let mode = match how {
            Rename::Replace => RenameMode::Replace,
            Rename::NoReplace => RenameMode::NoReplace,
            Rename::Exchange => RenameMode::Exchange,
        };
        self.run(self.fs.rename((parent, name.as_bytes()), (to, to_name.as_bytes()), mode))
    }

    fn chmod(&mut self, ino: u64, mode: u32) -> Result<(), i32> {
        self.run(self.fs.setattr(ino, SetAttr { mode: Some(mode), ..SetAttr::default() })).map(drop)
    }

    fn touch(&mut self, ino: u64, (seconds, nanos): (i64, u32)) -> Result<(), i32> {
        let mtime = Some(Time { seconds, nanos });
        self.run(self.fs.setattr(ino, SetAttr { mtime, ..SetAttr::default() })).map(drop)
    }

    /// In small pages, each from where the one before ended.
    fn list(&mut self, ino: u64) -> Result<Vec<(String, Kind)>, i32> {
        let opened = self.run(self.fs.opendir(ino))?;
        let (mut names, mut offset) = (Vec::new(), 0);
        loop {
            let page = self.run(self.fs.readdir(opened.handle, offset, PAGE))?;
            let Some(last) = page.last() else { break };
            offset = last.next;
            for line in page {
                let name = String::from_utf8_lossy(&line.name).into_owned();
                if name == "." || name == ".." {
                    continue;
                }
                let found = match line.kind {
                    Some(found) => kind(found),
                    None => {
                        let (child, found) = self.lookup(ino, &name)?;
                        self.fs.forget(child, 1);
                        found
                    }
                };
                names.push((name, found));
            }
        }
        self.fs.release(opened.handle);
        names.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(names)
    }

    fn open(&mut self, ino: u64) -> Result<u64, i32> {
        let opened = self.run(self.fs.open(ino, true))?;
        self.handles.insert(opened.handle, ino);
        Ok(opened.handle)
    }

    fn close(&mut self, handle: u64) {
        self.handles.remove(&handle);
        self.fs.release(handle);
    }

    fn read(&mut self, handle: u64, offset: u64, len: usize) -> Result<Vec<u8>, i32> {
        let read = self.fs.admit(handle, offset, len).map_err(Errno::code)?;
        self.run(self.fs.read(read)).map(|pieces| pieces.concat())
    }

    fn write(&mut self, handle: u64, offset: u64, bytes: Vec<u8>) -> Result<(), i32> {
        if bytes.is_empty() {
            // The kernel sends no such request.
            return Ok(());
        }
        self.run(self.fs.write(handle, offset, bytes.into(), false))
    }

    fn truncate(&mut self, handle: u64, len: u64) -> Result<(), i32> {
        let set = SetAttr { size: Some(len), ..SetAttr::default() };
        self.run(self.fs.setattr(self.handles[&handle], set)).map(drop)
    }

    fn fallocate(&mut self, handle: u64, range: Range, offset: u64, len: u64) -> Result<(), i32> {
        let mode = crate::syscalls::flags(range).bits();
        self.run(self.fs.fallocate(handle, Fallocate { offset, len, mode }))
    }

    fn copy(&mut self, from: (u64, u64), to: (u64, u64), len: u64) -> Result<u64, i32> {
        self.run(self.fs.copy_file_range(from, to, len))
    }

    fn sync(&mut self, handle: u64) -> Result<(), i32> {
        self.run(self.fs.fsync(handle))
    }
}
