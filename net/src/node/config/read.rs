//! From the repository's configuration, with Kubo's key names and defaults (Kubo's `docs/config.md`).

mod nat;
mod tls;

use super::{Config, ConnMgr, PubSubConfig, RoutingConfig, RoutingKind, Security, Transports};
use crate::node::{
    addr::{Mask, is_quic, split_peer},
    announce::{Announce, Never},
    limits::Limits,
    pnet::{self, PnetError},
};
use crate::{
    bitswap::{self, gateway::GatewayConfig},
    dnslink::DnsConfig,
    ipns::NamesConfig,
};
use cairn_store::config::{Config as Repo, ConfigError as RepoError, parse_size};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use serde_json::Value;
use std::{collections::HashSet, path::Path, str::FromStr, time::Duration};

/// Stands in lists for what the public network uses.
pub(super) const AUTO: &str = "auto";
/// Where the public network begins, as Kubo falls back to.
pub(super) const PUBLIC_BOOTSTRAP: [&str; 7] = [
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmQCU2EcMqAqQPR2i9bChDtGNJchTbq5TbXJJ16u19uLTa",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmbLHAnMoJPWSCR5Zhtx6BHJX9KiKNN6tpvbUcqanj75Nb",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmcZf59bWwK5XFi76CZX8cbJ4BhTzzA3gU1ZjYZcYW3dwt",
    "/dnsaddr/va1.bootstrap.libp2p.io/p2p/12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8",
    "/ip4/104.131.131.82/tcp/4001/p2p/QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ",
    "/ip4/104.131.131.82/udp/4001/quic-v1/p2p/QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ",
];

/// Why a configuration makes no node. Each names the key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key holds another type than it must.
    #[error(transparent)]
    Type(#[from] RepoError),
    /// A key holds what makes no sense.
    #[error("{key}: {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong, and what is wanted.
        why: String,
    },
    /// The key of the private swarm is missing or wrong.
    #[error(transparent)]
    Pnet(#[from] PnetError),
}

fn refuse(key: &'static str, why: impl Into<String>) -> ConfigError {
    ConfigError::Value { key, why: why.into() }
}

/// Reads one value of a list.
fn parse<T: FromStr>(key: &'static str, text: &str, what: &str) -> Result<T, ConfigError> {
    text.parse().map_err(|_| refuse(key, format!("{text:?} is not {what}")))
}

fn multiaddrs(repo: &Repo, key: &'static str) -> Result<Vec<Multiaddr>, ConfigError> {
    let texts = repo.get_strings(key)?.unwrap_or_default();
    texts.into_iter().map(|text| parse(key, text, "a multiaddr such as /ip4/0.0.0.0/tcp/4001")).collect()
}

/// A count; negative ones are refused.
fn count(repo: &Repo, key: &'static str, default: usize) -> Result<usize, ConfigError> {
    let Some(value) = repo.get_int(key)? else { return Ok(default) };
    usize::try_from(value).map_err(|_| refuse(key, format!("{value} is not a number from 0 on")))
}

fn flag(repo: &Repo, key: &'static str, default: bool) -> Result<bool, ConfigError> {
    Ok(repo.get_bool(key)?.unwrap_or(default))
}

fn duration(repo: &Repo, key: &'static str, default: Duration) -> Result<Duration, ConfigError> {
    Ok(repo.get_duration(key)?.unwrap_or(default))
}

impl Config {
    /// From a repository's configuration, and `swarm.key` beside it.
    ///
    /// # Errors
    /// When a key holds what makes no node; the error names it.
    pub fn from_repo(repo: &Repo, path: &Path) -> Result<Self, ConfigError> {
        Self::read(repo, path, pnet::is_forced())
    }

