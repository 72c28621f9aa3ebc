//! Writes files, directories and symlinks from the store to disk.
//!
//! What the DAG says is a stranger's: a name that is not one plain path component ends the extraction, and
//! nothing is ever written through a symlink, since every step goes from an open directory to the next without
//! following links. A file appears under its name when it is complete and not before: it is written under a
//! temporary name beside it, then renamed. Of the permissions the set-user-id and set-group-id bits are not
//! restored: a stranger's program would run as whoever fetched it.
//!
//! Directories get their permissions and times when their last entry was written. Existing directories are
//! written into; existing files, symlinks and empty directories of the same name as a file are replaced.

mod place;

use super::{
    FileReader, ReadError,
    meta::FileMeta,
    tree::{Step, Tree},
};
use crate::{
    Cid,
    fetch::{Deadline, Fetch},
    task::in_context,
};
use bytes::Bytes;
use place::{OpenDir, Shared};
use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{runtime::Handle, task::JoinSet};

/// Small files that one job writes at most.
const JOB_FILES: usize = 64;
/// Bytes of small files that one job writes, or a little more.
const JOB_BYTES: usize = 4 << 20;
/// Directories that the files of one job may be in: each is an open file.
const JOB_DIRS: usize = 8;

/// Told how many more bytes of files were written.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Where to write, and how.
#[derive(Clone)]
pub struct Options {
    /// The path that the root gets. A file or symlink goes into it if it is a directory already.
    pub output: PathBuf,
    /// Name of a file or symlink at the root, in that case.
    pub root_name: OsString,
    /// Jobs that write at the same time: each holds some MiB.
    pub jobs: usize,
    /// Told what was written.
    pub progress: Option<Progress>,
}

/// Why an extraction ended early. What was complete by then stays.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExtractError {
    /// A block can't be had or is malformed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The system refused an operation.
    #[error("{context}: {error}")]
    Io {
        /// What was attempted, and on what.
        context: String,
        /// The system's answer.
        error: Arc<io::Error>,
    },
    /// A name in the DAG is no file name.
    #[error(
        "the directory at {directory:?} has an entry named {name:?}, which is no file name: nothing is written outside of the output"
    )]
    BadName {
        /// Where it would have been written.
        directory: PathBuf,
        /// The name.
        name: String,
    },
    /// Something that is no directory is where a directory should be.
    #[error(
        "{0:?} exists and is not a directory: nothing is written through it; move it away, or choose another output"
    )]
    InTheWay(PathBuf),
    /// A device, pipe or socket is where a file should be.
    #[error("{0:?} is a device, pipe or socket, which is not replaced by a file: `cairn cat` writes into those")]
    Special(PathBuf),
    /// It was given up.
    #[error("the extraction was given up")]
    Stopped,
}

impl ExtractError {
    fn io(context: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self::Io { context: context.into(), error: Arc::new(error.into()) }
    }
}

/// Something to write.
struct Item {
    dir: Arc<OpenDir>,
    name: OsString,
    meta: FileMeta,
    content: Content,
}

enum Content {
    /// A file that is in memory.
    Small(Bytes),
    /// A file that is read while it is written.
    Large(Box<FileReader>),
    /// A symlink with that target.
    Symlink(Bytes),
}

/// Writes what `root` is to `options.output`. Dropping the future stops it; no half file is left.
///
/// Must run within a tokio runtime.
///
/// # Errors
/// At the first thing that can't be read or written.
pub async fn extract(
    fetch: Arc<dyn Fetch>,
    root: &Cid,
    options: Options,
    deadline: Deadline,
) -> Result<(), ExtractError> {
    let shared = Arc::new(Shared::new(options.progress.clone()));
    let _stop = StopOnDrop(Arc::clone(&shared));
    let mut crew = Crew::new(Arc::clone(&shared), options.jobs.max(1));
    let result = feed(fetch, root, &options, deadline, &mut crew).await;
    if result.is_err() {
        shared.stop();
    }
    let finished = crew.finish().await;
    // Whatever stopped the jobs came first.
    result.and(finished).and(shared.failure())
}

/// Walks the tree and hands what has to be written to the crew.
async fn feed(
    fetch: Arc<dyn Fetch>,
    root: &Cid,
    options: &Options,
    deadline: Deadline,
    crew: &mut Crew,
) -> Result<(), ExtractError> {
    let mut tree = Tree::open(Arc::clone(&fetch), root, deadline).await?;
    let mut dirs: Vec<Arc<OpenDir>> = Vec::new();
    while let Some(step) = tree.next().await? {
        let (name, meta, content) = match step {
            Step::Leave => {
                dirs.pop();
                continue;
            }
            Step::Enter { name, meta } => {
                let dir = match dirs.last() {
                    None => OpenDir::root(&options.output, meta, Arc::clone(&crew.shared))?,
                    Some(parent) => parent.child(component(&name, parent.path())?, meta)?,
                };
                dirs.push(Arc::new(dir));
                continue;
            }
            Step::File { name, meta, node, .. } if node.children.is_empty() => (name, meta, Content::Small(node.data)),
            Step::File { name, cid, meta, node } => {
                let reader = FileReader::from_node(Arc::clone(&fetch), &cid, node, deadline);
                (name, meta, Content::Large(Box::new(reader)))
            }
            Step::Symlink { name, meta, target } => (name, meta, Content::Symlink(target)),
        };
        let (dir, name) = match dirs.last() {
            Some(dir) => (Arc::clone(dir), component(&name, dir.path())?.to_owned()),
            None => lone_target(options, &crew.shared)?,
        };
        crew.submit(Item { dir, name, meta, content }).await?;
    }
    Ok(())
}

