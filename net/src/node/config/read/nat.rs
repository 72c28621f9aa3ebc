//! What is done about NATs: `AutoNAT`, `Swarm.Relay*`, `Swarm.EnableHolePunching`, `Swarm.DisableNatPortMap`.

use super::{ConfigError, Repo, count, duration, flag, multiaddrs, refuse};
use crate::node::{
    addr::split_peer,
    config::{Nat, RelayClient, RelayService, Transports},
};

/// Reads it.
///
/// # Errors
/// When a key holds what makes no sense.
pub(super) fn read(repo: &Repo, transports: &Transports) -> Result<Nat, ConfigError> {
    const SERVICE: &str = "AutoNAT.ServiceMode";
    const PUNCH: &str = "Swarm.EnableHolePunching";
    let autonat_server = match repo.get_str(SERVICE)?.unwrap_or_default() {
        "" | "enabled" => true,
        "disabled" => false,
        other => return Err(refuse(SERVICE, format!("{other:?} is neither \"enabled\" nor \"disabled\""))),
    };
    let wants_client = flag(repo, "Swarm.RelayClient.Enabled", true)?;
    let static_relays = multiaddrs(repo, "Swarm.RelayClient.StaticRelays")?;
    if let Some(addr) = static_relays.iter().find(|addr| split_peer(addr).1.is_none()) {
        return Err(refuse("Swarm.RelayClient.StaticRelays", format!("{addr} does not end with /p2p/ and a peer ID")));
    }
    let relay_client = (wants_client && transports.relay).then_some(RelayClient { static_relays });
    let hole_punching = match repo.get_bool(PUNCH)? {
        Some(true) if relay_client.is_none() => {
            return Err(refuse(PUNCH, "needs Swarm.RelayClient.Enabled, which is off"));
        }
        wish => wish.unwrap_or(true) && relay_client.is_some(),
    };
    let relay_service = match flag(repo, "Swarm.RelayService.Enabled", true)? && transports.relay {
        true => Some(relay_service(repo)?),
        false => None,
    };
    Ok(Nat {
        port_map: !flag(repo, "Swarm.DisableNatPortMap", false)?,
        autonat_server,
        relay_client,
        relay_service,
        hole_punching,
    })
}

fn relay_service(repo: &Repo) -> Result<RelayService, ConfigError> {
    const BYTES: &str = "Swarm.RelayService.ConnectionDataLimit";
    const PER_IP: &str = "Swarm.RelayService.MaxReservationsPerIP";
    let default = RelayService::default();
    let bytes = count(repo, BYTES, usize::try_from(default.bytes).unwrap_or(usize::MAX))?;
    let per_ip = count(repo, PER_IP, usize::try_from(default.reservations_per_ip).unwrap_or(usize::MAX))?;
    Ok(RelayService {
        duration: duration(repo, "Swarm.RelayService.ConnectionDurationLimit", default.duration)?,
        bytes: bytes as u64,
        ttl: duration(repo, "Swarm.RelayService.ReservationTTL", default.ttl)?,
        reservations: count(repo, "Swarm.RelayService.MaxReservations", default.reservations)?,
        circuits_per_peer: count(repo, "Swarm.RelayService.MaxCircuits", default.circuits_per_peer)?,
        reservations_per_ip: u32::try_from(per_ip).map_err(|_| refuse(PER_IP, "is too large"))?,
    })
}
