//! `powerloss [--losses N] [--seed N]`: cuts the power at random points and looks for losses.

use cairn_tests::{
    arguments::Arguments,
    durability::power::{self, Config},
};
use std::{process::ExitCode, time::Instant};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("powerloss: FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut arguments = Arguments::from_env(&["--losses", "--seed", "--lies"])?;
    let cuts = arguments.number("--losses")?.unwrap_or(500);
    let seed = arguments.number("--seed")?.unwrap_or_else(rand::random);
    let lies = arguments.number("--lies")?.is_some();
    println!("powerloss: {cuts} power cuts, seed {seed}");
    let start = Instant::now();
    let report = power::run(&Config { cuts, seed, lies })?;
    println!("powerloss: {report}; {:.0?} in all", start.elapsed());
    Ok(())
}
