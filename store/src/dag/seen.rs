//! The set of blocks that a walk has met, in little memory whatever their number.
//!
//! A block is kept as a fingerprint of 12 bytes with a key of its own in every process: nobody outside can prepare two
//! blocks that are taken for one, and by chance any two of 2^26 are with a probability below 2^-45. Beside it stands how
//! far from the root the block was met, for walks that go down to some depth only.
//!
//! The first [`RECENT`] are in memory. Then they are written, sorted, into a temporary file without a name (in `$TMPDIR`),
//! and what stays of them in memory is a Bloom filter of about a byte each: a block that was never met is rarely looked
//! for in the file, and one that was costs one read of 4 KiB.

use crate::StoreError;
use std::{
    collections::{HashMap, hash_map::Entry},
    fs::File,
    hash::{BuildHasher as _, BuildHasherDefault, Hash, Hasher, RandomState},
    io,
    os::unix::fs::FileExt as _,
    sync::Arc,
};

/// Distinct blocks that one walk keeps track of: 64 Mi, or 16 TiB of 256 KiB blocks. They take 1 GiB of a temporary file
/// and 66 MiB of memory, besides the 18 MiB of those that were met last.
pub const MAX_VISITED: usize = 1 << 26;
/// Fingerprints in memory: as many as a table of 2^20 places holds, which has 17 bytes for each place.
const RECENT: usize = 7 << 17;
/// Bytes of a fingerprint with its depth.
const ROW: usize = 16;
/// Parts of a sorted run that can be read by themselves, by the first bits of the fingerprint.
const PARTS: usize = 1 << PART_BITS;
const PART_BITS: u32 = 12;
/// Bits of a Bloom filter for each fingerprint, at least; 4 of them are set. 2 % of its answers are wrong.
const BLOOM_BITS: usize = 8;
/// Bytes that are written at once.
const PIECE: usize = 1 << 20;

/// What is known of a block that is being reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It was not seen before.
    New,
    /// It was seen before, farther from the root.
    Nearer,
    /// It was seen before, as near or nearer.
    Known,
}

/// Why a block can't be kept track of.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SeenError {
    /// There are too many of them.
    #[error("there are more than {MAX_VISITED} distinct blocks")]
    Full,
    /// The temporary file can't be written or read.
    #[error(transparent)]
    Disk(#[from] StoreError),
}

impl From<io::Error> for SeenError {
    fn from(error: io::Error) -> Self {
        let dir = std::env::temp_dir();
        Self::Disk(StoreError::io(format!("cannot keep a list of blocks in {}", dir.display()), error))
    }
}

/// What stands for a block in a set and its siblings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Print([u32; 3]);

impl Print {
    fn row(self, depth: u32) -> u128 {
        self.bits() << 32 | u128::from(depth)
    }

    fn bits(self) -> u128 {
        self.0.iter().fold(0, |bits, word| bits << 32 | u128::from(*word))
    }

    fn part(self) -> usize {
        (self.0[0] >> (32 - PART_BITS)) as usize
    }
}

/// The blocks that a walk has met. Adding one may write to a temporary file: 14 MiB for each 917,504.
pub struct Seen {
    keys: [RandomState; 2],
    // Fingerprints are uniform already: a part of one serves as its hash.
    recent: HashMap<Print, u32, BuildHasherDefault<Half>>,
    /// Full tables of earlier ones, the latest last.
    runs: Vec<Run>,
    /// Where this one's runs go, and how long it is.
    file: Option<(Arc<File>, u64)>,
    len: usize,
    capacity: usize,
}

/// Fingerprints in a file, sorted.
struct Run {
    file: Arc<File>,
    /// Where in the file it begins.
    at: u64,
    /// Rows before each part.
    starts: Vec<u32>,
    bloom: Vec<u64>,
}

impl Default for Seen {
    fn default() -> Self {
        Self::new()
    }
}

impl Seen {
    /// An empty set with a fresh random key.
    pub fn new() -> Self {
        Self::with([RandomState::new(), RandomState::new()], RECENT)
    }

    /// An empty set with the key of this one.
    pub(crate) fn sibling(&self) -> Self {
        Self::with(self.keys.clone(), self.capacity)
    }

