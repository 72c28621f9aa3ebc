//! Writes files and directories as a tar archive: ustar headers, and a pax header before what does not fit one.

use super::{
    FileReader, ReadError,
    extract::Progress,
    is_plain_name,
    meta::FileMeta,
    node::Mtime,
    tree::{Step, Tree},
};
use crate::{
    Cid,
    fetch::{Deadline, Fetch},
};
use bytes::Bytes;
use std::{
    io::{self, Write},
    sync::Arc,
};

/// Unit of a tar archive in bytes.
const BLOCK: usize = 512;
/// Longest name, and longest symlink target, in a ustar header.
const NAME: usize = 100;
/// Longest prefix before the name.
const PREFIX: usize = 155;
/// Bytes of headers that are gathered.
const PIECE: usize = 16 << 10;
/// Largest number in a field of 12 bytes: 11 octal digits.
const MAX_OCTAL: u64 = (1 << 33) - 1;

/// Why an archive was not completed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A block can't be had or is malformed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The archive can't be written.
    #[error("cannot write the archive: {0}")]
    Io(#[from] io::Error),
    /// A name would lead out of the archive's root.
    #[error("relative UnixFS paths outside the root are not allowed, use CAR instead: {0:?} is no file name")]
    BadName(String),
    /// Not a single file, and it was to be written without tar.
    #[error("file is not regular: add --archive to get a directory as .tar.gz")]
    NotRegular,
}

/// How to write.
#[derive(Clone, Default)]
pub struct Options {
    /// Modification time of what has none.
    pub now: Option<Mtime>,
    /// Told how many more bytes of files were written.
    pub progress: Option<Progress>,
    /// How long a block may take.
    pub deadline: Deadline,
}

/// Writes the file with that root, and nothing around it. `out` is written from the calling task.
///
/// # Errors
/// When it is no file, can't be read, or can't be written.
pub async fn write_plain(
    fetch: Arc<dyn Fetch>,
    root: &Cid,
    out: &mut impl Write,
    options: &Options,
) -> Result<(), ArchiveError> {
    let opened = FileReader::open(fetch, root, options.deadline).await;
    let reader = opened.map_err(|error| match error {
        ReadError::IsDirectory(_) | ReadError::IsSymlink(_) => ArchiveError::NotRegular,
        other => other.into(),
    })?;
    copy(reader, out, options).await
}

/// Writes what `root` is as a tar archive, under the name `name`. `out` is written from the calling task.
///
/// # Errors
/// When something can't be read or written, or a name in the DAG is no file name.
pub async fn write_tar(
    fetch: Arc<dyn Fetch>,
    root: &Cid,
    name: &[u8],
    out: &mut impl Write,
    options: &Options,
) -> Result<(), ArchiveError> {
    let mut archive = Archive::open(fetch, root, name, options.clone()).await?;
    while let Some(piece) = archive.next().await? {
        out.write_all(&piece)?;
    }
    Ok(())
}

/// A tar archive that is read piece by piece.
pub struct Archive {
    fetch: Arc<dyn Fetch>,
    options: Options,
    tree: Tree,
    path: Vec<u8>,
    /// Length of the name of the root.
    root: usize,
    /// Length of the path at each open directory.
    lengths: Vec<usize>,
    /// The file whose bytes come next, and how many there are of them in all.
    file: Option<(FileReader, u64)>,
    ended: bool,
}

impl Archive {
    /// Begins an archive of what `root` is, under the name `name`.
    ///
    /// # Errors
    /// When the root can't be had, or is neither file nor directory.
    pub async fn open(fetch: Arc<dyn Fetch>, root: &Cid, name: &[u8], options: Options) -> Result<Self, ArchiveError> {
        let tree = Tree::open(Arc::clone(&fetch), root, options.deadline).await?;
        Ok(Self {
            fetch,
            options,
            tree,
            path: name.to_vec(),
            root: name.len(),
            lengths: Vec::new(),
            file: None,
            ended: false,
        })
    }

