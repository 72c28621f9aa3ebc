//! The fuzz targets, for a bounded time, on their corpus and on mutations of it.

use cairn_tests::{fuzz::TARGETS, mutate};
use std::{fs, time::Duration};

/// For each target, unless `FUZZ_SECONDS` says otherwise.
const SECONDS: u64 = 1;
/// The targets share one process; what they may take together, in bytes.
const MAX_MEMORY: u64 = 256 << 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("the variable is a number"))
}

#[test]
fn no_input_breaks_a_parser() {
    let seed = number("FUZZ_SEED").unwrap_or_else(rand::random);
    let time = Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(SECONDS));
    let only = std::env::var("FUZZ_TARGET").ok();
    for target in TARGETS.iter().filter(|target| only.as_deref().is_none_or(|name| name == target.name)) {
        let ran = mutate::run(target, seed, time);
        println!("{}: {} of the corpus, {} mutated, FUZZ_SEED={seed}", target.name, ran.corpus, ran.mutated);
        assert!(ran.mutated > 0);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    if let Some(peak) = peak {
        let peak = 1024 * peak.parse::<u64>().expect("the kernel writes a number");
        assert!(peak < MAX_MEMORY, "the parsers took {peak} bytes");
    }
}
