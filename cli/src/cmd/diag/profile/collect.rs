//! What the kernel knows of this process.

use crate::{cmd::ls::time::utc, rpc::log::Entry};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    time::{Duration, Instant, SystemTime},
};

/// How often threads are looked at.
pub(super) const EVERY: Duration = Duration::from_millis(50);
/// Threads that are looked at; a daemon has a few hundred at most.
const MAX_THREADS: usize = 4096;

/// A thread at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Thread {
    name: String,
    /// `R`: runs or could; `S`: waits; `D`: waits for the disk.
    state: char,
    /// Time on a processor, and time for which it could run and had none.
    ran: Duration,
    queued: Duration,
}

impl Thread {
    /// From its files `stat` and `schedstat`.
    fn parse(stat: &str, schedstat: &str) -> Option<Self> {
        // The name may hold anything, brackets too.
        let (begin, end) = (stat.find('(')?, stat.rfind(')')?);
        let state = stat.get(end + 1..)?.trim_start().chars().next()?;
        let mut times = schedstat.split_whitespace().map(|n| n.parse().map_or(Duration::ZERO, Duration::from_nanos));
        let (ran, queued) = (times.next().unwrap_or_default(), times.next().unwrap_or_default());
        Some(Self { name: stat.get(begin + 1..end)?.to_owned(), state, ran, queued })
    }
}

/// All threads by number.
fn all() -> BTreeMap<u32, Thread> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten().take(MAX_THREADS);
    let thread = |entry: fs::DirEntry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        // One that ends meanwhile is left out.
        let read = |name: &str| fs::read_to_string(entry.path().join(name)).ok();
        Some((id, Thread::parse(&read("stat")?, &read("schedstat").unwrap_or_default())?))
    };
    tasks.filter_map(thread).collect()
}

#[derive(Debug, Default)]
struct Watched {
    name: String,
    first: Duration,
    first_queued: Duration,
    last: Duration,
    last_queued: Duration,
    running: u32,
    disk: u32,
}

/// Watches what threads do for a while.
pub(super) struct Sampler {
    begun: Instant,
    samples: u32,
    threads: BTreeMap<u32, Watched>,
}

impl Sampler {
    /// Begins.
    pub(super) fn begin() -> Self {
        let watched = |t: Thread| Watched {
            name: t.name,
            first: t.ran,
            first_queued: t.queued,
            last: t.ran,
            last_queued: t.queued,
            ..Watched::default()
        };
        let threads = all().into_iter().map(|(id, thread)| (id, watched(thread))).collect();
        Self { begun: Instant::now(), samples: 0, threads }
    }

    /// For how long.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Looks at all threads.
    pub(super) fn sample(&mut self) {
        self.samples += 1;
        for (id, thread) in all() {
            if self.threads.len() >= MAX_THREADS && !self.threads.contains_key(&id) {
                continue;
            }
            let watched = self.threads.entry(id).or_default();
            watched.name = thread.name;
            (watched.last, watched.last_queued) = (thread.ran, thread.queued);
            watched.running += u32::from(thread.state == 'R');
            watched.disk += u32::from(thread.state == 'D');
        }
    }

    /// What was seen, the busiest first; those that did nothing are left out.
    pub(super) fn end(self) -> String {
        let (time, samples) = (self.begun.elapsed(), self.samples);
        let ran = |w: &Watched| w.last.saturating_sub(w.first);
        let mut rows: Vec<&Watched> = self.threads.values().filter(|w| !ran(w).is_zero() || w.disk > 0).collect();
        rows.sort_by_key(|w| std::cmp::Reverse(ran(w)));
        let total: Duration = rows.iter().map(|w| ran(w)).sum();
        let mut out = format!(
            "{:.1} s of processor time in {:.1} s, by {} threads; {samples} samples\n\n",
            total.as_secs_f64(),
            time.as_secs_f64(),
            rows.len(),
        );
        out.push_str("cpu s    cpu %  queued s  running  disk  thread\n");
        for row in rows {
            let percent = 100.0 * ran(row).as_secs_f64() / time.as_secs_f64().max(f64::EPSILON);
            // Writing to a String does not fail.
            let _ = writeln!(
                out,
                "{:<8.3} {percent:>5.1}  {:>8.3}  {:>7}  {:>4}  {}",
                ran(row).as_secs_f64(),
                row.last_queued.saturating_sub(row.first_queued).as_secs_f64(),
                row.running,
                row.disk,
                row.name,
            );
        }
        out
    }
}

/// All threads.
pub(super) fn threads() -> String {
    let mut out = "thread   state  cpu s      waits in          name\n".to_owned();
    for (id, thread) in all() {
        let place = fs::read_to_string(format!("/proc/self/task/{id}/wchan")).unwrap_or_default();
        let (state, cpu) = (thread.state, thread.ran.as_secs_f64());
        let _ = writeln!(out, "{id:<8} {state:<5}  {cpu:<9.3}  {place:<16}  {}", thread.name);
    }
    out
}

