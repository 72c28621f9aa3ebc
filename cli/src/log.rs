//! What the crates have to say besides results: on stderr warnings and errors, or more where a level says so; and to
//! those who follow a daemon's log (`cairn log tail`). Each line says within which spans it was said: which request, which
//! session, which block. [`context`] holds these.

mod context;

use context::{Fields, Text};
use parking_lot::RwLock;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::SystemTime,
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
    subscriber::Interest,
};
use tracing_subscriber::{
    Registry,
    layer::{Context, Layer, SubscriberExt as _},
    registry::LookupSpan,
};

/// Lines that wait for one follower at most; what comes while it is full is lost to that follower.
const WAITING: usize = 4096;
/// Followers at most.
const MAX_FOLLOWERS: usize = 64;
/// Names of parts of the program whose levels can be set, besides those that have spoken already.
const PARTS: [&str; 8] = ["bitswap", "cli", "dht", "gateway", "ipns", "net", "rpc", "store"];

static LOG: OnceLock<Log> = OnceLock::new();

/// Levels, and who listens.
struct Log {
    levels: RwLock<Levels>,
    seen: RwLock<BTreeSet<String>>,
    followers: RwLock<Vec<(u64, Level, SyncSender<String>)>>,
    next: AtomicU64,
}

struct Levels {
    default: Level,
    of: BTreeMap<String, Level>,
}

/// The part of the program that a target belongs to: `cairn_store::gc` is `store`, `cairn_net::bitswap::…` is
/// `bitswap`, `cairn::rpc::server` is `rpc`.
fn part(target: &str) -> Option<&str> {
    let mut names = target.split("::");
    match (names.next()?, names.next()) {
        ("cairn", Some("rpc")) => Some("rpc"),
        ("cairn", _) => Some("cli"),
        ("cairn_net", Some(inner)) if PARTS.contains(&inner) => Some(inner),
        (name, _) => name.strip_prefix("cairn_"),
    }
}

impl Log {
    fn level(&self, part: &str) -> Level {
        let levels = self.levels.read();
        levels.of.get(part).copied().unwrap_or(levels.default)
    }

    /// The level of the part that says most.
    fn most(&self) -> Level {
        let levels = self.levels.read();
        levels.of.values().copied().fold(levels.default, Level::max)
    }
}

/// Begins to print. Messages below the level of their part are dropped.
pub fn start(debug: bool) {
    let default = if debug { Level::DEBUG } else { Level::WARN };
    let levels = RwLock::new(Levels { default, of: BTreeMap::new() });
    let log = Log { levels, seen: RwLock::default(), followers: RwLock::default(), next: AtomicU64::new(0) };
    // Both fail only if they were called before.
    let _ = LOG.set(log);
    let _ = tracing::subscriber::set_global_default(Registry::default().with(Printer));
}

/// Names of the parts that have levels.
pub fn parts() -> Vec<String> {
    let seen = LOG.get().map(|log| log.seen.read().clone()).unwrap_or_default();
    let mut all: BTreeSet<String> = PARTS.iter().map(|&p| p.to_owned()).collect();
    all.extend(seen);
    all.into_iter().collect()
}

/// The level of a part, or of all that have none of their own.
pub fn level(part: Option<&str>) -> Level {
    let Some(log) = LOG.get() else { return Level::WARN };
    match part {
        Some(part) => log.level(part),
        None => log.levels.read().default,
    }
}

/// Sets the level of a part, or of all parts.
pub fn set_level(part: Option<&str>, level: Level) {
    let Some(log) = LOG.get() else { return };
    let mut levels = log.levels.write();
    match part {
        Some(part) => {
            levels.of.insert(part.to_owned(), level);
        }
        None => {
            levels.of.clear();
            levels.default = level;
        }
    }
    drop(levels);
    tracing::callsite::rebuild_interest_cache();
}

/// A level by the name that Kubo gives it.
pub fn parse_level(name: &str) -> Option<Level> {
    match name.to_ascii_lowercase().as_str() {
        "trace" => Some(Level::TRACE),
        "debug" => Some(Level::DEBUG),
        "info" => Some(Level::INFO),
        "warn" => Some(Level::WARN),
        // There is nothing above an error here.
        "error" | "dpanic" | "panic" | "fatal" => Some(Level::ERROR),
        _ => None,
    }
}

