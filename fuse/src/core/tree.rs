//! A writable tree: `files`, or a key of this node below `ipns`.

use super::{
    Kernel, Settings,
    attr::{Attr, EPOCH, Entry, Found, Ino, Kind, Time, Ttl, UNKNOWN_INO, is_name},
    errno::Errno,
    known::{self, Known, MAX_KNOWN},
    place::{Layout, Place, TREE_ROOT},
};
use bytes::Bytes;
use cairn_store::{
    Cid, StoreError, mfs,
    mfs::{Change, Mfs, MfsError, New, RenameMode},
    unixfs::meta::FileMeta,
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// How long the kernel may believe what it was told of a tree that others change too.
const SHARED_TTL: Duration = Duration::from_secs(1);
/// The same for a tree that only the mount changes.
const OWN_TTL: Duration = Duration::from_secs(3600);
/// Permissions of what has none stored: Kubo's.
const FILE_PERM: u32 = 0o644;
const FOLDER_PERM: u32 = 0o755;
const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;

/// How a writable tree behaves.
#[derive(Debug, Clone, Copy)]
pub struct TreeOptions {
    /// Whether somebody else may change the tree while it is mounted: the kernel then asks again after a second.
    pub shared: bool,
    /// Whether permissions are stored (`Mounts.StoreMode`); otherwise `chmod` changes nothing.
    pub store_mode: bool,
    /// Whether modification times are stored (`Mounts.StoreMtime`); otherwise setting one changes nothing.
    pub store_mtime: bool,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self { shared: true, store_mode: true, store_mtime: true }
    }
}

/// A change of attributes that was asked for. What is `None` stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetAttr {
    /// Permissions.
    pub mode: Option<u32>,
    /// Whether somebody else shall own it.
    pub other_owner: bool,
    /// Length in bytes.
    pub size: Option<u64>,
    /// Time of access. It is kept in memory alone.
    pub atime: Option<Time>,
    /// Modification time.
    pub mtime: Option<Time>,
    /// Whether set-user-id and set-group-id have to go, since somebody else than the owner changed the content.
    pub kill_setid: bool,
}

/// What the kernel asks to have done to a range of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallocate {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// `FALLOC_FL_…`.
    pub mode: u32,
}

/// The tree of a mount.
pub(super) struct Tree {
    pub(super) index: u8,
    pub(super) mfs: Mfs,
    pub(super) options: TreeOptions,
    layout: Layout,
    /// What the kernel's copy of a file's content is, of files that were opened in a shared tree.
    cached: Mutex<HashMap<u64, Cid>>,
    known: Mutex<Known>,
    kernel: Arc<OnceLock<Arc<dyn Kernel>>>,
}

impl Tree {
    pub(super) fn new(index: u8, mfs: &Mfs, settings: &Settings, kernel: &Arc<OnceLock<Arc<dyn Kernel>>>) -> Self {
        let mfs = mfs.waiting(settings.patience);
        Self {
            index,
            mfs: if settings.tree.store_mtime { mfs.stamping() } else { mfs },
            options: settings.tree,
            layout: settings.layout,
            cached: Mutex::default(),
            known: Mutex::default(),
            kernel: Arc::clone(kernel),
        }
    }

    pub(super) fn ttl(&self) -> Ttl {
        let time = if self.options.shared { SHARED_TTL } else { OWN_TTL };
        Ttl { entry: time, attr: time }
    }

    pub(super) fn ino(&self, number: u64) -> Ino {
        self.layout.ino(Place::Tree(self.index, number))
    }

    pub(super) fn attr_of(&self, attr: &mfs::Attr) -> Attr {
        let (kind, perm) = match attr.kind {
            mfs::Kind::File => (Kind::File, FILE_PERM),
            mfs::Kind::Directory => (Kind::Directory, FOLDER_PERM),
            mfs::Kind::Symlink => (Kind::Symlink, 0o777),
        };
        let stored = attr.meta.mode.filter(|_| kind != Kind::Symlink);
        let mtime = attr.meta.mtime.unwrap_or(EPOCH);
        Attr {
            ino: self.ino(attr.ino),
            kind,
            perm: stored.unwrap_or(perm),
            size: attr.size,
            stored: attr.size.saturating_sub(attr.holes),
            atime: attr.atime.unwrap_or(mtime),
            mtime,
            ctime: attr.ctime.unwrap_or(mtime),
            nlink: u32::from(self.mfs.is_linked(attr.ino)),
        }
    }