    /// The next bytes: headers and padding gathered, those of files as they are; `None` at the end.
    ///
    /// # Errors
    /// When something can't be read, or a name in the DAG is no file name. The archive can't go on then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ArchiveError> {
        let mut out = Vec::new();
        while !self.ended && out.len() < PIECE {
            let Some((reader, size)) = &mut self.file else {
                self.step(&mut out).await?;
                continue;
            };
            if !out.is_empty() {
                break;
            }
            if let Some(chunk) = reader.next().await? {
                if let Some(progress) = &self.options.progress {
                    progress(chunk.len() as u64);
                }
                return Ok(Some(chunk));
            }
            let size = *size;
            self.file = None;
            pad(&mut out, size)?;
        }
        Ok(Some(Bytes::from(out)).filter(|out| !out.is_empty()))
    }

    /// Goes on by one entry of the tree.
    async fn step(&mut self, out: &mut Vec<u8>) -> Result<(), ArchiveError> {
        let Some(step) = self.tree.next().await? else {
            out.extend_from_slice(&[0; 2 * BLOCK]);
            self.ended = true;
            return Ok(());
        };
        let (entry, meta) = match &step {
            Step::Leave => {
                self.lengths.pop();
                self.leave();
                return Ok(());
            }
            Step::Enter { name, meta } | Step::File { name, meta, .. } | Step::Symlink { name, meta, .. } => {
                (name, *meta)
            }
        };
        // The root goes by the name that it was given.
        if !self.lengths.is_empty() {
            let root = self.root;
            join(&mut self.path, root, entry)?;
        }
        let time = meta.mtime.or(self.options.now).unwrap_or(Mtime { seconds: 0, nanos: 0 });
        let path = &self.path;
        match step {
            Step::Enter { .. } => {
                header(out, path, b'5', 0, mode(&meta, 0o755), time, b"")?;
                self.lengths.push(self.path.len());
                return Ok(());
            }
            Step::Symlink { ref target, .. } => header(out, path, b'2', 0, mode(&meta, 0o777), time, target)?,
            Step::File { cid, node, .. } => {
                let size = node.size;
                header(out, path, b'0', size, mode(&meta, 0o644), time, b"")?;
                let fetch = Arc::clone(&self.fetch);
                self.file = Some((FileReader::from_node(fetch, &cid, node, self.options.deadline), size));
            }
            Step::Leave => {}
        }
        self.leave();
        Ok(())
    }

    /// Cuts the path back to the directory that is open.
    fn leave(&mut self) {
        self.path.truncate(self.lengths.last().copied().unwrap_or_default());
    }
}

async fn copy(mut reader: FileReader, out: &mut impl Write, options: &Options) -> Result<(), ArchiveError> {
    while let Some(chunk) = reader.next().await? {
        out.write_all(&chunk)?;
        if let Some(progress) = &options.progress {
            progress(chunk.len() as u64);
        }
    }
    Ok(())
}

/// Appends an entry's name to a path. A name may hold slashes and dots, as long as it does not lead out of the root, whose
/// name has `root` bytes (IPIP-288).
fn join(path: &mut Vec<u8>, root: usize, name: &[u8]) -> Result<(), ArchiveError> {
    if is_plain_name(name) {
        path.push(b'/');
        path.extend_from_slice(name);
        return Ok(());
    }
    let refuse = || ArchiveError::BadName(String::from_utf8_lossy(name).into_owned());
    let before = path.len();
    for segment in name.split(|&b| b == b'/') {
        match segment {
            b"" | b"." => {}
            b".." if path.len() <= root => return Err(refuse()),
            b".." => path.truncate(path.iter().rposition(|&b| b == b'/').map_or(root, |at| at.max(root))),
            _ if segment.contains(&0) => return Err(refuse()),
            _ => {
                path.push(b'/');
                path.extend_from_slice(segment);
            }
        }
    }
    // A name that says nothing, or names the root itself, is no name of an entry.
    if path.len() <= root || path.len() == before { Err(refuse()) } else { Ok(()) }
}

