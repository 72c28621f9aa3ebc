//! A directory that can be changed.
//!
//! A [`Directory`] mirrors the DAG of a UnixFS directory: all entries of a plain one, and of a sharded one the shards that
//! were looked into. It holds names and links, and knows nothing of inodes: an entry whose node was never sealed has no
//! link yet. A change costs the shards on the way to the entry, whatever the number of entries.
//!
//! Whether it is sharded is decided when it is sealed, by the profile and of what is in it then: after any sequence of
//! changes it has the CID that `add` gives to the same entries. Two things are kept as they are found: the width of the
//! shards of a sharded directory, and that it is sharded as long as it does not become smaller. Where the profile says
//! that a directory is never sharded, one that would not fit into a block is sharded nevertheless.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | levels of shards | the bits of a name's hash | refused |
//! | shards asked for at once | [`WANTED`] | the rest is asked for later |
//! | entries in memory | none here: see [`Directory::weight`] | the caller calls [`Directory::shrink`] |

mod plain;
mod seal;
mod shard;
mod size;
#[cfg(test)]
mod tests;

use super::MfsError;
use crate::{
    Block, Cid,
    cid::codec,
    hash::HashFn,
    mfs::{Cursor, Naming},
    unixfs::{
        BuildError, ReadError,
        directory::{is_sharded, node_head},
        entity::{self, Entity},
        hamt,
        meta::FileMeta,
        profile::{HamtEstimate, Profile},
        writer::link_len,
    },
};
use bytes::Bytes;
use plain::Plain;
use shard::Shard;
pub use size::Known;
use size::{Tally, tally};
use std::sync::Arc;

/// Shards that an operation asks for at once.
pub const WANTED: usize = 64;
/// Up to this threshold, in bytes, a directory that is small enough for one node fits into a block.
const LARGE_THRESHOLD: u64 = 1 << 20;
/// Entries and shards that are looked into, at most, to say whether a directory is to be sharded. One in a single block has
/// less than half as many.
const MAX_RECKONED: usize = 1 << 17;
/// A CID in its binary form is hardly longer.
const MAX_CID: usize = 72;
/// What a shard puts before each name, and what the lengths of longer names take.
const MAX_PREFIX: usize = 8;
/// What a node has besides its links: kind, permissions, time, width.
const NODE_ROOM: usize = 128;

/// What an entry leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its root.
    pub cid: Cid,
    /// Bytes of all its blocks, as their authors say.
    pub tsize: u64,
}

/// A shard that was not looked into, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// Its block.
    pub cid: Cid,
    /// The first bits of the hashes of all names below it, as the lowest bits of a number.
    path: u64,
    /// Levels above it.
    depth: u32,
}

/// A shard that was read.
#[derive(Debug)]
pub struct Opened {
    shard: Shard,
    fanout: usize,
}

impl Opened {
    /// Reads a shard that was asked for, of a directory of that width.
    ///
    /// # Errors
    /// When the block is no such shard.
    pub fn read(want: &Want, block: &Block, fanout: usize) -> Result<Self, DirError> {
        Ok(Self { shard: shard::read_below(want, block, fanout)?, fanout })
    }
}

/// Why an operation on a directory was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DirError {
    /// It has to be repeated after these were supplied ([`Directory::supply`]): at least one, at most [`WANTED`].
    #[error("{} shards of a directory are needed", .0.len())]
    Missing(Vec<Want>),
    /// A block contradicts its format, or its parent.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A node can't be made.
    #[error(transparent)]
    Build(#[from] BuildError),
}

#[derive(Debug, Clone)]
enum Form {
    Plain(Arc<Plain>),
    Sharded { root: Arc<Shard>, fanout: usize },
}

/// An entry: its name, and its link unless it was never sealed.
pub type Entry = (Bytes, Option<Link>);

/// A directory that can be changed. Clones share what neither of them changes.
#[derive(Debug, Clone)]
pub struct Directory {
    profile: Profile,
    meta: FileMeta,
    form: Form,
    known: Known,
    /// Its root, unless there are changes.
    root: Option<Link>,
    /// Entries in memory, about.
    weight: usize,
}

impl Directory {
    /// A directory without entries.
    pub fn empty(profile: &Profile, meta: FileMeta) -> Self {
        Self {
            profile: *profile,
            meta: normal(meta),
            form: Form::Plain(Arc::default()),
            known: Known::default(),
            root: None,
            weight: 0,
        }
    }

    /// A directory that is there, from its root. It goes on being named as it is; the rest is decided by the profile.
    ///
    /// # Errors
    /// When the block is malformed or no directory.
    pub fn from_block(profile: &Profile, block: &Block) -> Result<Self, DirError> {
        let (meta, entity) = entity::decode(block)?;
        Self::from_entity(profile, block, meta, entity)
    }

