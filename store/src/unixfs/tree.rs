//! Goes through all files and directories below a root, depth first, in the order of the DAG, as what `get`
//! and an archive need: each step carries the decoded root block of a file, which for a small file is all of it.

use super::{
    ahead::{Ahead, BATCH_BLOCKS},
    dir::{Dir, Entries, Entry, Held},
    entity::{self, Entity, FileNode, ReadError},
    meta::FileMeta,
};
use crate::{
    Block, Cid,
    fetch::{Deadline, Fetch},
};
use bytes::Bytes;
use std::{collections::VecDeque, sync::Arc};

/// Directories within directories. Linux can't name much deeper ones in one path, and each level of an
/// extraction holds an open directory.
pub const MAX_DEPTH: usize = 512;
/// Links held by all directories on the way to the present one, their shards included, about 60 MiB of them.
const MAX_LINKS: usize = 1 << 18;
/// Bytes of the blocks of these links, and of the names of entries whose blocks were asked for.
const MAX_BYTES: usize = 32 << 20;
/// Bytes of the names on the way to the present directory: the path of what is in it.
const MAX_PATH: usize = 1 << 20;
/// Blocks under way or waiting, those of shards included: what directories on the way asked for is kept. With none left
/// blocks are fetched one by one.
const MAX_WAITING: usize = 64;

/// A step.
#[derive(Debug, Clone)]
pub enum Step {
    /// A directory begins; what follows, up to its [`Step::Leave`], is in it.
    Enter {
        /// Its name in the directory around it; empty for the root.
        name: Bytes,
        /// Permissions and modification time, where it has them.
        meta: FileMeta,
    },
    /// The directory ends.
    Leave,
    /// A file.
    File {
        /// Its name; empty for the root.
        name: Bytes,
        /// Its root.
        cid: Cid,
        /// Permissions and modification time, where it has them.
        meta: FileMeta,
        /// Its root, decoded.
        node: FileNode,
    },
    /// A symlink.
    Symlink {
        /// Its name; empty for the root.
        name: Bytes,
        /// Modification time, where it has one.
        meta: FileMeta,
        /// Where it points.
        target: Bytes,
    },
}

/// A walk through files and directories.
pub struct Tree {
    fetch: Arc<dyn Fetch>,
    deadline: Deadline,
    levels: Vec<Level>,
    root: Option<Block>,
}

struct Level {
    cid: Cid,
    /// Length of its name.
    name: usize,
    entries: Entries,
    ended: bool,
    /// Entries whose blocks were asked for.
    asked: VecDeque<Entry>,
    ahead: Ahead,
}

impl Tree {
    /// Begins at that root: a file, a directory or a symlink.
    ///
    /// # Errors
    /// When the root can't be had.
    pub async fn open(fetch: Arc<dyn Fetch>, root: &Cid, deadline: Deadline) -> Result<Self, ReadError> {
        let block = fetch.fetch(root, deadline).await?;
        Ok(Self { fetch, deadline, levels: Vec::new(), root: Some(block) })
    }

    /// The next step; `None` at the end.
    ///
    /// # Errors
    /// When a block can't be had or is malformed. The walk can't go on then.
    pub async fn next(&mut self) -> Result<Option<Step>, ReadError> {
        if let Some(block) = self.root.take() {
            return self.step(Bytes::new(), &block).map(Some);
        }
        let waiting: usize = self.levels.iter().map(|level| level.asked.len() + level.entries.waiting()).sum();
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        if level.ahead.batches() < 2 && !level.ended {
            level.ask(MAX_WAITING.saturating_sub(waiting)).await?;
            self.check()?;
        }
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        let Some(entry) = level.asked.pop_front() else {
            self.levels.pop();
            return Ok(Some(Step::Leave));
        };
        let block = match level.ahead.next().await {
            Some(block) => block?,
            None => self.fetch.fetch(&entry.cid, self.deadline).await?,
        };
        self.step(entry.name, &block).map(Some)
    }

    fn step(&mut self, name: Bytes, block: &Block) -> Result<Step, ReadError> {
        let cid = *block.cid();
        let (meta, entity) = entity::decode(block)?;
        match entity {
            Entity::File(node) => Ok(Step::File { name, cid, meta, node }),
            Entity::Symlink(target) => Ok(Step::Symlink { name, meta, target }),
            entity @ (Entity::Directory(_) | Entity::Shard(_)) => {
                let dir = Dir::from_entity(Arc::clone(&self.fetch), block, meta, entity, self.deadline)?;
                let ahead = Ahead::new(Arc::clone(&self.fetch), self.deadline);
                let (asked, entries) = (VecDeque::new(), dir.entries());
                self.levels.push(Level { cid, name: name.len(), entries, ended: false, asked, ahead });
                self.check()?;
                Ok(Step::Enter { name, meta })
            }
        }
    }

    /// Refuses what is more than the directories on the way may hold.
    fn check(&self) -> Result<(), ReadError> {
        let Some(last) = self.levels.last() else { return Ok(()) };
        let (mut held, mut path) = (Held::default(), 0);
        for level in &self.levels {
            held += level.entries.held();
            held.bytes += level.asked.iter().map(|entry| entry.name.len()).sum::<usize>();
            path += level.name;
        }
        let reason = if self.levels.len() > MAX_DEPTH {
            format!("directories are nested more than {MAX_DEPTH} deep")
        } else if held.links > MAX_LINKS {
            format!("the directories around it have more than {MAX_LINKS} links")
        } else if held.bytes > MAX_BYTES {
            format!("the directories around it take more than {MAX_BYTES} bytes")
        } else if path > MAX_PATH {
            format!("its path has more than {MAX_PATH} bytes")
        } else {
            return Ok(());
        };
        Err(ReadError::Unreasonable { cid: Box::new(last.cid), reason })
    }
}

impl Level {
    /// Asks for the roots of the next entries, at most `room`. Without room the next entry is taken all the same, and
    /// nothing is asked for.
    async fn ask(&mut self, room: usize) -> Result<(), ReadError> {
        let before = self.entries.waiting();
        let alone = self.asked.is_empty();
        let mut cids = Vec::new();
        loop {
            let left = room.saturating_sub(cids.len());
            let more = cids.len() < BATCH_BLOCKS && left > self.entries.waiting().saturating_sub(before);
            if !(more || alone && self.asked.is_empty()) {
                break;
            }
            // Half of it at the most, so that shards leave room for what is in them.
            self.entries.limit((before + left).min(MAX_WAITING / 2));
            let Some(entry) = self.entries.next().await? else {
                self.ended = true;
                break;
            };
            if room > 0 {
                cids.push(entry.cid);
            }
            self.asked.push_back(entry);
        }
        self.ahead.ask(cids);
        Ok(())
    }
}
