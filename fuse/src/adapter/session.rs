//! A mount under way: its threads, and what is told to the kernel without being asked.

use super::{
    device::{Device, Ended},
    dispatch::Server,
    pending::Pending,
    reply::Owner,
};
use crate::core::{Filesystem, Ino, Kernel};
use bytes::Bytes;
use fuser::{Config, InitFlags, KernelConfig, MountOption, Notifier, SessionACL};
use std::{
    ffi::OsStr,
    io,
    os::{fd::AsFd as _, unix::ffi::OsStrExt as _},
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// The largest write and read, in bytes: what Linux takes without being configured otherwise.
const MAX_WRITE: u32 = 1 << 20;
/// Room for a request: the largest write, with its headers.
const BUFFER: usize = MAX_WRITE as usize + 4096;
/// Requests that the kernel sends ahead without anybody waiting for them yet.
const MAX_BACKGROUND: u16 = 64;
/// Names that the kernel is to let go of and that wait for their turn. Those that come on top are dropped: the kernel
/// lets go of them when their time is over.
const MAX_NOTICES: usize = 4096;
/// Blocks that the kernel is to be given and that wait for their turn; it does without those that come on top.
const MAX_CONTENT: usize = 8;
/// How often names in use are asked for again.
const REFRESH: Duration = Duration::from_secs(5);

/// How a session is set up.
pub(crate) struct SessionOptions {
    /// Whether other users may use the mount.
    pub(crate) allow_other: bool,
    /// Whether the kernel shall refuse all changes by itself.
    pub(crate) read_only: bool,
    /// What the table of mounts shows as its source.
    pub(crate) name: String,
    /// Threads that read requests.
    pub(crate) threads: usize,
}

/// What agrees with the kernel on the protocol.
struct Handshake;

impl fuser::Filesystem for Handshake {
    fn init(&mut self, _: &fuser::Request, config: &mut KernelConfig) -> io::Result<()> {
        // Listings with attributes, always: what is known of an entry is known for little, and programs that list ask for
        // the type of each entry at least.
        for wanted in [
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_ASYNC_DIO,
            InitFlags::FUSE_HANDLE_KILLPRIV_V2,
            // For files that are open to append to, which go past the page cache otherwise.
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
        ] {
            // A kernel that does not know one does without it.
            let _ = config.add_capabilities(wanted);
        }
        let refused = |what: &str| io::Error::other(format!("{what} is not within its limits"));
        config.set_max_write(MAX_WRITE).map_err(|_| refused("the size of writes"))?;
        config.set_max_background(MAX_BACKGROUND).map_err(|_| refused("the number of requests"))?;
        Ok(())
    }
}

/// A mount under way.
pub(crate) struct Session {
    fuser: fuser::Session<Handshake>,
    ended: CancellationToken,
}

impl Session {
    /// Mounts, and begins to answer. Needs the runtime to go on as long as it is mounted.
    pub(crate) fn start(
        fs: &Arc<Filesystem>,
        dir: &Path,
        options: &SessionOptions,
        runtime: &Handle,
    ) -> io::Result<Self> {
        let mut config = Config::default();
        config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
        config.mount_options = vec![
            MountOption::FSName(options.name.clone()),
            // As `Subtype` it would only reach fusermount3, and not the kernel.
            MountOption::CUSTOM("subtype=cairn".to_owned()),
            MountOption::DefaultPermissions,
            MountOption::NoAtime,
            if options.read_only { MountOption::RO } else { MountOption::RW },
        ];
        let fuser = fuser::Session::new(Handshake, dir, &config)?;
        let ended = CancellationToken::new();
        let session = Self { fuser, ended };
        session.notices(fs, runtime)?;
        session.threads(fs, options.threads, runtime)?;
        Ok(session)
    }

    fn threads(&self, fs: &Arc<Filesystem>, threads: usize, runtime: &Handle) -> io::Result<()> {
        let first = Device::new(self.fuser.as_fd().try_clone_to_owned()?);
        let mut devices = Vec::with_capacity(threads);
        for _ in 1..threads {
            devices.push(first.try_clone()?);
        }
        devices.push(first);
        let owner = Owner { uid: rustix::process::getuid().as_raw(), gid: rustix::process::getgid().as_raw() };
        let server = Server { fs: Arc::clone(fs), owner, runtime: runtime.clone(), pending: Arc::<Pending>::default() };
        let server = Arc::new(server);
        for (at, device) in devices.into_iter().enumerate() {
            let (server, ended) = (Arc::clone(&server), self.ended.clone());
            thread::Builder::new().name(format!("cairn-fuse-{at}")).spawn(move || {
                // Whichever thread learns of it first, and if it is by a panic: nobody is to wait for this mount.
                let _ended = ended.drop_guard();
                let _context = server.runtime.enter();
                cairn_store::task::reads_here();
                answer(&server, &Arc::new(device));
            })?;
        }
        Ok(())
    }

    /// Begins to tell the kernel of changes.
    fn notices(&self, fs: &Arc<Filesystem>, runtime: &Handle) -> io::Result<()> {
        let (sender, receiver) = mpsc::sync_channel::<Notice>(MAX_NOTICES);
        let notifier = self.fuser.notifier();
        // The kernel waits for a directory that is in use: on a thread that nobody else waits for.
        thread::Builder::new().name("cairn-fuse-notify".to_owned()).spawn(move || {
            while let Ok(notice) = receiver.recv() {
                // It may know nothing of it.
                let _ = match notice {
                    Notice::Entry(parent, name) => {
                        notifier.inval_entry(fuser::INodeNo(parent), OsStr::from_bytes(&name))
                    }
                    Notice::Content(ino) => notifier.inval_inode(fuser::INodeNo(ino), 0, 0),
                };
            }
        })?;
        let (content, coming) = mpsc::sync_channel::<(Ino, u64, Bytes)>(MAX_CONTENT);
        let notifier = self.fuser.notifier();
        // The kernel waits for pages that are being read: on a thread that reads nothing.
        thread::Builder::new().name("cairn-fuse-pages".to_owned()).spawn(move || {
            while let Ok((ino, offset, bytes)) = coming.recv() {
                // It may have let go of the file.
                let _ = notifier.store(fuser::INodeNo(ino), offset, &bytes);
            }
        })?;
        fs.attach(Arc::new(Notices { sender, content, notifier: self.fuser.notifier() }));
        let (fs, ended) = (Arc::downgrade(fs), self.ended.clone());
        runtime.spawn(async move {
            loop {
                tokio::select! {
                    () = ended.cancelled() => return,
                    () = tokio::time::sleep(REFRESH) => {}
                }
                let Some(fs) = fs.upgrade() else { return };
                fs.refresh_names().await;
            }
        });
        Ok(())
    }

    /// Cancelled once it is mounted no more, by whomever.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Unmounts; fails while it is in use.
    pub(crate) fn unmount(&mut self) -> io::Result<()> {
        self.fuser.unmount()
    }
}

/// Reads requests until there are no more.
fn answer(server: &Server, device: &Arc<Device>) {
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        match device.receive(&mut buffer) {
            Ok(()) => {
                if server.handle(device, &mut buffer) {
                    return;
                }
            }
            Err(Ended::Unmounted) => return,
            Err(Ended::Failed(error)) => {
                tracing::error!(%error, "reading requests of the kernel failed");
                return;
            }
        }
    }
}