/// Resident and swapped bytes by kind of mapping.
pub(super) fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status.lines().filter(|line| line.starts_with("Vm") || line.starts_with("Rss"));
    let mut out: String = lines.map(|line| format!("{line}\n")).collect();
    out.push_str("\nresident kB   swap kB  mappings  kind\n");
    for (kind, (count, resident, swap)) in mappings(&fs::read_to_string("/proc/self/smaps").unwrap_or_default()) {
        let _ = writeln!(out, "{resident:>11} {swap:>9}  {count:>8}  {kind}");
    }
    out
}

/// Count, resident and swapped KiB of each kind of mapping: the heap, stacks, other anonymous memory, files.
fn mappings(smaps: &str) -> BTreeMap<&'static str, (usize, u64, u64)> {
    let mut sums: BTreeMap<&'static str, (usize, u64, u64)> = BTreeMap::new();
    let mut kind = "anonymous";
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if !first.ends_with(':') {
            // `address permissions offset device inode path`: paths are a user's.
            kind = match words.nth(3).unwrap_or_default() {
                "" => "anonymous",
                "[heap]" => "heap",
                name if name.starts_with("[stack") => "stacks",
                name if name.starts_with('[') => "kernel",
                _ => "files",
            };
            sums.entry(kind).or_default().0 += 1;
            continue;
        }
        let sum = sums.entry(kind).or_default();
        match first {
            "Rss:" => sum.1 += second.parse().unwrap_or(0),
            "Swap:" => sum.2 += second.parse().unwrap_or(0),
            _ => {}
        }
    }
    sums
}

/// Requests that run and those that ended lately: what was asked for is left out.
pub(super) fn commands(entries: &[Entry]) -> String {
    let mut out = "id       begun                 seconds    state    command\n".to_owned();
    let now = SystemTime::now();
    for entry in entries {
        let took = entry.ended.unwrap_or(now).duration_since(entry.begun).unwrap_or_default().as_secs_f64();
        let state = if entry.ended.is_some() { "ended" } else { "runs" };
        let _ = writeln!(out, "{:<8} {}  {took:<9.3}  {state:<7}  {}", entry.id, utc(entry.begun), entry.command);
    }
    out
}

/// Open files by kind, and what is allowed.
pub(super) fn files() -> String {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
        let target = fs::read_link(entry.path()).map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        // `socket:[12]`, `anon_inode:[eventpoll]`, or a path.
        let kind = match target.split_once(':') {
            Some(("anon_inode", what)) => what.trim_matches(['[', ']']).to_owned(),
            Some((kind, _)) if !target.starts_with('/') => kind.to_owned(),
            _ => "file".to_owned(),
        };
        *kinds.entry(kind).or_default() += 1;
    }
    let mut out: String = kinds.iter().map(|(kind, count)| format!("{count:>8}  {kind}\n")).collect();
    out.push('\n');
    out.push_str(&fs::read_to_string("/proc/self/limits").unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_read_whatever_their_names() {
        let thread = Thread::parse("7 (a) b (c) R 1 7 7 0", "1500000000 250000000 9").expect("a thread");
        let (ran, queued) = (Duration::from_millis(1500), Duration::from_millis(250));
        assert_eq!(thread, Thread { name: "a) b (c".to_owned(), state: 'R', ran, queued });
        assert_eq!(Thread::parse("7 no name", ""), None);
    }

    #[test]
    fn mappings_are_summed_by_kind_without_paths() {
        let smaps = "5-6 rw-p 0 00:00 0 [heap]\nRss: 12 kB\nSwap: 1 kB\n6-7 r-xp 0 8:1 99 /home/x/cairn\nRss: 30 kB\n\
                     7-8 rw-p 0 00:00 0\nRss: 5 kB\n8-9 rw-p 0 00:00 0 \nRss: 6 kB\n";
        let wanted = [("anonymous", (2, 11, 0)), ("files", (1, 30, 0)), ("heap", (1, 12, 1))];
        assert_eq!(mappings(smaps), BTreeMap::from(wanted));
    }

    #[test]
    fn whoever_works_is_seen() {
        let mut sampler = Sampler::begin();
        let (until, mut n) = (Duration::from_millis(30), 0u64);
        while sampler.elapsed() < until {
            n = std::hint::black_box(n + 1);
        }
        sampler.sample();
        let own = fs::read_to_string("/proc/thread-self/comm").expect("a name");
        assert!(sampler.end().lines().any(|line| line.ends_with(own.trim())));
    }
}
