//! `cairn provide stat`.

use crate::{cmd::ls::time::rfc3339, ctx::Ctx, table::Table, units};
use cairn_net::dht::{Net, sweep::Stats};
use cairn_store::unixfs::node::Mtime;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Options of `cairn provide stat`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without options, a summary.

Examples:
  cairn provide stat
  cairn provide stat --all
  watch cairn provide stat --all --compact
  cairn provide stat --lan --enc=json")]
pub struct Args {
    /// Of the DHT of the local network [default: of the public one]
    #[arg(long)]
    lan: bool,
    /// All that follows
    #[arg(short, long)]
    all: bool,
    /// All of it in two columns, for watching
    #[arg(long, requires = "all")]
    compact: bool,
    /// Whether there is a network
    #[arg(long)]
    connectivity: bool,
    /// Peers that were met
    #[arg(long)]
    network: bool,
    /// What comes next
    #[arg(long)]
    schedule: bool,
    /// Since when
    #[arg(long)]
    timings: bool,
    /// Who works
    #[arg(long)]
    workers: bool,
    /// What was done
    #[arg(long)]
    operations: bool,
    /// What waits
    #[arg(long)]
    queues: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    sweep: Value,
    legacy: (),
    #[serde(rename = "FullRT")]
    full_rt: bool,
}

/// Runs `cairn provide stat`.
///
/// # Errors
/// When there is no daemon, or it announces nothing there.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let node = ctx.node()?;
    let sweep = super::sweep(&node)?;
    let net = if args.lan { Net::Lan } else { Net::Wan };
    let stats = ctx.block_on(async { Ok(sweep.stats(net).await) })?;
    let Some(stats) = stats else { anyhow::bail!("nothing is announced in the {} DHT: see Routing.Type", net.name()) };
    let event = Event { sweep: json(&stats), legacy: (), full_rt: false };
    ctx.out.emit_once(&event, |_| text(&stats, args))
}

/// In the shape of Kubo: durations in nanoseconds, times in RFC 3339.
fn json(stats: &Stats) -> Value {
    let Stats { connectivity, queues, schedule, workers, timing, operations, network, .. } = stats;
    json!({
        "closed": stats.closed,
        "connectivity": {"status": connectivity.status, "since": time(connectivity.since)},
        "queues": queues,
        "schedule": {
            "keys": schedule.keys,
            "regions": schedule.regions,
            "avg_prefix_length": schedule.avg_prefix_length,
            "next_reprovide_at": time(schedule.next_reprovide_at),
            "next_reprovide_prefix": schedule.next_reprovide_prefix,
        },
        "workers": workers,
        "timing": {
            "uptime": timing.uptime,
            "reprovides_interval": timing.reprovides_interval,
            "cycle_start": time(timing.cycle_start),
            "current_time_offset": timing.current_time_offset,
        },
        "operations": operations,
        "network": network,
    })
}

/// Unix seconds as Go prints a time in JSON; 0 is no time.
fn time(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    rfc3339((seconds != 0).then_some(Mtime { seconds, nanos: 0 }))
}

/// The same for people.
fn shown(seconds: u64) -> String {
    if seconds == 0 { "N/A".to_owned() } else { time(seconds).replace('T', " ").replace('Z', " UTC") }
}

