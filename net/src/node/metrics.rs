//! What Prometheus is told.

use super::bandwidth::Meters;
use libp2p::metrics::Registry;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::counter::ConstCounter,
};
use std::fmt;

/// Bytes of all streams, read when they are asked for.
#[derive(Debug)]
struct Bytes(Meters);

impl Collector for Bytes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let total = self.0.total();
        let both = [
            ("cairn_network_received_bytes", "Bytes received on streams", total.received),
            ("cairn_network_sent_bytes", "Bytes sent on streams", total.sent),
        ];
        for (name, help, value) in both {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

/// Adds the meters to a registry.
pub(super) fn register(registry: &mut Registry, meters: &Meters) {
    registry.register_collector(Box::new(Bytes(meters.clone())));
}

/// All metrics as text, in OpenMetrics format.
pub(super) fn text(registry: &Registry) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut out, registry);
    out
}
