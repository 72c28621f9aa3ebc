//! What a gateway measures.

use http::{Method, StatusCode};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::time::Duration;

/// Bounds in seconds of what times are counted by.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];

/// What responses are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    code: u16,
}

/// What a gateway measures; clones measure the same.
#[derive(Debug, Clone)]
pub struct Metrics {
    responses: Family<Labels, Counter>,
    first_byte: Histogram,
    /// Connections that are open.
    pub connections: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { responses: Family::default(), first_byte: Histogram::new(SECONDS), connections: Gauge::default() }
    }
}

impl Metrics {
    /// All of it in the text format of Prometheus, without the line that ends it.
    pub fn text(&self) -> String {
        let mut registry = Registry::with_prefix("cairn_gateway");
        self.register(&mut registry);
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &registry);
        text.trim_end_matches("# EOF\n").to_owned()
    }

    fn register(&self, gateway: &mut Registry) {
        gateway.register("responses", "Responses by method and status", self.responses.clone());
        gateway.register(
            "first_byte_seconds",
            "Time from a request's head to the first byte of its response",
            self.first_byte.clone(),
        );
        gateway.register("connections", "Open connections", self.connections.clone());
    }

    /// Counts a response whose head is ready, `after` the request's.
    pub fn answered(&self, method: &Method, status: StatusCode, after: Duration) {
        // Names of methods are a client's choice, and each would be a series of its own.
        let method = match *method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::OPTIONS => "OPTIONS",
            Method::CONNECT => "CONNECT",
            _ => "other",
        };
        self.responses.get_or_create(&Labels { method, code: status.as_u16() }).inc();
        self.first_byte.observe(after.as_secs_f64());
    }
}
