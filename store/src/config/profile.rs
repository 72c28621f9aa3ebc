//! Named sets of changes to a configuration: Kubo's profiles.

use super::{Config, ConfigError, defaults};
use crate::unixfs::profile as unixfs;
use serde_json::{Value, json};

/// A named set of changes.
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    change: fn(&mut Config) -> Result<(), ConfigError>,
}

/// Addresses that are not globally reachable: private, local, or reserved for documentation and tests (RFC 6890
/// and the IANA registries of special-purpose addresses).
const NOT_PUBLIC: [&str; 19] = [
    "/ip4/10.0.0.0/ipcidr/8",
    "/ip4/100.64.0.0/ipcidr/10",
    "/ip4/127.0.0.0/ipcidr/8",
    "/ip4/169.254.0.0/ipcidr/16",
    "/ip4/172.16.0.0/ipcidr/12",
    "/ip4/192.0.0.0/ipcidr/24",
    "/ip4/192.0.2.0/ipcidr/24",
    "/ip4/192.168.0.0/ipcidr/16",
    "/ip4/198.18.0.0/ipcidr/15",
    "/ip4/198.51.100.0/ipcidr/24",
    "/ip4/203.0.113.0/ipcidr/24",
    "/ip4/240.0.0.0/ipcidr/4",
    "/ip6/::/ipcidr/3",
    "/ip6/::1/ipcidr/128",
    "/ip6/100::/ipcidr/64",
    "/ip6/2001:2::/ipcidr/48",
    "/ip6/2001:db8::/ipcidr/32",
    "/ip6/fc00::/ipcidr/7",
    "/ip6/fe80::/ipcidr/10",
];
/// Lists that the profile `server` adds [`NOT_PUBLIC`] to.
const FILTERED: [&str; 2] = ["Addresses.NoAnnounce", "Swarm.AddrFilters"];
/// Profiles of Kubo that choose a datastore which does not exist here.
const FOREIGN_DATASTORES: [&str; 6] =
    ["flatfs", "flatfs-measure", "pebbleds", "pebbleds-measure", "badgerds", "badgerds-measure"];

/// Where Kubo's nodes look for bootstrap peers and resolvers unless told otherwise.
const AUTOCONF_URL: &str = "https://conf.ipfs-mainnet.org/autoconf.json";

/// All profiles by name.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "announce-off",
        description: "Tells the network nothing of what this node holds. Others can then fetch it\nonly from peers that are connected to it already (Peering.Peers).",
        change: |c| c.put_all("Provide", json!({"Enabled": false, "DHT.Interval": "0s"})),
    },
    Profile {
        name: "announce-on",
        description: "Tells the network again what this node holds (reverts announce-off).",
        change: |c| c.put_all("Provide", json!({"Enabled": true, "DHT.Interval": "22h0m0s"})),
    },
    Profile {
        name: "autoconf-off",
        description: "Empties the lists of bootstrap peers, resolvers, routers and publishers, for\nsetting them by hand.",
        change: autoconf_off,
    },
    Profile {
        name: "autoconf-on",
        description: "Sets the lists of bootstrap peers, resolvers, routers and publishers to \"auto\".",
        change: autoconf_on,
    },
    Profile {
        name: "default-datastore",
        description: "Uses the default datastore. There is one only: RocksDB.",
        change: |_| Ok(()),
    },
    Profile {
        name: "default-networking",
        description: "Restores the default network settings (reverts test).",
        change: default_networking,
    },
    Profile { name: "legacy-cid-v0", description: "Another name of unixfs-v0-2015.", change: unixfs_v0_2015 },
    Profile {
        name: "local-discovery",
        description: "Looks for peers in the local network (reverts server).",
        change: local_discovery,
    },
    Profile {
        name: "lowpower",
        description: "Fewer connections and no services for others: less work for the machine,\nslower lookups.",
        change: low_power,
    },
    Profile { name: "randomports", description: "Listens on a random port for peers.", change: random_ports },
    Profile {
        name: "server",
        description: "For machines with a public address: no discovery in the local network, no\nconnections to private addresses.",
        change: server,
    },
    Profile {
        name: "test",
        description: "For tests: listens on random ports of the loopback address only, and knows no\nbootstrap peers.",
        change: test,
    },
    Profile {
        name: "test-cid-v1",
        description: "CIDv1, raw leaves, chunks of 1 MiB, 174 links per node of a file, directories\nsharded above 256 KiB with a fanout of 256.",
        change: |c| c.put_import(&unixfs::Profile::test_cid_v1()),
    },
    Profile {
        name: "test-cid-v1-wide",
        description: "CIDv1, raw leaves, chunks of 1 MiB, 1024 links per node of a file, directories\nsharded above 1 MiB with a fanout of 1024.",
        change: |c| c.put_import(&unixfs::Profile::test_cid_v1_wide()),
    },
    Profile {
        name: "unixfs-v0-2015",
        description: "The CIDs of the early network: CIDv0, no raw leaves, chunks of 256 KiB, 174\nlinks per node of a file (IPIP-499).",
        change: unixfs_v0_2015,
    },
    Profile {
        name: "unixfs-v1-2025",
        description: "The CIDs recommended for new data: CIDv1, raw leaves, chunks of 1 MiB, 1024\nlinks per node of a file, directories sharded by the size of their block (IPIP-499).",
        change: |c| c.put_import(&unixfs::Profile::unixfs_v1_2025()),
    },
];

