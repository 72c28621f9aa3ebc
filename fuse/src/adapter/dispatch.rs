//! Which request is which method of the file system.

use super::{
    device::Device,
    pending::Pending,
    reply::{self, Body, Owner},
    request::{self, Op, SetAttr, SetTime},
    signals,
};
use crate::core::{self, Errno, Fallocate, Filesystem, Found, Ino, Opened, Time};
use bytes::Bytes;
use cairn_store::mfs::{RenameMode, Seek, interruptible};
use libc::c_int;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};
use tokio::runtime::Handle;

/// Data of a write from so many bytes on is not copied out of the buffer: the buffer goes with it.
const HAND_OVER: usize = 512 << 10;
/// How often to look whether a process that got a signal which it catches got one since that ends it: the kernel tells of
/// the first only.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Answers the requests of a mount.
pub(super) struct Server {
    pub(super) fs: Arc<Filesystem>,
    pub(super) owner: Owner,
    pub(super) runtime: Handle,
    pub(super) pending: Arc<Pending>,
}

/// A request to be answered: with `EIO` if nobody does.
struct Asked {
    device: Arc<Device>,
    unique: u64,
    pid: u32,
    open: bool,
}

impl Asked {
    fn answer(mut self, answer: Result<Body, Errno>) {
        self.open = false;
        self.device.answer(self.unique, answer);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.open {
            tracing::error!(unique = self.unique, "a request was dropped");
            self.device.answer(self.unique, Err(Errno::EIO));
        }
    }
}

type Work = Pin<Box<dyn Future<Output = Result<Body, Errno>> + Send>>;

/// How the wait for a request ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// When it is done, or the process that waits gets a signal that ends it.
    Signal,
    /// The same as long as it waits for blocks; then it changes something, and has to be done or not.
    Done,
}

impl Server {
    /// Carries out the request in the buffer. The buffer may be another one afterwards. Says whether that was the last.
    pub(super) fn handle(&self, device: &Arc<Device>, buffer: &mut Vec<u8>) -> bool {
        let (header, op) = match request::parse(buffer) {
            Ok(parsed) => parsed,
            Err(error) => {
                tracing::error!(%error, len = buffer.len(), "the kernel sent what is no request");
                return false;
            }
        };
        let asked = Asked { device: Arc::clone(device), unique: header.unique, pid: header.pid, open: true };
        if let Op::Write { handle, offset, append, kill_setid, data } = op {
            let len = data.len();
            let data = if len < HAND_OVER {
                Bytes::copy_from_slice(data)
            } else {
                let from = data.as_ptr() as usize - buffer.as_ptr() as usize;
                let next = Vec::with_capacity(buffer.capacity());
                Bytes::from(std::mem::replace(buffer, next)).slice(from..from + len)
            };
            self.write(asked, (handle, append), offset, kill_setid, data);
            return false;
        }
        let last = op == Op::Destroy;
        self.dispatch(asked, header.node, op);
        last
    }

    fn dispatch(&self, mut asked: Asked, node: Ino, op: Op<'_>) {
        match op {
            Op::Forget { count } => {
                asked.open = false;
                self.fs.forget(node, count);
            }
            Op::BatchForget(all) => {
                asked.open = false;
                all.into_iter().for_each(|(node, count)| self.fs.forget(node, count));
            }
            Op::Interrupt { unique } => {
                asked.open = false;
                self.pending.interrupt(unique);
            }
            Op::Release { handle } => {
                self.fs.release(handle);
                asked.answer(Ok(Body::Empty));
            }
            Op::Flush | Op::Destroy => asked.answer(Ok(Body::Empty)),
            Op::Statfs => {
                // It may ask the disk.
                let fs = Arc::clone(&self.fs);
                self.runtime.spawn_blocking(move || asked.answer(Ok(reply::statfs(fs.statfs()))));
            }
            Op::Listxattr { size } => {
                let names = self.fs.listxattr(node).and_then(|names| value(names, size));
                asked.answer(names);
            }
            Op::Read(range) => match self.fs.admit(range.handle, range.offset, range.size as usize) {
                Ok(read) => {
                    self.run(asked, Until::Signal, move |fs| async move { Ok(Body::Pieces(fs.read(read).await?)) });
                }
                Err(errno) => asked.answer(Err(errno)),
            },
            Op::Setxattr { name } | Op::Removexattr { name } => {
                asked.answer(self.fs.setxattr(node, name).map(|()| Body::Empty));
            }
            Op::Ioctl => asked.answer(Err(Errno::ENOTTY)),
            Op::Unknown(opcode) => {
                tracing::debug!(opcode, "a request that is not carried out");
                asked.answer(Err(Errno::ENOSYS));
            }
            op => match look(node, op, self.owner) {
                Ok(work) => self.run_boxed(asked, Until::Signal, work(Arc::clone(&self.fs))),
                Err(op) => match change(node, op, self.owner) {
                    Some(work) => self.run_boxed(asked, Until::Done, work(Arc::clone(&self.fs))),
                    None => asked.answer(Err(Errno::ENOSYS)),
                },
            },
        }
    }