/// What waits for its turn to be told.
enum Notice {
    Entry(Ino, Bytes),
    Content(Ino),
}

struct Notices {
    sender: mpsc::SyncSender<Notice>,
    content: mpsc::SyncSender<(Ino, u64, Bytes)>,
    notifier: Notifier,
}

impl Kernel for Notices {
    fn entry_changed(&self, parent: Ino, name: &[u8]) -> bool {
        let sent = self.sender.try_send(Notice::Entry(parent, Bytes::copy_from_slice(name))).is_ok();
        if !sent {
            tracing::debug!("too many names to let go of");
        }
        sent
    }

    fn content_changed(&self, ino: Ino) {
        if self.sender.try_send(Notice::Content(ino)).is_err() {
            tracing::debug!("too much content to let go of");
        }
    }

    fn attr_changed(&self, ino: Ino) {
        // A negative offset leaves content alone: then the kernel waits for nothing.
        if let Err(error) = self.notifier.inval_inode(fuser::INodeNo(ino), -1, 0) {
            tracing::debug!(%error, "the kernel was not told of attributes");
        }
    }

    fn content(&self, ino: Ino, offset: u64, bytes: Bytes) {
        // Whoever wants them asks.
        let _ = self.content.try_send((ino, offset, bytes));
    }
}