    /// As [`Config::from_repo`]; `forced` says whether the swarm has to be private.
    pub(super) fn read(repo: &Repo, path: &Path, forced: bool) -> Result<Self, ConfigError> {
        let transports = transports(repo)?;
        let swarm_key = pnet::load(path, forced)?;
        let websocket_tls = tls::load(path)?;
        let listen = listen(repo, &transports, websocket_tls.is_some())?;
        if swarm_key.is_some() {
            private_only(&listen)?;
        }
        let nat = nat::read(repo, &transports)?;
        let connections = conn_mgr(repo)?;
        Ok(Self {
            raise_open_files: true,
            agent: agent(repo)?,
            listen,
            announce: announce(repo)?,
            filters: masks(repo)?,
            transports: Transports { quic: transports.quic && swarm_key.is_none(), ..transports },
            limits: limits(repo, &connections)?,
            connections,
            peering: peering(repo)?,
            bootstrap: bootstrap(repo, swarm_key.is_some())?,
            mdns: flag(repo, "Discovery.MDNS.Enabled", true)?,
            nat,
            routing: routing(repo, swarm_key.is_some())?,
            bitswap: bitswap(repo)?,
            names: match swarm_key {
                Some(_) => NamesConfig::load(repo)?.private(),
                None => NamesConfig::load(repo)?,
            },
            dns: DnsConfig::load(repo)?,
            ipns_pubsub: flag(repo, "Ipns.UsePubsub", false)?,
            pubsub: pubsub(repo)?,
            bandwidth: !flag(repo, "Swarm.DisableBandwidthMetrics", false)?,
            swarm_key,
            websocket_tls,
        })
    }
}

fn bitswap(repo: &Repo) -> Result<bitswap::Config, ConfigError> {
    let defaults = bitswap::Config::default();
    let outstanding = "Internal.Bitswap.MaxOutstandingBytesPerPeer";
    let server = bitswap::server::ServerConfig {
        max_outstanding: count(repo, outstanding, defaults.server.max_outstanding)?.max(1),
        replace_size: count(repo, "Internal.Bitswap.WantHaveReplaceSize", defaults.server.replace_size as usize)?
            as u64,
        upload_limit: repo.get_size("Bitswap.UploadLimit")?.filter(|limit| *limit > 0),
        ..defaults.server
    };
    let allow = peers(repo, "Bitswap.AllowPeers")?;
    let filter =
        bitswap::Filter { allow: (!allow.is_empty()).then_some(allow), deny: peers(repo, "Bitswap.DenyPeers")? };
    let mut client = bitswap::client::ClientConfig {
        search_delay: duration(repo, "Internal.Bitswap.ProviderSearchDelay", defaults.client.search_delay)?,
        ..defaults.client
    };
    let always_ask = broadcasts(repo, &mut client)?;
    Ok(bitswap::Config {
        client,
        always_ask,
        server,
        filter,
        server_enabled: flag(repo, "Bitswap.ServerEnabled", true)?,
        max_providers: count(repo, "Internal.Bitswap.ProviderSearchMaxResults", defaults.max_providers)?.max(1),
        gateways: if flag(repo, "HTTPRetrieval.Enabled", true)? { Some(gateways(repo)?) } else { None },
        ..defaults
    })
}

/// `Internal.Bitswap.BroadcastControl`: how many are asked who has a block. Says whether peers of the local network, and
/// those of `Peering.Peers`, are asked besides.
fn broadcasts(repo: &Repo, client: &mut bitswap::client::ClientConfig) -> Result<(bool, bool), ConfigError> {
    // What counts is the key in messages too, so they are written out.
    if !flag(repo, "Internal.Bitswap.BroadcastControl.Enable", true)? {
        (client.broadcast, client.strangers) = (usize::MAX, usize::MAX);
        return Ok((true, true));
    }
    let limit = |key: &'static str, default: usize| match repo.get_int(key)? {
        Some(-1) => Ok(usize::MAX),
        _ => count(repo, key, default),
    };
    client.broadcast = limit("Internal.Bitswap.BroadcastControl.MaxPeers", client.broadcast)?;
    client.strangers = limit("Internal.Bitswap.BroadcastControl.MaxRandomPeers", client.strangers)?;
    let local = flag(repo, "Internal.Bitswap.BroadcastControl.LocalPeers", false)?;
    let peered = flag(repo, "Internal.Bitswap.BroadcastControl.PeeredPeers", false)?;
    Ok((!local, !peered))
}

