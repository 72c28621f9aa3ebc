//! What a new repository's configuration holds.

use super::Config;
use serde_json::{Map, Value, json};

/// Where peers listen, by default.
pub(super) fn addresses() -> Value {
    json!({
        "Swarm": [
            "/ip4/0.0.0.0/tcp/4001",
            "/ip6/::/tcp/4001",
            "/ip4/0.0.0.0/udp/4001/webrtc-direct",
            "/ip4/0.0.0.0/udp/4001/quic-v1",
            "/ip4/0.0.0.0/udp/4001/quic-v1/webtransport",
            "/ip6/::/udp/4001/webrtc-direct",
            "/ip6/::/udp/4001/quic-v1",
            "/ip6/::/udp/4001/quic-v1/webtransport",
        ],
        "Announce": [],
        "AppendAnnounce": [],
        "NoAnnounce": [],
        "API": "/ip4/127.0.0.1/tcp/5001",
        "Gateway": "/ip4/127.0.0.1/tcp/8080",
    })
}

/// Keys of `Import`, all left to their defaults.
const IMPORT: [&str; 15] = [
    "CidVersion",
    "UnixFSRawLeaves",
    "UnixFSChunker",
    "HashFunction",
    "UnixFSFileMaxLinks",
    "UnixFSDirectoryMaxLinks",
    "UnixFSHAMTDirectoryMaxFanout",
    "UnixFSHAMTDirectorySizeThreshold",
    "UnixFSHAMTDirectorySizeEstimation",
    "UnixFSDAGLayout",
    "BatchMaxNodes",
    "BatchMaxSize",
    "FastProvideRoot",
    "FastProvideDAG",
    "FastProvideWait",
];

impl Config {
    /// Kubo's defaults, for a node of that name and key.
    pub fn defaults(peer_id: &str, private_key: &str) -> Self {
        let import: Map<String, Value> = IMPORT.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
        let sections = [
            ("Identity", json!({"PeerID": peer_id, "PrivKey": private_key})),
            (
                "Datastore",
                json!({"StorageMax": "10GB", "StorageGCWatermark": 90, "GCPeriod": "1h", "HashOnRead": false}),
            ),
            ("Addresses", addresses()),
            (
                "Mounts",
                json!({
                    "IPFS": "/ipfs", "IPNS": "/ipns", "MFS": "/mfs",
                    "FuseAllowOther": null, "StoreMtime": null, "StoreMode": null,
                }),
            ),
            ("Discovery", json!({"MDNS": {"Enabled": true}})),
            ("Routing", json!({"DelegatedRouters": ["auto"]})),
            (
                "Ipns",
                json!({
                    "RepublishPeriod": "", "RecordLifetime": "", "ResolveCacheSize": 128,
                    "DelegatedPublishers": ["auto"],
                }),
            ),
            ("Bootstrap", json!(["auto"])),
            ("Gateway", gateway()),
            ("API", json!({"HTTPHeaders": {}})),
            ("Swarm", swarm()),
            ("AutoNAT", json!({})),
            ("AutoTLS", json!({})),
            ("Pubsub", json!({"Router": "", "DisableSigning": false})),
            ("Peering", json!({"Peers": null})),
            ("DNS", json!({"Resolvers": {".": "auto"}})),
            ("AutoConf", json!({})),
            ("Provide", json!({"DHT": {}})),
            ("HTTPRetrieval", json!({})),
            ("Pinning", json!({"RemoteServices": {}})),
            ("Import", Value::Object(import)),
            ("Version", json!({})),
            ("Internal", json!({})),
            ("Bitswap", json!({})),
        ];
        Self { root: sections.into_iter().map(|(name, section)| (name.to_owned(), section)).collect() }
    }
}

fn gateway() -> Value {
    json!({
        "HTTPHeaders": {},
        "RootRedirect": "",
        "NoFetch": false,
        "NoDNSLink": false,
        "DeserializedResponses": null,
        "AllowCodecConversion": null,
        "DisableHTMLErrors": null,
        "PublicGateways": null,
        "ExposeRoutingAPI": null,
    })
}

fn swarm() -> Value {
    json!({
        "AddrFilters": null,
        "DisableBandwidthMetrics": false,
        "DisableNatPortMap": false,
        "RelayClient": {},
        "RelayService": {},
        "Transports": {"Network": {}, "Security": {}, "Multiplexers": {}},
        "ConnMgr": {},
        "ResourceMgr": {},
    })
}
