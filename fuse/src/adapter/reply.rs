//! Answers as the kernel reads them (`linux/fuse.h`).

use crate::core::{Attr, Dirent, Entry, Opened, Room, Space};
use bytes::Bytes;
use std::time::Duration;

/// Reads and writes go past the page cache.
const FOPEN_DIRECT_IO: u32 = 1 << 0;
/// The file may be kept in the page cache from before.
const FOPEN_KEEP_CACHE: u32 = 1 << 1;
/// The listing may be kept.
const FOPEN_CACHE_DIR: u32 = 1 << 3;
/// Nothing has to be said when a descriptor is closed.
const FOPEN_NOFLUSH: u32 = 1 << 5;
/// Unit of `st_blocks`.
const SECTOR: u64 = 512;
/// Unit of `statfs`, and what `st_blksize` says. Programs read in larger pieces anyway.
const BLOCK: u32 = 4096;
/// Length of an entry, which a line of a listing with attributes begins with.
const ENTRY: usize = 128;
/// Length of a line of a listing without its name.
const DIRENT: usize = 24;

/// Who owns everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What an answer consists of, behind its header.
pub(super) enum Body {
    Empty,
    Bytes(Vec<u8>),
    Pieces(Vec<Bytes>),
}

/// Numbers one behind the other.
struct Writer(Vec<u8>);

