//! The `Data` message that a UnixFS node carries inside its dag-pb node.

use crate::dag::pb::{PbError, push_varint, read_key, read_slice, read_varint};
use bytes::Bytes;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A leaf, in old files.
    Raw,
    /// A directory in one node.
    Directory,
    /// A file, or an inner node or leaf of one.
    File,
    /// Metadata of old; never written.
    Metadata,
    /// A symbolic link.
    Symlink,
    /// A node of a sharded directory.
    HamtShard,
}

/// A modification time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mtime {
    /// Seconds since 1970; negative before.
    pub seconds: i64,
    /// Nanoseconds within the second, below 10⁹.
    pub nanos: u32,
}

/// The message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// What the node is.
    pub kind: Kind,
    /// Bytes of a leaf, target of a symlink, or bitfield of a shard.
    pub data: Option<Bytes>,
    /// Bytes of the file below this node, as its author says.
    pub filesize: Option<u64>,
    /// The same for each child.
    pub blocksizes: Vec<u64>,
    /// Hash function of a sharded directory (multicodec number).
    pub hash_type: Option<u64>,
    /// Width of a sharded directory.
    pub fanout: Option<u64>,
    /// Permission bits and, as found, type bits.
    pub mode: Option<u32>,
    /// Modification time.
    pub mtime: Option<Mtime>,
}

impl Data {
    /// An empty message of that kind.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            data: None,
            filesize: None,
            blocksizes: Vec::new(),
            hash_type: None,
            fanout: None,
            mode: None,
            mtime: None,
        }
    }

    /// Writes the message: fields in order, block sizes unpacked, as deployed writers do.
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            Kind::Raw => 0,
            Kind::Directory => 1,
            Kind::File => 2,
            Kind::Metadata => 3,
            Kind::Symlink => 4,
            Kind::HamtShard => 5,
        };
        let mut out = Vec::with_capacity(32 + self.data.as_ref().map_or(0, Bytes::len) + 5 * self.blocksizes.len());
        out.extend_from_slice(&[0x08, kind]);
        if let Some(data) = &self.data {
            out.push(0x12);
            push_varint(&mut out, data.len() as u64);
            out.extend_from_slice(data);
        }
        let mut number = |tag: u8, value: u64| {
            out.push(tag);
            push_varint(&mut out, value);
        };
        if let Some(size) = self.filesize {
            number(0x18, size);
        }
        for &size in &self.blocksizes {
            number(0x20, size);
        }
        if let Some(hash) = self.hash_type {
            number(0x28, hash);
        }
        if let Some(fanout) = self.fanout {
            number(0x30, fanout);
        }
        if let Some(mode) = self.mode {
            number(0x38, u64::from(mode));
        }
        if let Some(mtime) = self.mtime {
            let mut body = vec![0x08];
            push_varint(&mut body, mtime.seconds.cast_unsigned());
            if mtime.nanos > 0 {
                body.push(0x15);
                body.extend_from_slice(&mtime.nanos.to_le_bytes());
            }
            out.push(0x42);
            push_varint(&mut out, body.len() as u64);
            out.extend_from_slice(&body);
        }
        out
    }

    /// Reads the message. The result shares the memory of `bytes`. Unknown fields are skipped, as protobuf
    /// wants; packed block sizes are accepted.
    ///
    /// # Errors
    /// When the bytes are not such a message, or a value is outside what UnixFS allows.
    pub fn decode(bytes: &Bytes) -> Result<Self, PbError> {
        let mut kind = None;
        let mut out = Self::new(Kind::Raw);
        let mut rest: &[u8] = bytes;
        while !rest.is_empty() {
            match read_key(&mut rest)? {
                (1, 0) => kind = Some(read_kind(read_varint(&mut rest)?)?),
                (2, 2) => out.data = Some(bytes.slice_ref(read_slice(&mut rest)?)),
                (3, 0) => out.filesize = Some(read_varint(&mut rest)?),
                (4, 0) => out.blocksizes.push(read_varint(&mut rest)?),
                (4, 2) => {
                    let mut packed = read_slice(&mut rest)?;
                    while !packed.is_empty() {
                        out.blocksizes.push(read_varint(&mut packed)?);
                    }
                }
                (5, 0) => out.hash_type = Some(read_varint(&mut rest)?),
                (6, 0) => out.fanout = Some(read_varint(&mut rest)?),
                // A mode is 32 bits; deployed readers keep the low ones of a longer varint.
                (7, 0) => out.mode = Some((read_varint(&mut rest)? & 0xffff_ffff) as u32),
                (8, 2) => out.mtime = Some(read_mtime(read_slice(&mut rest)?)?),
                (_, wire) => skip(wire, &mut rest)?,
            }
        }
        out.kind = kind.ok_or_else(|| PbError("a UnixFS message without a type".into()))?;
        Ok(out)
    }
}

