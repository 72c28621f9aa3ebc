//! What is measured.

use super::{ceiling::Ceiling, fixture::Fixture};

/// What the repository holds when the clock starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Nothing: a fresh repository for each run. `PATH` is the fixture's.
    Nothing,
    /// The fixture, the same for all runs. `ROOT` is its CID, `PATH` a place for output.
    Loaded,
    /// The fixture, unpinned, afresh for each run.
    Garbage,
    /// Nothing; `PATH` is a CAR file with the fixture in it.
    Archive,
}

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// The word that selects it.
    pub key: &'static str,
    /// What is measured.
    pub title: &'static str,
    /// What is to be reached.
    pub target: &'static str,
    /// What it works on.
    pub fixture: Fixture,
    /// What is there before.
    pub start: Start,
    /// The command.
    pub args: &'static [&'static str],
    /// The ceiling that it is compared with.
    pub ceiling: Option<Ceiling>,
    /// Whether Kubo with Pebble runs as well.
    pub pebble: bool,
    /// Whether all programs must print the same.
    pub same_output: bool,
}

const fn item(
    key: &'static str,
    title: &'static str,
    target: &'static str,
    (fixture, start): (Fixture, Start),
    args: &'static [&'static str],
) -> Item {
    Item { key, title, target, fixture, start, args, ceiling: None, pebble: false, same_output: true }
}

impl Item {
    const fn ceiling(mut self, ceiling: Ceiling) -> Self {
        self.ceiling = Some(ceiling);
        self
    }

    const fn pebble(mut self) -> Self {
        self.pebble = true;
        self
    }

    const fn any_output(mut self) -> Self {
        self.same_output = false;
        self
    }
}

/// All of them. Those that leave a repository for later ones come first.
pub const ITEMS: [Item; 14] = [
    item(
        "add",
        "`add` 1 GiB, durable",
        "≤ 1.5 × ceiling, 2 × Kubo, 8 × Pebble",
        (Fixture::Big, Start::Nothing),
        &["add", "-Q", "PATH"],
    )
    .ceiling(Ceiling::HashOrWrite)
    .pebble(),
    item(
        "add-n",
        "`add -n` 1 GiB",
        "10 × Kubo (3 × with SHA-NI)",
        (Fixture::Big, Start::Nothing),
        &["add", "-Q", "-n", "PATH"],
    )
    .ceiling(Ceiling::Hash),
    item(
        "files",
        "`add -r` 10,000 files, 95 MB",
        "3 × Kubo",
        (Fixture::Files, Start::Nothing),
        &["add", "-Q", "-r", "PATH"],
    ),
    item(
        "tiny",
        "`add -r` 100,000 tiny files",
        "5 × Kubo",
        (Fixture::Tiny, Start::Nothing),
        &["add", "-Q", "-r", "PATH"],
    ),
    item("cat", "`cat` 1 GiB", "2.5 × Kubo", (Fixture::Big, Start::Loaded), &["cat", "ROOT"]).ceiling(Ceiling::Cat),
    item(
        "get",
        "`get` 10,000 files",
        "2 × Kubo",
        (Fixture::Files, Start::Loaded),
        &["get", "--progress=false", "-o", "PATH", "ROOT"],
    )
    .any_output(),
    item(
        "pin-ls",
        "`pin ls`, 100,000 indirect pins",
        "5 × Kubo",
        (Fixture::Tiny, Start::Loaded),
        &["pin", "ls", "--type=indirect", "-q"],
    )
    .any_output(),
    item("gc", "`repo gc`, 14,000 blocks", "3 × Kubo", (Fixture::Blocks, Start::Garbage), &["repo", "gc", "-q"])
        .any_output(),
    item(
        "verify",
        "`repo verify`, 1 GiB and 100,000 small blocks",
        "3 × Kubo",
        (Fixture::Mixed, Start::Loaded),
        &["repo", "verify"],
    )
    .ceiling(Ceiling::Hash)
    .any_output(),
    item(
        "export",
        "`dag export` 1 GiB",
        "2 × Kubo",
        (Fixture::Big, Start::Loaded),
        &["dag", "export", "--progress=false", "ROOT"],
    )
    .ceiling(Ceiling::Cat),
    item("import", "`dag import` 1 GiB", "2 × Kubo", (Fixture::Big, Start::Archive), &["dag", "import", "PATH"])
        .ceiling(Ceiling::HashOrWrite),
    item("version", "`version`", "< 10 ms", (Fixture::None, Start::Loaded), &["version"]).any_output(),
    item(
        "open",
        "open 1,000,000 blocks (`block stat`)",
        "< 200 ms",
        (Fixture::Million, Start::Loaded),
        &["block", "stat", "ROOT"],
    ),
    item(
        "add-million",
        "`add` 1,000,000 blocks of 256 bytes",
        "",
        (Fixture::Million, Start::Nothing),
        &["add", "-Q", "--chunker=size-256", "--cid-version=1", "--raw-leaves", "PATH"],
    ),
];
