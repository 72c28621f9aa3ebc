//! The known keys of the configuration, and the type of each: Kubo's.
//!
//! `null` is allowed everywhere and means "the default". A key that is not in the table is kept as it stands
//! in the file, but `cairn config` refuses to set it, so that a slip of the pen is seen.

use super::{ConfigError, value};
use serde_json::{Map, Value};

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string.
    Str,
    /// `true` or `false`.
    Bool,
    /// An integer.
    Int,
    /// `false`, or an integer above zero.
    Priority,
    /// A duration such as `"1h30m"`; `""` and `"default"` mean the default.
    Duration,
    /// A size such as `"10GB"`, or a number of bytes; `""` means the default.
    Size,
    /// A list of strings.
    Strings,
    /// One string, or a list of them.
    Addresses,
    /// Anything.
    Any,
}

use Kind::{Addresses, Any, Bool, Duration, Int, Priority, Size, Str, Strings};

/// Section, then the keys in it. `*` stands for a name that the user chose.
const KEYS: &[(&str, &[(&str, Kind)])] = &[
    ("Identity", &[("PeerID", Str), ("PrivKey", Str)]),
    (
        "Datastore",
        &[
            ("StorageMax", Size),
            ("StorageGCWatermark", Int),
            ("GCPeriod", Duration),
            ("HashOnRead", Bool),
            ("BloomFilterSize", Int),
            ("BlockKeyCacheSize", Int),
            ("WriteThrough", Bool),
            ("Spec", Any),
        ],
    ),
    (
        "Addresses",
        &[
            ("Swarm", Strings),
            ("Announce", Strings),
            ("AppendAnnounce", Strings),
            ("NoAnnounce", Strings),
            ("API", Addresses),
            ("Gateway", Addresses),
        ],
    ),
    (
        "Mounts",
        &[
            ("IPFS", Str),
            ("IPNS", Str),
            ("MFS", Str),
            ("FuseAllowOther", Bool),
            ("StoreMtime", Bool),
            ("StoreMode", Bool),
        ],
    ),
    ("Discovery.MDNS", &[("Enabled", Bool)]),
    (
        "Routing",
        &[
            ("Type", Str),
            ("AcceleratedDHTClient", Bool),
            ("LoopbackAddressesOnLanDHT", Bool),
            ("IgnoreProviders", Strings),
            ("DelegatedRouters", Strings),
            ("Routers", Any),
            ("Methods", Any),
        ],
    ),
    (
        "Ipns",
        &[
            ("RepublishPeriod", Duration),
            ("RecordLifetime", Duration),
            ("ResolveCacheSize", Int),
            ("MaxCacheTTL", Duration),
            ("UsePubsub", Bool),
            ("DelegatedPublishers", Strings),
        ],
    ),
    ("", &[("Bootstrap", Strings)]),
    (
        "Gateway",
        &[
            ("HTTPHeaders.*", Strings),
            ("RootRedirect", Str),
            ("NoFetch", Bool),
            ("NoDNSLink", Bool),
            ("DeserializedResponses", Bool),
            ("AllowCodecConversion", Bool),
            ("DisableHTMLErrors", Bool),
            ("PublicGateways.*.Paths", Strings),
            ("PublicGateways.*.UseSubdomains", Bool),
            ("PublicGateways.*.NoDNSLink", Bool),
            ("PublicGateways.*.InlineDNSLink", Bool),
            ("PublicGateways.*.DeserializedResponses", Bool),
            ("ExposeRoutingAPI", Bool),
            ("RetrievalTimeout", Duration),
            ("MaxRequestDuration", Duration),
            ("MaxConcurrentRequests", Int),
            ("MaxRangeRequestFileSize", Size),
            ("DiagnosticServiceURL", Str),
        ],
    ),
    (
        "API",
        &[("HTTPHeaders.*", Strings), ("Authorizations.*.AuthSecret", Str), ("Authorizations.*.AllowedPaths", Strings)],
    ),
    (
        "Swarm",
        &[
            ("AddrFilters", Strings),
            ("DisableBandwidthMetrics", Bool),
            ("DisableNatPortMap", Bool),
            ("EnableHolePunching", Bool),
            ("RelayClient.Enabled", Bool),
            ("RelayClient.StaticRelays", Strings),
            ("RelayService.Enabled", Bool),
            ("RelayService.ConnectionDurationLimit", Duration),
            ("RelayService.ConnectionDataLimit", Int),
            ("RelayService.ReservationTTL", Duration),
            ("RelayService.MaxReservations", Int),
            ("RelayService.MaxCircuits", Int),
            ("RelayService.BufferSize", Int),
            ("RelayService.MaxReservationsPerIP", Int),
            ("RelayService.MaxReservationsPerASN", Int),
            ("Transports.Network.QUIC", Bool),
            ("Transports.Network.TCP", Bool),
            ("Transports.Network.Websocket", Bool),
            ("Transports.Network.Relay", Bool),
            ("Transports.Network.WebTransport", Bool),
            ("Transports.Network.WebRTCDirect", Bool),
            ("Transports.Security.TLS", Priority),
            ("Transports.Security.Noise", Priority),
            ("Transports.Multiplexers.Yamux", Priority),
            ("ConnMgr.Type", Str),
            ("ConnMgr.LowWater", Int),
            ("ConnMgr.HighWater", Int),
            ("ConnMgr.GracePeriod", Duration),
            ("ConnMgr.SilencePeriod", Duration),
            ("ResourceMgr.Enabled", Bool),
            ("ResourceMgr.Limits", Any),
            ("ResourceMgr.MaxMemory", Size),
            ("ResourceMgr.MaxFileDescriptors", Int),
            ("ResourceMgr.Allowlist", Strings),
        ],
    ),
    (
        "AutoNAT",
        &[
            ("ServiceMode", Str),
            ("Throttle.GlobalLimit", Int),
            ("Throttle.PeerLimit", Int),
            ("Throttle.Interval", Duration),
        ],
    ),
    (
        "AutoTLS",
        &[
            ("Enabled", Bool),
            ("AutoWSS", Bool),
            ("SkipDNSLookup", Bool),
            ("DomainSuffix", Str),
            ("RegistrationEndpoint", Str),
            ("RegistrationToken", Str),
            ("RegistrationDelay", Duration),
            ("CAEndpoint", Str),
            ("ShortAddrs", Bool),
        ],
    ),
    (
        "Pubsub",
        &[
            ("Router", Str),
            ("DisableSigning", Bool),
            ("Enabled", Bool),
            ("SeenMessagesTTL", Duration),
            ("SeenMessagesStrategy", Str),
        ],
    ),
    ("Peering", &[("Peers", Any)]),
    ("DNS", &[("Resolvers.*", Str), ("MaxCacheTTL", Duration)]),
    ("Migration", &[("DownloadSources", Strings), ("Keep", Str)]),
    ("AutoConf", &[("URL", Str), ("Enabled", Bool), ("RefreshInterval", Duration), ("TLSInsecureSkipVerify", Bool)]),
    (
        "Provide",
        &[
            ("Enabled", Bool),
            ("Strategy", Str),
            ("BloomFPRate", Int),
            ("DHT.Interval", Duration),
            ("DHT.MaxWorkers", Int),
            ("DHT.SweepEnabled", Bool),
            ("DHT.DedicatedPeriodicWorkers", Int),
            ("DHT.DedicatedBurstWorkers", Int),
            ("DHT.MaxProvideConnsPerWorker", Int),
            ("DHT.KeystoreBatchSize", Int),
            ("DHT.OfflineDelay", Duration),
            ("DHT.SendProviderRecordTimeout", Duration),
            ("DHT.ResumeEnabled", Bool),
        ],
    ),
    ("Provider", &[("Enabled", Bool), ("Strategy", Str), ("WorkerCount", Int)]),
    ("Reprovider", &[("Interval", Duration), ("Strategy", Str)]),
    (
        "HTTPRetrieval",
        &[
            ("Enabled", Bool),
            ("Allowlist", Strings),
            ("Denylist", Strings),
            ("NumWorkers", Int),
            ("MaxBlockSize", Size),
            ("TLSInsecureSkipVerify", Bool),
        ],
    ),
    (
        "Experimental",
        &[
            ("FilestoreEnabled", Bool),
            ("UrlstoreEnabled", Bool),
            ("ShardingEnabled", Bool),
            ("Libp2pStreamMounting", Bool),
            ("P2pHttpProxy", Bool),
            ("StrategicProviding", Bool),
            ("OptimisticProvide", Bool),
            ("OptimisticProvideJobsPoolSize", Int),
            ("GatewayOverLibp2p", Bool),
        ],
    ),
    ("Plugins", &[("Plugins", Any)]),
    (
        "Pinning.RemoteServices.*",
        &[
            ("API.Endpoint", Str),
            ("API.Key", Str),
            ("Policies.MFS.Enable", Bool),
            ("Policies.MFS.PinName", Str),
            ("Policies.MFS.RepinInterval", Str),
        ],
    ),
    (
        "Import",
        &[
            ("CidVersion", Int),
            ("UnixFSRawLeaves", Bool),
            ("UnixFSChunker", Str),
            ("HashFunction", Str),
            ("UnixFSFileMaxLinks", Int),
            ("UnixFSDirectoryMaxLinks", Int),
            ("UnixFSHAMTDirectoryMaxFanout", Int),
            ("UnixFSHAMTDirectorySizeThreshold", Size),
            ("UnixFSHAMTDirectorySizeEstimation", Str),
            ("UnixFSDAGLayout", Str),
            ("BatchMaxNodes", Int),
            ("BatchMaxSize", Int),
            ("FastProvideRoot", Bool),
            ("FastProvideDAG", Bool),
            ("FastProvideWait", Bool),
        ],
    ),
    ("Version", &[("AgentSuffix", Str), ("SwarmCheckEnabled", Bool), ("SwarmCheckPercentThreshold", Int)]),
    ("Internal", &[("*", Any)]),
    (
        "Bitswap",
        &[
            ("Libp2pEnabled", Bool),
            ("ServerEnabled", Bool),
            // Cairn's own.
            ("UploadLimit", Size),
            ("AllowPeers", Strings),
            ("DenyPeers", Strings),
        ],
    ),
];