impl Writer {
    fn with_capacity(len: usize) -> Self {
        Self(Vec::with_capacity(len))
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn attr(&mut self, attr: &Attr, owner: Owner) {
        let times = [attr.atime, attr.mtime, attr.ctime];
        self.u64(attr.ino).u64(attr.size).u64(attr.stored.div_ceil(SECTOR));
        for time in times {
            self.u64(time.seconds.cast_unsigned());
        }
        for time in times {
            self.u32(time.nanos);
        }
        self.u32(attr.kind.bits() | attr.perm).u32(attr.nlink).u32(owner.uid).u32(owner.gid).u32(0).u32(BLOCK).u32(0);
    }

    fn entry(&mut self, entry: &Entry, owner: Owner) {
        self.u64(entry.attr.ino).u64(0).u64(entry.ttl.entry.as_secs()).u64(entry.ttl.attr.as_secs());
        self.u32(entry.ttl.entry.subsec_nanos()).u32(entry.ttl.attr.subsec_nanos());
        self.attr(&entry.attr, owner);
    }

    fn open(&mut self, opened: Opened, flags: u32) {
        self.u64(opened.handle).u32(flags).u32(0);
    }

    fn body(self) -> Body {
        Body::Bytes(self.0)
    }
}

pub(super) fn entry(entry: &Entry, owner: Owner) -> Body {
    let mut out = Writer::with_capacity(ENTRY);
    out.entry(entry, owner);
    out.body()
}

/// A name that leads nowhere, and will not for a time.
pub(super) fn nothing(ttl: Duration) -> Body {
    let mut out = Writer::with_capacity(ENTRY);
    out.u64(0).u64(0).u64(ttl.as_secs()).u64(0).u32(ttl.subsec_nanos()).u32(0);
    out.0.resize(ENTRY, 0);
    out.body()
}

pub(super) fn attr(attr: &Attr, ttl: Duration, owner: Owner) -> Body {
    let mut out = Writer::with_capacity(104);
    out.u64(ttl.as_secs()).u32(ttl.subsec_nanos()).u32(0);
    out.attr(attr, owner);
    out.body()
}

fn file_flags(opened: Opened) -> u32 {
    let direct = if opened.direct { FOPEN_DIRECT_IO } else { 0 };
    FOPEN_NOFLUSH | direct | if opened.keep { FOPEN_KEEP_CACHE } else { 0 }
}

pub(super) fn opened(opened: Opened) -> Body {
    let mut out = Writer::with_capacity(16);
    out.open(opened, file_flags(opened));
    out.body()
}

pub(super) fn opened_folder(opened: Opened) -> Body {
    let mut out = Writer::with_capacity(16);
    out.open(opened, if opened.keep { FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR } else { 0 });
    out.body()
}

pub(super) fn created(entry: &Entry, opened: Opened, owner: Owner) -> Body {
    let mut out = Writer::with_capacity(ENTRY + 16);
    out.entry(entry, owner);
    out.open(opened, file_flags(opened));
    out.body()
}

/// How many bytes were written, or a value has.
pub(super) fn count(count: u32) -> Body {
    let mut out = Writer::with_capacity(8);
    out.u32(count).u32(0);
    out.body()
}

/// Where something is in a file.
pub(super) fn position(at: u64) -> Body {
    let mut out = Writer::with_capacity(8);
    out.u64(at);
    out.body()
}

pub(super) fn statfs(space: Space) -> Body {
    let blocks = |bytes: u64| bytes / u64::from(BLOCK);
    let mut out = Writer::with_capacity(80);
    let (total, free) = (blocks(space.total), blocks(space.free));
    // There is no table of inodes: as many files fit as there is room for, of a block each.
    out.u64(total).u64(free).u64(free).u64(total).u64(free);
    // A constant far below 2^32.
    out.u32(BLOCK).u32(crate::core::MAX_NAME as u32).u32(BLOCK);
    out.0.resize(80, 0);
    out.body()
}

/// How much of a listing fits into an answer.
pub(super) fn room(size: u32, plus: bool) -> Room {
    Room { bytes: size as usize, line: if plus { ENTRY + DIRENT } else { DIRENT }, plus }
}

pub(super) fn listing(lines: &[Dirent], room: Room, owner: Owner) -> Body {
    let mut out = Writer::with_capacity(lines.iter().map(|line| room.cost(&line.name)).sum());
    for line in lines {
        if room.plus {
            match &line.entry {
                Some(entry) => out.entry(entry, owner),
                // The kernel looks the name up when somebody asks.
                None => out.0.resize(out.0.len() + ENTRY, 0),
            }
        }
        // Zero is the type of what is not known.
        let kind = line.kind.map_or(0, |kind| kind.bits() >> 12);
        // Names have 255 bytes at most.
        out.u64(line.ino).u64(line.next).u32(line.name.len() as u32).u32(kind);
        out.0.extend_from_slice(&line.name);
        let padded = out.0.len().next_multiple_of(8);
        out.0.resize(padded, 0);
    }
    out.body()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{EPOCH, Kind, Ttl};

    fn some_entry() -> Entry {
        let attr = Attr {
            ino: 5,
            kind: Kind::File,
            perm: 0o640,
            size: 9,
            stored: 9,
            atime: EPOCH,
            mtime: EPOCH,
            ctime: EPOCH,
            nlink: 1,
        };
        Entry { attr, ttl: Ttl::FOREVER }
    }

    fn len(body: Body) -> usize {
        match body {
            Body::Bytes(bytes) => bytes.len(),
            Body::Empty | Body::Pieces(_) => 0,
        }
    }

    /// Sizes of the structures in `linux/fuse.h`.
    #[test]
    fn answers_are_as_long_as_the_kernel_wants() {
        let owner = Owner { uid: 1, gid: 2 };
        let open = Opened { handle: 1, keep: true, shared: false, direct: false };
        assert_eq!(len(entry(&some_entry(), owner)), 128);
        assert_eq!(len(nothing(Duration::from_secs(1))), 128);
        assert_eq!(len(attr(&some_entry().attr, Duration::ZERO, owner)), 104);
        assert_eq!(len(opened(open)), 16);
        assert_eq!(len(created(&some_entry(), open, owner)), 144);
        assert_eq!(len(count(1)), 8);
        assert_eq!(len(position(1)), 8);
        assert_eq!(len(statfs(Space::default())), 80);
    }

    #[test]
    fn a_listing_takes_the_room_that_was_reckoned_with() {
        let owner = Owner { uid: 1, gid: 2 };
        for plus in [false, true] {
            for name in ["a", "seven77", "eight888", "nine99999"] {
                let entry = plus.then(some_entry);
                let line = Dirent { ino: 5, next: 1, kind: None, name: name.into(), entry };
                let room = room(4096, plus);
                let lines = [line.clone(), Dirent { entry: None, ..line }];
                assert_eq!(len(listing(&lines, room, owner)), 2 * room.cost(name.as_bytes()), "{name} {plus}");
            }
        }
    }
}