/// Lines of the log from now on, as JSON, while the follower lives.
pub struct Follower {
    id: u64,
    /// The lines.
    pub lines: Receiver<String>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(log) = LOG.get() {
            log.followers.write().retain(|(id, ..)| *id != self.id);
        }
    }
}

/// Follows the log, as far as parts say anything of that level at all. `None` when too many do already.
pub fn follow(level: Level) -> Option<Follower> {
    let log = LOG.get()?;
    let (sender, lines) = sync_channel(WAITING);
    let id = log.next.fetch_add(1, Ordering::Relaxed);
    let mut followers = log.followers.write();
    if followers.len() >= MAX_FOLLOWERS {
        return None;
    }
    followers.push((id, level, sender));
    Some(Follower { id, lines })
}

struct Printer;

/// What is allowed through: what a part says, and spans as soon as any part says that much, since they are the context
/// of what others say.
fn enabled(metadata: &Metadata<'_>) -> bool {
    let (Some(log), Some(part)) = (LOG.get(), part(metadata.target())) else { return false };
    let level = if metadata.is_span() { log.most() } else { log.level(part) };
    *metadata.level() <= level
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Printer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if let (Some(log), Some(part)) = (LOG.get(), part(metadata.target()))
            && !log.seen.read().contains(part)
        {
            log.seen.write().insert(part.to_owned());
        }
        if enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        enabled(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        LOG.get().map(|log| LevelFilter::from_level(log.most()))
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let spans = ctx.event_scope(event).map(|scope| context::of(scope.from_root())).unwrap_or_default();
        say(event.metadata(), &format!("{}{}", line.message, line.fields), &spans);
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().insert(Text::new(fields));
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id)
            && let Some(text) = span.extensions_mut().get_mut::<Text>()
        {
            values.record(&mut text.fields);
        }
    }

    fn on_exit(&self, id: &span::Id, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id)
            && let Some(text) = span.extensions_mut().get_mut::<Text>()
        {
            text.left();
        }
    }

    fn on_close(&self, id: span::Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(&id) else { return };
        let metadata = span.metadata();
        // It may exist for the sake of another part's lines only.
        if LOG.get().zip(part(metadata.target())).is_none_or(|(log, part)| *metadata.level() > log.level(part)) {
            return;
        }
        let took = span.extensions().get::<Text>().map(Text::took).unwrap_or_default();
        say(metadata, &format!("ended (took: {took:?})"), &context::of(span.scope().from_root()));
    }
}

/// Prints a line, and gives it to all who follow.
fn say(metadata: &Metadata<'_>, text: &str, spans: &[context::Span]) {
    let level = *metadata.level();
    let label = match level {
        Level::ERROR => "Error",
        Level::WARN => "Warning",
        Level::INFO => "Info",
        _ => "Debug",
    };
    // Names in the message may be a stranger's.
    let line = format!("{}{text}", context::prefix(spans));
    crate::output::complain(&format!("{label}: {}\n", crate::output::escape_control(&line)));
    let Some(log) = LOG.get() else { return };
    let followers = log.followers.read();
    if followers.is_empty() {
        return;
    }
    let json = json(level, part(metadata.target()).unwrap_or_default(), text, spans);
    for (_, _, sender) in followers.iter().filter(|(_, least, _)| level <= *least) {
        let _ = sender.try_send(json.clone());
    }
}

/// A line in the shape of Kubo's JSON log; with `spans`, outermost first, if it was said within some.
fn json(level: Level, part: &str, text: &str, spans: &[context::Span]) -> String {
    let mut value = serde_json::json!({
        "level": level.as_str().to_ascii_lowercase(),
        "ts": crate::cmd::ls::time::utc(SystemTime::now()),
        "logger": part,
        "msg": text,
    });
    if !spans.is_empty() {
        value["spans"] = context::json(spans);
    }
    format!("{value}\n")
}

/// An event as text: the message, then ` (name: value)` for each field.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " ({name}: {value:?})"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn targets_belong_to_parts() {
        for (target, expected) in [
            ("cairn", Some("cli")),
            ("cairn::cmd::add", Some("cli")),
            ("cairn::rpc::server", Some("rpc")),
            ("cairn_store::gc::mark", Some("store")),
            ("cairn_net::bitswap::client", Some("bitswap")),
            ("cairn_net::node", Some("net")),
            ("libp2p_swarm", None),
        ] {
            assert_eq!(part(target), expected, "{target}");
        }
    }
}
