//! Runs a fuzz target on stable Rust: the corpus, then mutations of it.

use crate::fuzz::Target;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use std::{
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Longest input in bytes.
const MAX_INPUT: usize = 64 << 10;
/// Longest time for one input. A parser takes microseconds; the rest is for a busy machine.
const MAX_TIME: Duration = Duration::from_secs(5);
/// Mutated inputs that join the pool, since a mutation of a mutation goes farther.
const MAX_POOL: usize = 4096;
/// Numbers that break arithmetic on lengths, as varints.
const VARINTS: [&[u8]; 8] = [
    &[0x00],
    &[0x7f],
    &[0xff, 0xff, 0x7f],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x80, 0x00],
];

/// What a run did.
#[derive(Debug, Clone, Copy)]
pub struct Ran {
    /// Inputs of the corpus.
    pub corpus: usize,
    /// Inputs made from them.
    pub mutated: usize,
}

/// Directory of a target's corpus.
pub fn corpus(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// Runs the corpus, and then mutations until the time is over.
///
/// # Panics
/// When a property breaks: the message says where the input was kept, and the seed.
pub fn run(target: &Target, seed: u64, time: Duration) -> Ran {
    let mut paths: Vec<PathBuf> = fs::read_dir(corpus(target))
        .expect("every target has a corpus")
        .map(|entry| entry.expect("the corpus is readable").path())
        .collect();
    paths.sort();
    let mut pool: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).expect("the corpus is readable")).collect();
    let ran = pool.len();
    assert!(ran > 0, "the corpus of {} is empty", target.name);
    for input in &pool {
        try_one(target, input, seed);
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let until = Instant::now() + time;
    let mut mutated = 0;
    while Instant::now() < until {
        for _ in 0..64 {
            let input = mutate(&pool, &mut rng);
            try_one(target, &input, seed);
            mutated += 1;
            if rng.random_ratio(1, 16) {
                if pool.len() < MAX_POOL {
                    pool.push(input);
                } else {
                    let at = rng.random_range(ran..pool.len());
                    pool[at] = input;
                }
            }
        }
    }
    Ran { corpus: ran, mutated }
}

fn try_one(target: &Target, input: &[u8], seed: u64) {
    let start = Instant::now();
    let result = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let took = start.elapsed();
    if result.is_ok() && took < MAX_TIME {
        return;
    }
    let kept = std::env::temp_dir().join(format!("fuzz-{}-{seed}", target.name));
    let _ = fs::write(&kept, input);
    panic!(
        "{} failed after {took:?} on {} bytes kept in {}; FUZZ_SEED={seed}",
        target.name,
        input.len(),
        kept.display()
    );
}

fn mutate(pool: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut input = pool.choose(rng).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..=6) {
        let at = rng.random_range(0..=input.len());
        let end = (at + 1 + rng.random_range(0..16usize)).min(input.len());
        match rng.random_range(0..9) {
            0 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
            1 if at < input.len() => input[at] = rng.random(),
            2 => drop(input.drain(at..end)),
            3 => input.insert(at, rng.random()),
            4 => {
                let piece = input[at..end].to_vec();
                let to = rng.random_range(0..=input.len());
                input.splice(to..to, piece);
            }
            5 => {
                let number = VARINTS.choose(rng).copied().unwrap_or_default();
                let over = if rng.random() { at..end.min(at + 1) } else { at..at };
                input.splice(over, number.iter().copied());
            }
            6 => input.truncate(at),
            7 => {
                let other = pool.choose(rng).map(Vec::as_slice).unwrap_or_default();
                let from = rng.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let piece = input[at..end].repeat(rng.random_range(1..40));
                input.splice(at..at, piece);
            }
        }
        input.truncate(MAX_INPUT);
    }
    input
}
