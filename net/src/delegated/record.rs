//! Records as JSON, and the filters of IPIP-484.

use crate::routing::Provider;
use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};

/// Addresses taken from one record; the rest is ignored.
const MAX_ADDRS: usize = 64;

/// A record of the schema `peer`. The older `bitswap` is read as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// `peer`.
    #[serde(rename = "Schema")]
    pub schema: String,
    /// The peer id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Multiaddresses.
    #[serde(rename = "Addrs", default, deserialize_with = "or_empty")]
    pub addrs: Vec<String>,
    /// Transfer protocols, where they are known.
    #[serde(rename = "Protocols", default, deserialize_with = "or_empty")]
    pub protocols: Vec<String>,
    /// The protocol of a `bitswap` record.
    #[serde(rename = "Protocol", default, skip_serializing)]
    protocol: Option<String>,
}

/// Go writes an empty list as `null`.
fn or_empty<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(input)?.unwrap_or_default())
}

impl PeerRecord {
    /// The record of a provider or peer of unknown protocols.
    pub fn new(provider: &Provider) -> Self {
        Self {
            schema: "peer".into(),
            id: provider.peer.to_string(),
            addrs: provider.addrs.iter().map(ToString::to_string).collect(),
            protocols: Vec::new(),
            protocol: None,
        }
    }

    /// What it says in terms of routing; `None` when the schema is unknown or the id is none. Addresses that can't be
    /// read are left out.
    pub fn provider(&self) -> Option<Provider> {
        if !matches!(self.schema.as_str(), "peer" | "bitswap") {
            return None;
        }
        let peer: PeerId = self.id.parse().ok()?;
        let addrs = self.addrs.iter().take(MAX_ADDRS).filter_map(|text| text.parse::<Multiaddr>().ok());
        let addrs = addrs.filter_map(|addr| crate::dht::message::without_peer(addr, &peer)).collect();
        Some(Provider { peer, addrs })
    }

    fn all_protocols(&self) -> impl Iterator<Item = &str> {
        self.protocols.iter().chain(&self.protocol).map(String::as_str)
    }
}

/// `filter-addrs` and `filter-protocols` of IPIP-484.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Protocols of addresses: with `!` in front none of the address may be it; of the others it must have one. `unknown`
    /// lets records without addresses pass.
    pub addrs: Vec<String>,
    /// Transfer protocols of which a record must have one; `unknown` stands for none at all.
    pub protocols: Vec<String>,
}

/// Entries of one filter; the rest is ignored.
const MAX_FILTERS: usize = 32;

impl Filter {
    /// From the two query parameters, each a list with commas.
    pub fn parse(addrs: &str, protocols: &str) -> Self {
        let list = |text: &str| {
            text.split(',').filter(|p| !p.is_empty()).take(MAX_FILTERS).map(str::to_ascii_lowercase).collect()
        };
        Self { addrs: list(addrs), protocols: list(protocols) }
    }

    /// The record as far as it passes; `None` when it does not.
    pub fn apply(&self, mut record: PeerRecord) -> Option<PeerRecord> {
        if !self.protocols.is_empty() && !self.admits_protocols(&record) {
            return None;
        }
        if self.addrs.is_empty() || (record.addrs.is_empty() && self.addrs.iter().any(|f| f == "unknown")) {
            return Some(record);
        }
        record.addrs.retain(|addr| self.admits_addr(addr));
        (!record.addrs.is_empty()).then_some(record)
    }

    fn admits_protocols(&self, record: &PeerRecord) -> bool {
        let unknown = record.all_protocols().next().is_none();
        self.protocols.iter().any(|wanted| {
            (unknown && wanted == "unknown") || record.all_protocols().any(|p| p.eq_ignore_ascii_case(wanted))
        })
    }

    fn admits_addr(&self, addr: &str) -> bool {
        // Names and values of protocols alternate, and a value that is also a protocol's name would be a strange host.
        let has = |name: &str| addr.split('/').any(|part| part.eq_ignore_ascii_case(name));
        let (refused, wanted): (Vec<_>, Vec<_>) = self.addrs.iter().partition(|f| f.starts_with('!'));
        if refused.iter().any(|f| has(&f[1..])) {
            return false;
        }
        wanted.is_empty() || wanted.iter().any(|f| has(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(addrs: &[&str], protocols: &[&str]) -> PeerRecord {
        let list = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let id = PeerId::random().to_string();
        PeerRecord { schema: "peer".into(), id, addrs: list(addrs), protocols: list(protocols), protocol: None }
    }

    #[test]
    fn address_filters_keep_and_refuse() {
        let addrs = ["/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/udp/1/quic-v1", "/ip4/1.2.3.4/tcp/1/p2p/Qm/p2p-circuit"];
        let left = |filter: &str| Filter::parse(filter, "").apply(record(&addrs, &[])).map(|r| r.addrs.len());
        assert_eq!(left(""), Some(3));
        assert_eq!(left("tcp"), Some(2));
        assert_eq!(left("!p2p-circuit"), Some(2));
        assert_eq!(left("TCP,!p2p-circuit"), Some(1));
        assert_eq!(left("webtransport"), None);
        let none = |filter: &str| Filter::parse(filter, "").apply(record(&[], &[])).is_some();
        assert!(none("") && none("unknown,tcp") && !none("tcp"));
    }

    #[test]
    fn protocol_filters_know_the_unknown() {
        let passes =
            |filter: &str, protocols: &[&str]| Filter::parse("", filter).apply(record(&[], protocols)).is_some();
        assert!(passes("transport-bitswap", &["Transport-Bitswap"]));
        assert!(!passes("transport-bitswap", &[]));
        assert!(passes("unknown,transport-bitswap", &[]));
        assert!(!passes("unknown", &["transport-bitswap"]));
    }

    #[test]
    fn records_of_both_schemas_are_read_and_strange_ones_left_out() {
        let id = PeerId::random();
        let json = format!(r#"{{"Schema":"bitswap","Protocol":"transport-bitswap","ID":"{id}","Addrs":null}}"#);
        let read: PeerRecord = serde_json::from_str(&json).expect("reads");
        assert_eq!(read.provider(), Some(Provider { peer: id, addrs: Vec::new() }));
        assert!(Filter::parse("", "transport-bitswap").apply(read).is_some());
        let bad = PeerRecord { id: "nobody".into(), ..record(&[], &[]) };
        assert_eq!(bad.provider(), None);
        let unknown = PeerRecord { schema: "new".into(), ..record(&[], &[]) };
        assert_eq!(unknown.provider(), None);
        let partly = record(&["/ip4/1.2.3.4/tcp/1", "no address"], &[]);
        assert_eq!(partly.provider().map(|p| p.addrs.len()), Some(1));
    }
}