    fn with(keys: [RandomState; 2], capacity: usize) -> Self {
        Self { keys, recent: HashMap::default(), runs: Vec::new(), file: None, len: 0, capacity }
    }

    /// What stands for an item, for those who look it up in several siblings.
    pub(crate) fn print(&self, item: &impl Hash) -> Print {
        let [a, b] = [self.keys[0].hash_one(item), self.keys[1].hash_one(item)];
        Print([a as u32, (a >> 32) as u32, b as u32])
    }

    /// Notes that an item was reached that far from the root.
    ///
    /// # Errors
    /// When there is no room for another.
    pub fn visit(&mut self, item: &impl Hash, depth: u32) -> Result<Sight, SeenError> {
        self.visit_print(self.print(item), depth)
    }

    fn visit_print(&mut self, print: Print, depth: u32) -> Result<Sight, SeenError> {
        let sight = match self.find(print)? {
            Some(known) if known <= depth => return Ok(Sight::Known),
            Some(_) => Sight::Nearer,
            None if self.len >= MAX_VISITED => return Err(SeenError::Full),
            None => Sight::New,
        };
        self.len += usize::from(sight == Sight::New);
        self.note(print, depth)?;
        Ok(sight)
    }

    /// Adds an item; whether it was new.
    ///
    /// # Errors
    /// As [`Seen::visit`].
    pub(crate) fn insert(&mut self, item: &impl Hash) -> Result<bool, SeenError> {
        self.insert_print(self.print(item))
    }

    /// As [`Seen::insert`].
    pub(crate) fn insert_print(&mut self, print: Print) -> Result<bool, SeenError> {
        Ok(self.visit_print(print, 0)? == Sight::New)
    }

    /// Whether an item was reached before.
    ///
    /// # Errors
    /// When the temporary file can't be read.
    pub fn contains(&self, item: &impl Hash) -> Result<bool, SeenError> {
        self.contains_print(self.print(item))
    }

    /// As [`Seen::contains`].
    pub(crate) fn contains_print(&self, print: Print) -> Result<bool, SeenError> {
        Ok(self.find(print)?.is_some())
    }

    /// Takes over what a sibling has seen, none of which was seen here.
    pub(crate) fn absorb(&mut self, other: Self) -> Result<(), SeenError> {
        debug_assert_eq!(self.keys[0].hash_one(0), other.keys[0].hash_one(0));
        self.len += other.len;
        self.runs.extend(other.runs);
        other.recent.into_iter().try_for_each(|(print, depth)| self.note(print, depth))
    }

    /// How near an item was met last.
    fn find(&self, print: Print) -> Result<Option<u32>, SeenError> {
        if let Some(depth) = self.recent.get(&print) {
            return Ok(Some(*depth));
        }
        // Later runs have the nearer sights.
        for run in self.runs.iter().rev() {
            if let Some(depth) = run.find(print)? {
                return Ok(Some(depth));
            }
        }
        Ok(None)
    }

    fn note(&mut self, print: Print, depth: u32) -> Result<(), SeenError> {
        if self.recent.len() >= self.capacity {
            self.spill()?;
        }
        match self.recent.entry(print) {
            Entry::Occupied(mut known) => *known.get_mut() = depth.min(*known.get()),
            Entry::Vacant(free) => drop(free.insert(depth)),
        }
        Ok(())
    }

    /// Moves what is in memory to the file.
    fn spill(&mut self) -> Result<(), SeenError> {
        let (file, end) = match self.file.take() {
            Some(file) => file,
            None => (Arc::new(tempfile::tempfile()?), 0),
        };
        let mut rows: Vec<u128> = self.recent.drain().map(|(print, depth)| print.row(depth)).collect();
        rows.sort_unstable();
        let run = Run::write(Arc::clone(&file), end, &rows)?;
        self.file = Some((file, end + (rows.len() * ROW) as u64));
        self.runs.push(run);
        Ok(())
    }
}