fn read_kind(value: u64) -> Result<Kind, PbError> {
    Ok(match value {
        0 => Kind::Raw,
        1 => Kind::Directory,
        2 => Kind::File,
        3 => Kind::Metadata,
        4 => Kind::Symlink,
        5 => Kind::HamtShard,
        other => return Err(PbError(format!("unknown UnixFS type {other}"))),
    })
}

fn read_mtime(mut rest: &[u8]) -> Result<Mtime, PbError> {
    let (mut seconds, mut nanos) = (None, 0);
    while !rest.is_empty() {
        match read_key(&mut rest)? {
            (1, 0) => seconds = Some(read_varint(&mut rest)?.cast_signed()),
            (2, 5) => {
                let (head, tail) = rest.split_first_chunk::<4>().ok_or_else(|| PbError("a cut mtime".into()))?;
                nanos = u32::from_le_bytes(*head);
                rest = tail;
                if !(1..1_000_000_000).contains(&nanos) {
                    return Err(PbError(format!("mtime with {nanos} nanoseconds")));
                }
            }
            (_, wire) => skip(wire, &mut rest)?,
        }
    }
    let seconds = seconds.ok_or_else(|| PbError("an mtime without seconds".into()))?;
    Ok(Mtime { seconds, nanos })
}

fn skip(wire: u64, rest: &mut &[u8]) -> Result<(), PbError> {
    let fixed = match wire {
        0 => return read_varint(rest).map(drop),
        2 => return read_slice(rest).map(drop),
        1 => 8,
        5 => 4,
        other => return Err(PbError(format!("wire type {other}"))),
    };
    *rest = rest.get(fixed..).ok_or_else(|| PbError("a cut field".into()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut data = Data::new(Kind::File);
        data.data = Some(Bytes::from_static(b"abc"));
        data.filesize = Some(300);
        data.blocksizes = vec![1, 299];
        data.mode = Some(0o644);
        data.mtime = Some(Mtime { seconds: -5, nanos: 7 });
        assert_eq!(Data::decode(&data.encode().into()).expect("decodes"), data);
    }

    #[test]
    fn the_empty_file_is_kubos() {
        let mut data = Data::new(Kind::File);
        data.filesize = Some(0);
        assert_eq!(data.encode(), [0x08, 0x02, 0x18, 0x00]);
    }

    #[test]
    fn bad_values_are_refused() {
        for bytes in [
            &[][..],
            &[0x08, 0x09],                                           // type 9
            &[0x18, 0x01],                                           // no type
            &[0x08, 0x02, 0x42, 0x07, 0x08, 0x01, 0x15, 0, 0, 0, 0], // nanos present and zero
            &[0x08, 0x02, 0x12, 0xff, 0xff, 0xff, 0xff, 0x0f],       // length beyond the end
        ] {
            assert!(Data::decode(&Bytes::copy_from_slice(bytes)).is_err(), "{bytes:02x?}");
        }
    }
}
