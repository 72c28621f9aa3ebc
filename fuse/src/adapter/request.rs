//! Requests as the kernel writes them (`linux/fuse.h`, protocol 7.31 and later): one per read, in native byte order.

use std::ffi::c_int;

/// What every request begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) unique: u64,
    pub(super) node: u64,
    /// The thread that waits for it, as this program sees it; 0 if it can't.
    pub(super) pid: u32,
}

/// A range of an open file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) handle: u64,
    pub(super) offset: u64,
    pub(super) size: u32,
}

/// A time to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SetTime {
    Now,
    At(i64, u32),
}

/// Attributes to set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SetAttr {
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) size: Option<u64>,
    pub(super) atime: Option<SetTime>,
    pub(super) mtime: Option<SetTime>,
    pub(super) kill_setid: bool,
}

/// A request. Names and data are borrowed from the buffer that it was read into.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Op<'a> {
    Lookup {
        name: &'a [u8],
    },
    Forget {
        count: u64,
    },
    BatchForget(Vec<(u64, u64)>),
    Getattr,
    Setattr(SetAttr),
    Readlink,
    Symlink {
        name: &'a [u8],
        target: &'a [u8],
    },
    Mknod {
        mode: u32,
        name: &'a [u8],
    },
    Mkdir {
        mode: u32,
        name: &'a [u8],
    },
    Unlink {
        name: &'a [u8],
    },
    Rmdir {
        name: &'a [u8],
    },
    Rename {
        to: u64,
        flags: u32,
        name: &'a [u8],
        to_name: &'a [u8],
    },
    Link {
        node: u64,
        name: &'a [u8],
    },
    Open {
        flags: c_int,
    },
    Create {
        flags: c_int,
        mode: u32,
        name: &'a [u8],
    },
    Read(Range),
    Write {
        handle: u64,
        offset: u64,
        /// Whether it goes to the end, wherever that is.
        append: bool,
        kill_setid: bool,
        data: &'a [u8],
    },
    Release {
        handle: u64,
    },
    Flush,
    Fsync {
        handle: u64,
    },
    Opendir,
    Readdir {
        range: Range,
        plus: bool,
    },
    Statfs,
    Getxattr {
        size: u32,
        name: &'a [u8],
    },
    Listxattr {
        size: u32,
    },
    Setxattr {
        name: &'a [u8],
    },
    Removexattr {
        name: &'a [u8],
    },
    Interrupt {
        unique: u64,
    },
    Fallocate {
        handle: u64,
        offset: u64,
        len: u64,
        mode: u32,
    },
    Lseek {
        handle: u64,
        offset: u64,
        whence: c_int,
    },
    CopyFileRange {
        from: (u64, u64),
        to: (u64, u64),
        len: u64,
    },
    Syncfs,
    Ioctl,
    Destroy,
    /// One that is not carried out: the kernel does without it, and does not ask again.
    Unknown(u32),
}

/// A request that is not as long as it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request of the kernel is cut off")]
pub(super) struct Cut;

const HEADER: usize = 40;
const FATTR_MODE: u32 = 1 << 0;
const FATTR_UID: u32 = 1 << 1;
const FATTR_GID: u32 = 1 << 2;
const FATTR_SIZE: u32 = 1 << 3;
const FATTR_ATIME: u32 = 1 << 4;
const FATTR_MTIME: u32 = 1 << 5;
const FATTR_ATIME_NOW: u32 = 1 << 7;
const FATTR_MTIME_NOW: u32 = 1 << 8;
const FATTR_KILL_SUIDGID: u32 = 1 << 11;
/// What was written to memory that is mapped: at its place, however the file was opened.
const WRITE_CACHE: u32 = 1 << 0;
const WRITE_KILL_SUIDGID: u32 = 1 << 2;

/// Reads fields off the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Cut> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Cut)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, Cut> {
        self.bytes().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Result<u64, Cut> {
        self.bytes().map(u64::from_ne_bytes)
    }

    fn int(&mut self) -> Result<c_int, Cut> {
        self.bytes().map(c_int::from_ne_bytes)
    }

    fn skip(&mut self, len: usize) -> Result<(), Cut> {
        self.0 = self.0.get(len..).ok_or(Cut)?;
        Ok(())
    }

    /// Text up to a zero byte.
    fn name(&mut self) -> Result<&'a [u8], Cut> {
        let end = self.0.iter().position(|&b| b == 0).ok_or(Cut)?;
        let (name, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Ok(name)
    }

    fn range(&mut self) -> Result<Range, Cut> {
        Ok(Range { handle: self.u64()?, offset: self.u64()?, size: self.u32()? })
    }
}

