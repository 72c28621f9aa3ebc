//! `bench [ITEM…] [--runs N] [--big-mib N] [--divide N] [--pebble true] [--growth-mib N] [--growth-blocks N]
//! [--minutes N] [--output FILE]`: measures, prints, and writes the tables into a Markdown file. Without items: all of
//! them but `soak`, which takes an hour, or `--minutes`.
//! Kubo takes part when `ipfs` is on the PATH or `$KUBO` names it.

use cairn_tests::{
    arguments::{Arguments, misuse, report as finish},
    bench::{Bench, Config, bare, ceiling, growth, item::ITEMS, mount::through, report, soak},
};
use std::{fmt::Write as _, path::PathBuf, process::ExitCode, time::Instant};

/// What is measured besides single commands.
const OTHERS: [&str; 5] = ["network", "gateway", "mount", "growth", "soak"];

fn main() -> ExitCode {
    finish("bench", run())
}

fn run() -> anyhow::Result<()> {
    let names =
        ["--runs", "--big-mib", "--divide", "--pebble", "--growth-mib", "--growth-blocks", "--minutes", "--output"];
    let mut arguments = Arguments::from_env(&names)?;
    let words = &arguments.words;
    if ceiling::run_if_asked(words)? || bare::run_if_asked(words)? || through::run_if_asked(words)? {
        return Ok(());
    }
    let number = |arguments: &mut Arguments, name: &str, default: u64| {
        Ok::<_, anyhow::Error>(arguments.number(name)?.unwrap_or(default))
    };
    let config = Config {
        runs: usize::try_from(number(&mut arguments, "--runs", 3)?)?.max(1),
        big_mib: number(&mut arguments, "--big-mib", 1024)?,
        divide: usize::try_from(number(&mut arguments, "--divide", 1)?)?,
        pebble: arguments.text("--pebble").is_some_and(|v| v == "true"),
    };
    let growth_mib = number(&mut arguments, "--growth-mib", 1024)?;
    let growth_blocks = number(&mut arguments, "--growth-blocks", 1_000_000)?;
    let minutes = number(&mut arguments, "--minutes", 60)?.max(1);
    let output = arguments.text("--output").map(PathBuf::from);
    let words = &arguments.words;
    let unknown: Vec<_> =
        words.iter().filter(|w| !OTHERS.contains(&w.as_str()) && !ITEMS.iter().any(|i| i.key == *w)).collect();
    let known: Vec<&str> = ITEMS.iter().map(|i| i.key).chain(OTHERS).collect();
    if !unknown.is_empty() {
        return misuse(format!("{unknown:?} cannot be measured: there are {}", known.join(" ")));
    }
    let asked = |key: &str| words.is_empty() || words.iter().any(|w| w == key);

    let reduced = config.big_mib != 1024 || config.divide != 1;

    let start = Instant::now();
    println!("{}, medians of {} runs\n\n{}", report::machine(), config.runs, report::HEAD);
    let mut text = format!("{}; medians of {} runs.\n\n{}\n", report::machine(), config.runs, report::HEAD);
    let runs = config.runs;
    let mut bench = Bench::new(config)?;
    for item in ITEMS.iter().filter(|i| asked(i.key)) {
        let row = bench.measure(item)?;
        println!("{row}");
        writeln!(text, "{row}")?;
    }
    let network = if asked("network") { bench.network()? } else { String::new() };
    let gateway = if asked("gateway") { bench.gateway()? } else { String::new() };
    let mount = if asked("mount") { bench.mount()? } else { String::new() };
    drop(bench);
    let soaked = if words.iter().any(|w| w == "soak") { Some(soak::measure(minutes)?) } else { None };
    let growth = if asked("growth") { growth::measure(runs, growth_mib, growth_blocks)? } else { String::new() };
    println!("\n{growth}\nbench: {:.0?} in all", start.elapsed());
    if reduced {
        println!("bench: reduced sizes are for trying, nothing is written");
    } else if let Some(output) = output {
        if ITEMS.iter().any(|item| asked(item.key)) {
            report::put(&output, "bench", &text)?;
        }
        if !network.is_empty() {
            report::put(&output, "network", &network)?;
        }
        if !gateway.is_empty() {
            report::put(&output, "gateway", &gateway)?;
        }
        if !mount.is_empty() {
            report::put(&output, "mount", &mount)?;
        }
        if !growth.is_empty() {
            report::put(&output, "growth", &growth)?;
        }
        if let Some(soaked) = &soaked {
            report::put(&output, "soak", &soaked.table)?;
        }
    }
    if let Some(soaked) = soaked {
        soaked.verdict()?;
    }
    Ok(())
}