/// A section of the text: its title and its lines, of which each may have a part in brackets.
type Section = (&'static str, Vec<(String, String)>);

fn text(stats: &Stats, args: &Args) -> String {
    let wanted =
        [args.connectivity, args.queues, args.schedule, args.timings, args.network, args.operations, args.workers];
    let sections = [
        connectivity(stats),
        queues(stats),
        schedule(stats),
        timings(stats),
        network(stats),
        operations(stats),
        workers(stats),
    ];
    let count = wanted.iter().filter(|wanted| **wanted).count();
    if !args.all && count == 0 {
        return brief(stats);
    }
    let headings = args.all || count > 1;
    let mut texts = Vec::new();
    if args.compact {
        return beside(&sections);
    }
    for ((title, lines), wanted) in sections.into_iter().zip(wanted) {
        if !wanted && !args.all {
            continue;
        }
        let mut table = Table::new(1, 1);
        for (label, value) in lines {
            table.row([format!("{}{label}:", if headings { "  " } else { "" }), value]);
        }
        texts.push(if headings { format!("{title}:\n{}", table.text()) } else { table.text() });
    }
    texts.join("\n")
}

/// The sections in two columns, as Kubo places them.
fn beside(sections: &[Section]) -> String {
    const LEFT: [&str; 3] = ["Schedule", "Network", "Workers"];
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (title, lines) in sections {
        let column = if LEFT.contains(title) { &mut left } else { &mut right };
        if !column.is_empty() {
            column.push(String::new());
        }
        column.push(format!("{title}:"));
        column.extend(lines.iter().map(|(label, value)| format!("  {label}: {value}")));
    }
    let mut table = Table::new(1, 3);
    let rows = left.len().max(right.len());
    left.resize(rows, String::new());
    right.resize(rows, String::new());
    left.into_iter().zip(right).for_each(|(left, right)| table.row([left, right]));
    table.text()
}

/// A summary.
fn brief(stats: &Stats) -> String {
    let mut table = Table::new(1, 1);
    let online = stats.connectivity.status == "online";
    let lines = [
        (!online, "Status", stats.connectivity.status.clone()),
        (true, "Provide queue", provide_queue(stats)),
        (true, "Reprovide queue", format!("{} regions", stats.queues.pending_region_reprovides)),
        (true, "CIDs scheduled", stats.schedule.keys.to_string()),
        (true, "Regions scheduled", or_none(stats.schedule.regions as f64, 0)),
        (true, "Avg record holders", or_none(stats.network.avg_holders, 1)),
        (true, "Total CIDs provided", stats.operations.past.keys_provided.to_string()),
    ];
    for (_, label, value) in lines.into_iter().filter(|(shown, ..)| *shown) {
        table.row([format!("{label}:"), value]);
    }
    table.text()
}

fn provide_queue(stats: &Stats) -> String {
    format!("{} CIDs, {} regions", stats.queues.pending_key_provides, stats.queues.pending_region_provides)
}

fn or_none(number: f64, decimals: usize) -> String {
    if number <= 0.0 { "N/A".to_owned() } else { format!("{number:.decimals$}") }
}

/// Hundred milliseconds are near enough.
fn duration(nanos: u64) -> String {
    const STEP: u64 = 100_000_000;
    units::go_duration(Duration::from_nanos(if nanos > 10 * STEP { nanos - nanos % STEP } else { nanos }))
}

fn line(label: &str, value: impl ToString) -> (String, String) {
    (label.to_owned(), value.to_string())
}

fn connectivity(stats: &Stats) -> Section {
    let since = shown(stats.connectivity.since);
    ("Connectivity", vec![line("Status", format!("{} ({since})", stats.connectivity.status))])
}

fn queues(stats: &Stats) -> Section {
    let reprovide = format!("{} regions", stats.queues.pending_region_reprovides);
    ("Queues", vec![line("Provide queue", provide_queue(stats)), line("Reprovide queue", reprovide)])
}

fn schedule(stats: &Stats) -> Section {
    let schedule = &stats.schedule;
    let prefix = if schedule.next_reprovide_prefix.is_empty() { "N/A" } else { &schedule.next_reprovide_prefix };
    let lines = vec![
        line("CIDs scheduled", schedule.keys),
        line("Regions scheduled", or_none(schedule.regions as f64, 0)),
        line("Avg prefix length", or_none(schedule.avg_prefix_length, 1)),
        line("Next region prefix", prefix),
        line("Next region reprovide", shown(schedule.next_reprovide_at)),
    ];
    ("Schedule", lines)
}

fn timings(stats: &Stats) -> Section {
    let timing = &stats.timing;
    let lines = vec![
        line("Uptime", duration(timing.uptime)),
        line("Current time offset", duration(timing.current_time_offset)),
        line("Cycle started", shown(timing.cycle_start)),
        line("Reprovide interval", duration(timing.reprovides_interval)),
    ];
    ("Timings", lines)
}

fn network(stats: &Stats) -> Section {
    let network = &stats.network;
    let reachable = match network.peers {
        0 => network.reachable.to_string(),
        peers => format!("{} ({}%)", network.reachable, 100 * network.reachable / peers),
    };
    let lines = vec![
        line("Avg record holders", or_none(network.avg_holders, 1)),
        line("Peers swept", network.peers),
        line("Reachable peers", reachable),
        line("Avg region size", or_none(network.avg_region_size, 1)),
        line("Replication factor", network.replication_factor),
    ];
    ("Network", lines)
}

fn operations(stats: &Stats) -> Section {
    let past = &stats.operations.past;
    let region = if past.reprovide_duration == 0 { "N/A".to_owned() } else { duration(past.reprovide_duration) };
    let lines = vec![
        line("Total CIDs provided", past.keys_provided),
        line("Total records provided", past.records_provided),
        line("Total provide errors", past.keys_failed),
        line("Region reprovide duration", region),
        line("Avg CIDs/reprovide", or_none(past.avg_keys_per_reprovide, 1)),
        line("Regions reprovided (last cycle)", past.regions_reprovided_last_cycle),
    ];
    ("Operations", lines)
}

fn workers(stats: &Stats) -> Section {
    let workers = &stats.workers;
    let lines = vec![
        line("Active workers", format!("{} / {} (max)", workers.active, workers.max)),
        line(
            "On the schedule",
            format!("{} active, {} dedicated", workers.active_periodic, workers.dedicated_periodic),
        ),
        line("On new CIDs", format!("{} active, {} dedicated", workers.active_burst, workers.dedicated_burst)),
        line("Max connections/worker", workers.max_provide_conns_per_worker),
    ];
    ("Workers", lines)
}
