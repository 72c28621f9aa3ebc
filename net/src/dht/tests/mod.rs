//! Tests of the DHT as a whole: on a simulated network, and on real nodes over loopback.

mod inbound;
mod kubo;
mod nodes;
mod serve;
mod sim;
pub(crate) mod support;
mod sweep;
mod table;
