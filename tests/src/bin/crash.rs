//! `crash [--kills N] [--seed N]`: kills the program at random points and looks for losses.

use cairn_tests::{
    arguments::{Arguments, misuse, report},
    durability::crash::{self, Config},
};
use std::{process::ExitCode, time::Instant};

fn main() -> ExitCode {
    report("crash", run())
}

fn run() -> anyhow::Result<()> {
    let mut arguments = Arguments::from_env(&["--kills", "--seed"])?;
    if let Some(word) = arguments.words.first() {
        return misuse(format!("{word:?} means nothing here"));
    }
    let kills = arguments.number("--kills")?.unwrap_or(200);
    let seed = arguments.number("--seed")?.unwrap_or_else(rand::random);
    let log = std::env::temp_dir().join(format!("cairn-crash-{seed}.log"));
    println!("crash: {kills} kills, seed {seed}, log {}", log.display());
    let start = Instant::now();
    let report = crash::run(&Config { kills, seed, log: log.clone() })?;
    println!("crash: {report}; {:.0?} in all", start.elapsed());
    std::fs::remove_file(&log)?;
    Ok(())
}
