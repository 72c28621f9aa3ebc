//! The Rabin chunker: the remainder of the last 16 bytes, read as a polynomial over GF(2), modulo a fixed one.
//!
//! The fingerprint at a position depends on the 16 bytes before it and on nothing else: the chunk's start does
//! not enter it, since the shortest chunk is not shorter than the window.

use std::sync::LazyLock;

/// Bytes under the fingerprint.
pub(super) const WINDOW: usize = 16;
/// The irreducible polynomial that deployed nodes use.
const POLYNOMIAL: u64 = 17_437_180_132_763_653;
/// Its degree: fingerprints are shorter than that many bits.
const DEGREE: u32 = 63 - POLYNOMIAL.leading_zeros();
/// Bytes that one of four fingerprints covers before the earliest cut is picked, and of all four.
const LANE: usize = 1024;
const STRIDE: usize = 4 * LANE;
/// Cuts must be further apart than strides, else most of a stride is scanned in vain.
const LANES_FROM: u64 = 4 * STRIDE as u64 - 1;

struct Tables {
    /// By the byte that leaves the window: what it contributes to the fingerprint.
    out: [u64; 256],
    /// By the eight bits above the degree: what clears them and reduces the rest.
    reduce: [u64; 256],
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = Tables { out: [0; 256], reduce: [0; 256] };
    for byte in 0..256usize {
        let value = byte as u64;
        tables.out[byte] = (1..WINDOW).fold(value, |hash, _| remainder(hash << 8));
        tables.reduce[byte] = remainder(value << DEGREE) | value << DEGREE;
    }
    tables
});

/// Remainder of a polynomial of up to 64 coefficients.
fn remainder(mut value: u64) -> u64 {
    while value >> DEGREE != 0 {
        value ^= POLYNOMIAL << (63 - value.leading_zeros() - DEGREE);
    }
    value
}

#[derive(Clone)]
pub(super) struct Rabin {
    min: usize,
    /// A cut is where these bits of the fingerprint are zero.
    mask: u64,
    /// Fingerprint of the last [`WINDOW`] bytes that were scanned.
    digest: u64,
    tables: &'static Tables,
}

impl std::fmt::Debug for Rabin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rabin").field("min", &self.min).field("mask", &self.mask).finish_non_exhaustive()
    }
}

impl Rabin {
    /// `min` is at least [`WINDOW`], `avg` is above `min`.
    pub(super) fn new(min: usize, avg: usize) -> Self {
        Self { min: min.max(WINDOW), mask: (1 << avg.max(1).ilog2()) - 1, digest: 0, tables: &TABLES }
    }

    /// Length of the shortest chunk that ends in a cut, in a window whose first `scanned` bytes hold none.
    pub(super) fn find_cut(&mut self, window: &[u8], scanned: usize) -> Option<usize> {
        if window.len() < self.min {
            return None;
        }
        let mut from = scanned;
        if scanned < self.min {
            from = self.min;
            self.digest = self.fingerprint(&window[from - WINDOW..from]);
            if self.digest & self.mask == 0 {
                return Some(from);
            }
        }
        if self.mask >= LANES_FROM {
            while window.len() - from >= STRIDE {
                if let Some(cut) = self.find_in_stride(window, from) {
                    return Some(cut);
                }
                from += STRIDE;
                self.digest = self.fingerprint(&window[from - WINDOW..from]);
            }
        }
        let mut digest = self.digest;
        let leaving = window[from - WINDOW..].iter();
        for (i, (&new, &old)) in window[from..].iter().zip(leaving).enumerate() {
            digest = self.slide(digest, old, new);
            if digest & self.mask == 0 {
                return Some(from + i + 1);
            }
        }
        self.digest = digest;
        None
    }

    /// The first cut after `from` and up to [`STRIDE`] bytes later. One fingerprint waits for a table look-up
    /// at each byte; four of them, each in its own quarter, wait at the same time.
    fn find_in_stride(&self, window: &[u8], from: usize) -> Option<usize> {
        let quarter = |lane: usize| {
            let at = from + lane * LANE;
            (&window[at - WINDOW..at - WINDOW + LANE], &window[at..at + LANE])
        };
        let [(old0, new0), (old1, new1), (old2, new2), (old3, new3)] = [0, 1, 2, 3].map(quarter);
        let [mut d0, mut d1, mut d2, mut d3] = [old0, old1, old2, old3].map(|old| self.fingerprint(&old[..WINDOW]));
        let mut first = [usize::MAX; 4];
        for i in 0..LANE {
            d0 = self.slide(d0, old0[i], new0[i]);
            d1 = self.slide(d1, old1[i], new1[i]);
            d2 = self.slide(d2, old2[i], new2[i]);
            d3 = self.slide(d3, old3[i], new3[i]);
            for (lane, digest) in [d0, d1, d2, d3].into_iter().enumerate() {
                if digest & self.mask == 0 {
                    first[lane] = first[lane].min(i);
                }
            }
        }
        let lane = first.iter().position(|&i| i < LANE)?;
        Some(from + lane * LANE + first[lane] + 1)
    }

    /// Fingerprint of [`WINDOW`] bytes.
    fn fingerprint(&self, bytes: &[u8]) -> u64 {
        bytes.iter().fold(0, |digest, &new| self.append(digest, new))
    }

    fn slide(&self, digest: u64, old: u8, new: u8) -> u64 {
        self.append(digest ^ self.tables.out[usize::from(old)], new)
    }

    fn append(&self, digest: u64, new: u8) -> u64 {
        let top = (digest >> (DEGREE - 8)) as usize & 0xff;
        (digest << 8 | u64::from(new)) ^ self.tables.reduce[top]
    }
}
