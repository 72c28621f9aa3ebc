//! `cairn version check`.

use crate::ctx::Ctx;
use serde::Serialize;

/// What connected nodes run, in Kubo's shape.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    update_available: bool,
    running_version: String,
    greatest_version: String,
    /// This one among them.
    peers_sampled: usize,
    with_greater_version: usize,
}

/// Runs `cairn version check`.
///
/// # Errors
/// When no daemon is online.
pub fn run(ctx: &Ctx, min_percent: u8) -> anyhow::Result<()> {
    let node = ctx.node()?;
    let peers = ctx.block_on(async { Ok(node.peers().await) })?;
    let check = compare(env!("CARGO_PKG_VERSION"), peers.iter().map(|peer| peer.agent.as_str()), min_percent);
    ctx.out.emit_once(&check, |check| {
        let advice = if check.update_available { "an update is available" } else { "this is recent enough" };
        format!(
            "running {}, greatest seen {}: {} of {} nodes have a greater one; {advice}\n",
            check.running_version, check.greatest_version, check.with_greater_version, check.peers_sampled
        )
    })
}

/// Peers of other programs, and versions that are no releases, are left out.
fn compare<'a>(own: &str, agents: impl Iterator<Item = &'a str>, min_percent: u8) -> Check {
    let running = release(own).unwrap_or_default();
    let (mut greatest, mut sampled, mut greater) = (running, 1, 0);
    for version in agents.filter_map(|agent| release(agent.strip_prefix("cairn/")?.split('/').next()?)) {
        sampled += 1;
        greater += usize::from(version > running);
        greatest = greatest.max(version);
    }
    let text = |(major, minor, patch): Version| format!("{major}.{minor}.{patch}");
    Check {
        update_available: greater > 0 && greater * 100 >= usize::from(min_percent) * sampled,
        running_version: text(running),
        greatest_version: text(greatest),
        peers_sampled: sampled,
        with_greater_version: greater,
    }
}

type Version = (u64, u64, u64);

/// `MAJOR.MINOR.PATCH` and nothing more.
fn release(text: &str) -> Option<Version> {
    let mut parts = text.split('.').map(str::parse);
    let version = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    parts.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_releases_of_this_program_count() {
        let agents = ["cairn/0.2.0/home", "cairn/0.2.0-rc1", "kubo/0.44.0", "cairn/0.1.0", "cairn/x", "cairn"];
        let check = compare("0.1.0", agents.into_iter(), 33);
        let expected = |update_available| Check {
            update_available,
            running_version: "0.1.0".into(),
            greatest_version: "0.2.0".into(),
            peers_sampled: 3,
            with_greater_version: 1,
        };
        assert_eq!(check, expected(true));
        assert_eq!(compare("0.1.0", agents.into_iter(), 34), expected(false));
        assert!(!compare("0.1.0", std::iter::empty(), 1).update_available);
    }
}
