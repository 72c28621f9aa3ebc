//! The table in `docs/PERFORMANCE.md`.

use super::{item::Item, median};
use crate::process::Usage;
use anyhow::Context as _;
use std::{collections::HashMap, fs, path::Path, time::Duration};

/// What a program needed for an item.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Median of the runs.
    pub wall: Duration,
    /// Greatest of the runs, in bytes.
    pub peak_rss: u64,
}

impl Measured {
    /// Of some runs.
    pub fn median(runs: Vec<Usage>) -> Self {
        let peak_rss = runs.iter().map(|u| u.peak_rss).max().unwrap_or(0);
        Self { wall: median(runs.into_iter().map(|u| u.wall).collect()), peak_rss }
    }
}

/// A line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured.
    pub item: Item,
    /// By racer.
    pub measured: HashMap<&'static str, Measured>,
    /// Time of the ceiling.
    pub ceiling: Option<Duration>,
}

/// First line of the table.
pub const HEAD: &str = "| What | Cairn | peak | ceiling | of ceiling | Kubo | × Kubo | Pebble | × Pebble | to reach |\n\
                        |---|---|---|---|---|---|---|---|---|---|";

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cairn = self.measured.get("cairn").map_or(Duration::ZERO, |m| m.wall);
        let peak = self.measured.get("cairn").map_or(0, |m| m.peak_rss >> 20);
        let over = |time: Option<Duration>| time.map_or_else(String::new, |t| format!("{:.2}", ratio(cairn, t)));
        let faster = |time: Option<Duration>| time.map_or_else(String::new, |t| format!("{:.1}", ratio(t, cairn)));
        let show = |time: Option<Duration>| time.map_or_else(String::new, seconds);
        let other = |name| self.measured.get(name).map(|m| m.wall);
        write!(
            f,
            "| {} | {} | {peak} MiB | {} | {} | {} | {} | {} | {} | {} |",
            self.item.title,
            seconds(cairn),
            show(self.ceiling),
            over(self.ceiling),
            show(other("kubo")),
            faster(other("kubo")),
            show(other("pebble")),
            faster(other("pebble")),
            self.item.target
        )
    }
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(1e-9)
}

fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.1 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

/// The machine, in one line.
pub fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field =
        |name: &str| info.lines().find(|l| l.starts_with(name)).and_then(|l| l.split_once(": ")).map(|(_, v)| v);
    let has_sha = field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "sha_ni"));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let sha = if has_sha { "with" } else { "without" };
    format!("{}, {cores} cores, {sha} SHA-NI", field("model name").unwrap_or("unknown processor"))
}

/// Puts a text between a section's two marks in a Markdown file, which is made if there is none.
///
/// # Errors
/// When the file can't be read or written.
pub fn put(path: &Path, section: &str, text: &str) -> anyhow::Result<()> {
    let (begin, end) = (format!("<!-- {section}:begin -->"), format!("<!-- {section}:end -->"));
    let old = if path.exists() { fs::read_to_string(path)? } else { "# Performance\n".to_owned() };
    let body = format!("{begin}\n{}\n{end}", text.trim_end());
    let new = match (old.find(&begin), old.find(&end)) {
        (Some(from), Some(to)) if from < to => format!("{}{body}{}", &old[..from], &old[to + end.len()..]),
        _ => format!("{}\n\n{body}\n", old.trim_end()),
    };
    fs::write(path, new).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_stays() {
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        let path = dir.path().join("PERFORMANCE.md");
        fs::write(&path, "# Title\n\nBefore.\n").expect("the temporary directory is writable");
        put(&path, "bench", "one").expect("writable");
        put(&path, "growth", "two").expect("writable");
        put(&path, "bench", "three").expect("writable");
        let text = fs::read_to_string(&path).expect("it was written");
        assert!(text.starts_with("# Title\n\nBefore.\n"));
        assert!(text.contains("<!-- bench:begin -->\nthree\n<!-- bench:end -->"));
        assert!(text.contains("<!-- growth:begin -->\ntwo\n<!-- growth:end -->"));
        assert!(!text.contains("one"));
    }
}
