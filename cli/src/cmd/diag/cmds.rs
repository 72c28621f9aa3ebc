//! `cairn diag cmds`.

use crate::{cmd::ls::time::utc, ctx::Ctx, rpc::log::Entry, table::Table};
use cairn_store::config::parse_duration;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

/// Options of `cairn diag cmds`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cairn diag cmds -v\n  cairn diag cmds clear"
)]
pub struct Args {
    #[command(subcommand)]
    sub: Option<Sub>,
    /// Print numbers, arguments and options too
    #[arg(short, long)]
    verbose: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// Forget those that have ended
    #[command(after_help = "Example:\n  cairn diag cmds clear")]
    Clear,
    /// Set how long those that have ended are remembered
    #[command(after_help = "Example:\n  cairn diag cmds set-time 10m")]
    SetTime {
        /// How long: 30s, 5m, 1h
        #[arg(value_parser = parse_duration)]
        time: Duration,
    },
}

/// Kubo's entry.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    start_time: String,
    end_time: String,
    active: bool,
    command: String,
    options: BTreeMap<String, String>,
    args: Vec<String>,
    #[serde(rename = "ID")]
    id: u64,
    #[serde(skip)]
    ran: Duration,
}

/// Runs `cairn diag cmds`.
///
/// # Errors
/// When no daemon runs.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let requests = &ctx.daemon()?.requests;
    match args.sub {
        Some(Sub::Clear) => requests.clear(),
        Some(Sub::SetTime { time }) => requests.set_keep(time),
        None => {
            let all: Vec<Shown> = requests.entries().into_iter().map(shown).collect();
            return ctx.out.emit_once(&all, |all| text(all, args.verbose));
        }
    }
    Ok(())
}

fn shown(entry: Entry) -> Shown {
    let end = entry.ended.unwrap_or_else(SystemTime::now);
    Shown {
        start_time: utc(entry.begun),
        // A time of Go that was not set.
        end_time: entry.ended.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), utc),
        active: entry.ended.is_none(),
        command: entry.command,
        options: entry.options,
        args: entry.arguments,
        id: entry.id,
        ran: end.duration_since(entry.begun).unwrap_or_default(),
    }
}

fn text(all: &[Shown], verbose: bool) -> String {
    let head = if verbose {
        vec!["ID", "Command", "Arguments", "Options", "Active", "StartTime", "RunTime"]
    } else {
        vec!["Command", "Active", "StartTime", "RunTime"]
    };
    let mut table = Table::new(0, 2);
    table.row(head);
    for entry in all {
        let mut row = vec![entry.command.clone()];
        if verbose {
            row.insert(0, entry.id.to_string());
            row.push(format!("[{}]", entry.args.join(" ")));
            let options: String = entry.options.iter().map(|(k, v)| format!("{k}={v},")).collect();
            row.push(format!("[{options}]"));
        }
        row.extend([entry.active.to_string(), entry.start_time.clone(), format!("{:?}", entry.ran)]);
        table.row(row);
    }
    table.text()
}
