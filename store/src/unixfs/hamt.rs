//! Sharded directories: a trie over the hashes of the names.
//!
//! A name's hash is the first half of MurmurHash3 x64-128, read as 64 bits from the most significant one on.
//! Each level of the trie takes log2(fanout) bits as an index; an entry sits at the first level where no other
//! entry shares its index. A link's name is the index in hexadecimal, and the entry's name after it if it is an
//! entry and not a shard. The bitfield of the indices in use is big-endian, without leading zero bytes.

use super::{
    meta::FileMeta,
    node::{Data, Kind},
    profile::Profile,
    writer::{BuildError, NodeWriter, Root},
};
use crate::Block;
use bytes::Bytes;

/// Multicodec number of the hash function, the only one that is defined.
pub const HASH_MURMUR3_X64_64: u64 = 0x22;
/// Width where nothing else is said.
pub const DEFAULT_FANOUT: usize = 256;
/// Largest width that readers accept.
pub const MAX_FANOUT: usize = 1024;
/// Smallest width: a bitfield is whole bytes.
pub const MIN_FANOUT: usize = 8;
/// Bits of a name's hash.
const HASH_BITS: u32 = 64;

/// Whether shards may be that wide.
pub fn valid_fanout(fanout: usize) -> bool {
    fanout.is_power_of_two() && (MIN_FANOUT..=MAX_FANOUT).contains(&fanout)
}

/// Hash of a name.
pub fn hash_name(name: &[u8]) -> u64 {
    // The first half is the low one of the number that the crate gives.
    fastmurmur3::murmur3_x64_128(name, 0) as u64
}

/// Index of a hash at a level, the root's level being 0; `None` when the hash has no bits left for it.
pub fn index(hash: u64, level: u32, fanout: usize) -> Option<usize> {
    let width = fanout.trailing_zeros();
    let used = level.checked_mul(width)?;
    if used + width > HASH_BITS {
        return None;
    }
    Some((hash << used >> (HASH_BITS - width)) as usize)
}

/// Hexadecimal digits of an index in a link's name.
pub fn prefix_len(fanout: usize) -> usize {
    format!("{:X}", fanout - 1).len()
}

/// An entry as the builder wants it.
pub(super) struct ShardEntry<'a> {
    pub(super) hash: u64,
    pub(super) name: &'a [u8],
    /// Binary form.
    pub(super) cid: &'a [u8],
    pub(super) tsize: u64,
}

/// A shard being written: its links by ascending index.
pub(crate) struct ShardWriter {
    node: NodeWriter,
    /// Most significant byte first.
    bitfield: Vec<u8>,
    fanout: usize,
    prefix_len: usize,
}

impl ShardWriter {
    pub(crate) fn new(fanout: usize) -> Self {
        Self { node: NodeWriter::default(), bitfield: vec![0; fanout / 8], fanout, prefix_len: prefix_len(fanout) }
    }

    /// Appends a link: to an entry of that name, or to a shard if the name is empty.
    pub(crate) fn link(&mut self, slot: usize, cid: &[u8], name: &[u8], tsize: u64) {
        let prefix = format!("{slot:0width$X}", width = self.prefix_len);
        self.node.link(cid, prefix.as_bytes(), name, tsize);
        let byte = self.bitfield.len() - 1 - slot / 8;
        self.bitfield[byte] |= 1 << (slot % 8);
    }

    /// Ends the shard; answers its block and the size of the tree below it.
    pub(crate) fn seal(self, meta: FileMeta, profile: &Profile) -> Result<(Block, u64), BuildError> {
        let mut data = Data::new(Kind::HamtShard);
        let zeros = self.bitfield.iter().take_while(|&&byte| byte == 0).count();
        data.data = Some(Bytes::from(self.bitfield).slice(zeros..));
        data.hash_type = Some(HASH_MURMUR3_X64_64);
        data.fanout = Some(self.fanout as u64);
        meta.apply(&mut data);
        self.node.seal(&data, profile)
    }
}

/// A shard being filled.
struct Open {
    shard: ShardWriter,
    /// Its index in its parent.
    slot: usize,
}

/// Builds shards from entries in the order of their hashes, each shard as soon as its last entry came: one
/// unfinished shard for each level is kept.
pub(super) struct HamtBuilder<'a, E> {
    profile: &'a Profile,
    width: u32,
    root: Open,
    /// The shards from below the root to where the last entry went.
    path: Vec<Open>,
    emit: E,
}

