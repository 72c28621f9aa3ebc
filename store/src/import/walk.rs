//! What an import reads, in the order in which it is announced: files and folders depth first, names sorted as
//! bytes, which is the order of Kubo.

use super::{ImportError, Options};
use ignore::gitignore::Gitignore;
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use crate::unixfs::{meta::FileMeta, node::Mtime};

/// Deepest nesting of folders that is followed: deeper than any path that Linux lets a program name at once.
const MAX_DEPTH: usize = 4096;

/// Something to add.
pub enum Source {
    /// A file, folder or symlink.
    Path(PathBuf),
    /// A stream under a name; without one it is named by its CID.
    Stream {
        /// Its name, if any.
        name: Option<Vec<u8>>,
        /// Its bytes.
        reader: Box<dyn Read + Send>,
    },
    /// Trees that come from elsewhere, one after another, each an argument of its own.
    Steps(Box<dyn Steps>),
}

/// Trees that somebody else walks: an upload, for example. Names are plain file names, and every
/// [`Step::Enter`] has its [`Step::Leave`]; what the metas hold is what was sent.
pub trait Steps: Send {
    /// The next step, or `None` at the end. The reader of a file is read to its end before the next call.
    ///
    /// # Errors
    /// When the source fails.
    fn next(&mut self) -> Result<Option<Step>, ImportError>;
}

/// One step of a walk.
pub enum Step {
    /// A folder begins.
    Enter {
        /// Its name in its parent.
        name: Vec<u8>,
        /// What is kept of its meta.
        meta: FileMeta,
    },
    /// The innermost open folder ends.
    Leave,
    /// A symlink.
    Symlink {
        /// Its name in its parent.
        name: Vec<u8>,
        /// Where it points.
        target: Vec<u8>,
        /// What is kept of its meta.
        meta: FileMeta,
    },
    /// A file.
    File {
        /// Its name in its parent; `None` for a stream without one.
        name: Option<Vec<u8>>,
        /// What is kept of its meta.
        meta: FileMeta,
        /// What is read.
        path: PathBuf,
        /// Its bytes.
        reader: Box<dyn Read + Send>,
        /// Length in bytes when it was opened; `None` for streams.
        size: Option<u64>,
    },
}

struct Folder {
    path: PathBuf,
    /// Names still to come, last first.
    names: Vec<OsString>,
    identity: (u64, u64),
}

/// The steps of one source.
pub struct Walk<'a> {
    options: &'a Options,
    root: PathBuf,
    first: Option<Source>,
    open: Vec<Folder>,
    foreign: Option<Box<dyn Steps>>,
}

impl<'a> Walk<'a> {
    /// Prepares the walk of a source.
    pub fn new(source: Source, options: &'a Options) -> Self {
        let root = match &source {
            Source::Path(path) => path.clone(),
            Source::Stream { .. } | Source::Steps(_) => PathBuf::new(),
        };
        Self { options, root, first: Some(source), open: Vec::new(), foreign: None }
    }

    fn meta(&self, metadata: &Metadata) -> FileMeta {
        self.kept(FileMeta {
            mode: Some(metadata.mode() & 0o7777),
            mtime: Some(Mtime { seconds: metadata.mtime(), nanos: u32::try_from(metadata.mtime_nsec()).unwrap_or(0) }),
        })
    }

    /// What the options keep of a meta, or put in its place.
    fn kept(&self, found: FileMeta) -> FileMeta {
        let o = self.options;
        FileMeta {
            mode: found.mode.filter(|_| o.preserve_mode).or(o.mode),
            mtime: found.mtime.filter(|_| o.preserve_mtime).or(o.mtime),
        }
    }

    /// The next step of trees from elsewhere.
    fn next_foreign(&mut self) -> Result<Option<Step>, ImportError> {
        let Some(steps) = &mut self.foreign else { return Ok(None) };
        let Some(mut step) = steps.next()? else { return Ok(None) };
        match &mut step {
            Step::Enter { meta, .. } | Step::File { meta, .. } => *meta = self.kept(*meta),
            // Kubo keeps no mode for symlinks.
            Step::Symlink { meta, .. } => *meta = FileMeta { mode: None, ..self.kept(*meta) },
            Step::Leave => {}
        }
        Ok(Some(step))
    }