fn mode(meta: &FileMeta, default: u32) -> u32 {
    meta.mode.unwrap_or(default)
}

fn pad(out: &mut impl Write, size: u64) -> io::Result<()> {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    if over > 0 { out.write_all(&[0; BLOCK][over..]) } else { Ok(()) }
}

/// Writes an entry's header, and a pax header before it where it needs one.
fn header(
    out: &mut impl Write,
    path: &[u8],
    kind: u8,
    size: u64,
    mode: u32,
    mtime: Mtime,
    link: &[u8],
) -> Result<(), ArchiveError> {
    if link.contains(&0) {
        return Err(ArchiveError::BadName(String::from_utf8_lossy(link).into_owned()));
    }
    // Whole seconds, to the nearest, as deployed writers have it.
    let seconds = mtime.seconds.saturating_add(i64::from(mtime.nanos >= 500_000_000));
    let time = u64::try_from(seconds).ok().filter(|&t| t <= MAX_OCTAL);
    let split = split(path).filter(|_| path.is_ascii());
    let mut records = Vec::new();
    if !(link.is_ascii() && link.len() <= NAME) {
        record(&mut records, "linkpath", link);
    }
    if time.is_none() {
        record(&mut records, "mtime", seconds.to_string().as_bytes());
    }
    if split.is_none() {
        record(&mut records, "path", path);
    }
    if size > MAX_OCTAL {
        record(&mut records, "size", size.to_string().as_bytes());
    }
    if !records.is_empty() {
        let slash = path.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
        let pax = [&path[..slash], b"PaxHeaders.0/", &path[slash..]].concat();
        let len = records.len() as u64;
        out.write_all(&ustar(b"", &ascii(&pax), b'x', len, 0, 0, b""))?;
        out.write_all(&records)?;
        pad(out, len)?;
    }
    let (prefix, name) = split.unwrap_or((b"", path));
    let size = if size > MAX_OCTAL { 0 } else { size };
    let block = ustar(prefix, &ascii(name), kind, size, mode, time.unwrap_or_default(), &ascii(link));
    Ok(out.write_all(&block)?)
}

/// Prefix and name that a ustar header can hold; `None` if there is no such split.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= NAME {
        return Some((b"", path));
    }
    // The slash between them is not stored; the last one that leaves a short enough prefix.
    let window = &path[..path.len().min(PREFIX + 1)];
    let at = window.iter().rposition(|&b| b == b'/').filter(|&at| at > 0)?;
    let name = &path[at + 1..];
    (!name.is_empty() && name.len() <= NAME).then_some((&path[..at], name))
}

/// Only the ASCII of a text, for readers that know no pax.
fn ascii(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(u8::is_ascii).collect()
}

/// A record of a pax header: its own length in decimal, key and value.
fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let mut len = body + 1;
    while len != body + len.to_string().len() {
        len = body + len.to_string().len();
    }
    out.extend_from_slice(format!("{len} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn ustar(prefix: &[u8], name: &[u8], kind: u8, size: u64, mode: u32, mtime: u64, link: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut text = |at: usize, len: usize, value: &[u8]| {
        let len = len.min(value.len());
        block[at..at + len].copy_from_slice(&value[..len]);
    };
    text(0, NAME, name);
    text(100, 8, format!("{mode:07o}\0").as_bytes());
    text(108, 8, b"0000000\0");
    text(116, 8, b"0000000\0");
    text(124, 12, format!("{size:011o}\0").as_bytes());
    text(136, 12, format!("{mtime:011o}\0").as_bytes());
    text(148, 8, b"        ");
    text(156, 1, &[kind]);
    text(157, NAME, link);
    text(257, 8, b"ustar\x0000");
    text(329, 8, b"0000000\0");
    text(337, 8, b"0000000\0");
    text(345, PREFIX, prefix);
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
