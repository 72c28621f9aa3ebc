//! Reads directories, plain and sharded alike: one name, or all entries as a stream in the order of the DAG.
//!
//! In a sharded directory every entry is checked to be where the hash of its name says. So no entry can turn
//! up twice, a shard that is linked from two places is refused, and a listing ends after as many steps as the
//! directory has blocks and entries.

use super::{
    ahead::{Ahead, BATCH_BLOCKS},
    entity::{self, Entity, ReadError, Shard},
    hamt,
    meta::FileMeta,
};
use crate::{
    Block, Cid,
    dag::pb::PbLink,
    fetch::{Deadline, Fetch},
};
use bytes::Bytes;
use std::{sync::Arc, vec};

/// Shards under way or waiting at all levels of one listing.
const MAX_WAITING: usize = 64;
/// Bits of a name's hash.
const HASH_BITS: u32 = 64;

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name: any bytes. Nothing has been checked about it.
    pub name: Bytes,
    /// Its root.
    pub cid: Cid,
    /// Size in bytes of all its blocks, as the directory's author says: never to be trusted.
    pub tsize: u64,
}

/// A directory, opened for reading.
pub struct Dir {
    fetch: Arc<dyn Fetch>,
    deadline: Deadline,
    cid: Cid,
    meta: FileMeta,
    root: Root,
    /// Length of the root block.
    bytes: usize,
}

enum Root {
    Plain(Vec<PbLink>),
    Sharded(Shard),
}

impl Dir {
    /// Opens the directory with that root.
    ///
    /// # Errors
    /// When the root can't be had, is malformed or is no directory.
    pub async fn open(fetch: Arc<dyn Fetch>, cid: &Cid, deadline: Deadline) -> Result<Self, ReadError> {
        let block = fetch.fetch(cid, deadline).await?;
        let (block, meta, entity) = entity::decode_aside(&fetch, block, deadline).await?;
        Self::from_entity(fetch, &block, meta, entity, deadline)
    }

    /// The same with the root's block at hand.
    ///
    /// # Errors
    /// As [`Dir::open`].
    pub fn from_block(fetch: Arc<dyn Fetch>, block: &Block, deadline: Deadline) -> Result<Self, ReadError> {
        let (meta, entity) = entity::decode(block)?;
        Self::from_entity(fetch, block, meta, entity, deadline)
    }

    /// The same with the root decoded.
    ///
    /// # Errors
    /// When it is no directory.
    pub fn from_entity(
        fetch: Arc<dyn Fetch>,
        block: &Block,
        meta: FileMeta,
        entity: Entity,
        deadline: Deadline,
    ) -> Result<Self, ReadError> {
        let root = match entity {
            Entity::Directory(links) => Root::Plain(links),
            Entity::Shard(shard) => Root::Sharded(shard),
            Entity::File(_) | Entity::Symlink(_) => return Err(ReadError::NotDirectory(Box::new(*block.cid()))),
        };
        Ok(Self { fetch, deadline, cid: *block.cid(), meta, root, bytes: block.data().len() })
    }

    /// The root.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// Permissions and modification time, where it has them.
    pub fn meta(&self) -> FileMeta {
        self.meta
    }

    /// Bytes that it holds.
    pub fn bytes_held(&self) -> usize {
        let links = match &self.root {
            Root::Plain(links) => links.len(),
            Root::Sharded(shard) => shard.links.len(),
        };
        self.bytes + links * size_of::<PbLink>()
    }

    /// The entry of that name: the first of them, if a plain directory holds it twice.
    ///
    /// # Errors
    /// When a shard on the way can't be had or is malformed.
    pub async fn lookup(&self, name: &[u8]) -> Result<Option<Entry>, ReadError> {
        let mut shard = match &self.root {
            Root::Plain(links) => return Ok(links.iter().find(|l| l.name() == name).map(|l| entry(l, 0))),
            Root::Sharded(shard) => shard.clone(),
        };
        let (fanout, prefix) = (shard.fanout, hamt::prefix_len(shard.fanout));
        let hash = hamt::hash_name(name);
        let mut cid = self.cid;
        for level in 0..HASH_BITS {
            let slot = hamt::index(hash, level, fanout).ok_or_else(|| too_deep(&cid))?;
            let found = shard.slots.iter().position(|&s| usize::from(s) == slot);
            let Some(link) = found.map(|at| &shard.links[at]) else { return Ok(None) };
            if link.name().len() > prefix {
                return Ok((&link.name()[prefix..] == name).then(|| entry(link, prefix)));
            }
            cid = link.cid;
            let block = self.fetch.fetch(&cid, self.deadline).await?;
            shard = child_shard(&self.fetch, block, self.deadline, fanout).await?.1;
        }
        Err(too_deep(&cid))
    }