fn gateways(repo: &Repo) -> Result<GatewayConfig, ConfigError> {
    let hosts = |key: &str| -> Result<HashSet<String>, ConfigError> {
        let list = repo.get_strings(key)?.unwrap_or_default();
        Ok(list.into_iter().map(|host| host.trim().to_ascii_lowercase()).filter(|host| !host.is_empty()).collect())
    };
    let defaults = GatewayConfig::default();
    const MAX: &str = "HTTPRetrieval.MaxBlockSize";
    let max_block = match repo.get_str(MAX)? {
        Some(text) => parse_size(text).map_err(|why| refuse(MAX, &why))?.try_into().unwrap_or(usize::MAX),
        None => defaults.max_block,
    };
    Ok(GatewayConfig {
        allow: hosts("HTTPRetrieval.Allowlist")?,
        deny: hosts("HTTPRetrieval.Denylist")?,
        workers: count(repo, "HTTPRetrieval.NumWorkers", defaults.workers)?.max(1),
        // What is larger can't be kept, nor passed on.
        max_block: max_block.min(defaults.max_block),
        insecure: flag(repo, "HTTPRetrieval.TLSInsecureSkipVerify", false)?,
        agent: agent(repo)?,
    })
}

fn peers(repo: &Repo, key: &'static str) -> Result<HashSet<PeerId>, ConfigError> {
    let list = repo.get_strings(key)?.unwrap_or_default();
    list.into_iter().map(|text| parse(key, text, "a peer id")).collect()
}

fn agent(repo: &Repo) -> Result<String, ConfigError> {
    /// Kubo's bound for the whole of it.
    const MAX_AGENT: usize = 128;
    let agent = match repo.get_str("Version.AgentSuffix")?.unwrap_or_default() {
        "" => super::AGENT.to_owned(),
        suffix => format!("{}/{suffix}", super::AGENT),
    };
    if agent.len() > MAX_AGENT || agent.chars().any(char::is_control) {
        return Err(refuse("Version.AgentSuffix", "must be short text without control characters"));
    }
    Ok(agent)
}

