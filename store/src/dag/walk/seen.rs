//! The set of blocks that a walk has visited.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher as _, BuildHasherDefault, Hash, Hasher, RandomState},
};

/// Distinct blocks that one walk keeps track of: 64 Mi, or 16 TiB of 256 KiB blocks.
pub const MAX_VISITED: usize = 1 << 26;

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

/// There is no room for another block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A set of fingerprints of 16 bytes with a key of its own, so that nobody outside can make two blocks collide;
/// by chance two of 2^26 do with a probability below 2^-76. Takes 24 to 48 bytes for each block.
pub struct Seen {
    keys: [RandomState; 2],
    // Fingerprints are uniform already: half of one serves as its hash.
    depths: HashMap<[u32; 4], u32, BuildHasherDefault<Half>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self::new()
    }
}

impl Seen {
    /// An empty set with a fresh random key.
    pub fn new() -> Self {
        Self { keys: [RandomState::new(), RandomState::new()], depths: HashMap::default() }
    }

    fn fingerprint(&self, item: &impl Hash) -> [u32; 4] {
        let [a, b] = [self.keys[0].hash_one(item), self.keys[1].hash_one(item)];
        let word = |value: u64| value as u32;
        [word(a), word(a >> 32), word(b), word(b >> 32)]
    }

    /// Notes that an item was reached that far from the root.
    ///
    /// # Errors
    /// [`Full`] at [`MAX_VISITED`] items.
    pub fn visit(&mut self, item: &impl Hash, depth: u32) -> Result<Sight, Full> {
        let print = self.fingerprint(item);
        let room = self.depths.len() < MAX_VISITED;
        match self.depths.entry(print) {
            Entry::Occupied(known) if *known.get() <= depth => Ok(Sight::Known),
            Entry::Occupied(mut known) => {
                known.insert(depth);
                Ok(Sight::Nearer)
            }
            Entry::Vacant(_) if !room => Err(Full),
            Entry::Vacant(free) => {
                free.insert(depth);
                Ok(Sight::New)
            }
        }
    }

    /// Whether an item was reached before.
    pub fn contains(&self, item: &impl Hash) -> bool {
        self.depths.contains_key(&self.fingerprint(item))
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