    /// Whether it is in several nodes, in each of which a name has its place: no two entries have the same one then.
    pub fn is_sharded(&self) -> bool {
        matches!(self.root, Root::Sharded(_))
    }

    /// All entries, in the order of the encoding; shards are gone through depth first.
    pub fn entries(self) -> Entries {
        let ahead = Ahead::new(Arc::clone(&self.fetch), self.deadline);
        let level = match self.root {
            Root::Plain(links) => Level::new(links, self.bytes, ahead, None),
            Root::Sharded(shard) => {
                let at = Place { fanout: shard.fanout, prefix: hamt::prefix_len(shard.fanout), depth: 0, path: 0 };
                Level::new(shard.links, self.bytes, ahead, Some((at, shard.slots.into_iter())))
            }
        };
        Entries {
            fetch: self.fetch,
            deadline: self.deadline,
            levels: vec![level],
            waiting: 0,
            max_waiting: MAX_WAITING,
        }
    }

    /// The same from a position on: see [`Entries::position`].
    ///
    /// # Errors
    /// When a shard on the way can't be had or is malformed, or this directory has no such position.
    pub async fn entries_from(self, position: &[usize]) -> Result<Entries, ReadError> {
        let cid = self.cid;
        let nowhere = || ReadError::malformed(&cid, "the directory has no such position");
        let mut entries = self.entries();
        for (depth, &count) in position.iter().enumerate() {
            let level = entries.levels.last_mut().ok_or_else(nowhere)?;
            let last = level.skip(count);
            if depth + 1 == position.len() {
                break;
            }
            let (link, slot) = last.ok_or_else(nowhere)?;
            let place = level.sharded.as_ref().ok_or_else(nowhere)?.0.below(slot, &link.cid)?;
            let block = entries.fetch.fetch(&link.cid, entries.deadline).await?;
            entries.enter(block, place).await?;
        }
        Ok(entries)
    }
}

/// The entries of a directory.
pub struct Entries {
    fetch: Arc<dyn Fetch>,
    deadline: Deadline,
    levels: Vec<Level>,
    /// Blocks asked for at all levels, and how many there may be.
    waiting: usize,
    max_waiting: usize,
}

/// One node's links that were not yet gone through.
struct Level {
    links: vec::IntoIter<PbLink>,
    /// Links, from the next one on, whose shards were asked for.
    asked: usize,
    ahead: Ahead,
    sharded: Option<(Place, vec::IntoIter<u16>)>,
    held: Held,
}

/// What is held of the blocks between the root of a directory and the present entry.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    /// Their links.
    pub(super) links: usize,
    /// Their bytes: the names of links are slices of them.
    pub(super) bytes: usize,
}

impl std::ops::AddAssign for Held {
    fn add_assign(&mut self, other: Self) {
        self.links += other.links;
        self.bytes += other.bytes;
    }
}

/// Where a shard is.
#[derive(Clone, Copy)]
struct Place {
    fanout: usize,
    /// Digits before an entry's name.
    prefix: usize,
    depth: u32,
    /// The first bits of the hashes of all names below.
    path: u64,
}

impl Level {
    fn new(links: Vec<PbLink>, bytes: usize, ahead: Ahead, sharded: Option<(Place, vec::IntoIter<u16>)>) -> Self {
        let held = Held { links: links.len(), bytes };
        Self { links: links.into_iter(), asked: 0, ahead, sharded, held }
    }

    /// Leaves out so many links; gives the last of them with its index.
    fn skip(&mut self, count: usize) -> Option<(PbLink, u16)> {
        let last = count.checked_sub(1)?;
        let slot = self.sharded.as_mut().and_then(|(_, slots)| slots.nth(last)).unwrap_or_default();
        self.links.nth(last).map(|link| (link, slot))
    }

    /// Asks for the next shards, at most `room`; says how many.
    fn ask(&mut self, room: usize) -> usize {
        let Some((place, _)) = &self.sharded else { return 0 };
        let room = room.min(BATCH_BLOCKS);
        let mut cids = Vec::new();
        for link in self.links.as_slice().iter().skip(self.asked) {
            if cids.len() == room {
                break;
            }
            self.asked += 1;
            if link.name().len() == place.prefix {
                cids.push(link.cid);
            }
        }
        let count = cids.len();
        self.ahead.ask(cids);
        count
    }
}

impl Entries {
    /// Blocks asked for, which wait or are under way.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Where it is: how many links it has gone through at each level from the root on. The same directory has the same
    /// entries from there on.
    pub fn position(&self) -> Vec<usize> {
        self.levels.iter().map(|level| level.held.links - level.links.len()).collect()
    }