    /// The same with the root decoded.
    ///
    /// # Errors
    /// When it is no directory.
    pub fn from_entity(profile: &Profile, block: &Block, meta: FileMeta, entity: Entity) -> Result<Self, DirError> {
        let profile = named_as(profile, block.cid());
        let tsize = |links: &[crate::dag::pb::PbLink]| {
            let below = links.iter().fold(0u64, |sum, link| sum.saturating_add(link.tsize.unwrap_or_default()));
            below.saturating_add(block.data().len() as u64)
        };
        let (form, tsize) = match entity {
            Entity::Directory(links) => {
                (Form::Plain(Arc::new(Plain::read(&links, profile.max_hamt_fanout))), tsize(&links))
            }
            Entity::Shard(shard) => {
                let (tsize, fanout) = (tsize(&shard.links), shard.fanout);
                (Form::Sharded { root: Arc::new(Shard::read(block, shard, 0, 0)?), fanout }, tsize)
            }
            Entity::File(_) | Entity::Symlink(_) => return Err(ReadError::NotDirectory(Box::new(*block.cid())).into()),
        };
        let mut directory = Self {
            profile,
            meta,
            form,
            known: Known::default(),
            root: Some(Link { cid: *block.cid(), tsize }),
            weight: 0,
        };
        if let Form::Plain(plain) = &directory.form {
            directory.known.least =
                plain.iter().map(|(name, link)| tally(&profile, name, link)).fold(Tally::default(), Tally::plus);
        }
        directory.weight = directory.in_memory();
        Ok(directory)
    }

    /// Its root, unless there are changes.
    pub fn root(&self) -> Option<Link> {
        self.root
    }

    /// Permissions and modification time.
    pub fn meta(&self) -> FileMeta {
        self.meta
    }

    /// Sets permissions and modification time. Permissions of zero are no permissions.
    pub fn set_meta(&mut self, meta: FileMeta) {
        let meta = normal(meta);
        if meta != self.meta {
            if self.profile.hamt_estimate == HamtEstimate::Block {
                self.known.came.size += node_head(meta);
                self.known.went.size += node_head(self.meta);
            }
            (self.meta, self.root) = (meta, None);
        }
    }

    /// Refuses permissions and a modification time with which it would fit into no block, for the length of its names.
    ///
    /// # Errors
    /// [`BuildError::NodeTooLarge`].
    pub fn check_meta(&self, meta: FileMeta) -> Result<(), DirError> {
        match &self.form {
            Form::Plain(plain) if plain.has_long_names() && meta != self.meta => {
                check_node(self.known.least.node + node_head(meta))
            }
            Form::Sharded { root, fanout } if meta != self.meta => root.check_node(*fanout),
            Form::Plain(_) | Form::Sharded { .. } => Ok(()),
        }
    }

    /// How its nodes are named.
    pub fn naming(&self) -> Naming {
        Naming { version: self.profile.cid_version, hash: self.profile.hash }
    }

    /// Has the nodes that change named so; nothing changes by that alone.
    pub fn rename_later(&mut self, naming: Naming) {
        (self.profile.cid_version, self.profile.hash) = (naming.version, naming.hash);
    }

    /// Has its root, and the nodes that change, named so from now on.
    pub fn set_naming(&mut self, naming: Naming) {
        if naming != self.naming() {
            self.rename_later(naming);
            self.root = None;
        }
    }

    /// Entries in memory, about: what [`Directory::shrink`] can make less of.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Whether there are no entries. A sharded directory with shards has some.
    pub fn is_empty(&self) -> bool {
        match &self.form {
            Form::Plain(plain) => plain.is_empty(),
            Form::Sharded { root, .. } => root.is_empty(),
        }
    }

    /// The entry of that name.
    ///
    /// # Errors
    /// [`DirError::Missing`].
    pub fn get(&self, name: &[u8]) -> Result<Option<Option<Link>>, DirError> {
        match &self.form {
            Form::Plain(plain) => Ok(plain.get(name)),
            Form::Sharded { root, fanout } => root.get(name, *fanout),
        }
    }

    /// Sets an entry; answers what it was before.
    ///
    /// # Errors
    /// [`DirError::Missing`]; and when the hash of another name is that of this one, or the profile allows no more
    /// entries.
    pub fn insert(&mut self, name: &[u8], link: Option<Link>) -> Result<Option<Option<Link>>, DirError> {
        let before = self.get(name)?;
        if before == Some(link) && link.is_some() {
            return Ok(before);
        }
        let new = tally(&self.profile, name, &link);
        match &mut self.form {
            Form::Plain(plain) => {
                if before.is_none() {
                    check_room(&self.profile, self.meta, self.known.least, plain, name)?;
                }
                Arc::make_mut(plain).insert(name, link);
            }
            Form::Sharded { root, fanout } => {
                if before.is_none() {
                    root.check_room(name, *fanout)?;
                }
                Arc::make_mut(root).insert(name, link, *fanout)?;
            }
        }
        let old = before.map(|link| tally(&self.profile, name, &link)).unwrap_or_default();
        self.known.change(old, new);
        self.weight += usize::from(before.is_none());
        self.root = None;
        Ok(before)
    }

