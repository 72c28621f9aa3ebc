//! A local directory through a bare FUSE file system, in a process of its own: this program again. It does what it is asked
//! for with the files below and nothing else, on as many threads and with the same settings as Cairn's mount.

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner,
    MountOption, OpenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, Session, TimeOrNow, WriteFlags,
};
use std::{
    cell::RefCell,
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata},
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// The word that asks for it.
pub const WORD: &str = "pass-through";
/// How long the kernel believes what it is told: nobody else changes the files.
const TTL: Duration = Duration::from_secs(3600);
/// As in Cairn's mount: the largest request, requests without anybody waiting, threads.
const MAX_WRITE: u32 = 1 << 20;
const MAX_BACKGROUND: u16 = 64;
const THREADS: (usize, usize) = (4, 16);

/// Mounts the directory that is the second word on the third, until standard input ends, if the first word asks for it.
///
/// # Errors
/// When it can't be mounted.
pub fn run_if_asked(words: &[String]) -> anyhow::Result<bool> {
    let [WORD, from, point] = words.iter().map(String::as_str).collect::<Vec<_>>()[..] else { return Ok(false) };
    let mut config = Config::default();
    config.mount_options =
        vec![MountOption::FSName(WORD.to_owned()), MountOption::DefaultPermissions, MountOption::NoAtime];
    let cpus = std::thread::available_parallelism().map_or(THREADS.0, usize::from);
    (config.n_threads, config.clone_fd) = (Some((2 * cpus).clamp(THREADS.0, THREADS.1)), true);
    let session = Session::new(Through::new(from.as_ref()), point, &config)?.spawn()?;
    println!("mounted");
    io::stdin().read_to_end(&mut Vec::new())?;
    session.umount_and_join()?;
    Ok(true)
}

enum Open {
    File(Arc<File>),
    Folder(Arc<Vec<OsString>>),
}

/// What the kernel has numbers of.
struct Table {
    paths: HashMap<u64, Arc<Path>>,
    open: HashMap<u64, Open>,
    next: u64,
}

struct Through(Mutex<Table>);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; MAX_WRITE as usize]);
}

