//! Routing over HTTP (specs.ipfs.tech: Delegated Routing V1 HTTP API, with IPIP-337, 379, 410, 417, 484, 513): asking
//! others ([`Client`]), and answering ([`server`]).

mod client;
mod record;
pub mod server;
#[cfg(test)]
mod tests;

pub use client::{Client, ClientConfig, ClientError};
pub use record::{Filter, PeerRecord};

/// One JSON document.
pub(crate) const JSON: &str = "application/json";
/// One JSON document per line.
pub(crate) const NDJSON: &str = "application/x-ndjson";
/// An IPNS record.
pub(crate) const IPNS_RECORD: &str = "application/vnd.ipfs.ipns-record";
/// Largest IPNS record in bytes.
pub(crate) const MAX_IPNS_RECORD: usize = 10 * 1024;

/// The router that stands behind `auto` among `Routing.DelegatedRouters` and `Ipns.DelegatedPublishers`: Kubo's fallback.
pub const PUBLIC: &str = "https://delegated-ipfs.dev";