    /// Writes at an offset, or at the end: `at` is where the kernel believes that to be.
    fn write(&self, asked: Asked, (handle, append): (u64, bool), at: u64, kill_setid: bool, data: Bytes) {
        // A request has 1 MiB at most.
        let written = data.len() as u32;
        self.run(asked, Until::Done, move |fs| async move {
            if append {
                fs.append(handle, at, data, kill_setid).await?;
            } else {
                fs.write(handle, at, data, kill_setid).await?;
            }
            Ok(reply::count(written))
        });
    }

    fn run<F>(&self, asked: Asked, until: Until, work: impl FnOnce(Arc<Filesystem>) -> F)
    where
        F: Future<Output = Result<Body, Errno>> + Send + 'static,
    {
        self.run_boxed(asked, until, Box::pin(work(Arc::clone(&self.fs))));
    }

    /// Carries out work: here if it need not wait, else on the runtime.
    fn run_boxed(&self, asked: Asked, until: Until, mut work: Work) {
        let (unique, pid, pending) = (asked.unique, asked.pid, Arc::clone(&self.pending));
        if until == Until::Done {
            // As long as it waits for a block nothing has changed, and the wait can end.
            let signal = ended(Arc::clone(&pending), unique, pid);
            work = Box::pin(interruptible(signal, work));
        }
        if let Poll::Ready(answer) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            asked.answer(answer);
            return;
        }
        self.runtime.spawn(async move {
            let answer = match until {
                Until::Done => work.await,
                Until::Signal => tokio::select! {
                    biased;
                    answer = &mut work => answer,
                    () = ended(Arc::clone(&pending), unique, pid) => Err(Errno::EINTR),
                },
            };
            pending.done(unique);
            asked.answer(answer);
        });
    }
}