    /// Removes an entry; answers what it was.
    ///
    /// # Errors
    /// [`DirError::Missing`].
    pub fn remove(&mut self, name: &[u8]) -> Result<Option<Option<Link>>, DirError> {
        let Some(before) = self.get(name)? else { return Ok(None) };
        match &mut self.form {
            Form::Plain(plain) => Arc::make_mut(plain).remove(name),
            Form::Sharded { root, fanout } => Arc::make_mut(root).remove(name, *fanout)?,
        }
        self.known.change(tally(&self.profile, name, &before), Tally::default());
        self.weight = self.weight.saturating_sub(1);
        self.root = None;
        Ok(Some(before))
    }

    /// At most `max` entries behind the cursor, in the order of the hashes of their names; none at the end. Fewer, but at
    /// least one, where a shard is in the way that was not looked into.
    ///
    /// # Errors
    /// [`DirError::Missing`].
    pub fn list(&self, after: &Cursor, max: usize) -> Result<Vec<Entry>, DirError> {
        match &self.form {
            Form::Plain(plain) => Ok(plain.list(after, max)),
            Form::Sharded { root, fanout } => root.list(after, max, *fanout),
        }
    }

    /// Takes a shard that was asked for. One that is no longer where it was is passed over.
    ///
    /// # Errors
    /// When the block is no such shard.
    pub fn supply(&mut self, want: &Want, block: &Block) -> Result<(), DirError> {
        if let Some(fanout) = self.fanout() {
            self.place(want, Opened::read(want, block, fanout)?);
        }
        Ok(())
    }

    /// Takes a shard that was asked for and is read. One that is no longer where it was is passed over.
    pub fn place(&mut self, want: &Want, opened: Opened) {
        if let Form::Sharded { root, fanout } = &mut self.form
            && *fanout == opened.fanout
        {
            self.weight += Arc::make_mut(root).place(want, opened.shard, *fanout);
        }
    }

    /// Width of its shards, if it is sharded.
    pub fn fanout(&self) -> Option<usize> {
        match &self.form {
            Form::Plain(_) => None,
            Form::Sharded { fanout, .. } => Some(*fanout),
        }
    }

    /// Looks into as many shards as it takes to say whether a directory that entries were taken out of is still to be
    /// sharded. To be called before [`Directory::seal`], which leaves it sharded where that is not known.
    ///
    /// # Errors
    /// [`DirError::Missing`].
    pub fn reckon(&mut self) -> Result<(), DirError> {
        let Form::Sharded { root, fanout } = &self.form else { return Ok(()) };
        if self.is_known_sharded() {
            return Ok(());
        }
        let mut found = Tally::default();
        // Somewhat more than is needed, so that the next removal is no reason to count again.
        let enough = |found: Tally| self.sharded_by(Tally { size: found.size - found.size / 5, ..found });
        let wanted = root.walk(*fanout, &mut |name, link| {
            found = found.plus(tally(&self.profile, name, link));
            !enough(found)
        });
        let proven = self.sharded_by(found);
        self.known.least = found;
        if proven || wanted.is_empty() {
            return Ok(());
        }
        if self.weight > MAX_RECKONED {
            // Hardly any of it are entries: nobody writes such a directory but to be looked into for ever.
            (self.known.came, self.known.went) = (Tally::default(), Tally::default());
            return Ok(());
        }
        Err(DirError::Missing(wanted))
    }

    /// Whether nothing is to be looked into to say whether it is still to be sharded.
    pub fn is_reckoned(&self) -> bool {
        matches!(self.form, Form::Plain(_)) || self.is_known_sharded()
    }

    /// Whether it is what the other is, neither of them changed since they were one.
    pub fn is_same(&self, other: &Self) -> bool {
        let same = match (&self.form, &other.form) {
            (Form::Plain(one), Form::Plain(other)) => Arc::ptr_eq(one, other),
            (Form::Sharded { root: one, .. }, Form::Sharded { root: other, .. }) => Arc::ptr_eq(one, other),
            _ => false,
        };
        same && self.meta == other.meta && self.profile == other.profile && self.root == other.root
    }