/// What the address says is spoken there. `None`: a transport that this node does not have.
fn listen(repo: &Repo, transports: &Transports, tls: bool) -> Result<Vec<Multiaddr>, ConfigError> {
    const KEY: &str = "Addresses.Swarm";
    let mut listen = Vec::new();
    for addr in multiaddrs(repo, KEY)? {
        let has = |wanted: fn(&Protocol<'_>) -> bool| addr.iter().any(|part| wanted(&part));
        // Kubo's default configuration names these two; a node that stopped at them would start with no repository.
        if has(|p| matches!(p, Protocol::WebRTCDirect | Protocol::WebTransport)) {
            tracing::debug!(%addr, "not listening: this transport is not there");
            continue;
        }
        let secure = has(|p| matches!(p, Protocol::Wss(_) | Protocol::Tls));
        let websocket = has(|p| matches!(p, Protocol::Ws(_) | Protocol::Wss(_)));
        if secure && websocket && !tls {
            return Err(refuse(
                KEY,
                format!("{addr} needs a certificate and its key in the repository's {}", tls::FILE),
            ));
        }
        let on = match () {
            () if has(|p| matches!(p, Protocol::Memory(_))) => true,
            () if is_quic(&addr) => transports.quic,
            () if websocket => transports.websocket,
            () if has(|p| matches!(p, Protocol::Tcp(_))) => transports.tcp,
            () => return Err(refuse(KEY, format!("{addr} names no transport: /tcp/…, /tcp/…/ws or /udp/…/quic-v1"))),
        };
        if on {
            listen.push(addr);
        }
    }
    Ok(listen)
}

/// A private swarm encrypts with its key what TCP and WebSocket carry. QUIC does not go through it.
fn private_only(listen: &[Multiaddr]) -> Result<(), ConfigError> {
    match listen.iter().find(|addr| is_quic(addr)) {
        None => Ok(()),
        Some(addr) => Err(refuse(
            "Addresses.Swarm",
            format!(
                "{addr} is QUIC, which can't carry a private swarm: remove it, set Swarm.Transports.Network.QUIC to \
                 false, or remove {} from the repository",
                pnet::FILE
            ),
        )),
    }
}

fn transports(repo: &Repo) -> Result<Transports, ConfigError> {
    const NETWORK: [&str; 4] = [
        "Swarm.Transports.Network.TCP",
        "Swarm.Transports.Network.Websocket",
        "Swarm.Transports.Network.QUIC",
        "Swarm.Transports.Network.Relay",
    ];
    let [tcp, websocket, quic, relay] = NETWORK.map(|key| flag(repo, key, true));
    let mut security = Vec::new();
    for (key, default, kind) in [
        ("Swarm.Transports.Security.TLS", 100, Security::Tls),
        ("Swarm.Transports.Security.Noise", 200, Security::Noise),
    ] {
        match repo.get(key) {
            Ok(Value::Bool(false)) => {}
            // A lower number is tried first.
            Ok(Value::Number(n)) => security.push((n.as_u64().unwrap_or(u64::MAX), kind)),
            _ => security.push((default, kind)),
        }
    }
    security.sort_by_key(|(priority, _)| *priority);
    if security.is_empty() {
        return Err(refuse("Swarm.Transports.Security", "Noise and TLS are both off: one of them has to be on"));
    }
    if matches!(repo.get("Swarm.Transports.Multiplexers.Yamux"), Ok(Value::Bool(false))) {
        return Err(refuse("Swarm.Transports.Multiplexers.Yamux", "is the only multiplexer, and can't be off"));
    }
    let security = security.into_iter().map(|(_, kind)| kind).collect();
    Ok(Transports { tcp: tcp?, websocket: websocket?, quic: quic?, relay: relay?, security })
}

/// Addresses of this node, without its name at their end.
fn own(repo: &Repo, key: &'static str) -> Result<Vec<Multiaddr>, ConfigError> {
    let this = repo.get_str("Identity.PeerID")?.unwrap_or_default();
    let bare = |addr: Multiaddr| match split_peer(&addr) {
        (_, Some(peer)) if peer.to_base58() != this => {
            Err(refuse(key, format!("{addr} names another peer than {this}")))
        }
        (bare, _) => Ok(bare),
    };
    multiaddrs(repo, key)?.into_iter().map(bare).collect()
}

fn announce(repo: &Repo) -> Result<Announce, ConfigError> {
    const NEVER: &str = "Addresses.NoAnnounce";
    let never = repo.get_strings(NEVER)?.unwrap_or_default();
    let never = never.into_iter().map(|text| match text.parse::<Mask>() {
        Ok(mask) => Ok(Never::Network(mask)),
        Err(_) => parse(NEVER, text, "a multiaddr, or a mask such as /ip4/10.0.0.0/ipcidr/8").map(Never::Address),
    });
    Ok(Announce {
        instead: own(repo, "Addresses.Announce")?,
        besides: own(repo, "Addresses.AppendAnnounce")?,
        never: never.collect::<Result<_, _>>()?,
    })
}

fn masks(repo: &Repo) -> Result<Vec<Mask>, ConfigError> {
    const KEY: &str = "Swarm.AddrFilters";
    let masks = repo.get_strings(KEY)?.unwrap_or_default();
    masks.into_iter().map(|text| parse(KEY, text, "a mask such as /ip4/10.0.0.0/ipcidr/8")).collect()
}

fn conn_mgr(repo: &Repo) -> Result<ConnMgr, ConfigError> {
    let default = ConnMgr::default();
    let kind = repo.get_str("Swarm.ConnMgr.Type")?.unwrap_or("basic");
    let read = ConnMgr {
        low: count(repo, "Swarm.ConnMgr.LowWater", default.low)?,
        high: count(repo, "Swarm.ConnMgr.HighWater", default.high)?,
        grace: duration(repo, "Swarm.ConnMgr.GracePeriod", default.grace)?,
        silence: duration(repo, "Swarm.ConnMgr.SilencePeriod", default.silence)?,
    };
    match kind {
        "" | "basic" if read.low > read.high => {
            Err(refuse("Swarm.ConnMgr.LowWater", format!("{} is more than HighWater, {}", read.low, read.high)))
        }
        "" | "basic" => Ok(read),
        "none" => Ok(ConnMgr { low: usize::MAX, high: usize::MAX, ..read }),
        other => Err(refuse("Swarm.ConnMgr.Type", format!("{other:?} is neither \"basic\" nor \"none\""))),
    }
}

fn limits(repo: &Repo, connections: &ConnMgr) -> Result<Limits, ConfigError> {
    const ALLOW: &str = "Swarm.ResourceMgr.Allowlist";
    if !flag(repo, "Swarm.ResourceMgr.Enabled", true)? {
        return Ok(Limits::none());
    }
    let mut limits = Limits::for_high_water(connections.high);
    if let Some(bytes) = repo.get_size("Swarm.ResourceMgr.MaxMemory")? {
        limits.memory = Some(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    let files = count(repo, "Swarm.ResourceMgr.MaxFileDescriptors", 0)?;
    if files > 0 {
        limits.total = limits.total.min(u32::try_from(files).unwrap_or(u32::MAX));
    }
    for text in repo.get_strings(ALLOW)?.unwrap_or_default() {
        let (network, peer) = text.split_once("/p2p/").unwrap_or((text, ""));
        if !peer.is_empty() {
            limits.trusted_peers.push(parse(ALLOW, peer, "a peer ID")?);
            continue;
        }
        let masked = if network.contains("/ipcidr/") {
            network.to_owned()
        } else {
            format!("{network}/ipcidr/{}", if network.starts_with("/ip6") { 128 } else { 32 })
        };
        limits.trusted_networks.push(parse(ALLOW, &masked, "an address or a mask such as /ip4/10.0.0.0/ipcidr/8")?);
    }
    Ok(limits)
}

fn peering(repo: &Repo) -> Result<Vec<(PeerId, Vec<Multiaddr>)>, ConfigError> {
    const KEY: &str = "Peering.Peers";
    let value = match repo.get(KEY) {
        Ok(Value::Array(list)) => list.as_slice(),
        Ok(Value::Null) | Err(_) => return Ok(Vec::new()),
        Ok(_) => return Err(refuse(KEY, "must be a list of objects with ID and Addrs")),
    };
    value
        .iter()
        .map(|peer| {
            let id = peer.get("ID").and_then(Value::as_str).ok_or_else(|| refuse(KEY, "a peer has no ID"))?;
            let addrs = match peer.get("Addrs") {
                None | Some(Value::Null) => Vec::new(),
                Some(Value::Array(list)) => list
                    .iter()
                    .map(|addr| addr.as_str().ok_or_else(|| refuse(KEY, "Addrs must be a list of strings")))
                    .map(|addr| addr.and_then(|text| parse::<Multiaddr>(KEY, text, "a multiaddr")))
                    .map(|addr| addr.map(|addr| split_peer(&addr).0))
                    .collect::<Result<_, _>>()?,
                Some(_) => return Err(refuse(KEY, "Addrs must be a list of strings")),
            };
            Ok((parse(KEY, id, "a peer ID")?, addrs))
        })
        .collect()
}

fn bootstrap(repo: &Repo, private: bool) -> Result<Vec<Multiaddr>, ConfigError> {
    const KEY: &str = "Bootstrap";
    let mut peers: Vec<Multiaddr> = Vec::new();
    for text in repo.get_strings(KEY)?.unwrap_or_default() {
        if text != AUTO {
            peers.push(parse(KEY, text, "a multiaddr")?);
        } else if !flag(repo, "AutoConf.Enabled", true)? {
            return Err(refuse(KEY, "\"auto\" stands for the public network's list, and AutoConf.Enabled is false"));
        } else if private {
            // The public network has nothing to say to a private one, and must not learn of it.
            tracing::info!("the swarm is private: \"auto\" in {KEY} is left out");
        } else {
            for text in PUBLIC_BOOTSTRAP {
                peers.push(parse(KEY, text, "a multiaddr")?);
            }
        }
    }
    match peers.iter().find(|addr| split_peer(addr).1.is_none()) {
        Some(addr) => Err(refuse(KEY, format!("{addr} does not end with /p2p/ and a peer ID"))),
        None => Ok(peers),
    }
}

fn routing(repo: &Repo, private: bool) -> Result<RoutingConfig, ConfigError> {
    const KIND: &str = "Routing.Type";
    const ROUTERS: &str = "Routing.DelegatedRouters";
    const IGNORE: &str = "Routing.IgnoreProviders";
    let kind = match repo.get_str(KIND)?.unwrap_or_default() {
        // Public HTTP routers have nothing to say to a private swarm, and must not learn of it.
        "" | "auto" if private => RoutingKind::Dht,
        "autoclient" if private => RoutingKind::DhtClient,
        "" | "auto" => RoutingKind::Auto,
        "autoclient" => RoutingKind::AutoClient,
        "dht" => RoutingKind::Dht,
        "dhtclient" => RoutingKind::DhtClient,
        "dhtserver" => RoutingKind::DhtServer,
        "delegated" => RoutingKind::Delegated,
        "none" => RoutingKind::None,
        other => {
            let known = "auto, autoclient, dht, dhtclient, dhtserver, delegated, none";
            return Err(refuse(KIND, format!("{other:?} is none of {known}")));
        }
    };
    let delegated = repo.get_strings(ROUTERS)?.unwrap_or_default();
    let auto = delegated.contains(&AUTO);
    let known = flag(repo, "AutoConf.Enabled", true)?;
    if auto && !known {
        // As in Kubo, which only does not start without peers to begin with.
        tracing::warn!("\"auto\" in {ROUTERS} is left out: AutoConf.Enabled is false");
    }
    let ignore = repo.get_strings(IGNORE)?.unwrap_or_default();
    Ok(RoutingConfig {
        kind,
        delegated_auto: auto && known && !private,
        delegated: delegated.into_iter().filter(|url| *url != AUTO).map(str::to_owned).collect(),
        loopback_on_lan: flag(repo, "Routing.LoopbackAddressesOnLanDHT", false)?,
        ignore_providers: ignore.into_iter().map(|id| parse(IGNORE, id, "a peer ID")).collect::<Result<_, _>>()?,
    })
}

fn pubsub(repo: &Repo) -> Result<Option<PubSubConfig>, ConfigError> {
    const STRATEGY: &str = "Pubsub.SeenMessagesStrategy";
    let default = PubSubConfig::default();
    match repo.get_str("Pubsub.Router")?.unwrap_or_default() {
        "" | "gossipsub" => {}
        other => return Err(refuse("Pubsub.Router", format!("{other:?} is not \"gossipsub\", the only router here"))),
    }
    match repo.get_str(STRATEGY)?.unwrap_or_default() {
        // Messages are forgotten a fixed time after they were first seen.
        "" | "first-seen" => {}
        other => return Err(refuse(STRATEGY, format!("{other:?} is not \"first-seen\", the only strategy here"))),
    }
    let config = PubSubConfig {
        seen_ttl: duration(repo, "Pubsub.SeenMessagesTTL", default.seen_ttl)?,
        signing: !flag(repo, "Pubsub.DisableSigning", false)?,
    };
    let on = flag(repo, "Pubsub.Enabled", false)? || flag(repo, "Ipns.UsePubsub", false)?;
    Ok(on.then_some(config))
}