/// Comes to its end when a signal has ended the process that waits for a request.
async fn ended(pending: Arc<Pending>, unique: u64, pid: u32) {
    if pending.wait(unique).await.is_err() {
        // Nobody interrupts it.
        std::future::pending::<()>().await;
    }
    while !signals::end(pid) {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

type Method = Box<dyn FnOnce(Arc<Filesystem>) -> Work + Send>;

fn method<F>(work: impl FnOnce(Arc<Filesystem>) -> F + Send + 'static) -> Method
where
    F: Future<Output = Result<Body, Errno>> + Send + 'static,
{
    Box::new(move |fs| Box::pin(work(fs)))
}

/// A value of an extended attribute, or only its length if no room was given.
fn value(value: Vec<u8>, size: u32) -> Result<Body, Errno> {
    match size as usize {
        // Values are CIDs and numbers.
        0 => Ok(reply::count(value.len() as u32)),
        room if room < value.len() => Err(Errno::ERANGE),
        _ => Ok(Body::Bytes(value)),
    }
}

/// Requests that look: whoever waits may be interrupted.
fn look(node: Ino, op: Op<'_>, owner: Owner) -> Result<Method, Op<'_>> {
    Ok(match op {
        Op::Lookup { name } => {
            let name = name.to_vec();
            method(move |fs| async move {
                Ok(match fs.lookup(node, &name).await? {
                    Found::Entry(entry) => reply::entry(&entry, owner),
                    Found::Nothing(ttl) => reply::nothing(ttl),
                })
            })
        }
        Op::Getattr => method(move |fs| async move {
            let (attr, ttl) = fs.getattr(node).await?;
            Ok(reply::attr(&attr, ttl, owner))
        }),
        Op::Readlink => method(move |fs| async move { Ok(Body::Pieces(vec![fs.readlink(node).await?])) }),
        Op::Open { flags } if flags & libc::O_ACCMODE == libc::O_RDONLY => {
            method(move |fs| async move { Ok(reply::opened(fs.open(node, false).await?)) })
        }
        Op::Lseek { handle, offset, whence } => method(move |fs| async move {
            let what = match whence {
                libc::SEEK_DATA => Seek::Data,
                libc::SEEK_HOLE => Seek::Hole,
                _ => return Err(Errno::EINVAL),
            };
            Ok(reply::position(fs.seek(handle, offset, what).await?))
        }),
        Op::Opendir => method(move |fs| async move { Ok(reply::opened_folder(fs.opendir(node).await?)) }),
        Op::Readdir { range, plus } => method(move |fs| async move {
            let room = reply::room(range.size, plus);
            Ok(reply::listing(&fs.readdir(range.handle, range.offset, room).await?, room, owner))
        }),
        Op::Getxattr { size, name } => {
            let name = name.to_vec();
            method(move |fs| async move { value(fs.getxattr(node, &name).await?, size) })
        }
        other => return Err(other),
    })
}

/// Requests that change something: they are carried through.
fn change(node: Ino, op: Op<'_>, owner: Owner) -> Option<Method> {
    Some(match op {
        Op::Setattr(set) => {
            let set = set_attr(set, owner);
            method(move |fs| async move {
                let (attr, ttl) = fs.setattr(node, set).await?;
                Ok(reply::attr(&attr, ttl, owner))
            })
        }
        Op::Open { flags } => {
            method(move |fs| async move { Ok(reply::opened(appending(flags, fs.open(node, true).await?))) })
        }
        Op::Fsync { handle } => method(move |fs| async move { fs.fsync(handle).await.map(|()| Body::Empty) }),
        Op::Syncfs => method(move |fs| async move { fs.sync_all().await.map(|()| Body::Empty) }),
        Op::Fallocate { handle, offset, len, mode } => method(move |fs| async move {
            fs.fallocate(handle, Fallocate { offset, len, mode }).await.map(|()| Body::Empty)
        }),
        Op::CopyFileRange { from, to, len } => method(move |fs| async move {
            let copied = fs.copy_file_range(from, to, len).await?;
            // It copies 1 GiB at most.
            Ok(reply::count(copied as u32))
        }),
        op => return change_name(node, op, owner),
    })
}

/// Requests that change names.
fn change_name(node: Ino, op: Op<'_>, owner: Owner) -> Option<Method> {
    Some(match op {
        Op::Create { flags, mode, name } => {
            let (name, exclusive) = (name.to_vec(), flags & libc::O_EXCL != 0);
            method(move |fs| async move {
                let (entry, opened) = fs.create(node, &name, mode, exclusive).await?;
                Ok(reply::created(&entry, appending(flags, opened), owner))
            })
        }
        Op::Mknod { mode, name } => {
            let name = name.to_vec();
            method(move |fs| async move { Ok(reply::entry(&fs.mknod(node, &name, mode).await?, owner)) })
        }
        Op::Mkdir { mode, name } => {
            let name = name.to_vec();
            method(move |fs| async move { Ok(reply::entry(&fs.mkdir(node, &name, mode).await?, owner)) })
        }
        Op::Symlink { name, target } => {
            let (name, target) = (name.to_vec(), target.to_vec());
            method(move |fs| async move { Ok(reply::entry(&fs.symlink(node, &name, &target).await?, owner)) })
        }
        Op::Unlink { name } => {
            let name = name.to_vec();
            method(move |fs| async move { fs.unlink(node, &name).await.map(|()| Body::Empty) })
        }
        Op::Rmdir { name } => {
            let name = name.to_vec();
            method(move |fs| async move { fs.rmdir(node, &name).await.map(|()| Body::Empty) })
        }
        Op::Rename { to, flags, name, to_name } => {
            let (name, to_name, mode) = (name.to_vec(), to_name.to_vec(), rename_mode(flags));
            method(move |fs| async move { fs.rename((node, &name), (to, &to_name), mode?).await.map(|()| Body::Empty) })
        }
        Op::Link { node: from, name } => {
            let name = name.to_vec();
            method(move |fs| async move { Ok(reply::entry(&fs.link(from, node, &name)?, owner)) })
        }
        _ => return None,
    })
}

/// Who appends where others do too goes past the kernel, which takes the end that it knows of for the end.
fn appending(flags: c_int, opened: Opened) -> Opened {
    Opened { direct: opened.shared && flags & libc::O_APPEND != 0, ..opened }
}

fn rename_mode(flags: u32) -> Result<RenameMode, Errno> {
    match flags {
        0 => Ok(RenameMode::Replace),
        libc::RENAME_NOREPLACE => Ok(RenameMode::NoReplace),
        libc::RENAME_EXCHANGE => Ok(RenameMode::Exchange),
        _ => Err(Errno::EINVAL),
    }
}

fn set_attr(set: SetAttr, owner: Owner) -> core::SetAttr {
    let time = |time| match time {
        SetTime::Now => now(),
        SetTime::At(seconds, nanos) => Time { seconds, nanos },
    };
    let (atime, mtime) = (set.atime.map(time), set.mtime.map(time));
    let other_owner = set.uid.is_some_and(|uid| uid != owner.uid) || set.gid.is_some_and(|gid| gid != owner.gid);
    core::SetAttr { mode: set.mode, other_owner, size: set.size, atime, mtime, kill_setid: set.kill_setid }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() }
}
