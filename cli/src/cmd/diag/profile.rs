//! `cairn diag profile`: what a running daemon does with processor, memory and files, as a zip archive.
//!
//! What the kernel counts for every process is read; the daemon is not slowed down and nothing in it is stopped. Nothing
//! that is collected by default tells content, names or addresses.

mod collect;

use super::sys;
use crate::{ctx::Ctx, log, output::Kind, rpc::metrics};
use anyhow::{Context as _, bail};
use cairn_store::config::parse_duration;
use collect::Sampler;
use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Seek as _, Write as _},
    path::PathBuf,
    time::{Duration, SystemTime},
};
use tracing::Level;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Longest time that may be asked for: the log of it is held in memory.
const MAX_TIME: Duration = Duration::from_secs(600);
/// Bytes of the log that are kept of that time; what comes later is left out.
const MAX_LOG: usize = 16 << 20;

/// Options of `cairn diag profile`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Collectors, each a file in the archive:
  version   of the program and the packages it is built from
  sys       what `diag sys` prints
  cpu       which threads used the processors during --profile-time, and for what others waited
  memory    resident memory by kind of mapping
  threads   all threads: name, state, what they wait for
  commands  requests, without options and arguments
  metrics   what Prometheus is given
  files     open files by kind, and limits
  database  statistics of the tables
Only if named, since they are large or tell what this node does:
  log       what is logged during --profile-time
  bin       the program itself

Examples:
  cairn diag profile
  cairn diag profile --profile-time=5s --collectors=cpu,memory -o slow.zip")]
pub struct Args {
    /// Where the archive is written; `-` is stdout [default: ./cairn-profile-TIME.zip]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to collect
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_enum, default_values_t = DEFAULT)]
    collectors: Vec<Collector>,
    /// How long the processors are watched; 0 leaves out what takes time
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    profile_time: Duration,
}

/// What is collected unless told otherwise.
const DEFAULT: [Collector; 9] = [
    Collector::Version,
    Collector::Sys,
    Collector::Cpu,
    Collector::Memory,
    Collector::Threads,
    Collector::Commands,
    Collector::Metrics,
    Collector::Files,
    Collector::Database,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Collector {
    Version,
    Sys,
    Cpu,
    Memory,
    Threads,
    Commands,
    Metrics,
    Files,
    Database,
    Log,
    Bin,
}

impl Collector {
    /// Its file in the archive.
    fn file(self) -> &'static str {
        match self {
            Self::Version => "version.json",
            Self::Sys => "sys.json",
            Self::Cpu => "cpu.txt",
            Self::Memory => "memory.txt",
            Self::Threads => "threads.txt",
            Self::Commands => "commands.txt",
            Self::Metrics => "metrics.txt",
            Self::Files => "files.txt",
            Self::Database => "database.txt",
            Self::Log => "log.jsonl",
            Self::Bin => "cairn",
        }
    }
}

impl Args {
    /// The file that the command line shall write the daemon's answer to; `None`: to stdout.
    pub fn output(&self) -> Option<PathBuf> {
        match &self.output {
            Some(path) if path.as_os_str() == OsStr::new("-") => None,
            Some(path) if !path.as_os_str().is_empty() => Some(path.clone()),
            _ => {
                let time = crate::cmd::ls::time::utc(SystemTime::now()).replace(':', "_");
                Some(format!("cairn-profile-{time}.zip").into())
            }
        }
    }
}

/// Runs `cairn diag profile`.
///
/// # Errors
/// When no daemon runs, or nothing can be written.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    ctx.daemon()?;
    if args.profile_time > MAX_TIME {
        bail!("--profile-time: at most {MAX_TIME:?}");
    }
    // Said at once: nobody shall take the time that it takes for a daemon that hangs.
    drop(ctx.out.begin(Kind::Bytes("application/zip"), None));
    let mut file = tempfile::tempfile().context("cannot make a temporary file for the archive")?;
    write(ctx, args, &mut file)?;
    file.rewind()?;
    io::copy(&mut file, &mut ctx.out.writer())?;
    Ok(())
}

fn write(ctx: &Ctx, args: &Args, file: &mut File) -> anyhow::Result<()> {
    let (cpu, log) = watch(ctx, args)?;
    let mut archive = ZipWriter::new(file);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(true);
    for (n, &collector) in args.collectors.iter().enumerate() {
        ctx.cancel.check()?;
        if args.collectors[..n].contains(&collector) {
            continue;
        }
        let text = match collector {
            Collector::Cpu => cpu.clone(),
            Collector::Log => log.clone(),
            Collector::Bin => {
                archive.start_file(collector.file(), options)?;
                let mut program = File::open("/proc/self/exe").context("cannot read the program")?;
                io::copy(&mut program, &mut archive)?;
                continue;
            }
            other => Some(text(ctx, other)?),
        };
        if let Some(text) = text {
            archive.start_file(collector.file(), options)?;
            archive.write_all(text.as_bytes())?;
        }
    }
    archive.finish()?;
    Ok(())
}

/// What takes time: use of processors, and the log.
fn watch(ctx: &Ctx, args: &Args) -> anyhow::Result<(Option<String>, Option<String>)> {
    let wanted = |collector| args.collectors.contains(&collector) && !args.profile_time.is_zero();
    if !wanted(Collector::Cpu) && !wanted(Collector::Log) {
        return Ok((None, None));
    }
    let follower = match wanted(Collector::Log) {
        true => Some(log::follow(Level::TRACE).context("too many follow the log already")?),
        false => None,
    };
    let (mut sampler, mut logged) = (Sampler::begin(), String::new());
    while sampler.elapsed() < args.profile_time {
        ctx.cancel.check()?;
        std::thread::sleep(collect::EVERY.min(args.profile_time.saturating_sub(sampler.elapsed())));
        sampler.sample();
        for line in follower.iter().flat_map(|f| f.lines.try_iter()) {
            if logged.len() + line.len() <= MAX_LOG {
                logged.push_str(&line);
            }
        }
    }
    Ok((wanted(Collector::Cpu).then(|| sampler.end()), follower.map(|_| logged)))
}

fn text(ctx: &Ctx, collector: Collector) -> anyhow::Result<String> {
    let daemon = ctx.daemon()?;
    Ok(match collector {
        Collector::Version => crate::cmd::version::all(),
        Collector::Sys => format!("{:#}\n", sys::info(ctx)?),
        Collector::Memory => collect::memory(),
        Collector::Threads => collect::threads(),
        Collector::Commands => collect::commands(&daemon.requests.entries()),
        Collector::Metrics => metrics::text(daemon),
        Collector::Files => collect::files(),
        Collector::Database => daemon.repo.kv().describe(),
        Collector::Cpu | Collector::Log | Collector::Bin => String::new(),
    })
}