    /// Bytes that it holds besides blocks that are read ahead.
    pub fn bytes_held(&self) -> usize {
        let held = self.held();
        held.bytes + held.links * size_of::<PbLink>()
    }

    /// Bounds the blocks that wait or are under way from now on. With none left shards are fetched one by one.
    pub fn limit(&mut self, max_waiting: usize) {
        self.max_waiting = max_waiting.min(MAX_WAITING);
    }

    /// What all levels hold.
    pub(super) fn held(&self) -> Held {
        let mut held = Held::default();
        self.levels.iter().for_each(|level| held += level.held);
        held
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// When a shard can't be had or is malformed, or an entry is not where its name belongs. The listing can't
    /// go on then.
    pub async fn next(&mut self) -> Result<Option<Entry>, ReadError> {
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            if level.sharded.is_some() && level.ahead.batches() < 2 && level.asked < level.links.len() {
                self.waiting += level.ask(self.max_waiting.saturating_sub(self.waiting));
            }
            let Some(link) = level.links.next() else {
                self.levels.pop();
                continue;
            };
            level.asked = level.asked.saturating_sub(1);
            let Some((place, slots)) = &mut level.sharded else { return Ok(Some(entry(&link, 0))) };
            let place = *place;
            let slot = slots.next().unwrap_or_default();
            let below = place.below(slot, &link.cid)?;
            if link.name().len() > place.prefix {
                below.check(&link)?;
                return Ok(Some(entry(&link, place.prefix)));
            }
            let block = match level.ahead.next().await {
                Some(block) => {
                    self.waiting -= 1;
                    block?
                }
                None => self.fetch.fetch(&link.cid, self.deadline).await?,
            };
            self.enter(block, below).await?;
        }
    }

    /// Goes down into a shard.
    async fn enter(&mut self, block: Block, place: Place) -> Result<(), ReadError> {
        let (len, shard) = child_shard(&self.fetch, block, self.deadline, place.fanout).await?;
        let ahead = Ahead::new(Arc::clone(&self.fetch), self.deadline);
        let sharded = Some((place, shard.slots.into_iter()));
        self.levels.push(Level::new(shard.links, len, ahead, sharded));
        Ok(())
    }
}

impl Place {
    /// The place of what a link at that index leads to.
    fn below(self, slot: u16, cid: &Cid) -> Result<Self, ReadError> {
        let width = self.fanout.trailing_zeros();
        if (self.depth + 1) * width > HASH_BITS {
            return Err(too_deep(cid));
        }
        // At the root there is nothing to shift, and the width may not be 64.
        Ok(Self { depth: self.depth + 1, path: self.path << width | u64::from(slot), ..self })
    }

    /// Whether an entry belongs here by its name.
    fn check(self, link: &PbLink) -> Result<(), ReadError> {
        let name = &link.name()[self.prefix..];
        let bits = self.depth * self.fanout.trailing_zeros();
        if hamt::hash_name(name) >> (HASH_BITS - bits) == self.path {
            return Ok(());
        }
        let name = String::from_utf8_lossy(name);
        Err(ReadError::malformed(&link.cid, format!("the entry {name:?} is in a shard where it does not belong")))
    }
}

fn entry(link: &PbLink, prefix: usize) -> Entry {
    // A slice would keep the whole block for as long as somebody holds the entry.
    let name = Bytes::copy_from_slice(&link.name()[prefix..]);
    Entry { name, cid: link.cid, tsize: link.tsize.unwrap_or_default() }
}

/// A shard below the root, and the length of its block: never empty, and as wide as the root.
async fn child_shard(
    fetch: &Arc<dyn Fetch>,
    block: Block,
    deadline: Deadline,
    fanout: usize,
) -> Result<(usize, Shard), ReadError> {
    let (block, _, entity) = entity::decode_aside(fetch, block, deadline).await?;
    match entity {
        Entity::Shard(shard) if shard.fanout != fanout => {
            let reason = format!("a shard of width {} below one of width {fanout}", shard.fanout);
            Err(ReadError::malformed(block.cid(), reason))
        }
        Entity::Shard(shard) if shard.links.is_empty() => Err(ReadError::malformed(block.cid(), "an empty shard")),
        Entity::Shard(shard) => Ok((block.data().len(), shard)),
        _ => Err(ReadError::malformed(block.cid(), "a shard was expected here")),
    }
}

fn too_deep(cid: &Cid) -> ReadError {
    let reason = format!("the sharded directory is deeper than the {HASH_BITS} bits of a name's hash allow");
    ReadError::Unreasonable { cid: Box::new(*cid), reason }
}
