//! Lists a directory as `ls` shows it: entries in the order of the DAG, each with what its own root block says
//! of it. Root blocks are read ahead in batches.

use super::{
    ReadError,
    ahead::{Ahead, BATCH_BLOCKS},
    dir::{Dir, Entries, Entry},
    entity::{self, Entity},
    meta::FileMeta,
};
use crate::{
    Block, Cid,
    cid::codec,
    dag,
    fetch::{Deadline, Fetch},
};
use bytes::Bytes;
use std::{
    collections::{VecDeque, vec_deque},
    sync::Arc,
};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Its block was not looked at, or is neither file nor directory.
    Unknown,
    /// A file.
    File,
    /// A directory, plain or sharded.
    Directory,
    /// A symlink.
    Symlink,
}

/// An entry and what is known of it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Name and root.
    pub entry: Entry,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of a file or of a symlink's target; of a file in one raw block, what the directory says; else 0.
    pub size: u64,
    /// Target of a symlink.
    pub target: Bytes,
    /// Permissions and modification time, where it has them.
    pub meta: FileMeta,
}

/// A listing under way.
pub struct Listing {
    source: Source,
    look: bool,
    asked: VecDeque<Entry>,
    ended: bool,
    ahead: Ahead,
    fetch: Arc<dyn Fetch>,
    deadline: Deadline,
}

enum Source {
    Directory(Box<Entries>),
    Links(vec_deque::IntoIter<Entry>),
}

impl Listing {
    /// Begins to list that object: the entries of a directory, or the links of anything else. With `look` each
    /// entry's root block is read.
    ///
    /// # Errors
    /// When the object can't be had or is malformed.
    pub async fn open(fetch: Arc<dyn Fetch>, cid: &Cid, look: bool, deadline: Deadline) -> Result<Self, ReadError> {
        let block = fetch.fetch(cid, deadline).await?;
        let ahead = Ahead::new(Arc::clone(&fetch), deadline);
        let source = source(&fetch, &block, deadline)?;
        Ok(Self { source, look, asked: VecDeque::new(), ended: false, ahead, fetch, deadline })
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// When a block can't be had or is malformed.
    pub async fn next(&mut self) -> Result<Option<Listed>, ReadError> {
        while self.ahead.batches() < 2 && !self.ended && self.asked.len() < 2 * BATCH_BLOCKS {
            self.ask().await?;
        }
        let Some(entry) = self.asked.pop_front() else { return Ok(None) };
        if !self.wants_block(&entry.cid) {
            let raw = entry.cid.codec() == codec::RAW;
            let kind = if raw { EntryKind::File } else { EntryKind::Unknown };
            let size = if raw { entry.tsize } else { 0 };
            return Ok(Some(Listed { entry, kind, size, target: Bytes::new(), meta: FileMeta::NONE }));
        }
        let block = match self.ahead.next().await {
            Some(block) => block?,
            None => self.fetch.fetch(&entry.cid, self.deadline).await?,
        };
        look(entry, &block).map(Some)
    }

    fn wants_block(&self, cid: &Cid) -> bool {
        self.look && cid.codec() == codec::DAG_PB
    }

    async fn ask(&mut self) -> Result<(), ReadError> {
        let mut cids = Vec::with_capacity(BATCH_BLOCKS);
        while cids.len() < BATCH_BLOCKS && self.asked.len() < 2 * BATCH_BLOCKS {
            let entry = match &mut self.source {
                Source::Directory(entries) => entries.next().await?,
                Source::Links(links) => links.next(),
            };
            let Some(entry) = entry else {
                self.ended = true;
                break;
            };
            if self.wants_block(&entry.cid) {
                cids.push(entry.cid);
            }
            self.asked.push_back(entry);
        }
        self.ahead.ask(cids);
        Ok(())
    }
}

fn source(fetch: &Arc<dyn Fetch>, block: &Block, deadline: Deadline) -> Result<Source, ReadError> {
    let cid = block.cid();
    if cid.codec() == codec::DAG_PB {
        let (meta, entity) = entity::decode(block)?;
        if matches!(entity, Entity::Directory(_) | Entity::Shard(_)) {
            let dir = Dir::from_entity(Arc::clone(fetch), block, meta, entity, deadline)?;
            return Ok(Source::Directory(Box::new(dir.entries())));
        }
        let node = dag::pb::PbNode::decode(block.data()).map_err(|e| ReadError::malformed(cid, e.to_string()))?;
        let entries: VecDeque<Entry> = node
            .links
            .into_iter()
            .map(|l| Entry { name: l.name.unwrap_or_default(), cid: l.cid, tsize: l.tsize.unwrap_or_default() })
            .collect();
        return Ok(Source::Links(entries.into_iter()));
    }
    let links = dag::links(cid, block.data()).map_err(|e| ReadError::malformed(cid, e.to_string()))?;
    let entries: VecDeque<Entry> = links.into_iter().map(|cid| Entry { name: Bytes::new(), cid, tsize: 0 }).collect();
    Ok(Source::Links(entries.into_iter()))
}

fn look(entry: Entry, block: &Block) -> Result<Listed, ReadError> {
    let (meta, entity) = entity::decode(block)?;
    let (kind, size, target) = match entity {
        Entity::File(node) => (EntryKind::File, node.size, Bytes::new()),
        Entity::Symlink(target) => (EntryKind::Symlink, target.len() as u64, target),
        Entity::Directory(_) | Entity::Shard(_) => (EntryKind::Directory, 0, Bytes::new()),
    };
    Ok(Listed { entry, kind, size, target, meta })
}
