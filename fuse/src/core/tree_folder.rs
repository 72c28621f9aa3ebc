//! Listings of the writable trees.
//!
//! What is created and removed during a listing does not move the others: a listing goes on behind the entry that was
//! listed last. The kernel names a line by a number, so a handle remembers which entries the numbers of the last lines
//! mean, and of those before only some; whoever goes back further gets there from the nearest one.

use super::{
    attr::{Dirent, Kind, UNKNOWN_INO, is_name},
    errno::Errno,
    folder::Room,
    tree::Tree,
};
use bytes::Bytes;
use cairn_store::{
    cid::codec,
    fetch::Fetch,
    mfs::{self, Cursor, Listed},
};
use futures::{StreamExt as _, stream};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Mutex;

/// Lines before the first entry: `.` and `..`.
const DOTS: u64 = 2;
/// Lines whose entries are all remembered, counted from the last one.
const RECENT: u64 = 4096;
/// Of earlier ones, one in so many.
const SPARSE: u64 = 512;
/// Entries that are asked for at a time.
const BATCH: usize = 256;
/// Look-ups for one page at once.
const LOOKUPS: usize = 16;

/// A directory of a writable tree, open for listing.
pub(super) struct OpenTreeFolder {
    pub(super) number: u64,
    cursors: Mutex<BTreeMap<u64, Cursor>>,
}

impl OpenTreeFolder {
    pub(super) fn new(number: u64) -> Arc<Self> {
        Arc::new(Self { number, cursors: Mutex::default() })
    }

    /// Lines from that one on.
    ///
    /// # Errors
    /// When a part of the directory itself can't be had.
    pub(super) async fn list(
        &self,
        tree: &Tree,
        local: &Arc<dyn Fetch>,
        offset: u64,
        room: Room,
    ) -> Result<Vec<Dirent>, Errno> {
        let mut dirents = Vec::new();
        let mut left = room.bytes;
        for (line, name) in [(0, &b"."[..]), (1, b"..")] {
            if offset <= line && room.cost(name) <= left {
                left -= room.cost(name);
                let ino = if line == 0 { tree.ino(self.number) } else { tree.above(self.number).await };
                let name = Bytes::from_static(name);
                dirents.push(Dirent { ino, next: line + 1, kind: Some(Kind::Directory), name, entry: None });
            }
        }
        let page = match self.page(tree, offset.max(DOTS), room, left).await {
            Err(error) if dirents.is_empty() => return Err(error),
            page => page.unwrap_or_default(),
        };
        let entries = if room.plus { self.entries(tree, local, &page).await } else { vec![None; page.len()] };
        for ((next, listed), attr) in page.into_iter().zip(entries) {
            let entry = attr.map(|attr| tree.entry(self.number, &listed.name, &attr));
            let kind = entry.map_or_else(|| listed.kind.map(kind_of), |entry| Some(entry.attr.kind));
            let ino = entry.map_or_else(
                || listed.ino.map_or(UNKNOWN_INO, |number| tree.ino(number)),
                |entry: super::attr::Entry| entry.attr.ino,
            );
            dirents.push(Dirent { ino, next, kind, name: listed.name, entry });
        }
        Ok(dirents)
    }

    async fn page(&self, tree: &Tree, offset: u64, room: Room, mut left: usize) -> Result<Vec<(u64, Listed)>, Errno> {
        let mut cursors = self.cursors.lock().await;
        if offset == DOTS {
            cursors.clear();
        }
        let (mut at, mut cursor) = match cursors.range(..=offset).next_back() {
            Some((&at, cursor)) => (at, cursor.clone()),
            None => (DOTS, Cursor::START),
        };
        let mut page = Vec::new();
        'full: loop {
            let batch = match tree.mfs.list(self.number, &cursor, BATCH).await {
                Ok(batch) => batch,
                Err(_) if !page.is_empty() => break,
                Err(error) => return Err(error.into()),
            };
            if batch.is_empty() {
                break;
            }
            for listed in batch {
                let wanted = at >= offset && is_name(&listed.name);
                let cost = room.cost(&listed.name);
                if wanted && cost > left {
                    break 'full;
                }
                at += 1;
                cursor = listed.cursor.clone();
                cursors.insert(at, cursor.clone());
                if wanted {
                    left -= cost;
                    page.push((at, listed));
                }
            }
        }
        let last = at;
        cursors.retain(|&at, _| at + RECENT > last || at % SPARSE == 0);
        Ok(page)
    }

    /// What look-ups would find, of entries whose block is here. Each counts as one.
    async fn entries(&self, tree: &Tree, local: &Arc<dyn Fetch>, page: &[(u64, Listed)]) -> Vec<Option<mfs::Attr>> {
        let cids: Vec<_> = page.iter().filter_map(|(_, listed)| asks_for(listed)).collect();
        let here = local.has_local_many(&cids).await.unwrap_or_default();
        let mut here = here.into_iter();
        let known: Vec<bool> =
            page.iter().map(|(_, listed)| asks_for(listed).is_none_or(|_| here.next().unwrap_or(false))).collect();
        let lookup = |(known, (_, listed)): (bool, &(u64, Listed))| {
            let name = listed.name.clone();
            async move { if known { tree.mfs.lookup(self.number, &name).await.ok() } else { None } }
        };
        stream::iter(known.into_iter().zip(page).map(lookup)).buffered(LOOKUPS).collect().await
    }
}

/// The block that a look-up would ask for.
fn asks_for(listed: &Listed) -> Option<cairn_store::Cid> {
    if listed.ino.is_some() {
        return None;
    }
    // The length of a raw block is that of its link, if it says one.
    listed.cid.filter(|cid| cid.codec() != codec::RAW || listed.size.is_none_or(|size| size == 0))
}

fn kind_of(kind: mfs::Kind) -> Kind {
    match kind {
        mfs::Kind::File => Kind::File,
        mfs::Kind::Directory => Kind::Directory,
        mfs::Kind::Symlink => Kind::Symlink,
    }
}