/// Reads a request.
///
/// # Errors
/// When it is cut off: the kernel writes whole ones.
pub(super) fn parse(buffer: &[u8]) -> Result<(Header, Op<'_>), Cut> {
    let mut fields = Fields(buffer);
    let len = fields.u32()? as usize;
    let opcode = fields.u32()?;
    let (unique, node) = (fields.u64()?, fields.u64()?);
    fields.skip(8)?;
    let header = Header { unique, node, pid: fields.u32()? };
    let body = buffer.get(HEADER..len).ok_or(Cut)?;
    Ok((header, operation(opcode, Fields(body))?))
}

fn operation(opcode: u32, mut f: Fields<'_>) -> Result<Op<'_>, Cut> {
    Ok(match opcode {
        1 => Op::Lookup { name: f.name()? },
        2 => Op::Forget { count: f.u64()? },
        3 => Op::Getattr,
        4 => Op::Setattr(set_attr(&mut f)?),
        5 => Op::Readlink,
        6 => Op::Symlink { name: f.name()?, target: f.name()? },
        8 => {
            let mode = f.u32()?;
            f.skip(12)?;
            Op::Mknod { mode, name: f.name()? }
        }
        9 => {
            let mode = f.u32()?;
            f.skip(4)?;
            Op::Mkdir { mode, name: f.name()? }
        }
        10 => Op::Unlink { name: f.name()? },
        11 => Op::Rmdir { name: f.name()? },
        12 => Op::Rename { to: f.u64()?, flags: 0, name: f.name()?, to_name: f.name()? },
        13 => Op::Link { node: f.u64()?, name: f.name()? },
        14 => Op::Open { flags: f.int()? },
        35 => {
            let (flags, mode) = (f.int()?, f.u32()?);
            f.skip(8)?;
            Op::Create { flags, mode, name: f.name()? }
        }
        45 => {
            let (to, flags) = (f.u64()?, f.u32()?);
            f.skip(4)?;
            Op::Rename { to, flags, name: f.name()?, to_name: f.name()? }
        }
        _ => return handle_operation(opcode, f),
    })
}

/// The requests for what is open, and the rest.
fn handle_operation(opcode: u32, mut f: Fields<'_>) -> Result<Op<'_>, Cut> {
    Ok(match opcode {
        15 => Op::Read(f.range()?),
        16 => {
            let range = f.range()?;
            let flags = f.u32()?;
            f.skip(8)?;
            let append = f.int()? & libc::O_APPEND != 0 && flags & WRITE_CACHE == 0;
            f.skip(4)?;
            let data = f.0.get(..range.size as usize).ok_or(Cut)?;
            let kill_setid = flags & WRITE_KILL_SUIDGID != 0;
            Op::Write { handle: range.handle, offset: range.offset, append, kill_setid, data }
        }
        17 => Op::Statfs,
        18 | 29 => Op::Release { handle: f.u64()? },
        20 | 30 => Op::Fsync { handle: f.u64()? },
        21 => {
            f.skip(8)?;
            Op::Setxattr { name: f.name()? }
        }
        22 => {
            let size = f.u32()?;
            f.skip(4)?;
            Op::Getxattr { size, name: f.name()? }
        }
        23 => Op::Listxattr { size: f.u32()? },
        24 => Op::Removexattr { name: f.name()? },
        25 => Op::Flush,
        27 => Op::Opendir,
        28 => Op::Readdir { range: f.range()?, plus: false },
        36 => Op::Interrupt { unique: f.u64()? },
        38 => Op::Destroy,
        39 => Op::Ioctl,
        42 => {
            f.skip(8)?;
            let pair = |pair: &[u8]| {
                let mut f = Fields(pair);
                Ok((f.u64()?, f.u64()?))
            };
            Op::BatchForget(f.0.chunks_exact(16).map(pair).collect::<Result<_, Cut>>()?)
        }
        43 => Op::Fallocate { handle: f.u64()?, offset: f.u64()?, len: f.u64()?, mode: f.u32()? },
        44 => Op::Readdir { range: f.range()?, plus: true },
        46 => {
            let (handle, offset) = (f.u64()?, f.u64()?);
            Op::Lseek { handle, offset, whence: f.int()? }
        }
        47 => {
            let from = (f.u64()?, f.u64()?);
            f.skip(8)?;
            Op::CopyFileRange { from, to: (f.u64()?, f.u64()?), len: f.u64()? }
        }
        50 => Op::Syncfs,
        other => Op::Unknown(other),
    })
}

fn set_attr(f: &mut Fields<'_>) -> Result<SetAttr, Cut> {
    let valid = f.u32()?;
    f.skip(4 + 8)?;
    let size = f.u64()?;
    f.skip(8)?;
    let (atime, mtime) = (i64::from_ne_bytes(f.bytes()?), i64::from_ne_bytes(f.bytes()?));
    f.skip(8)?;
    let (atime_nanos, mtime_nanos) = (f.u32()?, f.u32()?);
    f.skip(4)?;
    let mode = f.u32()?;
    f.skip(4)?;
    let (uid, gid) = (f.u32()?, f.u32()?);
    let has = |bit: u32| valid & bit != 0;
    let atime = if has(FATTR_ATIME_NOW) { SetTime::Now } else { SetTime::At(atime, atime_nanos) };
    let mtime = if has(FATTR_MTIME_NOW) { SetTime::Now } else { SetTime::At(mtime, mtime_nanos) };
    Ok(SetAttr {
        mode: has(FATTR_MODE).then_some(mode),
        uid: has(FATTR_UID).then_some(uid),
        gid: has(FATTR_GID).then_some(gid),
        size: has(FATTR_SIZE).then_some(size),
        atime: has(FATTR_ATIME).then_some(atime),
        mtime: has(FATTR_MTIME).then_some(mtime),
        kill_setid: has(FATTR_KILL_SUIDGID),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(opcode: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&(HEADER as u32 + body.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(&opcode.to_ne_bytes());
        bytes.extend_from_slice(&7u64.to_ne_bytes());
        bytes.extend_from_slice(&9u64.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&11u32.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn names_and_numbers_are_found() {
        let lookup = request(1, b"name\0");
        assert_eq!(parse(&lookup), Ok((Header { unique: 7, node: 9, pid: 11 }, Op::Lookup { name: b"name" })));
        let mut rename = 5u64.to_ne_bytes().to_vec();
        rename.extend_from_slice(&2u32.to_ne_bytes());
        rename.extend_from_slice(&[0; 4]);
        rename.extend_from_slice(b"a\0b\0");
        let expected = Op::Rename { to: 5, flags: 2, name: b"a", to_name: b"b" };
        assert_eq!(parse(&request(45, &rename)).map(|(_, op)| op), Ok(expected));
        let mut write = Vec::new();
        write.extend_from_slice(&3u64.to_ne_bytes());
        write.extend_from_slice(&100u64.to_ne_bytes());
        write.extend_from_slice(&4u32.to_ne_bytes());
        write.extend_from_slice(&WRITE_KILL_SUIDGID.to_ne_bytes());
        write.extend_from_slice(&[0; 8]);
        write.extend_from_slice(&(libc::O_WRONLY | libc::O_APPEND).to_ne_bytes());
        write.extend_from_slice(&[0; 4]);
        write.extend_from_slice(b"data");
        let expected = Op::Write { handle: 3, offset: 100, append: true, kill_setid: true, data: b"data" };
        assert_eq!(parse(&request(16, &write)).map(|(_, op)| op), Ok(expected));
        write.truncate(write.len() - 1);
        assert_eq!(parse(&request(16, &write)), Err(Cut));
        assert_eq!(parse(&request(1, b"no end")), Err(Cut));
        assert_eq!(parse(&lookup[..20]), Err(Cut));
        assert_eq!(parse(&request(9999, b"")).map(|(_, op)| op), Ok(Op::Unknown(9999)));
    }

    proptest! {
        #[test]
        fn nothing_panics(opcode in 0u32..60, body in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..240) {
            let bytes = request(opcode, &body);
            let _ = parse(&bytes);
            let _ = parse(&bytes[..cut.min(bytes.len())]);
        }
    }
}
