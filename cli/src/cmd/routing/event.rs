//! What routing commands print, in Kubo's shape.

use crate::address::AddrInfo;
use cairn_net::routing::{Provider, RoutingError};
use serde::{Serialize, Serializer};

/// What happened, as go-libp2p counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The peer that was looked for.
    FinalPeer = 2,
    /// Something failed.
    QueryError = 3,
    /// A peer that has the block.
    Provider = 4,
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

/// One event.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    extra: String,
    #[serde(rename = "ID")]
    id: String,
    responses: Option<Vec<AddrInfo>>,
    r#type: Kind,
}

impl Event {
    /// One that says nothing more.
    pub fn new(kind: Kind) -> Self {
        Self { extra: String::new(), id: String::new(), responses: None, r#type: kind }
    }

    /// About a peer.
    pub fn found(kind: Kind, provider: &Provider) -> Self {
        Self { responses: Some(vec![AddrInfo::new(&provider.peer, &provider.addrs)]), ..Self::new(kind) }
    }

    /// About a failure.
    pub fn failed(error: &RoutingError) -> Self {
        Self { extra: error.to_string(), ..Self::new(Kind::QueryError) }
    }

    /// For people: what `shown` gives of the peer. Failures are shown only to who wants to know.
    pub fn text(&self, verbose: bool, shown: impl FnOnce(&AddrInfo) -> String) -> String {
        match (self.r#type, self.responses.as_ref().and_then(|all| all.first())) {
            (_, Some(peer)) => shown(peer),
            (Kind::QueryError, None) if verbose => format!("error: {}\n", self.extra),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_shape_of_kubo() {
        // What `ipfs routing findprovs --enc=json` prints.
        let peer = "12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou".parse().expect("a peer");
        let addrs = vec!["/ip4/127.0.0.1/tcp/1".parse().expect("an address")];
        let json = serde_json::to_string(&Event::found(Kind::Provider, &Provider { peer, addrs })).expect("JSON");
        let wanted = r#"{"Extra":"","ID":"","Responses":[{"Addrs":["/ip4/127.0.0.1/tcp/1"],"ID":"12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou"}],"Type":4}"#;
        assert_eq!(json, wanted);
        let json = serde_json::to_string(&Event::failed(&RoutingError::NotFound)).expect("JSON");
        assert_eq!(json, r#"{"Extra":"routing: not found","ID":"","Responses":null,"Type":3}"#);
    }
}