impl Run {
    fn write(file: Arc<File>, at: u64, rows: &[u128]) -> io::Result<Self> {
        let bits = (rows.len() * BLOOM_BITS).next_power_of_two().max(64);
        let mut run = Self { file, at, starts: vec![0; PARTS + 1], bloom: vec![0; bits / 64] };
        let mut piece = Vec::with_capacity(PIECE);
        let mut end = at;
        for row in rows {
            let [a, b, c] = [row >> 96, row >> 64, row >> 32].map(|word| word as u32);
            let print = Print([a, b, c]);
            run.starts[print.part() + 1] += 1;
            for (word, bit) in run.bits(print) {
                run.bloom[word] |= bit;
            }
            piece.extend_from_slice(&row.to_be_bytes());
            if piece.len() >= PIECE {
                run.file.write_all_at(&piece, end)?;
                end += piece.len() as u64;
                piece.clear();
            }
        }
        run.file.write_all_at(&piece, end)?;
        let mut before = 0;
        for start in &mut run.starts {
            before += *start;
            *start = before;
        }
        Ok(run)
    }

    /// Places in the Bloom filter: word, and bit in it.
    fn bits(&self, print: Print) -> [(usize, u64); 4] {
        let (bits, mask) = (print.bits(), self.bloom.len() * 64 - 1);
        [0, 24, 48, 72].map(|shift| {
            let place = (bits >> shift) as usize & mask;
            (place / 64, 1 << (place % 64))
        })
    }

    fn find(&self, print: Print) -> io::Result<Option<u32>> {
        if self.bits(print).iter().any(|(word, bit)| self.bloom[*word] & bit == 0) {
            return Ok(None);
        }
        let (from, to) = (self.starts[print.part()] as usize, self.starts[print.part() + 1] as usize);
        let mut part = vec![0; (to - from) * ROW];
        self.file.read_exact_at(&mut part, self.at + (from * ROW) as u64)?;
        let rows = part.as_chunks::<ROW>().0;
        let first = rows.partition_point(|row| u128::from_be_bytes(*row) < print.row(0));
        let found = rows.get(first).map(|row| u128::from_be_bytes(*row)).filter(|row| row >> 32 == print.bits());
        Ok(found.map(|row| row as u32))
    }
}

/// Takes the first eight bytes as the hash.
#[derive(Default)]
struct Half(u64);

impl Hasher for Half {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(head) = bytes.first_chunk::<8>() {
            self.0 = u64::from_ne_bytes(*head);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn small() -> Seen {
        Seen::with([RandomState::new(), RandomState::new()], 100)
    }

    proptest! {
        /// Against a map in memory, over many runs in the file.
        #[test]
        fn it_knows_what_was_met_and_how_near(items in prop::collection::vec((0u32..700, 0u32..5), 0..2000)) {
            let (mut seen, mut model) = (small(), HashMap::new());
            for (item, depth) in items {
                let wanted = match model.get(&item) {
                    None => Sight::New,
                    Some(known) if *known <= depth => Sight::Known,
                    Some(_) => Sight::Nearer,
                };
                prop_assert_eq!(seen.contains(&item).expect("reads"), wanted != Sight::New);
                prop_assert_eq!(seen.visit(&item, depth).expect("notes"), wanted);
                if wanted != Sight::Known {
                    model.insert(item, depth);
                }
            }
            prop_assert_eq!(seen.len, model.len());
        }
    }

    #[test]
    fn what_siblings_have_seen_is_put_together() {
        let mut all = small();
        for part in 0..7u32 {
            let mut sibling = all.sibling();
            for item in part * 150..(part + 1) * 150 {
                assert!(sibling.insert(&item).expect("notes"));
                assert!(!all.contains_print(sibling.print(&item)).expect("reads"));
            }
            all.absorb(sibling).expect("notes");
        }
        assert!((0..1050u32).all(|item| all.contains(&item).expect("reads")));
        assert!((1050..2000u32).all(|item| !all.contains(&item).expect("reads")));
        assert!((0..1050u32).all(|item| !all.insert(&item).expect("reads")));
    }

    #[test]
    fn a_million_and_more_are_met_once() {
        let mut seen = Seen::new();
        let many = RECENT as u64 + 100_000;
        assert!((0..many).all(|item| seen.insert(&item).expect("notes")));
        assert_eq!((seen.runs.len(), seen.recent.len()), (1, 100_000));
        assert!(seen.recent.capacity() <= RECENT, "the table was not doubled");
        assert!((0..many).all(|item| !seen.insert(&item).expect("notes")));
    }
}
