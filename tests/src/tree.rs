//! Random folders: as a value, on the disk, and back.

use crate::keystream;
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

/// Something with a name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A file.
    File {
        /// Seed of its bytes.
        seed: String,
        /// Their number.
        len: usize,
        /// Permissions and time.
        meta: Meta,
    },
    /// A symbolic link to a text.
    Link(String),
    /// A folder.
    Dir(Meta, BTreeMap<String, Item>),
}

/// Permissions, and seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits; the owner may always read and write.
    pub mode: u32,
    /// Time of the last change.
    pub mtime: u64,
}

/// What a path below a folder is, as read from a disk or an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A file with these bytes.
    File(Vec<u8>),
    /// A symbolic link.
    Link(String),
    /// A folder.
    Dir,
}

/// Everything below a folder by relative path.
pub type Listing = BTreeMap<String, Found>;

/// Lengths on both sides of the borders where the shape of a file's DAG changes.
fn len() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0_usize..300,
        2 => 300_usize..70_000,
        // Chunks of 1,000 and 262,144 bytes, and 174 of the former: a full node and one more.
        1 => prop_oneof![Just(1_000), Just(262_144), Just(524_288), Just(174_000)]
            .prop_flat_map(|border: usize| border - 1..=border + 1),
    ]
}

/// Names that have broken programs.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z]{1,8}",
        1 => "[ -.0-~]{1,20}",
        1 => "\\PC{1,20}",
        1 => Just("-rf".to_owned()),
        1 => Just("...".to_owned()),
        1 => Just(".hidden".to_owned()),
        1 => Just(" leading and trailing ".to_owned()),
        1 => Just("line\nend".to_owned()),
        1 => Just("Ünïcode 日本語 🦀".to_owned()),
        // Composed and decomposed: two names that look the same.
        1 => Just("\u{e9}".to_owned()),
        1 => Just("e\u{301}".to_owned()),
        1 => Just("n".repeat(255)),
        1 => Just("back\\slash".to_owned()),
        1 => Just("%2e%2e%2f".to_owned()),
    ]
    .prop_filter("these name no file", |name| {
        !matches!(name.as_str(), "" | "." | "..") && !name.contains(['/', '\0']) && name.len() <= 255
    })
}

fn meta() -> impl Strategy<Value = Meta> {
    let modes = [0o644, 0o600, 0o755, 0o700, 0o777, 0o640];
    (prop::sample::select(modes.to_vec()), 0_u64..4_000_000_000).prop_map(|(mode, mtime)| Meta { mode, mtime })
}

/// A random folder, up to three levels deep.
pub fn folder() -> impl Strategy<Value = Item> {
    let file =
        (any::<u32>(), len(), meta()).prop_map(|(seed, len, meta)| Item::File { seed: seed.to_string(), len, meta });
    let link = prop_oneof![Just("nowhere"), Just("../a"), Just("/etc/passwd"), Just("."), Just("spaces in it")]
        .prop_map(|target| Item::Link(target.to_owned()));
    let leaf = prop_oneof![8 => file, 1 => link];
    let dir = |item: BoxedStrategy<Item>| (meta(), prop::collection::btree_map(name(), item, 0..8));
    let inner = leaf.prop_recursive(2, 16, 6, move |item| dir(item).prop_map(|(m, items)| Item::Dir(m, items)));
    dir(inner.boxed()).prop_map(|(meta, items)| {
        // The root must be writable by tools that look into it.
        Item::Dir(Meta { mode: meta.mode | 0o700, ..meta }, items)
    })
}

