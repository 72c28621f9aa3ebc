//! A libp2p node: it finds, serves and fetches blocks, and knows names, on the public IPFS protocols.
//!
//! Whoever holds blocks or asks for them sees [`cairn_store::fetch::Fetch`] and [`cairn_store::names::Names`];
//! nobody outside of this crate and the program sees libp2p.

mod addr;
pub mod bitswap;
pub mod delegated;
pub mod dht;
pub mod dnslink;
pub mod exchange;
pub mod ipns;
pub mod keystore;
pub mod node;
mod protobuf;
pub mod routing;
