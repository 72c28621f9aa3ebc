//! The kernel's end: `/dev/fuse`.

use super::reply::Body;
use crate::core::Errno;
use rustix::{
    buffer::spare_capacity,
    io::{Errno as SystemError, read, writev},
};
use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, OwnedFd},
};

/// Pieces that are handed to one `writev`: Linux takes 1,024.
const MAX_PIECES: usize = 512;

/// An open `/dev/fuse` of a mount. An answer has to go to the one that the request came from.
pub(super) struct Device(OwnedFd);

/// Why there is no further request.
pub(super) enum Ended {
    /// It was unmounted.
    Unmounted,
    /// The device failed.
    Failed(io::Error),
}

impl Device {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// A further one of the same mount, with a queue of its own for what is under way.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let fd = rustix::fs::open(
            "/dev/fuse",
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        clone_into(&fd, self.0.as_fd())?;
        Ok(Self(fd))
    }

    /// Waits for a request, which is then all that is in the buffer.
    pub(super) fn receive(&self, buffer: &mut Vec<u8>) -> Result<(), Ended> {
        loop {
            buffer.clear();
            match read(&self.0, spare_capacity(buffer)) {
                Ok(_) => return Ok(()),
                // The request was given up before it was read, or a signal came.
                Err(SystemError::NOENT | SystemError::INTR | SystemError::AGAIN) => {}
                Err(SystemError::NODEV | SystemError::CONNABORTED) => return Err(Ended::Unmounted),
                Err(error) => return Err(Ended::Failed(error.into())),
            }
        }
    }

    /// Answers a request; says whether anybody was waiting.
    pub(super) fn answer(&self, unique: u64, answer: Result<Body, Errno>) -> bool {
        let (error, body) = match answer {
            Ok(body) => (0, body),
            Err(errno) => (-errno.code(), Body::Empty),
        };
        match body {
            Body::Empty => self.send(unique, error, &[]),
            Body::Bytes(bytes) => self.send(unique, error, &[&bytes]),
            Body::Pieces(pieces) if pieces.len() <= MAX_PIECES => {
                let slices: Vec<&[u8]> = pieces.iter().map(AsRef::as_ref).collect();
                self.send(unique, error, &slices)
            }
            // A file of tiny blocks.
            Body::Pieces(pieces) => self.send(unique, error, &[&pieces.concat()]),
        }
    }

    fn send(&self, unique: u64, error: i32, body: &[&[u8]]) -> bool {
        let len: usize = body.iter().map(|piece| piece.len()).sum();
        let mut header = [0; 16];
        // An answer has 1 MiB at most.
        header[..4].copy_from_slice(&(len as u32 + 16).to_ne_bytes());
        header[4..8].copy_from_slice(&error.to_ne_bytes());
        header[8..].copy_from_slice(&unique.to_ne_bytes());
        let mut slices = Vec::with_capacity(1 + body.len());
        slices.push(IoSlice::new(&header));
        slices.extend(body.iter().map(|piece| IoSlice::new(piece)));
        match writev(&self.0, &slices) {
            Ok(_) => true,
            // Nobody waits any more: the request was given up, or the mount is gone.
            Err(SystemError::NOENT | SystemError::NODEV | SystemError::PERM) => false,
            Err(error) => {
                tracing::warn!(%error, "the kernel refused an answer");
                false
            }
        }
    }
}

/// Makes an open `/dev/fuse` another one of the mount that `of` belongs to.
#[allow(unsafe_code)]
fn clone_into(fd: &OwnedFd, of: impl AsFd) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    /// `FUSE_DEV_IOC_CLONE`.
    const CLONE: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(229, 0);
    let mut of = of.as_fd().as_raw_fd().cast_unsigned();
    // SAFETY: the request takes a pointer to 32 bits, the number of a descriptor, and only reads them; both descriptors
    // are open while it runs.
    unsafe {
        let argument = rustix::ioctl::Updater::<CLONE, u32>::new(&mut of);
        rustix::ioctl::ioctl(fd, argument)?;
    }
    Ok(())
}
