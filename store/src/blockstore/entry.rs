//! What the index says of a block.

use crate::{
    Block, StoreError,
    cid::codec,
    dag::pb,
    unixfs::entity::{self, Entity},
};

/// The bytes of this block failed their check: it counts as missing, and the next put writes it anew.
const FLAG_BAD: u8 = 1;
/// As dag-pb this block has no links: walks need not read it.
const FLAG_LEAF: u8 = 2;
/// As dag-pb it is all of a file, whose length follows.
const FLAG_FILE: u8 = 4;

/// What the index says of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Length in bytes.
    pub size: u64,
    /// Epoch of the last put or touch.
    pub stamp: u64,
    /// Whether its bytes failed a check: it counts as missing.
    pub bad: bool,
    /// Whether it is known that, read as dag-pb, it has no links. A walk of files with dag-pb leaves, Kubo's
    /// default, then reads a hundredth of their bytes.
    pub leaf: bool,
    /// Length of the file that it is, if it is known that, read as dag-pb, it is a UnixFS file without links, mode and
    /// modification time. A listing then need not read it.
    pub file: Option<u64>,
}

impl Entry {
    /// Of a block that was found to be corrupt, and had none.
    pub(super) const BAD: Self = Self { size: 0, stamp: 0, bad: true, leaf: false, file: None };

    /// Of a block that is stored.
    pub(super) fn of(block: &Block, stamp: u64) -> Self {
        let leaf = block.cid().codec() == codec::DAG_PB && pb::has_no_links(block.data());
        let file = if leaf { file_of(block) } else { None };
        Self { size: block.data().len() as u64, stamp, bad: false, leaf, file }
    }

    /// Bytes on disk: flags, then length and stamp as unsigned varints, then the length of the file, if there is one.
    pub fn encode(self) -> Vec<u8> {
        let mut out = vec![
            (u8::from(self.bad) * FLAG_BAD)
                | (u8::from(self.leaf) * FLAG_LEAF)
                | (u8::from(self.file.is_some()) * FLAG_FILE),
        ];
        let mut buffer = unsigned_varint::encode::u64_buffer();
        for number in [Some(self.size), Some(self.stamp), self.file].into_iter().flatten() {
            out.extend_from_slice(unsigned_varint::encode::u64(number, &mut buffer));
        }
        out
    }

    /// Reads what [`Entry::encode`] wrote.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it did not.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let refuse = || StoreError::Corrupt(format!("index entry {bytes:02x?}"));
        let number = |rest| unsigned_varint::decode::u64(rest).map_err(|_| refuse());
        let (&flags, rest) = bytes.split_first().ok_or_else(refuse)?;
        let (size, rest) = number(rest)?;
        let (stamp, rest) = number(rest)?;
        let (file, rest) = if flags & FLAG_FILE == 0 {
            (None, rest)
        } else {
            let (len, rest) = number(rest)?;
            (Some(len), rest)
        };
        if flags > FLAG_BAD | FLAG_LEAF | FLAG_FILE || !rest.is_empty() {
            return Err(refuse());
        }
        Ok(Self { size, stamp, bad: flags & FLAG_BAD != 0, leaf: flags & FLAG_LEAF != 0, file })
    }
}

/// Length of the file that a block without links is, if there is nothing else to say of it.
fn file_of(block: &Block) -> Option<u64> {
    match entity::decode(block) {
        Ok((meta, Entity::File(file))) if meta.mode.is_none() && meta.mtime.is_none() => Some(file.size),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        block::Prefix,
        unixfs::node::{Data, Kind, Mtime},
    };
    use bytes::Bytes;

    fn block(change: impl FnOnce(&mut Data)) -> Block {
        let mut data = Data::new(Kind::File);
        data.data = Some(Bytes::from_static(b"hello"));
        data.filesize = Some(5);
        change(&mut data);
        let node = pb::PbNode { links: Vec::new(), data: Some(data.encode().into()) };
        Block::seal(Prefix::v1(codec::DAG_PB), node.encode()).expect("seals")
    }

    #[test]
    fn files_of_one_block_are_known_by_their_entries() {
        let of = |change: fn(&mut Data)| Entry::of(&block(change), 7);
        let file = of(|_| {});
        assert_eq!((file.file, file.leaf, file.stamp), (Some(5), true, 7));
        assert_eq!(of(|data| data.kind = Kind::Raw).file, Some(5), "a leaf of a file is one too");
        for other in [
            of(|data| data.mode = Some(0o644)),
            of(|data| data.mtime = Some(Mtime { seconds: 1, nanos: 0 })),
            of(|data| data.kind = Kind::Symlink),
            of(|data| data.kind = Kind::Directory),
            of(|data| data.filesize = Some(6)),
        ] {
            assert_eq!((other.file, other.leaf), (None, true));
        }
        let raw = Block::seal(Prefix::v1(codec::RAW), block(|_| {}).data().clone()).expect("seals");
        assert_eq!((Entry::of(&raw, 7).file, Entry::of(&raw, 7).leaf), (None, false));
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        for entry in [
            Entry::BAD,
            Entry { size: 300, stamp: 5, bad: false, leaf: false, file: None },
            Entry { size: u64::MAX, stamp: 0, bad: false, leaf: true, file: Some(0) },
            Entry { size: 1, stamp: u64::MAX, bad: true, leaf: true, file: Some(u64::MAX) },
        ] {
            let bytes = entry.encode();
            assert_eq!(Entry::decode(&bytes).expect("decodes"), entry);
            for cut in 0..bytes.len() {
                assert!(Entry::decode(&bytes[..cut]).is_err(), "{entry:?} cut to {cut}");
            }
            assert!(Entry::decode(&[&bytes[..], &[0]].concat()).is_err());
            assert!(Entry::decode(&[&[bytes[0] | 8], &bytes[1..]].concat()).is_err());
        }
    }
}
