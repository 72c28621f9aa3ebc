//! A real directory as something that actions are done to.

use crate::actions::{Action, Gives, Kind, Outcome, Path, Range, Rename, SLOTS, Stat, content};
use rustix::{
    fs::{self, AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT},
    io::{self, Errno},
};
use std::{
    collections::BTreeMap,
    fs::File,
    os::{fd::OwnedFd, unix::fs::FileExt as _},
    path::PathBuf,
};

/// A directory.
pub struct Directory {
    root: PathBuf,
    slots: [Option<OwnedFd>; SLOTS],
}

/// The flags of `fallocate`.
pub fn flags(range: Range) -> FallocateFlags {
    match range {
        Range::Grow => FallocateFlags::empty(),
        Range::Reserve => FallocateFlags::KEEP_SIZE,
        Range::Punch => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        Range::Zero => FallocateFlags::ZERO_RANGE,
        Range::ZeroKeep => FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
    }
}

fn kind(mode: u32) -> Kind {
    match FileType::from_raw_mode(mode) {
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        _ => Kind::File,
    }
}

fn stat(stat: &fs::Stat) -> Stat {
    let kind = kind(stat.st_mode);
    let size = if kind == Kind::Folder { 0 } else { stat.st_size as u64 };
    Stat { kind, size, perm: stat.st_mode & 0o7777 }
}

impl Directory {
    pub fn new(root: PathBuf) -> Self {
        Self { root, slots: [const { None }; SLOTS] }
    }

