//! A disk with a volatile cache: what was synced is there after a power cut, of the rest anything may be.
//!
//! Bytes of a file that were not synced may be lost, kept, torn in the middle of a write, or kept page by page in
//! any order, the length included. Names obey one of two rules, both found in the field:
//!
//! - [`Names::Journalled`]: changes of names survive in the order in which they were made, and syncing any file
//!   or directory makes all earlier ones durable;
//! - [`Names::Strict`]: only syncing a directory makes the changes in it durable, and directories do not wait
//!   for each other.

use super::record::{Event, NameChange, Record};
use anyhow::Context as _;
use rand::{Rng as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

/// The unit in which a cache writes back.
const PAGE: usize = 4096;

/// What becomes of unsynced changes of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// They survive up to some point in time, and any sync moves that point.
    Journalled,
    /// They survive up to some point in time of each directory, and only its own sync moves that point.
    Strict,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    File(usize),
    Dir,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Truncate { len: usize },
}

#[derive(Debug, Clone, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

/// The directory as the disk has it, and what has not reached the disk.
#[derive(Debug, Clone)]
pub struct Disk {
    rule: Names,
    files: Vec<File>,
    inodes: HashMap<u64, usize>,
    names: BTreeMap<String, Entry>,
    pending: Vec<NameChange>,
}

/// A directory tree: path to bytes, or to nothing for a directory.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

impl Disk {
    /// Takes in a directory; all of it is durable.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn load(dir: &Path, rule: Names) -> anyhow::Result<Self> {
        let mut disk =
            Self { rule, files: Vec::new(), inodes: HashMap::new(), names: BTreeMap::new(), pending: Vec::new() };
        walk(dir, &mut |path, metadata| {
            let entry = if metadata.is_dir() {
                Entry::Dir
            } else {
                disk.files.push(File { durable: fs::read(dir.join(&path))?, pending: Vec::new() });
                disk.inodes.insert(metadata.ino(), disk.files.len() - 1);
                Entry::File(disk.files.len() - 1)
            };
            disk.names.insert(path, entry);
            Ok(())
        })?;
        Ok(disk)
    }

    /// Plays some events of a record.
    ///
    /// # Errors
    /// When an event concerns a file that the record never mentioned.
    pub fn play(&mut self, record: &Record, events: std::ops::Range<usize>) -> anyhow::Result<()> {
        for event in &record.events[events] {
            match event {
                Event::Create { inode, path } => {
                    self.files.push(File::default());
                    self.inodes.insert(*inode, self.files.len() - 1);
                    self.pending.push(NameChange::File(path.clone(), self.files.len() - 1));
                }
                Event::Write { inode, offset, data } => {
                    let data = record.bytes[data.clone()].to_vec();
                    self.file(*inode)?.pending.push(Change::Write { offset: *offset, data });
                }
                Event::Truncate { inode, len } => self.file(*inode)?.pending.push(Change::Truncate { len: *len }),
                Event::Sync { inode } => {
                    self.file(*inode)?.settle();
                    if self.rule == Names::Journalled {
                        self.settle_names(|_| true);
                    }
                }
                Event::SyncDir { path } => {
                    let all = self.rule == Names::Journalled;
                    self.settle_names(|change| all || parents(change).contains(&path.as_str()));
                }
                Event::Name(change) => self.pending.push(change.clone()),
                Event::Printed(_) => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, inode: u64) -> anyhow::Result<&mut File> {
        let id = self.inodes.get(&inode).with_context(|| format!("inode {inode} was never seen"))?;
        self.files.get_mut(*id).context("no such file")
    }

    fn settle_names(&mut self, durable: impl Fn(&NameChange) -> bool) {
        for change in std::mem::take(&mut self.pending) {
            if durable(&change) {
                apply(&mut self.names, &change);
            } else {
                self.pending.push(change);
            }
        }
    }

    /// What the running system sees: every change, synced or not.
    pub fn seen(&self) -> Tree {
        let mut disk = self.clone();
        disk.settle_names(|_| true);
        disk.files.iter_mut().for_each(File::settle);
        disk.tree(|file| file.durable.clone())
    }

    /// What is found after the power was cut: the unsynced part falls as the dice do.
    pub fn after_power_cut(&self, rng: &mut StdRng) -> Tree {
        let mut disk = self.clone();
        let mut cuts: HashMap<String, usize> = HashMap::new();
        let all = rng.random_range(0..=disk.pending.len());
        for (at, change) in disk.pending.iter().enumerate() {
            let kept = parents(change).iter().all(|dir| match disk.rule {
                Names::Journalled => at < all,
                Names::Strict => {
                    at < *cuts.entry((*dir).to_owned()).or_insert_with(|| rng.random_range(0..=disk.pending.len()))
                }
            });
            if kept {
                apply(&mut disk.names, change);
            }
        }
        disk.tree(|file| file.after_power_cut(rng))
    }

    fn tree(&self, mut bytes: impl FnMut(&File) -> Vec<u8>) -> Tree {
        // A file with two names falls once, not once for each name.
        let mut fallen: HashMap<usize, Vec<u8>> = HashMap::new();
        let value = |entry: &Entry| match entry {
            Entry::Dir => None,
            Entry::File(id) => Some(
                fallen.entry(*id).or_insert_with(|| self.files.get(*id).map(&mut bytes).unwrap_or_default()).clone(),
            ),
        };
        let mut value = value;
        self.names.iter().map(|(path, entry)| (path.clone(), value(entry))).collect()
    }
}

impl File {
    fn settle(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.durable);
        }
    }

    fn after_power_cut(&self, rng: &mut StdRng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        match rng.random_range(0..4) {
            0 => {}
            1 => self.pending.iter().for_each(|change| change.apply(&mut bytes)),
            2 => {
                let whole = rng.random_range(0..=self.pending.len());
                self.pending.iter().take(whole).for_each(|change| change.apply(&mut bytes));
                if let Some(Change::Write { offset, data }) = self.pending.get(whole) {
                    let torn = data[..rng.random_range(0..=data.len())].to_vec();
                    Change::Write { offset: *offset, data: torn }.apply(&mut bytes);
                }
            }
            _ => bytes = self.scattered(rng),
        }
        bytes
    }

    /// Each page is the old or the new one; the length is the old or the new one.
    fn scattered(&self, rng: &mut StdRng) -> Vec<u8> {
        let mut new = self.durable.clone();
        self.pending.iter().for_each(|change| change.apply(&mut new));
        let new_len = new.len();
        for (at, page) in new.chunks_mut(PAGE).enumerate() {
            if rng.random() {
                page.fill(0);
                let old = self.durable.get(at * PAGE..).unwrap_or_default();
                let len = old.len().min(page.len());
                page[..len].copy_from_slice(&old[..len]);
            }
        }
        new.resize(if rng.random() { new_len } else { self.durable.len() }, 0);
        new
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Truncate { len } => bytes.resize(*len, 0),
            Self::Write { data, .. } if data.is_empty() => {}
            Self::Write { offset, data } => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(data);
            }
        }
    }
}

