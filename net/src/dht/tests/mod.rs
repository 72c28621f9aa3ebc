//! Tests of the DHT as a whole: on a simulated network, and on real nodes over loopback.

mod nodes;
mod sim;
mod sweep;
pub(crate) mod support;