    fn path(&self, path: &Path) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }

    fn slot(&self, slot: usize) -> Result<&OwnedFd, Errno> {
        self.slots[slot].as_ref().ok_or(Errno::BADF)
    }

    pub fn act(&mut self, action: &Action) -> Outcome {
        self.try_act(action).map_err(Errno::raw_os_error)
    }

    fn try_act(&mut self, action: &Action) -> Result<Gives, Errno> {
        match action {
            Action::Open { slot, path, create, exclusive, truncate } => {
                self.slots[*slot] = None;
                let mut flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                flags.set(OFlags::CREATE, *create);
                flags.set(OFlags::EXCL, *create && *exclusive);
                flags.set(OFlags::TRUNC, *truncate);
                self.slots[*slot] = Some(fs::open(self.path(path), flags, Mode::from_raw_mode(0o644))?);
                Ok(Gives::Nothing)
            }
            Action::Close { slot } => {
                self.slot(*slot)?;
                self.slots[*slot] = None;
                Ok(Gives::Nothing)
            }
            Action::Read { slot, offset, len } => {
                let mut bytes = vec![0; *len];
                let count = read_fully(self.slot(*slot)?, &mut bytes, *offset)?;
                bytes.truncate(count);
                Ok(Gives::Bytes(bytes))
            }
            Action::Write { slot, offset, len, seed } => {
                Ok(Gives::Count(io::pwrite(self.slot(*slot)?, &content(*len, *seed), *offset)? as u64))
            }
            Action::Append { slot, len, seed } => {
                let fd = self.slot(*slot)?;
                let end = fs::fstat(fd)?.st_size as u64;
                Ok(Gives::Count(io::pwrite(fd, &content(*len, *seed), end)? as u64))
            }
            Action::Truncate { slot, len } => fs::ftruncate(self.slot(*slot)?, *len).map(|()| Gives::Nothing),
            Action::Fallocate { slot, range, offset, len } => {
                fs::fallocate(self.slot(*slot)?, flags(*range), *offset, *len).map(|()| Gives::Nothing)
            }
            Action::Copy { from, from_offset, to, to_offset, len } => {
                let (from, to) = (self.slot(*from)?, self.slot(*to)?);
                let (mut at, mut to_at, mut left) = (*from_offset, *to_offset, *len);
                while left > 0 {
                    // It may copy less than it was asked to.
                    match fs::copy_file_range(from, Some(&mut at), to, Some(&mut to_at), left as usize)? {
                        0 => break,
                        count => left -= count as u64,
                    }
                }
                Ok(Gives::Count(len - left))
            }
            Action::StatOpen { slot } => Ok(Gives::Stat(stat(&fs::fstat(self.slot(*slot)?)?))),
            Action::Sync { slot } => fs::fsync(self.slot(*slot)?).map(|()| Gives::Nothing),
            other => self.act_by_name(other),
        }
    }

    fn act_by_name(&self, action: &Action) -> Result<Gives, Errno> {
        let nothing = |()| Gives::Nothing;
        match action {
            Action::Mkdir { path } => fs::mkdir(self.path(path), Mode::from_raw_mode(0o755)).map(nothing),
            Action::Rmdir { path } => fs::rmdir(self.path(path)).map(nothing),
            Action::Unlink { path } => fs::unlink(self.path(path)).map(nothing),
            Action::Symlink { path, target } => fs::symlink(target, self.path(path)).map(nothing),
            Action::Rename { from, to, how } => {
                let flags = match how {
                    Rename::Replace => RenameFlags::empty(),
                    Rename::NoReplace => RenameFlags::NOREPLACE,
                    Rename::Exchange => RenameFlags::EXCHANGE,
                };
                fs::renameat_with(CWD, self.path(from), CWD, self.path(to), flags).map(nothing)
            }
            Action::Readlink { path } => {
                fs::readlink(self.path(path), Vec::new()).map(|target| Gives::Bytes(target.into_bytes()))
            }
            Action::Chmod { path, mode } => {
                // Without following links, as far as there is such a call.
                if fs::lstat(self.path(path)).is_ok_and(|found| kind(found.st_mode) == Kind::Link) {
                    return Err(Errno::OPNOTSUPP);
                }
                fs::chmod(self.path(path), Mode::from_raw_mode(*mode)).map(nothing)
            }
            Action::Touch { path, seconds, nanos } => {
                let time = Timespec { tv_sec: *seconds, tv_nsec: i64::from(*nanos) };
                let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
                let times = Timestamps { last_access: omit, last_modification: time };
                fs::utimensat(CWD, self.path(path), &times, AtFlags::SYMLINK_NOFOLLOW)?;
                let found = fs::lstat(self.path(path))?;
                Ok(Gives::Time(found.st_mtime, found.st_mtime_nsec as u32))
            }
            Action::Stat { path } => Ok(Gives::Stat(stat(&fs::lstat(self.path(path))?))),
            Action::List { path } => self.list(path).map(Gives::Names),
            other => unreachable!("{other:?} is done to what is open"),
        }
    }

    fn list(&self, path: &Path) -> Result<Vec<(String, Kind)>, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::open(self.path(path), flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in fs::Dir::new(fd)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                let found = fs::lstat(self.path(path).join(&name))?;
                names.push((name, kind(found.st_mode)));
            }
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(names)
    }

    /// All that is there: paths, what they are, and the content of files.
    pub fn all(&self) -> BTreeMap<String, (Stat, Vec<u8>)> {
        let mut all = BTreeMap::new();
        let mut open = vec![String::new()];
        while let Some(path) = open.pop() {
            for (name, kind) in self.list(&path).expect("lists") {
                let path = if path.is_empty() { name } else { format!("{path}/{name}") };
                let found = fs::lstat(self.path(&path)).expect("is listed");
                let bytes = match kind {
                    Kind::File => std::fs::read(self.path(&path)).expect("reads"),
                    Kind::Link => fs::readlink(self.path(&path), Vec::new()).expect("reads").into_bytes(),
                    Kind::Folder => {
                        open.push(path.clone());
                        Vec::new()
                    }
                };
                all.insert(path, (stat(&found), bytes));
            }
        }
        all
    }
}

fn read_fully(fd: &OwnedFd, bytes: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let file = File::from(fd.try_clone().map_err(|_| Errno::MFILE)?);
    let mut count = 0;
    while count < bytes.len() {
        match file.read_at(&mut bytes[count..], offset + count as u64) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        }
    }
    Ok(count)
}
