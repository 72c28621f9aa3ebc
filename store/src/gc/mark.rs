//! The first half of a collection: marking what is kept.

use super::{Event, GcError, Watch, marks::Run};
use crate::{
    Block, Cid, StoreError,
    blockstore::KvBlocks,
    dag::{
        self, NodeError,
        drain::{Links, drain},
        pile::Pile,
    },
    kv::{Batch, Durability, Table},
    pin::{PinMode, Pins},
};
use std::collections::{HashMap, HashSet};

/// Nodes that wait in memory; more of them wait in their work rows alone. 10 MiB.
const MAX_WAITING: usize = 64 << 10;
/// Links of one node that are looked up at once.
const REACH_BATCH: usize = 4096;
/// A batch of marks is written when it has this many bytes.
const BATCH_BYTES: usize = 1 << 20;
/// Marks that are remembered as written, so as to not look them up again. 6 MiB.
const CACHED: usize = 64 << 10;

/// A collection that is marking.
pub(super) struct Marker<'a, 'w> {
    blocks: &'a KvBlocks,
    run: &'a Run,
    watch: &'a mut Watch<'w>,
    batch: Batch,
    /// Work rows that belong to marks in `batch`. Most nodes are read before it is written, and need none.
    work: HashMap<Vec<u8>, bool>,
    /// Marks in `batch`, which a look-up in the table does not see, and some that were written before.
    cache: HashSet<Vec<u8>>,
    /// Whether a missing block is an error: it is below a pin, and not below the roots of the caller.
    strict: bool,
    /// Whether some nodes wait in their work rows alone.
    spilled: bool,
    failed: bool,
    /// Whether a block was passed over that could not be read.
    passed_over: bool,
}

impl<'a, 'w> Marker<'a, 'w> {
    pub(super) fn new(blocks: &'a KvBlocks, run: &'a Run, watch: &'a mut Watch<'w>) -> Self {
        Self {
            blocks,
            run,
            watch,
            batch: Batch::new(),
            work: HashMap::new(),
            cache: HashSet::new(),
            strict: true,
            spilled: false,
            failed: false,
            passed_over: false,
        }
    }

    /// Marks everything below the pins and the extra roots. Whether all of it could be read.
    pub(super) fn run(mut self, pins: &Pins, roots: &[Cid]) -> Result<bool, GcError> {
        let ended = self.mark(pins, roots);
        if matches!(ended, Ok(()) | Err(GcError::Stopped)) {
            self.write()?;
        }
        ended.map(|()| !self.failed)
    }

    fn mark(&mut self, pins: &Pins, roots: &[Cid]) -> Result<(), GcError> {
        // What an interrupted run left to do. First what is strict: what both reach is then strict.
        self.go_on(true)?;
        let mut stack = Pile::new();
        for pin in pins.iter() {
            let pin = pin?;
            match pin.mode {
                PinMode::Recursive => self.reach(vec![pin.cid], &mut stack)?,
                PinMode::Direct => {
                    let key = self.run.mark(&pin.cid, true);
                    self.batch.put(Table::Marks, key, Vec::new());
                }
            }
            if stack.len() >= MAX_WAITING {
                self.drain(&mut stack)?;
            }
        }
        self.drain(&mut stack)?;
        if self.spilled {
            self.go_on(true)?;
        }
        self.strict = false;
        self.reach(roots.to_vec(), &mut stack)?;
        self.drain(&mut stack)?;
        self.go_on(false)
    }

    /// Works off the work rows that are not in memory.
    fn go_on(&mut self, strict: bool) -> Result<(), GcError> {
        self.strict = strict;
        loop {
            self.spilled = false;
            let mut after = None;
            loop {
                self.write()?;
                let mut stack = Pile::new();
                for row in self.run.waiting(self.blocks.kv().as_ref(), after.as_ref()) {
                    let (cid, row_strict) = row?;
                    after = Some(cid);
                    if row_strict == strict {
                        stack.push(cid)?;
                    }
                    if stack.len() == MAX_WAITING {
                        break;
                    }
                }
                if stack.is_empty() {
                    break;
                }
                self.drain(&mut stack)?;
            }
            // What was spilled behind the cursor needs another pass, unless the run has failed anyway.
            if !self.spilled || self.failed {
                return Ok(());
            }
        }
    }

    fn drain(&mut self, stack: &mut Pile) -> Result<(), GcError> {
        let blocks = self.blocks;
        drain(blocks, stack, |cid, links, stack| {
            self.watch.check()?;
            self.node(&cid, links, stack)
        })
    }