impl Item {
    /// Makes it on the disk.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&self, path: &Path) {
        match self {
            Self::File { seed, len, meta } => {
                fs::write(path, keystream::bytes(seed, *len)).expect("the folder is writable");
                meta.set(path);
            }
            Self::Link(target) => symlink(target, path).expect("the file system has symlinks"),
            Self::Dir(meta, items) => {
                fs::create_dir(path).expect("the folder is writable");
                for (name, item) in items {
                    item.write(&path.join(name));
                }
                // Last, as making the children changes both.
                Meta { mode: meta.mode | 0o700, ..*meta }.set(path);
            }
        }
    }

    /// Everything below it; hidden names only if asked for.
    pub fn listing(&self, hidden: bool) -> Listing {
        let mut found = Listing::new();
        self.list("", hidden, &mut found);
        found
    }

    fn list(&self, path: &str, hidden: bool, found: &mut Listing) {
        let entry = match self {
            Self::File { seed, len, .. } => Found::File(keystream::bytes(seed, *len)),
            Self::Link(target) => Found::Link(target.clone()),
            Self::Dir(_, items) => {
                for (name, item) in items.iter().filter(|(name, _)| hidden || !name.starts_with('.')) {
                    let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                    item.list(&below, hidden, found);
                }
                Found::Dir
            }
        };
        if !path.is_empty() {
            found.insert(path.to_owned(), entry);
        }
    }

    /// Permissions and time of everything below it that has them, hidden names only if asked for.
    pub fn metas(&self, hidden: bool) -> BTreeMap<String, Meta> {
        let mut metas = BTreeMap::new();
        let mut open = vec![(String::new(), self)];
        while let Some((path, item)) = open.pop() {
            match item {
                Self::File { meta, .. } => drop(metas.insert(path, *meta)),
                Self::Link(_) => {}
                Self::Dir(meta, items) => {
                    let shown = items.iter().filter(|(name, _)| hidden || !name.starts_with('.'));
                    open.extend(shown.map(|(name, item)| (format!("{path}/{name}"), item)));
                    metas.insert(path, Meta { mode: meta.mode | 0o700, ..*meta });
                }
            }
        }
        metas
    }
}

impl Meta {
    fn set(self, path: &Path) {
        let file = fs::File::open(path).expect("it was just made");
        file.set_permissions(fs::Permissions::from_mode(self.mode)).expect("it is ours");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(self.mtime)).expect("it is ours");
    }

    /// Those of a path.
    ///
    /// # Panics
    /// When there is nothing.
    pub fn of(path: &Path) -> Self {
        let metadata = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let modified = metadata.modified().expect("the file system keeps times");
        let mtime = modified.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Self { mode: metadata.permissions().mode() & 0o777, mtime }
    }
}

/// Everything below a folder on the disk.
///
/// # Panics
/// When it can't be read.
pub fn read(dir: &Path) -> Listing {
    let mut listing = Listing::new();
    let mut open = vec![String::new()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(dir.join(&at)).unwrap_or_else(|e| panic!("{}: {e}", dir.join(&at).display())) {
            let entry = entry.expect("the folder is readable");
            let name = entry.file_name().into_string().expect("every name was made from text");
            let path = if at.is_empty() { name } else { format!("{at}/{name}") };
            let kind = entry.file_type().expect("the folder is readable");
            let found = if kind.is_dir() {
                open.push(path.clone());
                Found::Dir
            } else if kind.is_symlink() {
                Found::Link(fs::read_link(entry.path()).expect("it is a link").to_string_lossy().into_owned())
            } else {
                Found::File(fs::read(entry.path()).expect("the file is readable"))
            };
            listing.insert(path, found);
        }
    }
    listing
}

/// Everything in a tar archive below its one root folder, as the system's `tar` unpacks it.
///
/// # Panics
/// When it is not an archive with one root.
pub fn untar(archive: &Path) -> Listing {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let status =
        Command::new("tar").args(["--warning=no-timestamp", "-xf"]).arg(archive).arg("-C").arg(dir.path()).status();
    assert!(status.expect("tar can be started").success(), "tar does not unpack {}", archive.display());
    let mut roots = fs::read_dir(dir.path()).expect("the folder is readable");
    let root = roots.next().expect("an archive has a root").expect("the folder is readable");
    assert!(roots.next().is_none(), "an archive has one root");
    read(&root.path())
}
