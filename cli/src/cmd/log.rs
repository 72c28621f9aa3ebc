//! `cairn log`: what the daemon logs.

use crate::{cmd::swarm::Strings, ctx::Ctx, log, output::Kind};
use anyhow::{Context as _, bail};
use serde::Serialize;
use std::{collections::BTreeMap, io::Write as _, sync::mpsc::RecvTimeoutError, time::Duration};
use tracing::Level;

/// How often somebody who follows looks whether they shall stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// Options of `cairn log`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn log level rpc debug")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print or set how much is logged
    #[command(after_help = "Examples:
  cairn log level               (what is logged of parts without a level of their own)
  cairn log level all           (all parts)
  cairn log level store debug
  cairn log level all warn")]
    Level {
        /// The part of the program; `all` or `*`: all parts
        subsystem: Option<String>,
        /// trace, debug, info, warn or error; `default`: that of parts without a level of their own
        level: Option<String>,
    },
    /// List the parts of the program that log
    #[command(after_help = "Example:\n  cairn log ls")]
    Ls,
    /// Print what is logged from now on, as JSON, until Ctrl-C
    #[command(after_help = "Example:\n  cairn log tail --log-level=error")]
    Tail {
        /// The least level that is printed; no more is printed than is logged
        #[arg(long, value_name = "LEVEL")]
        log_level: Option<String>,
    },
}

/// Kubo's answer.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Levels {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    levels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

/// Runs `cairn log`.
///
/// # Errors
/// When no daemon runs, or there is no such part or level.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    ctx.daemon()?;
    match args.command {
        Command::Level { subsystem, level } => self::level(ctx, subsystem.as_deref(), level.as_deref()),
        Command::Ls => Strings::print(ctx, log::parts()),
        Command::Tail { log_level } => tail(ctx, log_level.as_deref()),
    }
}

fn name(level: Level) -> String {
    level.as_str().to_ascii_lowercase()
}

fn parse(text: &str) -> anyhow::Result<Level> {
    log::parse_level(text)
        .with_context(|| format!("unrecognized level: {text:?}: there are trace, debug, info, warn and error"))
}

fn level(ctx: &Ctx, part: Option<&str>, level: Option<&str>) -> anyhow::Result<()> {
    let all = matches!(part, Some("all" | "*"));
    if let Some(part) = part.filter(|_| !all)
        && !log::parts().iter().any(|known| known == part)
    {
        bail!("no such part of the program: {part:?}: `cairn log ls` lists them");
    }
    let mut levels = BTreeMap::new();
    if let Some(text) = level {
        let wanted = if text == "default" { log::level(None) } else { parse(text)? };
        let part = part.unwrap_or("*");
        log::set_level(if all { None } else { Some(part) }, wanted);
        let shown = if all { "*" } else { part };
        let message = format!("Changed log level of '{shown}' to '{text}'\n");
        return ctx.out.emit_once(&Levels { levels, message }, |l| l.message.clone());
    }
    match part {
        None => drop(levels.insert(String::new(), name(log::level(None)))),
        Some(_) if all => {
            levels.extend(log::parts().into_iter().map(|part| (part.clone(), name(log::level(Some(&part))))));
            levels.insert("(default)".into(), name(log::level(None)));
        }
        Some(part) => drop(levels.insert(part.to_owned(), name(log::level(Some(part))))),
    }
    ctx.out.emit_once(&Levels { levels, message: String::new() }, |l| {
        let one = l.levels.len() == 1;
        l.levels
            .iter()
            .map(|(part, level)| if one { format!("{level}\n") } else { format!("{part}: {level}\n") })
            .collect()
    })
}

fn tail(ctx: &Ctx, level: Option<&str>) -> anyhow::Result<()> {
    let level = level.filter(|l| !l.is_empty()).map_or(Ok(Level::TRACE), parse)?;
    let follower = log::follow(level).context("too many follow the log already")?;
    // Said at once, so that a client knows that it follows.
    drop(ctx.out.begin(Kind::Bytes("text/plain"), None));
    loop {
        ctx.cancel.check()?;
        match follower.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                let mut out = ctx.out.stdout();
                out.write_all(line.as_bytes())?;
                out.flush()?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