/// Applies a change of names, as far as what it starts from is there.
fn apply(names: &mut BTreeMap<String, Entry>, change: &NameChange) {
    let reachable = |names: &BTreeMap<String, Entry>, path: &str| {
        parent(path).is_empty() || names.get(parent(path)) == Some(&Entry::Dir)
    };
    match change {
        NameChange::File(path, id) if reachable(names, path) => {
            names.insert(path.clone(), Entry::File(*id));
        }
        NameChange::MakeDir(path) if reachable(names, path) => {
            names.insert(path.clone(), Entry::Dir);
        }
        NameChange::File(..) | NameChange::MakeDir(_) => {}
        NameChange::Link(from, to) => {
            if let Some(entry) = names.get(from).copied().filter(|_| reachable(names, to)) {
                names.insert(to.clone(), entry);
            }
        }
        NameChange::Rename(from, to) => rename(names, from, to),
        NameChange::Unlink(path) | NameChange::RemoveDir(path) => {
            names.remove(path);
        }
    }
}

fn rename(names: &mut BTreeMap<String, Entry>, from: &str, to: &str) {
    let Some(entry) = names.remove(from) else { return };
    names.insert(to.to_owned(), entry);
    let below = format!("{from}/");
    let moved: Vec<String> = names.keys().filter(|path| path.starts_with(&below)).cloned().collect();
    for path in moved {
        if let Some(entry) = names.remove(&path) {
            names.insert(format!("{to}/{}", &path[below.len()..]), entry);
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn parents(change: &NameChange) -> Vec<&str> {
    match change {
        NameChange::Rename(a, b) | NameChange::Link(a, b) => vec![parent(a), parent(b)],
        NameChange::File(path, _)
        | NameChange::Unlink(path)
        | NameChange::MakeDir(path)
        | NameChange::RemoveDir(path) => {
            vec![parent(path)]
        }
    }
}

/// Reads a directory as a tree.
///
/// # Errors
/// When it can't be read.
pub fn read(dir: &Path) -> anyhow::Result<Tree> {
    let mut tree = Tree::new();
    walk(dir, &mut |path, metadata| {
        let bytes = if metadata.is_dir() { None } else { Some(fs::read(dir.join(&path))?) };
        tree.insert(path, bytes);
        Ok(())
    })?;
    Ok(tree)
}

/// Makes a directory hold a tree and nothing else.
///
/// # Errors
/// When it can't be written.
pub fn write(dir: &Path, tree: &Tree) -> anyhow::Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    for (path, bytes) in tree {
        let path = dir.join(path);
        match bytes {
            None => fs::create_dir_all(&path)?,
            Some(bytes) => {
                let mut file = fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
                std::io::Write::write_all(&mut file, bytes)?;
            }
        }
    }
    Ok(())
}

/// Parents before children, by relative path.
fn walk(dir: &Path, visit: &mut dyn FnMut(String, &fs::Metadata) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut open = vec![String::new()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(dir.join(&at))? {
            let entry = entry?;
            let name = entry.file_name().into_string().ok().context("a name that is not UTF-8")?;
            let path = if at.is_empty() { name } else { format!("{at}/{name}") };
            let metadata = entry.metadata()?;
            visit(path.clone(), &metadata)?;
            if metadata.is_dir() {
                open.push(path);
            }
        }
    }
    Ok(())
}
