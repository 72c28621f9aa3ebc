//! Who gets in: limits on connections, filters of addresses and peers, and pauses after failed dials.

mod backoff;
mod filters;
mod gate;

pub use backoff::Backoff;
pub use filters::{Filters, Gated};
pub use gate::{Behaviour, Refused};

use super::addr::Mask;
use libp2p::PeerId;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections of one peer.
const PER_PEER: u32 = 8;
/// Connections from one IPv4 address, or one /56 of IPv6, as go-libp2p has it.
const PER_IP: u32 = 8;
/// Connections that others are opening.
const PENDING_IN: u32 = 256;
/// Connections that we are opening.
const PENDING_OUT: u32 = 512;
/// Least number of inbound connections that are taken, as in Kubo.
const MIN_INBOUND: u32 = 800;

/// Part of the files that the process may open which connections may take: the others are the store's.
const OPEN_FILES_PART: u64 = 2;

/// Lets the process open as many files as its hard limit says: how many. `None`: there is no limit.
pub fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "the limit on open files stays as it is");
        }
    }
    open_files()
}

/// Files that the process may open. `None`: there is no limit.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// How many connections there may be where so many files may be open.
pub fn connections_for(open_files: Option<u64>) -> u32 {
    open_files.map_or(u32::MAX, |files| u32::try_from(files / OPEN_FILES_PART).unwrap_or(u32::MAX))
}

/// How many connections a node takes (`Swarm.ResourceMgr`). At a limit a new connection is refused; open ones stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections of one peer.
    pub per_peer: u32,
    /// Inbound connections, being opened or open, from one IPv4 address or one /56 of IPv6.
    pub per_ip: u32,
    /// Whether the limit by address holds for loopback too.
    pub count_loopback: bool,
    /// Connections that others are opening.
    pub pending_inbound: u32,
    /// Connections that we are opening.
    pub pending_outbound: u32,
    /// Open connections that others opened.
    pub inbound: u32,
    /// All open connections. A node takes half as many as the process may open files, if that is less.
    pub total: u32,
    /// Resident memory of the process, in bytes, above which no connection is taken. `None`: half of the machine's.
    pub memory: Option<usize>,
    /// Peers that the limits by peer and in total do not hold for.
    pub trusted_peers: Vec<PeerId>,
    /// Networks that the limit by address does not hold for.
    pub trusted_networks: Vec<Mask>,
}

impl Limits {
    /// Fit for a connection manager that trims above `high` connections: twice that, and at least 800, come in.
    pub fn for_high_water(high: usize) -> Self {
        let inbound = u32::try_from(high).unwrap_or(u32::MAX).saturating_mul(2).max(MIN_INBOUND);
        Self {
            per_peer: PER_PEER,
            per_ip: PER_IP,
            count_loopback: false,
            pending_inbound: PENDING_IN,
            pending_outbound: PENDING_OUT,
            inbound,
            total: inbound.saturating_mul(2),
            memory: None,
            trusted_peers: Vec::new(),
            trusted_networks: Vec::new(),
        }
    }

    /// No limits, except on what is being opened, and by open files (`Swarm.ResourceMgr.Enabled: false`).
    pub fn none() -> Self {
        Self {
            per_peer: u32::MAX,
            per_ip: u32::MAX,
            inbound: u32::MAX,
            total: u32::MAX,
            memory: Some(usize::MAX),
            ..Self::for_high_water(0)
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::for_high_water(96)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_on_open_files_is_raised_and_shared() {
        let files = raise_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!((files, limit.current), (limit.maximum, limit.maximum));
        assert_eq!((connections_for(Some(1024)), connections_for(None)), (512, u32::MAX));
    }
}
