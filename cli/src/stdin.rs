//! Standard input, and files that may be pipes, that Ctrl-C interrupts.
//!
//! A signal does not end a `read` that waits: its handler only sets a flag. So the flag is looked at while nothing
//! has come yet.

use crate::{ctx::Ctx, exit::Interrupted};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read},
    os::{fd::AsFd, unix::fs::OpenOptionsExt as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// How often the flag is looked at, in nanoseconds: quick enough for a person.
const PATIENCE: i64 = 50_000_000;

/// Standard input. It has no buffer of its own, so two of them do not lose each other's bytes.
pub struct Stdin(Arc<AtomicBool>);

impl Stdin {
    /// That of this process.
    pub fn new(ctx: &Ctx) -> Self {
        Self(ctx.cancel.flag())
    }

    /// With a buffer, for reading lines.
    pub fn buffered(ctx: &Ctx) -> BufReader<Self> {
        BufReader::new(Self::new(ctx))
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read(rustix::stdio::stdin(), &self.0, buffer)
    }
}

/// A file that may be a pipe or a terminal by another name, such as `/dev/stdin`.
pub struct Input {
    file: File,
    cancel: Arc<AtomicBool>,
}

impl Input {
    /// Opens it. A pipe that nobody writes to yet is waited for at the first read.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open(ctx: &Ctx, path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        Ok(Self { file, cancel: ctx.cancel.flag() })
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read(&self.file, &self.cancel, buffer)
    }
}

fn read(from: impl AsFd, cancel: &AtomicBool, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        wait(&from, cancel)?;
        match rustix::io::read(&from, &mut *buffer) {
            // Somebody else took what was there.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Waits until there is something to read, or the end.
fn wait(from: &impl AsFd, cancel: &AtomicBool) -> io::Result<()> {
    let patience = Timespec { tv_sec: 0, tv_nsec: PATIENCE };
    loop {
        if cancel.load(Ordering::Relaxed) {
            return Err(io::Error::other(Interrupted));
        }
        match poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&patience)) {
            Ok(0) | Err(Errno::INTR) => {}
            // Errors and the end are for the read that follows.
            _ => return Ok(()),
        }
    }
}