impl Through {
    fn new(root: &Path) -> Self {
        let paths = HashMap::from([(INodeNo::ROOT.0, Arc::from(root))]);
        Self(Mutex::new(Table { paths, open: HashMap::new(), next: 0 }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, ino: INodeNo) -> io::Result<Arc<Path>> {
        self.table().paths.get(&ino.0).cloned().ok_or_else(|| io::Error::from_raw_os_error(libc::ESTALE))
    }

    /// An entry, which has its number from now on.
    fn entry(&self, parent: &Path, name: &OsStr) -> io::Result<FileAttr> {
        let path = parent.join(name);
        let attr = attr(&fs::symlink_metadata(&path)?);
        self.table().paths.entry(attr.ino.0).or_insert_with(|| path.into());
        Ok(attr)
    }

    fn opened(&self, open: Open) -> FileHandle {
        let mut table = self.table();
        table.next += 1;
        let number = table.next;
        table.open.insert(number, open);
        FileHandle(number)
    }

    fn file(&self, handle: FileHandle) -> io::Result<Arc<File>> {
        match self.table().open.get(&handle.0) {
            Some(Open::File(file)) => Ok(Arc::clone(file)),
            _ => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }

    fn folder(&self, handle: FileHandle) -> io::Result<Arc<Vec<OsString>>> {
        match self.table().open.get(&handle.0) {
            Some(Open::Folder(names)) => Ok(Arc::clone(names)),
            _ => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }

    fn make(&self, parent: INodeNo, name: &OsStr, mode: u32, flags: i32) -> io::Result<(FileAttr, FileHandle)> {
        let parent = self.path(parent)?;
        let mut options = File::options();
        options.read(true).write(true).create(true).mode(mode).create_new(flags & libc::O_EXCL != 0);
        let file = options.open(parent.join(name))?;
        Ok((self.entry(&parent, name)?, self.opened(Open::File(Arc::new(file)))))
    }
}

fn attr(of: &Metadata) -> FileAttr {
    let mtime = of.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    FileAttr {
        ino: INodeNo(of.ino()),
        size: of.len(),
        blocks: of.blocks(),
        atime: mtime,
        mtime,
        ctime: mtime,
        crtime: mtime,
        kind: FileType::from_std(of.file_type()).unwrap_or(FileType::RegularFile),
        // The lower 12 bits.
        perm: (of.mode() & 0o7777) as u16,
        nlink: u32::try_from(of.nlink()).unwrap_or(u32::MAX),
        uid: of.uid(),
        gid: of.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// Answers with what came of it.
macro_rules! answer {
    ($reply:ident, $result:expr, $ok:expr) => {
        match $result {
            Ok(value) => $ok(value),
            Err(error) => $reply.error(Errno::from(io::Error::from(error))),
        }
    };
}

impl fuser::Filesystem for Through {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for wanted in
            [InitFlags::FUSE_PARALLEL_DIROPS, InitFlags::FUSE_DO_READDIRPLUS, InitFlags::FUSE_HANDLE_KILLPRIV_V2]
        {
            // A kernel that does not know one does without it.
            let _ = config.add_capabilities(wanted);
        }
        let _ = (config.set_max_write(MAX_WRITE), config.set_max_background(MAX_BACKGROUND));
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.path(parent).and_then(|parent| self.entry(&parent, name));
        answer!(reply, found, |attr| reply.entry(&TTL, &attr, Generation(0)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.path(ino).and_then(fs::symlink_metadata);
        answer!(reply, found, |of: Metadata| reply.attr(&TTL, &FileAttr { ino, ..attr(&of) }));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = self.path(ino).and_then(|path| {
            size.map(|size| File::options().write(true).open(&path)?.set_len(size)).transpose()?;
            fs::symlink_metadata(path)
        });
        answer!(reply, set, |of: Metadata| reply.attr(&TTL, &FileAttr { ino, ..attr(&of) }));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let made = self.path(parent).and_then(|parent| {
            fs::create_dir(parent.join(name))?;
            self.entry(&parent, name)
        });
        answer!(reply, made, |attr| reply.entry(&TTL, &attr, Generation(0)));
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, flags: i32, reply: ReplyCreate) {
        let keep = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
        answer!(reply, self.make(parent, name, mode, flags), |(attr, handle)| {
            reply.created(&TTL, &attr, Generation(0), handle, keep);
        });
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let write = flags.0 & libc::O_ACCMODE != libc::O_RDONLY;
        let opened = self.path(ino).and_then(|path| File::options().read(true).write(write).open(path));
        let keep = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
        answer!(reply, opened, |file| reply.opened(self.opened(Open::File(Arc::new(file))), keep));
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        BUFFER.with_borrow_mut(|buffer| {
            let room = buffer.len().min(size as usize);
            let read = self.file(handle).and_then(|file| file.read_at(&mut buffer[..room], offset));
            answer!(reply, read, |n| reply.data(&buffer[..n]));
        });
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.file(handle).and_then(|file| file.write_all_at(data, offset));
        // A request has 1 MiB at most.
        answer!(reply, written, |()| reply.written(data.len() as u32));
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let closed = self.table().open.remove(&handle.0);
        drop(closed);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, self.file(handle).and_then(|file| file.sync_all()), |()| reply.ok());
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let names = self.path(ino).and_then(|path| {
            let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
            names.collect::<io::Result<Vec<_>>>()
        });
        answer!(reply, names, |names| {
            reply.opened(self.opened(Open::Folder(Arc::new(names))), FopenFlags::FOPEN_CACHE_DIR);
        });
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        answer!(reply, self.folder(handle), |names: Arc<Vec<OsString>>| {
            for (name, next) in names.iter().zip(1..).skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
                if reply.add(INodeNo(u64::from(u32::MAX)), next, FileType::RegularFile, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn readdirplus(&self, _: &Request, ino: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let folder = self.path(ino).and_then(|path| Ok((path, self.folder(fh)?)));
        answer!(reply, folder, |(path, names): (Arc<Path>, Arc<Vec<OsString>>)| {
            for (name, next) in names.iter().zip(1..).skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
                let Ok(attr) = self.entry(&path, name) else { continue };
                if reply.add(attr.ino, next, name, &TTL, &attr, Generation(0)) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        // The files in it too, as in Cairn's mount.
        let synced = self.path(ino).and_then(File::open).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
        answer!(reply, synced, |()| reply.ok());
    }
}
