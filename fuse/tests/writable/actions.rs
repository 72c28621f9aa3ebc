//! What is done to two file systems alike.

use proptest::prelude::*;

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    Link,
}

/// What `stat` says that has to be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    pub kind: Kind,
    /// Of files and links.
    pub size: u64,
    pub perm: u32,
}

/// What an action gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gives {
    Nothing,
    Bytes(Vec<u8>),
    Count(u64),
    Stat(Stat),
    /// Seconds and nanoseconds.
    Time(i64, u32),
    /// Names, sorted, and what they are.
    Names(Vec<(String, Kind)>),
}

/// Or the errno.
pub type Outcome = Result<Gives, i32>;

/// What a rename does with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rename {
    Replace,
    NoReplace,
    Exchange,
}

/// What is done to a range of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    Grow,
    Reserve,
    Punch,
    Zero,
    ZeroKeep,
}

/// A path below the root: names divided by slashes, empty for the root.
pub type Path = String;
/// One of a few places for open files.
pub type Slot = usize;
pub const SLOTS: usize = 4;

/// One thing that is done.
#[derive(Debug, Clone)]
pub enum Action {
    Open { slot: Slot, path: Path, create: bool, exclusive: bool, truncate: bool },
    Close { slot: Slot },
    Read { slot: Slot, offset: u64, len: usize },
    Write { slot: Slot, offset: u64, len: usize, seed: u8 },
    Append { slot: Slot, len: usize, seed: u8 },
    Truncate { slot: Slot, len: u64 },
    Fallocate { slot: Slot, range: Range, offset: u64, len: u64 },
    Copy { from: Slot, from_offset: u64, to: Slot, to_offset: u64, len: u64 },
    StatOpen { slot: Slot },
    Sync { slot: Slot },
    Mkdir { path: Path },
    Rmdir { path: Path },
    Unlink { path: Path },
    Rename { from: Path, to: Path, how: Rename },
    Symlink { path: Path, target: String },
    Readlink { path: Path },
    Chmod { path: Path, mode: u32 },
    Touch { path: Path, seconds: i64, nanos: u32 },
    Stat { path: Path },
    List { path: Path },
}

/// The bytes of a write.
pub fn content(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just("a"), Just("b"), Just("c"), Just("dd"), Just("a name with blanks")].prop_map(str::to_owned)
}

/// Any path but the root, which is what it is mounted on.
fn below() -> impl Strategy<Value = Path> {
    prop_oneof![
        8 => proptest::collection::vec(name(), 1..=1).prop_map(|names| names.join("/")),
        8 => proptest::collection::vec(name(), 2..=2).prop_map(|names| names.join("/")),
        3 => proptest::collection::vec(name(), 3..=3).prop_map(|names| names.join("/")),
    ]
}

fn path() -> impl Strategy<Value = Path> {
    prop_oneof![1 => Just(String::new()), 19 => below()]
}

fn offset() -> impl Strategy<Value = u64> {
    // Around the ends of pages and of leaves of 1 KiB and 256 KiB, which the tests use.
    prop_oneof![
        5 => 0u64..5000,
        3 => prop_oneof![Just(1023u64), Just(1024), Just(4095), Just(4096), Just(4097), Just(8192)],
        2 => 0u64..100_000,
        1 => 250_000u64..600_000,
    ]
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![1 => Just(0usize), 5 => 1usize..3000, 3 => 1usize..20_000, 1 => 100_000usize..300_000]
}

/// Any action.
pub fn action() -> impl Strategy<Value = Action> {
    let slot = || 0..SLOTS;
    let how = prop_oneof![4 => Just(Rename::Replace), 1 => Just(Rename::NoReplace), 2 => Just(Rename::Exchange)];
    let range = prop_oneof![
        Just(Range::Grow),
        Just(Range::Reserve),
        Just(Range::Punch),
        Just(Range::Zero),
        Just(Range::ZeroKeep)
    ];
    let files = prop_oneof![
        6 => (slot(), path(), any::<bool>(), proptest::bool::weighted(0.2), proptest::bool::weighted(0.2)).prop_map(
            |(slot, path, create, exclusive, truncate)| Action::Open { slot, path, create, exclusive, truncate }
        ),
        2 => slot().prop_map(|slot| Action::Close { slot }),
        6 => (slot(), offset(), len()).prop_map(|(slot, offset, len)| Action::Read { slot, offset, len }),
        8 => (slot(), offset(), len(), any::<u8>())
            .prop_map(|(slot, offset, len, seed)| Action::Write { slot, offset, len, seed }),
        3 => (slot(), len(), any::<u8>()).prop_map(|(slot, len, seed)| Action::Append { slot, len, seed }),
        3 => (slot(), offset()).prop_map(|(slot, len)| Action::Truncate { slot, len }),
        3 => (slot(), range, offset(), 1u64..50_000)
            .prop_map(|(slot, range, offset, len)| Action::Fallocate { slot, range, offset, len }),
        3 => (slot(), offset(), slot(), offset(), 0u64..50_000).prop_map(|(from, from_offset, to, to_offset, len)| {
            Action::Copy { from, from_offset, to, to_offset, len }
        }),
        2 => slot().prop_map(|slot| Action::StatOpen { slot }),
        1 => slot().prop_map(|slot| Action::Sync { slot }),
    ];
    let names = prop_oneof![
        4 => path().prop_map(|path| Action::Mkdir { path }),
        2 => below().prop_map(|path| Action::Rmdir { path }),
        3 => below().prop_map(|path| Action::Unlink { path }),
        5 => (below(), below(), how).prop_map(|(from, to, how)| Action::Rename { from, to, how }),
        2 => (path(), name()).prop_map(|(path, target)| Action::Symlink { path, target: format!("nowhere/{target}") }),
        1 => path().prop_map(|path| Action::Readlink { path }),
        2 => (below(), 1u32..0o7777).prop_map(|(path, mode)| Action::Chmod { path, mode }),
        2 => (below(), -1000i64..2_000_000_000, 0u32..1_000_000_000)
            .prop_map(|(path, seconds, nanos)| Action::Touch { path, seconds, nanos }),
        4 => path().prop_map(|path| Action::Stat { path }),
        4 => path().prop_map(|path| Action::List { path }),
    ];
    prop_oneof![3 => files, 2 => names]
}
