//! The record that the shim writes: what a process did to a directory, in order.

use anyhow::{Context as _, bail};
use std::{ops::Range, path::Path};

/// Kind, then inode, number, length of text, length of data.
const HEAD: usize = 33;

/// One thing that happened. Paths are relative to the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A file came to be.
    Create {
        /// Its inode.
        inode: u64,
        /// Its path.
        path: String,
    },
    /// Bytes were written to a file.
    Write {
        /// Its inode.
        inode: u64,
        /// Where in the file.
        offset: usize,
        /// Where in the record the bytes are.
        data: Range<usize>,
    },
    /// The length of a file was set.
    Truncate {
        /// Its inode.
        inode: u64,
        /// The length.
        len: usize,
    },
    /// A file's bytes were synced.
    Sync {
        /// Its inode.
        inode: u64,
    },
    /// A directory's names were synced.
    SyncDir {
        /// Its path.
        path: String,
    },
    /// A name changed.
    Name(NameChange),
    /// Something was printed: where in the record.
    Printed(Range<usize>),
}

/// A change of the names in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameChange {
    /// A file has a name: the number is this model's own, not the inode.
    File(String, usize),
    /// A name became another one, in place of what had it.
    Rename(String, String),
    /// A file has a second name.
    Link(String, String),
    /// A file lost a name.
    Unlink(String),
    /// A directory was made.
    MakeDir(String),
    /// A directory was removed.
    RemoveDir(String),
}

/// A whole record.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Its bytes: the data of writes is a part of them.
    pub bytes: Vec<u8>,
    /// What happened.
    pub events: Vec<Event>,
}

impl Record {
    /// Reads a record; a file that is not there is an empty one.
    ///
    /// # Errors
    /// When it is not what the shim writes.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let bytes = if path.exists() { std::fs::read(path)? } else { Vec::new() };
        let mut events = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (event, next) = parse(&bytes, at).with_context(|| format!("bad record at byte {at}"))?;
            events.push(event);
            at = next;
        }
        Ok(Self { bytes, events })
    }
}

fn parse(bytes: &[u8], at: usize) -> anyhow::Result<(Event, usize)> {
    let head = bytes.get(at..at + HEAD).context("it ends in a head")?;
    let field = |i: usize| -> anyhow::Result<u64> {
        let bytes = head.get(1 + 8 * i..9 + 8 * i).context("it ends in a head")?;
        Ok(u64::from_le_bytes(bytes.try_into()?))
    };
    let (inode, number) = (field(0)?, usize::try_from(field(1)?)?);
    let text_end = at + HEAD + usize::try_from(field(2)?)?;
    let end = text_end + usize::try_from(field(3)?)?;
    let text = bytes.get(at + HEAD..text_end).context("it ends in a path")?;
    bytes.get(text_end..end).context("it ends in data")?;
    let path = String::from_utf8(text.to_vec())?;
    let pair = || -> anyhow::Result<(String, String)> {
        let (from, to) = path.split_once('\0').context("one path where two belong")?;
        Ok((from.to_owned(), to.to_owned()))
    };
    let event = match head[0] {
        b'O' => Event::Create { inode, path },
        b'W' => Event::Write { inode, offset: number, data: text_end..end },
        b'T' => Event::Truncate { inode, len: number },
        b'S' => Event::Sync { inode },
        b'D' => Event::SyncDir { path },
        b'R' => pair().map(|(from, to)| Event::Name(NameChange::Rename(from, to)))?,
        b'L' => pair().map(|(from, to)| Event::Name(NameChange::Link(from, to)))?,
        b'U' => Event::Name(NameChange::Unlink(path)),
        b'M' => Event::Name(NameChange::MakeDir(path)),
        b'X' => Event::Name(NameChange::RemoveDir(path)),
        b'P' => Event::Printed(text_end..end),
        other => bail!("unknown kind {other}"),
    };
    Ok((event, end))
}
