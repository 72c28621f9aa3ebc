//! Goes through all files and directories below a root, depth first, in the order of the DAG, as what `get`
//! and an archive need: each step carries the decoded root block of a file, which for a small file is all of it.

use super::{
    ahead::{Ahead, BATCH_BLOCKS},
    dir::{Dir, Entries, Entry},
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
/// Links held by all directories on the way to the present one, about 60 MiB of them.
const MAX_LINKS: usize = 1 << 18;
/// Blocks under way or waiting at all levels. A level may always ask for one.
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
    /// Links in the root blocks of all directories on the stack.
    links: usize,
    /// Blocks asked for at all levels.
    waiting: usize,
    root: Option<Block>,
}

struct Level {
    entries: Entries,
    ended: bool,
    links: usize,
    /// Entries that were asked for.
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
        Ok(Self { fetch, deadline, levels: Vec::new(), links: 0, waiting: 0, root: Some(block) })
    }

    /// The next step; `None` at the end.
    ///
    /// # Errors
    /// When a block can't be had or is malformed. The walk can't go on then.
    pub async fn next(&mut self) -> Result<Option<Step>, ReadError> {
        if let Some(block) = self.root.take() {
            return self.step(Bytes::new(), &block).map(Some);
        }
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        if level.ahead.batches() < 2 && !level.ended {
            let room = MAX_WAITING.saturating_sub(self.waiting).clamp(1, BATCH_BLOCKS);
            self.waiting += level.ask(room).await?;
        }
        let Some(entry) = level.asked.pop_front() else {
            self.links -= level.links;
            self.levels.pop();
            return Ok(Some(Step::Leave));
        };
        let block = match level.ahead.next().await {
            Some(block) => {
                self.waiting -= 1;
                block?
            }
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
                let dir = Dir::from_entity(Arc::clone(&self.fetch), &cid, meta, entity, self.deadline)?;
                self.enter(dir)?;
                Ok(Step::Enter { name, meta })
            }
        }
    }

    fn enter(&mut self, dir: Dir) -> Result<(), ReadError> {
        let links = dir.root_links().len();
        let reason = if self.levels.len() >= MAX_DEPTH {
            format!("directories are nested more than {MAX_DEPTH} deep")
        } else if self.links + links > MAX_LINKS {
            format!("the directories around it have more than {MAX_LINKS} links")
        } else {
            self.links += links;
            let ahead = Ahead::new(Arc::clone(&self.fetch), self.deadline);
            let entries = dir.entries();
            self.levels.push(Level { entries, ended: false, links, asked: VecDeque::new(), ahead });
            return Ok(());
        };
        Err(ReadError::Unreasonable { cid: Box::new(*dir.cid()), reason })
    }
}

impl Level {
    /// Asks for the roots of the next entries; says of how many.
    async fn ask(&mut self, room: usize) -> Result<usize, ReadError> {
        let mut cids = Vec::with_capacity(room);
        while cids.len() < room {
            let Some(entry) = self.entries.next().await? else {
                self.ended = true;
                break;
            };
            cids.push(entry.cid);
            self.asked.push_back(entry);
        }
        let count = cids.len();
        self.ahead.ask(cids);
        Ok(count)
    }
}