    /// What the kernel is told of an entry, of which it has one reference more then.
    pub(super) fn entry(&self, parent: u64, name: &[u8], attr: &mfs::Attr) -> Entry {
        let entry = Entry { attr: self.attr_of(attr), ttl: self.ttl() };
        let excess = {
            let mut known = self.known.lock();
            if !known.has(attr.ino) {
                let name = Bytes::copy_from_slice(name);
                known.note(known::Entry { number: attr.ino, kind: entry.attr.kind, parent, name });
            }
            known.excess(MAX_KNOWN)
        };
        for old in excess {
            let told = |kernel: &Arc<dyn Kernel>| kernel.entry_changed(self.ino(old.parent), &old.name);
            // What is open stays in memory whatever the kernel does with its name.
            if self.mfs.is_open(old.number) || !self.kernel.get().is_some_and(told) {
                self.known.lock().note(old);
            }
        }
        entry
    }

    pub(super) async fn lookup(&self, parent: u64, name: &[u8]) -> Result<Found, Errno> {
        match self.mfs.lookup(parent, name).await {
            Ok(attr) => Ok(Found::Entry(self.entry(parent, name, &attr))),
            Err(MfsError::NotFound(_)) => Ok(Found::Nothing(self.ttl().entry)),
            Err(error) => Err(error.into()),
        }
    }

    /// The number of the directory above one.
    pub(super) async fn above(&self, number: u64) -> Ino {
        let Ok(above) = self.mfs.lookup(number, b"..").await else { return UNKNOWN_INO };
        self.mfs.forget(above.ino, 1);
        match (above.ino, number) {
            // That of the root is none of the tree's.
            (TREE_ROOT, TREE_ROOT) if self.layout != Layout::Files => UNKNOWN_INO,
            (ino, _) => self.ino(ino),
        }
    }

    pub(super) async fn attr(&self, number: u64) -> Result<Attr, Errno> {
        Ok(self.attr_of(&self.mfs.attr(number).await?))
    }

    pub(super) fn forget(&self, number: u64, count: u64) {
        self.mfs.forget(number, count);
        self.cached.lock().remove(&number);
        self.known.lock().forget(number);
    }

    pub(super) async fn set_attr(&self, number: u64, set: SetAttr) -> Result<Attr, Errno> {
        if set.other_owner {
            return Err(Errno::EPERM);
        }
        let mut change = Change { size: set.size, ..Change::default() };
        if self.options.store_mode {
            change.mode = set.mode.map(|mode| mode & 0o7777);
        }
        if self.options.store_mtime {
            change.mtime = set.mtime;
        }
        if set.kill_setid && change.mode.is_none() {
            change.mode = self.without_setid(number).await?;
        }
        if let Some(atime) = set.atime {
            self.mfs.set_accessed(number, atime)?;
        }
        if change == Change::default() {
            return self.attr(number).await;
        }
        Ok(self.attr_of(&self.mfs.set_attr(number, change).await?))
    }

    /// The permissions without set-user-id and set-group-id, if they have one of them.
    async fn without_setid(&self, number: u64) -> Result<Option<u32>, Errno> {
        let mode = self.mfs.attr(number).await?.meta.mode.unwrap_or_default();
        // Set-group-id without the right to execute once meant mandatory locks: it stays.
        let kill = if mode & 0o010 == 0 { SETUID } else { SETUID | SETGID };
        Ok((mode & kill != 0).then_some(mode & !kill))
    }

    pub(super) async fn drop_setid(&self, number: u64) -> Result<(), Errno> {
        if let Some(mode) = self.without_setid(number).await? {
            self.mfs.set_attr(number, Change { mode: Some(mode), ..Change::default() }).await?;
        }
        Ok(())
    }

    /// What a new entry of these permissions begins with: the usual ones are not stored, so that what was copied in gets
    /// the CID that it would get elsewhere.
    fn new_entry(&self, mode: u32, usual: u32) -> New {
        let mode = Some(mode & 0o7777).filter(|&mode| self.options.store_mode && mode != usual);
        New { meta: FileMeta { mode, mtime: None }, ..New::default() }
    }

    pub(super) async fn create(&self, parent: u64, name: &[u8], mode: u32, exclusive: bool) -> Result<Entry, Errno> {
        check_name(name)?;
        let attr = self.mfs.create(parent, name, self.new_entry(mode, FILE_PERM), exclusive).await?;
        Ok(self.entry(parent, name, &attr))
    }

    pub(super) async fn mkdir(&self, parent: u64, name: &[u8], mode: u32) -> Result<Entry, Errno> {
        check_name(name)?;
        // What is made in a directory with set-group-id has it too.
        let setgid = self.mfs.attr(parent).await?.meta.mode.unwrap_or_default() & SETGID;
        let attr = self.mfs.mkdir(parent, name, self.new_entry(mode | setgid, FOLDER_PERM)).await?;
        Ok(self.entry(parent, name, &attr))
    }