/// All known keys with their parts.
fn keys() -> impl Iterator<Item = (Vec<&'static str>, Kind)> {
    KEYS.iter().flat_map(|(section, keys)| {
        keys.iter().map(move |(key, kind)| {
            let parts = section.split('.').filter(|p| !p.is_empty()).chain(key.split('.'));
            (parts.collect(), *kind)
        })
    })
}

/// How many parts two paths have in common at their beginning; `*` matches everything.
fn common(known: &[&str], asked: &[&str]) -> usize {
    known.iter().zip(asked).take_while(|(k, a)| **k == "*" || k == a).count()
}

/// Whether a key may be set.
///
/// # Errors
/// [`ConfigError::NotFound`] or [`ConfigError::NotAMap`].
pub(super) fn find(key: &str) -> Result<(), ConfigError> {
    let asked: Vec<&str> = key.split('.').collect();
    let mut longest = 0;
    for (known, kind) in keys() {
        let matched = common(&known, &asked);
        if matched == asked.len() || (matched == known.len() && kind == Any) {
            return Ok(());
        }
        if matched == known.len() {
            return Err(ConfigError::NotAMap(asked[..matched].join(".")));
        }
        longest = longest.max(matched);
    }
    Err(ConfigError::NotFound(asked[..=longest].join(".")))
}

