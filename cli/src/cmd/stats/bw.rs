//! `cairn stats bw`.

use crate::{address, ctx::Ctx, exit::Usage, units};
use cairn_net::node::{Bandwidth, Node};
use cairn_store::config::parse_duration;
use libp2p::PeerId;
use serde::Serialize;
use std::time::Duration;

/// Options of `cairn stats bw`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Counted are the bytes of streams; encryption and packets add to them.

Examples:
  cairn stats bw
  cairn stats bw --proto /ipfs/bitswap/1.2.0
  cairn stats bw --poll -i 5s")]
pub struct Args {
    /// Only those of this connected peer
    #[arg(short, long)]
    peer: Option<String>,
    /// Only those of this protocol
    #[arg(short = 't', long)]
    proto: Option<String>,
    /// Print again and again
    #[arg(long)]
    poll: bool,
    /// With --poll: time between two prints
    #[arg(short, long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    interval: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    total_in: u64,
    total_out: u64,
    rate_in: f64,
    rate_out: f64,
}

impl From<Bandwidth> for Event {
    fn from(bytes: Bandwidth) -> Self {
        Self { total_in: bytes.received, total_out: bytes.sent, rate_in: bytes.receive_rate, rate_out: bytes.send_rate }
    }
}

/// Shortest time between two prints.
const SHORTEST: Duration = Duration::from_millis(10);

/// Runs `cairn stats bw`.
///
/// # Errors
/// When there is no daemon, or both a peer and a protocol were given.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let node = ctx.node()?;
    if args.peer.is_some() && args.proto.is_some() {
        return Err(Usage("please only specify peer OR protocol".into()).into());
    }
    let peer = args.peer.as_deref().map(address::peer).transpose()?;
    if !args.poll {
        return ctx.out.emit(&read(&node, peer, args), text);
    }
    if !ctx.out.json() && !ctx.is_rpc() {
        ctx.out.note("Total Up    Total Down  Rate Up     Rate Down\n");
    }
    ctx.block_on(async {
        loop {
            ctx.out.emit(&read(&node, peer, args), |event| line(event, ctx.out.tty))?;
            ctx.out.finish()?;
            tokio::time::sleep(args.interval.max(SHORTEST)).await;
        }
    })
}

fn read(node: &Node, peer: Option<PeerId>, args: &Args) -> Event {
    match (peer, &args.proto) {
        (Some(peer), _) => node.bandwidth_of_peer(&peer),
        (None, Some(protocol)) => node.bandwidth_of_protocol(protocol),
        (None, None) => node.bandwidth(),
    }
    .into()
}

fn text(event: &Event) -> String {
    format!(
        "Bandwidth\nTotalIn: {}\nTotalOut: {}\nRateIn: {}/s\nRateOut: {}/s\n",
        units::decimal(event.total_in),
        units::decimal(event.total_out),
        units::decimal(event.rate_in as u64),
        units::decimal(event.rate_out as u64)
    )
}

/// One line; on a terminal the next one is written over it.
fn line(event: &Event, tty: bool) -> String {
    format!(
        "{:>8}    {:>8}    {:>8}/s  {:>8}/s{}",
        units::decimal(event.total_out),
        units::decimal(event.total_in),
        units::decimal(event.rate_out as u64),
        units::decimal(event.rate_in as u64),
        if tty { "      \r" } else { "\n" }
    )
}
