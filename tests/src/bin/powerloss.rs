//! `powerloss [--losses N] [--seed N]`: cuts the power at random points and looks for losses.

use cairn_tests::{
    arguments::{Arguments, misuse, report},
    durability::power::{self, Config},
};
use std::{process::ExitCode, time::Instant};

fn main() -> ExitCode {
    report("powerloss", run())
}

fn run() -> anyhow::Result<()> {
    let mut arguments = Arguments::from_env(&["--losses", "--seed", "--lies"])?;
    if let Some(word) = arguments.words.first() {
        return misuse(format!("{word:?} means nothing here"));
    }
    let cuts = arguments.number("--losses")?.unwrap_or(500);
    let seed = arguments.number("--seed")?.unwrap_or_else(rand::random);
    let lies = arguments.number("--lies")?.is_some();
    println!("powerloss: {cuts} power cuts, seed {seed}");
    let start = Instant::now();
    let report = power::run(&Config { cuts, seed, lies })?;
    println!("powerloss: {report}; {:.0?} in all", start.elapsed());
    Ok(())
}
