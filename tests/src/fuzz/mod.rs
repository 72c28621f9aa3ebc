//! Fuzz targets: one function for each parser of bytes that strangers write.
//!
//! A target takes any bytes and panics when a property breaks; not panicking otherwise is the first of them.
//! They run in three ways:
//!
//! - `cargo test -p cairn-tests --test fuzz`: the corpus in `tests/corpus/<target>/`, then mutations of it for
//!   a bounded time, from a seed that is printed;
//! - `fuzz/run`: the same for longer, or, where a nightly toolchain and cargo-fuzz are at hand, guided by
//!   coverage;
//! - `FUZZ_SEED=… FUZZ_SECONDS=…` repeat and prolong a run.

mod codec;
mod container;
mod gateway;
mod names;
mod text;

/// A parser and what must hold for it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of its corpus.
    pub name: &'static str,
    /// Panics when a property breaks.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "dag_pb", run: codec::dag_pb },
    Target { name: "unixfs", run: codec::unixfs },
    Target { name: "dag_cbor", run: codec::dag_cbor },
    Target { name: "dag_json", run: codec::dag_json },
    Target { name: "dag_cbor_to_json", run: codec::dag_cbor_to_json },
    Target { name: "entity", run: codec::entity },
    Target { name: "car", run: container::car },
    Target { name: "chunker", run: container::chunker },
    Target { name: "bitswap", run: cairn_net::bitswap::message::fuzz },
    Target { name: "cid_bytes", run: text::cid_bytes },
    Target { name: "cid_text", run: text::cid_text },
    Target { name: "chunker_text", run: text::chunker_text },
    Target { name: "path", run: text::path },
    Target { name: "ipns_record", run: names::ipns_record },
    Target { name: "dnslink", run: names::dnslink },
    Target { name: "config", run: text::config },
    Target { name: "redirects", run: gateway::redirects },
    Target { name: "deny", run: gateway::deny },
    Target { name: "car_ask", run: gateway::car_ask },
];
