//! Storing what a CAR holds: reading, hashing and writing overlap.
//!
//! ```text
//! reader thread → batches of 4 MiB → HASHERS threads → the caller's thread, in the order of the CAR → Bulk
//! ```
//!
//! At most [`QUEUE`] batches wait, so memory stays below about 40 MiB whatever the CAR holds.

use super::{CarError, CarReader, MAX_ROOTS, Section};
use crate::{
    Block, Cid, StoreError,
    block::{BlockError, MAX_BLOCK_SIZE},
    blockstore::{Bulk, KvBlocks},
    dag::{self, DagError, walk::Seen, walk::Sight},
    kv::Batch,
    task::in_context,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::{io::Read, sync::Arc, thread, time::Duration};

/// Threads that hash. Two keep up with any disk that one thread can write to.
const HASHERS: usize = 2;
/// Batches that wait to be hashed or written.
const QUEUE: usize = 2;
/// Bytes in a batch: enough blocks of 256 KiB to hash in lockstep.
const BATCH_BYTES: usize = 4 << 20;
/// Sections in a batch, however small.
const BATCH_SECTIONS: usize = 512;
/// How often a waiting import asks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(20);

/// What is accepted.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportOptions {
    /// Stores blocks over 2 MiB too, which other nodes will not take.
    pub allow_big_blocks: bool,
}

/// What was imported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Distinct roots of all headers, in the order in which they were met.
    pub roots: Vec<Cid>,
    /// Sections read, repeated blocks included.
    pub blocks: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
}

/// Why a block of a CAR is not stored.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The CAR is broken there.
    #[error(transparent)]
    Car(#[from] CarError),
    /// The bytes are not what the CID names.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The bytes are not what the codec says.
    #[error(transparent)]
    Dag(#[from] DagError),
    /// The block is over the limit.
    #[error(
        "produced block is over 2MiB: big blocks can't be exchanged with other peers. consider using UnixFS for automatic chunking of bigger files, or pass --allow-big-block to override"
    )]
    TooBig,
}

/// Why an import failed. Nothing of it is pinned; what was written is left to the next collection.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The stream is not a CAR.
    #[error(transparent)]
    Open(#[from] CarError),
    /// This block is refused.
    #[error("import failed at block {cid:?}: {reason}", cid = cid.to_string())]
    At {
        /// The block.
        cid: Box<Cid>,
        /// Why.
        reason: Refusal,
    },
    /// What comes after this block is broken; `None`: after the header.
    #[error("import failed{}: {reason}", previous.as_ref().map(|cid| format!(" after block \"{cid}\"")).unwrap_or_default())]
    After {
        /// The last good block.
        previous: Option<Box<Cid>>,
        /// What is wrong.
        reason: CarError,
    },
    /// The headers name too many roots.
    #[error("the headers name more than {MAX_ROOTS} distinct roots: import the CARs one by one")]
    TooManyRoots,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The caller asked to stop.
    #[error("the import was stopped")]
    Stopped,
}

/// An import of one or more CARs. Blocks that it stored are guarded from collections until it is dropped.
pub struct Import {
    /// IMPORTANT: holds the session, which must outlive the pinning of the roots (rule 2 of
    /// [`crate::session`]).
    bulk: Bulk,
    options: ImportOptions,
    imported: Imported,
    known_roots: Seen,
    previous: Option<Box<Cid>>,
}

/// What became of a batch: its blocks, or why one of them is refused.
type Hashed = Result<Vec<Block>, ImportError>;

struct Job {
    sections: Vec<Section>,
    answer: Sender<Hashed>,
}

/// What the writing thread waits for, in order.
enum Next {
    Batch(Receiver<Hashed>),
    Broken(CarError),
}

impl Import {
    /// Begins an import into that store.
    pub fn new(blocks: &Arc<KvBlocks>, options: ImportOptions) -> Self {
        Self { bulk: blocks.bulk(), options, imported: Imported::default(), known_roots: Seen::new(), previous: None }
    }

    /// What was read so far.
    pub fn imported(&self) -> &Imported {
        &self.imported
    }

