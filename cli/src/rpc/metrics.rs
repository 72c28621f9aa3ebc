//! `/debug/metrics/prometheus`: numbers of the process, and of the node, in the text format of Prometheus.

use crate::daemon::Daemon;
use std::{fmt::Write as _, time::UNIX_EPOCH};

/// Media type of the text format.
pub const MEDIA: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics.
pub fn text(daemon: &Daemon) -> String {
    let mut out = String::new();
    let mut one = |name: &str, kind: &str, help: &str, value: String| {
        // Writing to a String does not fail.
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    };
    let (running, begun) = daemon.requests.counts();
    one("cairn_rpc_requests_running", "gauge", "Requests that run.", running.to_string());
    one("cairn_rpc_requests_total", "counter", "Requests that were begun.", begun.to_string());
    let started = daemon.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    one("process_start_time_seconds", "gauge", "When the daemon was started, since 1970.", started.to_string());
    if let Some(bytes) = resident() {
        one("process_resident_memory_bytes", "gauge", "Resident memory.", bytes.to_string());
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        one("process_open_fds", "gauge", "Open file descriptors.", files.count().to_string());
    }
    if let Ok(usage) = daemon.repo.kv().usage() {
        one("cairn_repo_bytes", "gauge", "Bytes of the repository's database.", usage.total.to_string());
    }
    if let Some(gateway) = daemon.gateway() {
        out.push_str(&gateway.metrics().text());
    }
    if let Some(node) = daemon.node() {
        out.push_str(&node.metrics());
    }
    out
}

/// Resident memory of this process, in bytes.
pub fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