/// Checks the types of all known keys at, above and below `under`; of all when it is empty.
///
/// # Errors
/// [`ConfigError::Type`] or [`ConfigError::Value`] for the first that is wrong.
pub(super) fn check(root: &Map<String, Value>, under: &str) -> Result<(), ConfigError> {
    let under: Vec<&str> = under.split('.').filter(|p| !p.is_empty()).collect();
    for (known, kind) in keys() {
        let shorter = known.len().min(under.len());
        if common(&known, &under) == shorter {
            visit(root, &known, "", kind)?;
        }
    }
    Ok(())
}

/// Checks what a map holds at that path. The depth is that of the table.
fn visit(map: &Map<String, Value>, parts: &[&str], path: &str, kind: Kind) -> Result<(), ConfigError> {
    let Some((part, rest)) = parts.split_first() else { return Ok(()) };
    let here = map.iter().filter(|(name, value)| (*part == "*" || name == part) && !value.is_null());
    for (name, value) in here {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            value if rest.is_empty() => kind.check(&path, value)?,
            Value::Object(map) => visit(map, rest, &path, kind)?,
            other => return Err(ConfigError::of_type(&path, other, "an object")),
        }
    }
    Ok(())
}

impl Kind {
    fn check(self, key: &str, value: &Value) -> Result<(), ConfigError> {
        let refuse = |want: &'static str| Err(ConfigError::of_type(key, value, want));
        let all_strings = |list: &[Value]| list.iter().all(Value::is_string);
        let invalid = |why| ConfigError::Value { key: key.to_owned(), why };
        match (self, value) {
            (Any, _) | (Str, Value::String(_)) | (Bool, Value::Bool(_)) | (Priority, Value::Bool(false)) => Ok(()),
            (Int, Value::Number(n)) if n.is_i64() => Ok(()),
            (Priority, Value::Number(n)) if n.as_i64().is_some_and(|n| n > 0) => Ok(()),
            (Strings | Addresses, Value::Array(list)) if all_strings(list) => Ok(()),
            (Addresses, Value::String(_)) => Ok(()),
            (Duration, Value::String(text)) if super::is_default_duration(text) => Ok(()),
            (Duration, Value::String(text)) => value::parse_duration(text).map(drop).map_err(invalid),
            (Size, Value::Number(n)) if n.is_u64() => Ok(()),
            (Size, Value::String(text)) if text.is_empty() => Ok(()),
            (Size, Value::String(text)) => value::parse_size(text).map(drop).map_err(invalid),
            (Str, _) => refuse("a string"),
            (Bool, _) => refuse("true, false or null"),
            (Int, _) => refuse("an integer"),
            (Priority, _) => refuse("false or an integer above 0"),
            (Duration, _) => refuse("a duration such as \"1h30m\""),
            (Size, _) => refuse("a size such as \"10GB\""),
            (Strings, _) => refuse("a list of strings"),
            (Addresses, _) => refuse("a string or a list of strings"),
        }
    }
}
