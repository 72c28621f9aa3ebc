//! `crash [--kills N] [--seed N]`: kills the program at random points and looks for losses.

use cairn_tests::{
    arguments::Arguments,
    durability::crash::{self, Config},
};
use std::{process::ExitCode, time::Instant};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("crash: FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut arguments = Arguments::from_env(&["--kills", "--seed"])?;
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