impl Config {
    /// Applies a profile. On an error nothing is changed.
    ///
    /// # Errors
    /// When there is no such profile, or it makes no sense here.
    pub fn apply(&mut self, name: &str) -> Result<(), ConfigError> {
        if FOREIGN_DATASTORES.contains(&name) {
            return Err(ConfigError::Refused(format!(
                "the profile {name} chooses a datastore of Kubo; a Cairn repository always keeps its blocks in RocksDB"
            )));
        }
        let profile = PROFILES.iter().find(|p| p.name == name);
        let profile = profile.ok_or_else(|| ConfigError::Refused(format!("{name} is not a profile")))?;
        let mut changed = self.clone();
        (profile.change)(&mut changed)?;
        *self = changed;
        Ok(())
    }

    /// Sets many keys below one section.
    pub(super) fn put_all(&mut self, section: &str, values: Value) -> Result<(), ConfigError> {
        let Value::Object(values) = values else { return Ok(()) };
        values.into_iter().try_for_each(|(key, value)| self.put(&format!("{section}.{key}"), value))
    }

    /// Sets all keys that decide a CID, to those of a profile.
    fn put_import(&mut self, profile: &unixfs::Profile) -> Result<(), ConfigError> {
        let threshold = match profile.hamt_threshold {
            bytes if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
            bytes => format!("{}KiB", bytes >> 10),
        };
        self.put_all(
            "Import",
            json!({
                "CidVersion": u64::from(profile.cid_version),
                "UnixFSRawLeaves": profile.raw_leaves,
                "UnixFSChunker": profile.chunker.to_string(),
                "HashFunction": "sha2-256",
                "UnixFSFileMaxLinks": profile.max_file_links,
                "UnixFSDirectoryMaxLinks": profile.max_dir_links,
                "UnixFSHAMTDirectoryMaxFanout": profile.max_hamt_fanout,
                "UnixFSHAMTDirectorySizeThreshold": threshold,
                "UnixFSHAMTDirectorySizeEstimation": profile.hamt_estimate.name(),
                "UnixFSDAGLayout": "balanced",
            }),
        )
    }

    /// A list of strings, for changing it.
    fn strings(&self, key: &str) -> Result<Vec<String>, ConfigError> {
        Ok(self.get_strings(key)?.unwrap_or_default().into_iter().map(str::to_owned).collect())
    }
}

fn unixfs_v0_2015(config: &mut Config) -> Result<(), ConfigError> {
    config.put_import(&unixfs::Profile::unixfs_v0_2015())
}