/// Refuses to put a file in the place of a device, a pipe or a socket, or of a symlink to one, as `/dev/stdout` is.
///
/// # Errors
/// [`ExtractError::Special`].
pub fn refuse_special(output: &Path) -> Result<(), ExtractError> {
    match std::fs::metadata(output) {
        Ok(found) if !found.is_file() && !found.is_dir() => Err(ExtractError::Special(output.to_owned())),
        _ => Ok(()),
    }
}

/// Where a file or symlink at the root goes.
fn lone_target(options: &Options, shared: &Arc<Shared>) -> Result<(Arc<OpenDir>, OsString), ExtractError> {
    let output = &options.output;
    refuse_special(output)?;
    let existing = std::fs::symlink_metadata(output).is_ok_and(|m| m.is_dir());
    let (parent, name) = match (existing, output.file_name()) {
        (false, Some(name)) => (output.parent().unwrap_or(Path::new("")), name),
        _ => (output.as_path(), component(options.root_name.as_bytes(), output)?),
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    Ok((Arc::new(OpenDir::existing(parent, Arc::clone(shared))?), name.to_owned()))
}

/// A name that is one plain component of a path.
fn component<'a>(name: &'a [u8], directory: &Path) -> Result<&'a OsStr, ExtractError> {
    if !super::is_plain_name(name) {
        let name = String::from_utf8_lossy(name).into_owned();
        return Err(ExtractError::BadName { directory: directory.to_owned(), name });
    }
    Ok(OsStr::from_bytes(name))
}

/// Tells the jobs to stop when the extraction is dropped.
struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The jobs that write. Small files are written many at a time.
struct Crew {
    shared: Arc<Shared>,
    limit: usize,
    jobs: JoinSet<Result<(), ExtractError>>,
    batch: Vec<Item>,
    batch_bytes: usize,
    batch_dirs: usize,
}

impl Crew {
    fn new(shared: Arc<Shared>, limit: usize) -> Self {
        Self { shared, limit, jobs: JoinSet::new(), batch: Vec::new(), batch_bytes: 0, batch_dirs: 0 }
    }

    async fn submit(&mut self, item: Item) -> Result<(), ExtractError> {
        let bytes = match &item.content {
            Content::Large(_) => return self.launch(vec![item]).await,
            Content::Small(bytes) | Content::Symlink(bytes) => bytes.len(),
        };
        if self.batch.last().is_none_or(|last| !Arc::ptr_eq(&last.dir, &item.dir)) {
            self.batch_dirs += 1;
        }
        self.batch_bytes += bytes;
        self.batch.push(item);
        let full = self.batch.len() >= JOB_FILES || self.batch_bytes >= JOB_BYTES || self.batch_dirs >= JOB_DIRS;
        if full { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), ExtractError> {
        (self.batch_bytes, self.batch_dirs) = (0, 0);
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() { Ok(()) } else { self.launch(batch).await }
    }

    async fn launch(&mut self, items: Vec<Item>) -> Result<(), ExtractError> {
        while self.jobs.len() >= self.limit {
            self.join().await?;
        }
        let shared = Arc::clone(&self.shared);
        let runtime = Handle::current();
        self.jobs.spawn_blocking(in_context(move || {
            let result = items.into_iter().try_for_each(|item| {
                shared.check()?;
                item.write(&runtime)
            });
            if result.is_err() {
                shared.stop();
            }
            result
        }));
        Ok(())
    }

    async fn join(&mut self) -> Result<(), ExtractError> {
        match self.jobs.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(error)) => Err(ExtractError::io("a writing thread died", io::Error::other(error))),
            None => Ok(()),
        }
    }

    /// Waits for all jobs; gives the error that stopped them, if any.
    async fn finish(mut self) -> Result<(), ExtractError> {
        let mut result = self.flush().await;
        while !self.jobs.is_empty() {
            let joined = self.join().await;
            if matches!(result, Ok(()) | Err(ExtractError::Stopped)) && joined.is_err() {
                result = joined;
            }
        }
        result
    }
}

impl Item {
    fn write(self, runtime: &Handle) -> Result<(), ExtractError> {
        match self.content {
            Content::Symlink(target) => self.dir.symlink(&self.name, &target, self.meta),
            Content::Small(bytes) => self.dir.file(&self.name, self.meta, |out| out.write(&bytes)),
            Content::Large(mut reader) => self.dir.file(&self.name, self.meta, |out| {
                while let Some(chunk) = runtime.block_on(reader.next())? {
                    out.write(&chunk)?;
                }
                Ok(())
            }),
        }
    }
}