    pub(super) async fn symlink(&self, parent: u64, name: &[u8], target: &[u8]) -> Result<Entry, Errno> {
        check_name(name)?;
        let attr = self.mfs.symlink(parent, name, target, New::default()).await?;
        Ok(self.entry(parent, name, &attr))
    }

    pub(super) async fn rename(
        &self,
        (parent, name): (u64, &[u8]),
        (to, to_name): (u64, &[u8]),
        mode: RenameMode,
    ) -> Result<(), Errno> {
        check_name(to_name)?;
        Ok(self.mfs.rename(parent, name, to, to_name, mode).await?)
    }

    /// Opens a file, and learns how long it really is; says whether the kernel's copy of its content is still right, and
    /// whether its length was another one.
    pub(super) async fn open(&self, number: u64) -> Result<(bool, bool), Errno> {
        self.mfs.open_file(number)?;
        let learnt = async { Ok::<_, Errno>((self.mfs.measure(number).await?, self.mfs.attr(number).await?.cid)) };
        let (corrected, now) = learnt.await.inspect_err(|_| self.mfs.release(number))?;
        Ok((self.is_cached(number, now), corrected))
    }

    /// Whether the kernel's copy of a file's content is that of this root.
    fn is_cached(&self, number: u64, now: Option<Cid>) -> bool {
        if !self.options.shared {
            return true;
        }
        let mut cached = self.cached.lock();
        let before = match now {
            Some(cid) => cached.insert(number, cid),
            None => cached.remove(&number),
        };
        now.is_some() && before == now
    }

    pub(super) async fn fallocate(&self, number: u64, ask: Fallocate) -> Result<(), Errno> {
        let keep = ask.mode & FALLOC_FL_KEEP_SIZE != 0;
        let end = ask.offset.checked_add(ask.len).filter(|&end| i64::try_from(end).is_ok()).ok_or(Errno::EFBIG)?;
        let zero = match ask.mode & !FALLOC_FL_KEEP_SIZE {
            0 => false,
            FALLOC_FL_PUNCH_HOLE if keep => true,
            FALLOC_FL_ZERO_RANGE => true,
            _ => return Err(Errno::EOPNOTSUPP),
        };
        if zero {
            let size = self.mfs.attr(number).await?.size;
            let range = ask.offset.min(size)..end.min(size);
            if !range.is_empty() {
                self.mfs.punch(number, range).await?;
            }
        }
        if !keep {
            self.mfs.extend(number, end).await?;
        }
        Ok(())
    }

    /// The root of what is there now.
    pub(super) async fn cid(&self, number: u64) -> Result<Cid, Errno> {
        match self.mfs.attr(number).await?.cid {
            Some(cid) => Ok(cid),
            None => Ok(self.mfs.flush(number).await?),
        }
    }

    /// Writes a piece of a file.
    pub(super) async fn write(&self, number: u64, offset: u64, data: Bytes) -> Result<(), Errno> {
        Ok(self.mfs.write(number, offset, data).await?)
    }

    pub(super) async fn sync(&self) -> Result<(), Errno> {
        self.mfs.sync().await?;
        Ok(())
    }

    /// The same for whoever depends on an inode and what is below it.
    pub(super) async fn sync_below(&self, number: u64) -> Result<(), Errno> {
        self.mfs.sync_below(number).await?;
        Ok(())
    }
}

const FALLOC_FL_KEEP_SIZE: u32 = libc::FALLOC_FL_KEEP_SIZE as u32;
const FALLOC_FL_PUNCH_HOLE: u32 = libc::FALLOC_FL_PUNCH_HOLE as u32;
const FALLOC_FL_ZERO_RANGE: u32 = libc::FALLOC_FL_ZERO_RANGE as u32;

fn check_name(name: &[u8]) -> Result<(), Errno> {
    match name.len() {
        0..=super::attr::MAX_NAME if is_name(name) => Ok(()),
        0..=super::attr::MAX_NAME => Err(Errno::EINVAL),
        _ => Err(Errno::ENAMETOOLONG),
    }
}

/// The length of a file that the kernel can name.
pub(super) fn check_len(offset: u64, len: usize) -> Result<(), StoreError> {
    let end = offset.checked_add(len as u64).filter(|&end| i64::try_from(end).is_ok());
    end.map(drop).ok_or_else(|| StoreError::Invalid(format!("{len} bytes at {offset}: beyond what a file can hold")))
}