fn server(config: &mut Config) -> Result<(), ConfigError> {
    for key in FILTERED {
        let mut list = config.strings(key)?;
        for filter in NOT_PUBLIC {
            if !list.iter().any(|f| f == filter) {
                list.push(filter.to_owned());
            }
        }
        config.put(key, json!(list))?;
    }
    config.put("Discovery.MDNS.Enabled", json!(false))?;
    config.put("Swarm.DisableNatPortMap", json!(true))
}

fn local_discovery(config: &mut Config) -> Result<(), ConfigError> {
    for key in FILTERED {
        let mut list = config.strings(key)?;
        list.retain(|f| !NOT_PUBLIC.contains(&f.as_str()));
        config.put(key, json!(list))?;
    }
    config.put("Discovery.MDNS.Enabled", json!(true))?;
    config.put("Swarm.DisableNatPortMap", json!(false))
}

fn test(config: &mut Config) -> Result<(), ConfigError> {
    let any_port = "/ip4/127.0.0.1/tcp/0";
    config.put_all("Addresses", json!({"API": any_port, "Gateway": any_port, "Swarm": [any_port]}))?;
    config.put("Swarm.DisableNatPortMap", json!(true))?;
    config.put("Discovery.MDNS.Enabled", json!(false))?;
    config.put("AutoTLS.Enabled", json!(false))?;
    config.put("AutoConf.Enabled", json!(false))?;
    config.put("Bootstrap", json!([]))?;
    config.put("DNS.Resolvers", json!({}))?;
    config.put_all("Routing", json!({"LoopbackAddressesOnLanDHT": true, "DelegatedRouters": []}))?;
    config.put("Ipns.DelegatedPublishers", json!([]))
}

fn default_networking(config: &mut Config) -> Result<(), ConfigError> {
    config.put("Addresses", defaults::addresses())?;
    config.put("Bootstrap", json!(["auto"]))?;
    config.put_all("AutoConf", json!({"Enabled": null, "URL": null}))?;
    config.put("Swarm.DisableNatPortMap", json!(false))?;
    config.put("Discovery.MDNS.Enabled", json!(true))?;
    config.put("AutoTLS.Enabled", Value::Null)
}

fn low_power(config: &mut Config) -> Result<(), ConfigError> {
    config.put("Routing.Type", json!("autoclient"))?;
    config.put("AutoNAT.ServiceMode", json!("disabled"))?;
    config.put("Swarm.RelayService.Enabled", json!(false))?;
    config.put_all("Swarm.ConnMgr", json!({"Type": "basic", "LowWater": 20, "HighWater": 40, "GracePeriod": "1m0s"}))
}

fn random_ports(config: &mut Config) -> Result<(), ConfigError> {
    let port = std::net::TcpListener::bind(("::", 0))
        .or_else(|_| std::net::TcpListener::bind(("0.0.0.0", 0)))
        .and_then(|listener| listener.local_addr())
        .map_err(|e| crate::StoreError::io("cannot find a free port", e))?
        .port();
    config.put("Addresses.Swarm", json!([format!("/ip4/0.0.0.0/tcp/{port}"), format!("/ip6/::/tcp/{port}")]))
}

fn autoconf_on(config: &mut Config) -> Result<(), ConfigError> {
    config.put("Bootstrap", json!(["auto"]))?;
    config.put("DNS.Resolvers", json!({".": "auto"}))?;
    config.put("Routing.DelegatedRouters", json!(["auto"]))?;
    config.put("Ipns.DelegatedPublishers", json!(["auto"]))?;
    if config.get_str("AutoConf.URL")?.is_none() {
        config.put("AutoConf.URL", json!(AUTOCONF_URL))?;
    }
    config.put("AutoConf.Enabled", json!(true))
}

fn autoconf_off(config: &mut Config) -> Result<(), ConfigError> {
    config.put("Bootstrap", Value::Null)?;
    config.put("DNS.Resolvers", Value::Null)?;
    config.put("Routing.DelegatedRouters", Value::Null)?;
    config.put("Ipns.DelegatedPublishers", Value::Null)?;
    config.put("AutoConf.Enabled", json!(false))
}