    /// Marks the links of a node.
    fn node(&mut self, cid: &Cid, links: Links, stack: &mut Pile) -> Result<(), GcError> {
        match links {
            Ok(links) => {
                let mut readable = true;
                for some in links.chunks(REACH_BATCH) {
                    let stored = self.through_identities(some, &mut readable);
                    self.reach(stored, stack)?;
                }
                if !readable {
                    // Its work row stays, as below.
                    return Ok(());
                }
                let row = self.run.work(cid);
                if self.work.remove(&row).is_none() {
                    self.batch.delete(Table::Marks, row);
                }
            }
            Err(NodeError::Store(error)) => return Err(error.into()),
            // Its work row stays: if this run is interrupted and the block comes back, its links are marked then.
            Err(NodeError::Missing(_)) if !self.strict => {}
            // A stranger's block that somebody linked to keeps nothing, and must not keep all garbage.
            Err(error) if !self.strict => self.pass_over(cid, &error),
            Err(error) => {
                self.failed = true;
                self.watch.tell(Event::Unreadable { cid: *cid, error });
            }
        }
        Ok(())
    }

    /// Says of a block that it keeps nothing else: the first time to everybody, for there may be any number of them.
    fn pass_over(&mut self, cid: &Cid, error: &dyn std::error::Error) {
        if std::mem::replace(&mut self.passed_over, true) {
            tracing::debug!(%cid, %error, "a block keeps nothing");
        } else {
            tracing::warn!(%cid, %error, "what a block links to is not kept, since it can't be read; no pin is above it");
        }
    }

    /// What is linked, and in place of an identity CID what it links to: it is no block, and needs no mark. Their
    /// size bounds how many of them stand inside each other.
    fn through_identities(&mut self, links: &[Cid], readable: &mut bool) -> Vec<Cid> {
        let mut stored = Vec::with_capacity(links.len());
        let mut inner = Vec::new();
        for link in links {
            inner.push(*link);
            while let Some(cid) = inner.pop() {
                let Some(block) = Block::from_identity(&cid) else {
                    stored.push(cid);
                    continue;
                };
                match dag::links(&cid, block.data()) {
                    Ok(links) => inner.extend(links),
                    Err(error) if !self.strict => self.pass_over(&cid, &error),
                    Err(error) => {
                        (self.failed, *readable) = (true, false);
                        self.watch.tell(Event::Unreadable { cid, error: error.into() });
                    }
                }
            }
        }
        stored
    }

    /// Marks blocks; those that are new and may have links are to be read.
    fn reach(&mut self, cids: Vec<Cid>, stack: &mut Pile) -> Result<(), GcError> {
        let (leaves, nodes): (Vec<Cid>, Vec<Cid>) = cids.into_iter().partition(dag::is_leaf);
        for leaf in leaves.iter().filter(|c| c.hash().code() != 0) {
            let key = self.run.mark(leaf, true);
            // To mark a leaf again costs less than to look whether it is marked.
            if self.remember(&key) {
                self.put_mark(key)?;
            }
        }
        let mut keys: Vec<(Cid, Vec<u8>)> = nodes.iter().map(|c| (*c, self.run.mark(c, false))).collect();
        keys.retain(|(_, key)| !self.cache.contains(key));
        let wanted: Vec<Vec<u8>> = keys.iter().map(|(_, key)| key.clone()).collect();
        let known = self.blocks.kv().get_many(Table::Marks, &wanted);
        for ((cid, key), known) in keys.into_iter().zip(known) {
            if known?.is_some() || !self.remember(&key) {
                continue;
            }
            // IMPORTANT: the work row first, so that it is in the batch of the mark: see `marks`.
            self.work.insert(self.run.work(&cid), self.strict);
            self.put_mark(key)?;
            if stack.len() < MAX_WAITING {
                stack.push(cid)?;
            } else {
                self.spilled = true;
            }
        }
        Ok(())
    }

    fn put_mark(&mut self, key: Vec<u8>) -> Result<(), GcError> {
        self.batch.put(Table::Marks, key, Vec::new());
        self.watch.marked();
        if self.batch.bytes() >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    /// Notes a mark that is about to be staged; whether it was not noted yet.
    fn remember(&mut self, key: &[u8]) -> bool {
        // IMPORTANT: whatever is staged must be in the cache until it is written.
        if self.cache.len() >= CACHED && self.batch.is_empty() {
            self.cache.clear();
        }
        self.cache.insert(key.to_vec())
    }

    fn write(&mut self) -> Result<(), GcError> {
        for (row, strict) in self.work.drain() {
            self.batch.put(Table::Marks, row, Run::work_value(strict));
        }
        if !self.batch.is_empty() {
            // Without the log: a power cut costs only work, since the table keeps the order of what is written.
            self.blocks.kv().write(std::mem::take(&mut self.batch), Durability::Buffered)?;
        }
        Ok(())
    }
}

impl From<StoreError> for GcError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
