//! One program for each fuzz target, all from this file: the name of the program is the target.

#![no_main]

#[path = "../tests/src/fuzz/mod.rs"]
mod fuzz;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TARGET: LazyLock<fuzz::Target> = LazyLock::new(|| {
    let program = std::env::args().next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    *fuzz::TARGETS.iter().find(|target| target.name == name).expect("programs are named after targets")
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
