//! Writing a DAG as a CARv1: depth first, each CID once, in the order of first sight.

use super::{write_header, write_section};
use crate::{
    Cid,
    dag::walk::{self, Seen, Sight, Trouble, WalkError},
    fetch::{Deadline, Fetch, FetchError},
};
use futures::StreamExt as _;
use std::{
    io::{self, Write},
    sync::Arc,
};

/// How to export.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExportOptions {
    /// Leaves out what is not here, or can't be read, and all that only it leads to. As in Kubo, such a CAR
    /// has each multihash once, and no identity blocks.
    pub partial: bool,
    /// How long a block may take.
    pub deadline: Deadline,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Sections.
    pub blocks: u64,
    /// Bytes of the whole CAR.
    pub bytes: u64,
}

/// Why an export failed. What was written is not a whole CAR.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The root can't be had: nothing was written.
    #[error(transparent)]
    Root(FetchError),
    /// Something below it can't.
    #[error("walk failed: could not load link: {0}")]
    Walk(#[from] WalkError),
    /// The output refused.
    #[error("writing the CAR: {0}")]
    Write(#[from] io::Error),
}

/// Writes the DAG below `root`, calling `progress` with the bytes written so far after each block.
///
/// Writes to `out` block the calling task: give it a thread of its own. Must run within a tokio runtime.
///
/// # Errors
/// When a block is missing or malformed, unless the export may be partial, or when `out` refuses.
pub async fn export(
    fetch: Arc<dyn Fetch>,
    root: Cid,
    options: ExportOptions,
    out: &mut (dyn Write + Send),
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Exported, ExportError> {
    // Before anything is written: a root that is missing should not leave half a CAR behind.
    fetch.fetch(&root, options.deadline).await.map_err(ExportError::Root)?;
    let trouble = if options.partial { Trouble::Skip } else { Trouble::Fail };
    let mut visits =
        walk::walk(fetch, root, walk::Options { trouble, deadline: options.deadline, ..walk::Options::default() });
    let mut written = Seen::new();
    let mut out = Counting { out, bytes: 0 };
    let mut blocks = 0;
    write_header(&mut out, &[root])?;
    while let Some(visit) = visits.next().await {
        let block = visit?;
        if options.partial {
            let hash = block.cid().hash();
            let new = hash.code() != 0 && written.visit(hash, 0).map_err(WalkError::from)? == Sight::New;
            if !new {
                continue;
            }
        }
        write_section(&mut out, &block)?;
        blocks += 1;
        progress(out.bytes);
    }
    out.flush()?;
    Ok(Exported { blocks, bytes: out.bytes })
}

struct Counting<'a> {
    out: &'a mut (dyn Write + Send),
    bytes: u64,
}

impl Write for Counting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
