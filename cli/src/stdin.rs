//! Standard input that Ctrl-C interrupts.
//!
//! A signal does not end a `read` that waits: its handler only sets a flag. So the flag is looked at while nothing
//! has come yet.

use crate::{ctx::Ctx, exit::Interrupted};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use std::{
    io::{self, BufReader, Read},
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

    /// Waits until there is something to read, or the end.
    fn wait(&self) -> io::Result<()> {
        let stdin = rustix::stdio::stdin();
        let patience = Timespec { tv_sec: 0, tv_nsec: PATIENCE };
        loop {
            if self.0.load(Ordering::Relaxed) {
                return Err(io::Error::other(Interrupted));
            }
            match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&patience)) {
                Ok(0) | Err(Errno::INTR) => {}
                // Errors and the end are for the read that follows.
                _ => return Ok(()),
            }
        }
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        Ok(rustix::io::read(rustix::stdio::stdin(), buffer)?)
    }
}