    /// The same without entries.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self::empty(&self.profile, self.meta)
    }

    /// Forgets shards that have no changes.
    pub fn shrink(&mut self) {
        if let Form::Sharded { root, .. } = &mut self.form {
            Arc::make_mut(root).shrink();
            self.weight = self.in_memory();
        }
    }

    /// What is known of its size.
    pub fn known(&self) -> Known {
        self.known
    }

    /// Takes what was known of its size when it was let go of. It has not changed since.
    pub fn recall(&mut self, known: Known) {
        if matches!(self.form, Form::Sharded { .. }) {
            self.known = known;
        }
    }

    /// Whether a sharded directory stays one for all that is known.
    fn is_known_sharded(&self) -> bool {
        let (profile, Known { least, came, went }) = (&self.profile, self.known);
        let by_size = profile.hamt_threshold > 0 && profile.hamt_estimate != HamtEstimate::Disabled;
        let shrunk = (by_size && went.size > came.size)
            || (profile.max_dir_links > 0 && went.entries > came.entries)
            // A block is the bound where no threshold is below it.
            || ((!by_size || profile.hamt_threshold > LARGE_THRESHOLD) && went.node > came.node);
        !shrunk || self.sharded_by(least)
    }

    /// Whether a directory of at least that much is sharded.
    fn sharded_by(&self, tally: Tally) -> bool {
        is_sharded(&self.profile, self.meta, tally.entries, tally.size).unwrap_or(true) || self.overflows(tally)
    }

    /// Whether it fits into no block.
    fn overflows(&self, tally: Tally) -> bool {
        tally.node + node_head(self.meta) > crate::block::MAX_BLOCK_SIZE as u64
    }

    fn in_memory(&self) -> usize {
        match &self.form {
            Form::Plain(plain) => plain.len(),
            Form::Sharded { root, .. } => root.count(),
        }
    }
}

/// Refuses an entry with which a plain directory could not be sealed.
fn check_room(profile: &Profile, meta: FileMeta, tally: Tally, plain: &Plain, name: &[u8]) -> Result<(), DirError> {
    if profile.hamt_threshold == 0 {
        is_sharded(profile, meta, tally.entries + 1, 0)?;
    }
    // Shards could not tell the two apart.
    if let Some(other) = plain.collides(name, profile.max_hamt_fanout) {
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        return Err(BuildError::TooDeep(text(name), text(other)).into());
    }
    let node = tally.node + (tally.entries * MAX_CID + link_len(MAX_CID, name.len(), u64::MAX)) as u64;
    if plain.has_collisions() && node > crate::block::MAX_BLOCK_SIZE as u64 {
        return Err(too_large(node));
    }
    if plain.has_long_names() {
        check_node(node + shard_room(tally.entries + 1, profile.max_hamt_fanout))?;
    }
    Ok(())
}

/// Bytes that a shard of so many entries has more than a node of the same links, at most.
fn shard_room(entries: usize, fanout: usize) -> u64 {
    (entries * MAX_PREFIX + fanout / 8 + NODE_ROOM) as u64
}

/// Refuses a node of names that are longer than those that can be made, if it might fit into no block.
fn check_node(bytes: u64) -> Result<(), DirError> {
    if bytes > crate::block::MAX_BLOCK_SIZE as u64 { Err(too_large(bytes)) } else { Ok(()) }
}

fn too_large(node: u64) -> DirError {
    BuildError::NodeTooLarge(usize::try_from(node).unwrap_or(usize::MAX)).into()
}

/// The profile, with names as that CID has. A CID that holds its bytes says nothing of others.
pub(super) fn named_as(profile: &Profile, cid: &Cid) -> Profile {
    let hash = HashFn::from_code(cid.hash().code()).filter(|hash| *hash != HashFn::IDENTITY);
    match hash {
        Some(hash) if cid.codec() == codec::DAG_PB => Profile { cid_version: cid.version(), hash, ..*profile },
        _ => *profile,
    }
}

/// A mode of zero counts as none, and bits that are not permissions are dropped.
fn normal(meta: FileMeta) -> FileMeta {
    FileMeta { mode: meta.mode.map(|mode| mode & 0o7777).filter(|&mode| mode != 0), ..meta }
}

impl From<DirError> for MfsError {
    fn from(error: DirError) -> Self {
        match error {
            DirError::Missing(wanted) => Self::Closed(format!("{} shards were not asked for", wanted.len())),
            DirError::Read(error) => error.into(),
            DirError::Build(error) => error.into(),
        }
    }
}

/// Bits of a name's hash.
const HASH_BITS: u32 = u64::BITS;

/// The bits of a hash that a sharded directory of that width looks at.
fn used_bits(hash: u64, fanout: usize) -> u64 {
    let width = fanout.trailing_zeros();
    hash >> (HASH_BITS % width)
}

/// Index of a hash at a level.
fn slot(hash: u64, level: u32, fanout: usize) -> Option<u16> {
    hamt::index(hash, level, fanout).and_then(|slot| u16::try_from(slot).ok())
}
