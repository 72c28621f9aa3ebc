//! Denylists in the compact `.deny` format (specification: compact-denylist-format, IPIP-383).
//!
//! Lists are read in the order of their folders and then of their names. Of all rules that match, in all lists, the last
//! one counts: it blocks, or with a `!` allows. All rules are in one table by the keyed hash of what they match, so a
//! question takes a few look-ups whatever the number of rules:
//!
//! | Rule | What is looked up |
//! |---|---|
//! | `/ipfs/CID`, `/ipfs/CID/PATH`, `/ipns/NAME`, `/ipns/NAME/PATH` | the multihash or domain, and the whole path |
//! | `/ipfs/CID/*`, `/ipfs/CID/PATH*`, … | the same with the empty path, and with each beginning of the path that is as long as some rule's |
//! | `//HASH` | for each hash function in use: the hash of what is asked for, as text |
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | lists | [`MAX_LISTS`] | the others are not read, with a warning |
//! | rules | [`MAX_RULES`]: each takes 29 to 57 bytes, one with `PATH*` twice that | as before |
//! | a line; a header | [`list::MAX_LINE`]; [`list::MAX_HEADER`] | left out with a warning; there is none |
//! | warnings of one reading of a list | [`MAX_WARNINGS`] | the others are counted |
//!
//! Lists are looked at every [`POLL`]. Lines that were appended are added; any other change makes all lists be read anew,
//! beside the old table until that is done, once two looks have found the same: a list that is being written holds less than
//! it will. As long as a list or a folder that was there can't be read, what it said counts on.

mod list;
mod rule;
mod table;
#[cfg(test)]
mod tests;

pub use table::{Blocked, Status};

use cairn_store::{Cid, path::Path};
use list::{List, Stamp};
use parking_lot::{Mutex, RwLock};
use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};
use table::Table;
use tokio::task::JoinHandle;

/// Lists that are read.
pub const MAX_LISTS: usize = 1 << 12;
/// Rules in all lists.
pub const MAX_RULES: usize = 1 << 25;
/// Time between two looks at the lists.
pub const POLL: Duration = Duration::from_secs(3);
/// Bad lines of one reading of a list that are told one by one.
const MAX_WARNINGS: usize = 20;

/// The lists that a look finds, and how they look.
type Found = Vec<(PathBuf, Option<Stamp>)>;

/// The denylists in some folders.
pub struct Denylists {
    folders: Vec<PathBuf>,
    table: RwLock<Table>,
    lists: Mutex<Vec<List>>,
    /// What the last look found, if it was another change than appended lines.
    changed: Mutex<Option<Found>>,
}

impl Denylists {
    /// Reads all `*.deny` in these folders. A folder that is not there is an empty one. A list that can't be read, or is
    /// of a version that is not known, is left out with a warning, as are bad lines.
    ///
    /// Blocks the calling thread while it reads.
    pub fn open(folders: Vec<PathBuf>) -> Arc<Self> {
        let (lists, table) = read_all(&folders);
        Arc::new(Self { folders, table: RwLock::new(table), lists: Mutex::new(lists), changed: Mutex::default() })
    }

    /// Keeps the rules up to date until nobody else holds the lists. Must be called within a tokio runtime.
    pub fn follow(self: &Arc<Self>) -> JoinHandle<()> {
        let lists = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(POLL).await;
                let polled = Weak::clone(&lists);
                let alive = tokio::task::spawn_blocking(move || {
                    polled.upgrade().is_some_and(|lists| {
                        lists.poll();
                        true
                    })
                });
                if !alive.await.unwrap_or(false) {
                    return;
                }
            }
        })
    }

    /// Looks for changes, and takes over what was appended, and other changes if the last look found the same. Blocks the
    /// calling thread while it reads.
    pub fn poll(&self) {
        let mut lists = self.lists.lock();
        let Some(names) = names(&self.folders) else { return };
        let same = lists.iter().map(List::path).eq(names.iter());
        let mut appended = Vec::new();
        let whole =
            same && (0..).zip(lists.iter_mut()).all(|(number, list): (u64, _)| list.appended(number, &mut appended));
        if !appended.is_empty() {
            let mut table = self.table.write();
            appended.into_iter().for_each(|(rule, order)| table.insert(rule, order));
        }
        let found = (!whole).then(|| names.iter().map(|path| (path.clone(), Stamp::at(path))).collect());
        let mut changed = self.changed.lock();
        let again = found.is_some() && found == *changed;
        *changed = found.filter(|_| !again);
        drop(changed);
        if !again {
            return;
        }
        let (read, table) = read_lists(names);
        let lost = read.iter().find(|new| new.is_broken() && lists.iter().any(|old| old.path() == new.path()));
        if let Some(lost) = lost {
            tracing::warn!("{} can't be read any more: the rules of all lists stay as they are", lost.path().display());
            return;
        }
        *lists = read;
        *self.table.write() = table;
    }

    /// Rules that are kept.
    pub fn rules(&self) -> usize {
        self.table.read().len()
    }

    /// What blocks a path, if anything does: `/ipfs/CID/a/b`, or `/ipns/NAME/a/b` before the name is resolved.
    pub fn check_path(&self, path: &Path) -> Option<Blocked> {
        let table = self.table.read();
        table.blocked(table.check_path(path)?)
    }

    /// What blocks a block, if anything does.
    pub fn check_cid(&self, cid: &Cid) -> Option<Blocked> {
        let table = self.table.read();
        table.blocked(table.check_cid(cid)?)
    }
}

/// The lists in the order in which they are read; `None` if a folder that is there can't be read.
fn names(folders: &[PathBuf]) -> Option<Vec<PathBuf>> {
    let mut all = Vec::new();
    for folder in folders {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                tracing::warn!("the denylists in {} can't be read: {error}", folder.display());
                return None;
            }
        };
        let is_list = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deny");
        let mut lists: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_list).collect();
        lists.sort();
        all.extend(lists);
    }
    if all.len() > MAX_LISTS {
        tracing::warn!("there are {} denylists: only the first {MAX_LISTS} are read", all.len());
        all.truncate(MAX_LISTS);
    }
    Some(all)
}

/// Reads the lists of all folders that can be read.
fn read_all(folders: &[PathBuf]) -> (Vec<List>, Table) {
    read_lists(
        folders.iter().filter_map(|folder| names(std::slice::from_ref(folder))).flatten().take(MAX_LISTS).collect(),
    )
}

fn read_lists(names: Vec<PathBuf>) -> (Vec<List>, Table) {
    let mut table = Table::default();
    let lists =
        (0..).zip(names).map(|(number, path)| List::read(path, number, &mut |rule, order| table.insert(rule, order)));
    let lists: Vec<List> = lists.collect();
    table.set_lists(lists.iter().map(|list| list.path().clone()).collect());
    table.shrink();
    (lists, table)
}

/// Reads bytes as a list, for tests and tools: the rules that were understood, and what was wrong with the other lines.
pub fn lint(bytes: &[u8]) -> (usize, Vec<String>) {
    let (mut rules, mut warnings) = (0, Vec::new());
    let mut parser = list::Parser::default();
    parser.feed(bytes, &mut |_, _, _| rules += 1, &mut |line, what| warnings.push(format!("line {line}: {what}")));
    parser.finish(&mut |_, _, _| rules += 1, &mut |line, what| warnings.push(format!("line {line}: {what}")));
    (rules, warnings)
}
