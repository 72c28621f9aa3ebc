//! `cairn ping`: round-trip times.

use crate::{address, ctx::Ctx};
use anyhow::bail;
use cairn_net::node::Node;
use libp2p::{Multiaddr, PeerId};
use serde::Serialize;
use std::time::{Duration, Instant};

/// How long a peer is looked for: as Kubo has it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two pings.
const PAUSE: Duration = Duration::from_secs(1);

/// Options of `cairn ping`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn ping -n 3 12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou")]
pub struct Args {
    /// Name of the peer, or an address that ends with /p2p/PEER
    #[arg(value_name = "PEER")]
    peer: String,
    /// How many times
    #[arg(short = 'n', long, default_value_t = 10, allow_negative_numbers = true)]
    count: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    success: bool,
    /// Nanoseconds.
    time: u64,
    text: String,
}

impl Event {
    fn said(success: bool, text: impl Into<String>) -> Self {
        Self { success, time: 0, text: text.into() }
    }

    fn print(&self, ctx: &Ctx) -> anyhow::Result<()> {
        ctx.out.emit(self, |event| {
            if !event.text.is_empty() {
                format!("{}\n", event.text)
            } else if event.success {
                format!("Pong received: time={:.2} ms\n", millis(Duration::from_nanos(event.time)))
            } else {
                "Pong failed\n".to_owned()
            }
        })?;
        // Whoever watches wants to see each when it comes.
        ctx.out.finish()
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Runs `cairn ping`.
///
/// # Errors
/// When there is no daemon, the peer can't be found, or it answers nothing.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let node = ctx.node()?;
    let (peer, place) = address::peer_or_address(&args.peer)?;
    if peer == node.peer_id() {
        bail!("error: can't ping self");
    }
    if args.count <= 0 {
        bail!("ping count must be greater than 0, was {}", args.count);
    }
    ctx.block_on(async {
        reach(ctx, &node, peer, place).await?;
        Event::said(true, format!("PING {peer}.")).print(ctx)?;
        let (mut answers, mut total) = (0_u32, Duration::ZERO);
        for number in 0..args.count {
            if number > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            match node.ping(peer).await {
                Ok(time) => {
                    answers += 1;
                    total += time;
                    let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                    Event { success: true, time, text: String::new() }.print(ctx)?;
                }
                Err(error) => Event::said(false, format!("Ping error: {error}")).print(ctx)?,
            }
        }
        if answers == 0 {
            bail!("ping failed");
        }
        Event::said(true, format!("Average latency: {:.2}ms", millis(total / answers))).print(ctx)
    })
}

/// Connects with the peer, which is looked for if nothing is known of it.
async fn reach(ctx: &Ctx, node: &Node, peer: PeerId, place: Option<Multiaddr>) -> anyhow::Result<()> {
    if node.peers().await.iter().any(|p| p.peer == peer) {
        return Ok(());
    }
    let mut addrs: Vec<_> = place.into_iter().collect();
    let deadline = Some(Instant::now() + PATIENCE);
    let known = node.known_addresses().await.get(&peer).is_some_and(|addrs| !addrs.is_empty());
    if addrs.is_empty() && !known {
        Event::said(true, format!("Looking up peer {peer}")).print(ctx)?;
        let found = node.routing().find_peer(peer, deadline).await;
        addrs = found.map_err(|error| anyhow::anyhow!("peer lookup failed: {error}"))?.addrs;
    }
    Ok(node.connect(peer, addrs, deadline).await?)
}