impl<'a, X, E> HamtBuilder<'a, E>
where
    X: From<BuildError>,
    E: FnMut(Block) -> Result<(), X>,
{
    pub(super) fn new(profile: &'a Profile, emit: E) -> Self {
        let fanout = profile.max_hamt_fanout;
        Self { profile, width: fanout.trailing_zeros(), root: Open::new(fanout, 0), path: Vec::new(), emit }
    }

    /// Levels at which two hashes have the same index, counted from the root.
    fn shared_levels(&self, a: u64, b: u64) -> usize {
        ((a ^ b).leading_zeros() / self.width) as usize
    }

    /// Appends an entry between its neighbours in hash order.
    pub(super) fn push(
        &mut self,
        entry: &ShardEntry<'_>,
        before: Option<&ShardEntry<'_>>,
        after: Option<&ShardEntry<'_>>,
    ) -> Result<(), X> {
        let shared = |other: Option<&ShardEntry<'_>>| other.map_or(0, |o| self.shared_levels(entry.hash, o.hash));
        let (kept, level) = (shared(before), shared(before).max(shared(after)));
        let Some(slot) = self.index(entry.hash, level) else {
            let other = before.into_iter().chain(after).find(|o| self.shared_levels(entry.hash, o.hash) == level);
            let text = |e: &ShardEntry<'_>| String::from_utf8_lossy(e.name).into_owned();
            return Err(BuildError::TooDeep(text(entry), other.map(text).unwrap_or_default()).into());
        };
        while self.path.len() > kept {
            self.close()?;
        }
        while self.path.len() < level {
            let slot = self.index(entry.hash, self.path.len()).unwrap_or_default();
            self.path.push(Open::new(self.profile.max_hamt_fanout, slot));
        }
        self.link(slot, entry.cid, entry.name, entry.tsize);
        Ok(())
    }

    fn index(&self, hash: u64, level: usize) -> Option<usize> {
        index(hash, u32::try_from(level).ok()?, self.profile.max_hamt_fanout)
    }

    /// Links from the lowest open shard.
    fn link(&mut self, slot: usize, cid: &[u8], name: &[u8], tsize: u64) {
        self.path.last_mut().unwrap_or(&mut self.root).shard.link(slot, cid, name, tsize);
    }

    /// Emits the lowest open shard below the root and links it from its parent.
    fn close(&mut self) -> Result<(), X> {
        if let Some(open) = self.path.pop() {
            let slot = open.slot;
            let root = self.seal(open, FileMeta::NONE)?;
            self.link(slot, &root.cid.to_bytes(), b"", root.tsize);
        }
        Ok(())
    }

    fn seal(&mut self, open: Open, meta: FileMeta) -> Result<Root, X> {
        let (block, tsize) = open.shard.seal(meta, self.profile)?;
        let root = Root { cid: *block.cid(), tsize, file_size: 0 };
        (self.emit)(block)?;
        Ok(root)
    }

    /// Ends the directory; its metadata goes into the root.
    pub(super) fn finish(mut self, meta: FileMeta) -> Result<Root, X> {
        while !self.path.is_empty() {
            self.close()?;
        }
        let root = std::mem::replace(&mut self.root, Open::new(self.profile.max_hamt_fanout, 0));
        self.seal(root, meta)
    }
}

impl Open {
    fn new(fanout: usize, slot: usize) -> Self {
        Self { shard: ShardWriter::new(fanout), slot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_deployed_nodes() {
        // From Kubo: the link names in the root shards of one directory, at two widths.
        for (name, wide, narrow) in [
            ("日本語", 0x12, "0"),
            ("x9", 0x2f, "13"),
            ("x2", 0x3c, "171"),
            ("x5", 0x60, "300"),
            ("x0", 0x62, "305"),
            ("a name of thirty-two bytes......", 0x71, "34"),
            ("a", 0x85, "4"),
            ("abc", 0xb4, "5"),
            ("x8", 0xf2, "74"),
        ] {
            let hash = hash_name(name.as_bytes());
            assert_eq!(index(hash, 0, 256), Some(wide), "{name}");
            let digits: String = (0..3).filter_map(|level| index(hash, level, 8)).map(|i| i.to_string()).collect();
            assert!(digits.starts_with(narrow), "{name}: {digits}");
        }
    }

    #[test]
    fn bits_are_taken_from_the_top() {
        let hash = 0xfedc_ba98_7654_3210;
        assert_eq!([0, 1, 7].map(|level| index(hash, level, 256)), [Some(0xfe), Some(0xdc), Some(0x10)]);
        assert_eq!(index(hash, 8, 256), None);
        assert_eq!(index(hash, 0, 1024), Some(0x3fb));
        assert_eq!(index(hash, 5, 1024), Some((hash >> 4) as usize & 0x3ff));
        // Four bits are left, and an index takes ten.
        assert_eq!(index(hash, 6, 1024), None);
        assert_eq!(index(hash, 20, 8), Some((hash >> 1) as usize & 7));
        assert_eq!([8, 16, 64, 256, 512, 1024].map(prefix_len), [1, 1, 2, 2, 3, 3]);
    }

    /// Builds a directory whose names hash as told; answers the number of its shards.
    fn shards(fanout: usize, hashes: &[u64]) -> Result<usize, BuildError> {
        let profile = Profile { max_hamt_fanout: fanout, ..Profile::default() };
        let entry = |&hash| ShardEntry { hash, name: b"n", cid: &[0x12, 0x20], tsize: 1 };
        let mut count = 0;
        let mut builder = HamtBuilder::new(&profile, |_| {
            count += 1;
            Ok::<_, BuildError>(())
        });
        for (i, hash) in hashes.iter().enumerate() {
            let before = i.checked_sub(1).map(|i| entry(&hashes[i]));
            builder.push(&entry(hash), before.as_ref(), hashes.get(i + 1).map(entry).as_ref())?;
        }
        builder.finish(FileMeta::NONE)?;
        Ok(count)
    }

    #[test]
    fn hashes_that_no_level_tells_apart_are_an_error() {
        // 64 bits are 21 levels of 3 bits, 8 levels of 8, 6 levels of 10; what is left over counts for nothing.
        for (fanout, levels) in [(8, 21), (256, 8), (1024, 6)] {
            let last = 64 - levels * usize::ilog2(fanout);
            let told_apart = 1u64 << last;
            assert_eq!(shards(fanout, &[0, told_apart]), Ok(levels as usize), "{fanout}");
            assert!(matches!(shards(fanout, &[5, 5]), Err(BuildError::TooDeep(..))), "{fanout}");
            if last > 0 {
                assert!(matches!(shards(fanout, &[0, told_apart >> 1]), Err(BuildError::TooDeep(..))), "{fanout}");
            }
        }
    }
}