    fn visit(&mut self, path: PathBuf, name: Vec<u8>, top: bool) -> Result<Option<Step>, ImportError> {
        let io = |action: &'static str, error: io::Error| ImportError::read(action, &path, error);
        let follow = self.options.dereference_symlinks || (top && self.options.dereference_args);
        let metadata = if follow { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
        let metadata = metadata.map_err(|e| io("examine", e))?;
        let kind = metadata.file_type();
        let meta = self.meta(&metadata);
        if kind.is_dir() {
            return self.enter(path, name, top, &metadata);
        }
        if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(|e| io("read the link", e))?.into_os_string().into_vec();
            // Kubo keeps no mode for symlinks.
            return Ok(Some(Step::Symlink { name, target, meta: FileMeta { mode: None, ..meta } }));
        }
        if !kind.is_file() {
            return Err(ImportError::Special { path });
        }
        // O_NONBLOCK: the file may have been replaced by a FIFO since it was examined.
        let mut open = fs::OpenOptions::new();
        let file = open.read(true).custom_flags(libc::O_NONBLOCK).open(&path).map_err(|e| io("open", e))?;
        let size = Some(metadata.len());
        advise_sequential(&file, metadata.len());
        Ok(Some(Step::File { name: Some(name), meta, path, reader: Box::new(file), size }))
    }

    fn enter(
        &mut self,
        path: PathBuf,
        name: Vec<u8>,
        top: bool,
        metadata: &Metadata,
    ) -> Result<Option<Step>, ImportError> {
        if top && !self.options.recursive {
            return Err(ImportError::NotRecursive { path });
        }
        let identity = (metadata.dev(), metadata.ino());
        if self.open.len() >= MAX_DEPTH || self.open.iter().any(|f| f.identity == identity) {
            return Err(ImportError::Loop { path });
        }
        let meta = self.meta(metadata);
        let mut names = self.names(&path)?;
        if names.is_empty() && !top && !self.options.empty_dirs {
            return Ok(None);
        }
        names.sort_unstable_by(|a, b| b.as_bytes().cmp(a.as_bytes()));
        self.open.push(Folder { path, names, identity });
        Ok(Some(Step::Enter { name, meta }))
    }

    fn names(&self, path: &Path) -> Result<Vec<OsString>, ImportError> {
        let io = |error| ImportError::read("list", path, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            let folder = || entry.file_type().is_ok_and(|t| t.is_dir());
            if !self.options.hidden && name.as_bytes().starts_with(b".") {
                continue;
            }
            if !self.options.ignore.is_empty() && ignored(&self.options.ignore, &self.root, &entry.path(), folder()) {
                continue;
            }
            names.push(name);
        }
        Ok(names)
    }

    /// The next step, or `None` at the end.
    ///
    /// # Errors
    /// When something can't be read, or is not a file, folder or symlink.
    pub fn step(&mut self) -> Result<Option<Step>, ImportError> {
        match self.first.take() {
            Some(Source::Stream { name, reader }) => {
                let meta = FileMeta { mode: self.options.mode, mtime: self.options.mtime };
                let path = PathBuf::from("standard input");
                return Ok(Some(Step::File { name, meta, path, reader, size: None }));
            }
            Some(Source::Path(path)) => {
                let name = base_name(&path).map_err(|e| ImportError::read("find", &path, e))?;
                return self.visit(path, name, true);
            }
            Some(Source::Steps(steps)) => self.foreign = Some(steps),
            None => {}
        }
        if self.foreign.is_some() {
            return self.next_foreign();
        }
        loop {
            let Some(folder) = self.open.last_mut() else { return Ok(None) };
            let Some(name) = folder.names.pop() else {
                self.open.pop();
                return Ok(Some(Step::Leave));
            };
            let path = folder.path.join(&name);
            if let Some(step) = self.visit(path, name.into_vec(), false)? {
                return Ok(Some(step));
            }
        }
    }
}

fn ignored(rules: &Gitignore, root: &Path, path: &Path, folder: bool) -> bool {
    // Rules are relative to the folder that is added, as if the rule file stood in it.
    let relative = path.strip_prefix(root).unwrap_or(path);
    rules.matched(relative, folder).is_ignore()
}

/// The name under which a path is added: its last component; for `.` and `..` that of the folder they stand for.
fn base_name(path: &Path) -> io::Result<Vec<u8>> {
    let name = match path.components().next_back() {
        Some(std::path::Component::Normal(name)) => name.to_owned(),
        _ => fs::canonicalize(path)?.file_name().map_or_else(|| OsString::from("/"), OsStr::to_owned),
    };
    Ok(name.into_vec())
}

/// Files from this length on are announced to the kernel as read from front to back.
const ADVISE_FROM: u64 = 1 << 20;

fn advise_sequential(file: &File, size: u64) {
    if size >= ADVISE_FROM {
        // Only advice: a file system that takes none reads as well.
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Sequential);
    }
}