    /// Reads one CAR to its end. `stop` is asked every few milliseconds whether to give up; a thread that is
    /// still reading `source` then is left behind, and ends with the next bytes that it gets.
    ///
    /// # Errors
    /// When the CAR is malformed, a block is not what its CID says, or the store refuses.
    pub fn read(&mut self, source: impl Read + Send + 'static, stop: &dyn Fn() -> bool) -> Result<(), ImportError> {
        self.previous = None;
        let (jobs, work) = bounded::<Job>(QUEUE);
        let (order, ordered) = bounded::<Next>(QUEUE);
        let (opened, opening) = bounded(1);
        let options = self.options;
        for _ in 0..HASHERS {
            let work = work.clone();
            // Ends when the reader does.
            thread::spawn(in_context(move || {
                work.iter().for_each(|job| drop(job.answer.send(check(job.sections, options))));
            }));
        }
        thread::spawn(in_context(move || read(source, &opened, &jobs, &order)));
        self.note_roots(wait(&opening, stop)??)?;
        loop {
            match wait(&ordered, stop) {
                Ok(Next::Batch(answer)) => self.store(wait(&answer, stop)??)?,
                Ok(Next::Broken(reason)) => return Err(ImportError::After { previous: self.previous.take(), reason }),
                Err(Gone::Ended) => return Ok(()),
                Err(gone) => return Err(gone.into()),
            }
        }
    }

    fn note_roots(&mut self, roots: Vec<Cid>) -> Result<(), ImportError> {
        for root in roots {
            if !matches!(self.known_roots.visit(&root, 0), Ok(Sight::New)) {
                continue;
            }
            if self.imported.roots.len() == MAX_ROOTS {
                return Err(ImportError::TooManyRoots);
            }
            self.imported.roots.push(root);
        }
        Ok(())
    }

    fn store(&mut self, batch: Vec<Block>) -> Result<(), ImportError> {
        self.imported.blocks += batch.len() as u64;
        self.imported.bytes += batch.iter().map(|b| b.data().len() as u64).sum::<u64>();
        self.previous = batch.last().map(|b| Box::new(*b.cid()));
        Ok(self.bulk.put_many(batch)?)
    }

    /// Makes all of it durable, and says what it was. Blocks are guarded from collections until this import is
    /// dropped: pin the roots before.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn commit(&mut self) -> Result<&Imported, ImportError> {
        self.bulk.commit(Batch::new())?;
        Ok(&self.imported)
    }
}

/// Why nothing more comes from a channel.
enum Gone {
    Ended,
    Stopped,
}

impl From<Gone> for ImportError {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Ended => Self::Store(StoreError::Backend("a thread of the import died".into())),
            Gone::Stopped => Self::Stopped,
        }
    }
}

fn wait<T>(channel: &Receiver<T>, stop: &dyn Fn() -> bool) -> Result<T, Gone> {
    loop {
        if stop() {
            return Err(Gone::Stopped);
        }
        match channel.recv_timeout(PATIENCE) {
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Gone::Ended),
        }
    }
}

/// The reader's thread: ends with the stream, or when nobody listens any more.
fn read(source: impl Read, opened: &Sender<Result<Vec<Cid>, CarError>>, jobs: &Sender<Job>, order: &Sender<Next>) {
    let mut car = match CarReader::open(source) {
        Ok(car) => car,
        Err(error) => return drop(opened.send(Err(error))),
    };
    if opened.send(Ok(car.header().roots.clone())).is_err() {
        return;
    }
    loop {
        let (mut sections, mut bytes) = (Vec::new(), 0);
        let ended = loop {
            match car.next_section() {
                Ok(Some(section)) => {
                    bytes += section.data.len();
                    sections.push(section);
                    if bytes >= BATCH_BYTES || sections.len() >= BATCH_SECTIONS {
                        break None;
                    }
                }
                Ok(None) => break Some(None),
                Err(error) => break Some(Some(error)),
            }
        };
        if !sections.is_empty() {
            let (answer, hashed) = bounded(1);
            if order.send(Next::Batch(hashed)).is_err() || jobs.send(Job { sections, answer }).is_err() {
                return;
            }
        }
        match ended {
            None => {}
            Some(None) => return,
            Some(Some(error)) => return drop(order.send(Next::Broken(error))),
        }
    }
}

/// A hasher's work: all blocks of a batch, or what is wrong with the first that is not one.
fn check(sections: Vec<Section>, options: ImportOptions) -> Hashed {
    let names: Vec<Cid> = sections.iter().map(|s| s.cid).collect();
    let verified = Block::verify_many(sections.into_iter().map(|s| (s.cid, s.data)).collect());
    names
        .into_iter()
        .zip(verified)
        .map(|(cid, block)| {
            let refuse = |reason| ImportError::At { cid: Box::new(cid), reason };
            let block = block.map_err(|e| refuse(e.into()))?;
            if block.data().len() > MAX_BLOCK_SIZE && !options.allow_big_blocks {
                return Err(refuse(Refusal::TooBig));
            }
            // What can't be decoded could never be walked, pinned or exported again.
            dag::links(&cid, block.data()).map_err(|e| refuse(e.into()))?;
            Ok(block)
        })
        .collect()
}
