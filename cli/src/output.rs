//! Everything that is printed: events as text or JSON lines, CIDs in the wanted base, escaping for terminals.

use crate::{
    args::{Enc, Global},
    progress::Bar,
};
use bytes::Bytes;
use cairn_store::Cid;
use serde::Serialize;
use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Size of the buffer before stdout, in bytes. On a terminal every event is flushed at once.
const BUFFER: usize = 64 << 10;

/// What is going to be written to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Events, as many as there are.
    Events,
    /// One event.
    Single,
    /// Bytes of that media type.
    Bytes(&'static str),
}

/// What stdout is: that of the process, or the body of an answer.
pub trait Sink: Write + Send {
    /// Called once, before the first byte. `length` is that of the content, where it is known.
    fn begin(&mut self, kind: Kind, length: Option<u64>);

    /// Writes a large piece, past the buffer.
    ///
    /// # Errors
    /// When nobody takes it.
    fn whole(&mut self, bytes: Bytes) -> io::Result<()>;
}

/// What stderr is: that of the process, or the terminal of a client.
pub trait Notes: Send + Sync {
    /// Shows a text for people as it is.
    fn note(&self, text: &str);

    /// A progress bar. `template` is one of indicatif; without a total it only moves.
    fn bar(&self, template: &'static str, total: Option<u64>) -> Bar;
}

/// Where output goes, and what it looks like there.
pub struct Place {
    /// Standard output.
    pub sink: Box<dyn Sink>,
    /// Standard error.
    pub notes: Arc<dyn Notes>,
    /// Whether stdout is a terminal.
    pub tty: bool,
    /// Whether stderr is a terminal.
    pub err_tty: bool,
    /// Whether colours are welcome on terminals.
    pub color: bool,
}

impl Place {
    /// That of this process.
    pub fn process() -> Self {
        Self {
            sink: Box::new(Stdout(io::BufWriter::with_capacity(BUFFER, io::stdout()))),
            notes: Arc::new(Stderr),
            tty: io::stdout().is_terminal(),
            err_tty: io::stderr().is_terminal(),
            color: colors_wanted(),
        }
    }
}

struct Stdout(io::BufWriter<io::Stdout>);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Sink for Stdout {
    fn begin(&mut self, _: Kind, _: Option<u64>) {}

    /// Past the line buffering of the standard library.
    fn whole(&mut self, bytes: Bytes) -> io::Result<()> {
        self.0.flush()?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match rustix::io::write(rustix::stdio::stdout(), rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => rest = &rest[n..],
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

struct Stderr;

impl Notes for Stderr {
    fn note(&self, text: &str) {
        complain(text);
    }

    fn bar(&self, template: &'static str, total: Option<u64>) -> Bar {
        Bar::on_terminal(template, total)
    }
}

/// Standard output and its form.
pub struct Out {
    enc: Enc,
    base: Option<multibase::Base>,
    upgrade: bool,
    sink: Mutex<Box<dyn Sink>>,
    begun: AtomicBool,
    notes: Arc<dyn Notes>,
    color: bool,
    /// Whether stdout is a terminal.
    pub tty: bool,
    /// Whether stderr is a terminal.
    pub err_tty: bool,
}

impl Out {
    /// From the global options.
    ///
    /// # Errors
    /// When `--cid-base` names no multibase.
    pub fn new(global: &Global, place: Place) -> anyhow::Result<Self> {
        let base = global.cid_base.as_deref().map(parse_base).transpose()?;
        anyhow::ensure!(
            base != Some(multibase::Base::Identity),
            "--cid-base=identity would be binary: choose another base"
        );
        Ok(Self {
            enc: global.enc,
            base,
            // As in Kubo: a base other than base58btc upgrades unless told otherwise.
            upgrade: global.upgrade_cidv0_in_output.unwrap_or(base.is_some_and(|b| b != multibase::Base::Base58Btc)),
            sink: Mutex::new(place.sink),
            begun: AtomicBool::new(false),
            notes: place.notes,
            color: place.color,
            tty: place.tty,
            err_tty: place.err_tty,
        })
    }

    /// Whether events are printed as JSON.
    pub fn json(&self) -> bool {
        self.enc == Enc::Json
    }

    /// Whether colours may be used on stdout.
    pub fn color(&self) -> bool {
        self.tty && self.color
    }

    /// The word before an error on stderr: red on a terminal, unless `NO_COLOR` is set.
    pub fn error_label(&self) -> &'static str {
        if self.err_tty && self.color { "\x1b[1;31mError:\x1b[0m" } else { "Error:" }
    }

    /// A CID in the wanted base.
    pub fn cid(&self, cid: &Cid) -> String {
        if cid.version() == cid::Version::V0 {
            if !self.upgrade {
                return cid.to_string();
            }
            let v1 = Cid::new_v1(cid.codec(), *cid.hash());
            return v1
                .to_string_of_base(self.base.unwrap_or(multibase::Base::Base32Lower))
                .unwrap_or_else(|_| v1.to_string());
        }
        match self.base {
            Some(base) => cid.to_string_of_base(base).unwrap_or_else(|_| cid.to_string()),
            None => cid.to_string(),
        }
    }

    /// Prints one event: as a JSON line, or as what `text` gives, which ends its own lines.
    ///
    /// # Errors
    /// When stdout can't be written.
    pub fn emit<T: Serialize>(&self, event: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        self.print(Kind::Events, event, text)
    }

    /// The same for a command that prints this one event and nothing else.
    ///
    /// # Errors
    /// When stdout can't be written.
    pub fn emit_once<T: Serialize>(&self, event: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        self.print(Kind::Single, event, text)
    }

    fn print<T: Serialize>(&self, kind: Kind, event: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        // In one piece: whoever reads the other end sees whole events.
        let line = match self.enc {
            Enc::Json => {
                let mut line = serde_json::to_vec(event)?;
                line.push(b'\n');
                line
            }
            Enc::Text => text(event).into_bytes(),
        };
        let mut sink = self.begin(kind, None);
        sink.write_all(&line)?;
        if self.tty {
            sink.flush()?;
        }
        Ok(())
    }

    /// Stdout itself, for text and bytes of no particular type. Hold it briefly.
    pub fn stdout(&self) -> MutexGuard<'_, Box<dyn Sink>> {
        self.begin(Kind::Bytes("text/plain"), None)
    }

    /// Stdout itself, and what is going to be written. Only the first call says anything to the other end. Hold it
    /// briefly.
    pub fn begin(&self, kind: Kind, length: Option<u64>) -> MutexGuard<'_, Box<dyn Sink>> {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.begun.swap(true, Ordering::Relaxed) {
            sink.begin(kind, length);
        }
        sink
    }

    /// Stdout for whoever writes bytes in many pieces. Say what they are with [`Out::begin`] first.
    pub fn writer(&self) -> Writer<'_> {
        Writer(self)
    }

    /// Shows a text for people on stderr, as it is.
    pub fn note(&self, text: &str) {
        self.notes.note(text);
    }

    /// A progress bar on stderr, or none. `template` is one of indicatif; without a total the bar only moves.
    pub fn bar(&self, shown: bool, template: &'static str, total: Option<u64>) -> Bar {
        if shown { self.notes.bar(template, total) } else { Bar::hidden() }
    }

    /// Writes what is still buffered.
    ///
    /// # Errors
    /// When stdout can't be written.
    pub fn finish(&self) -> anyhow::Result<()> {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(sink.flush()?)
    }

    /// A name as it may be shown on stdout: on a terminal control characters are escaped (GHSA-r4gv-vj59-cccm).
    pub fn escape<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.tty { escape_control(name) } else { Cow::Borrowed(name) }
    }

    /// The same for stderr.
    pub fn escape_stderr<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.err_tty { escape_control(name) } else { Cow::Borrowed(name) }
    }
}

/// See [`Out::writer`].
pub struct Writer<'a>(&'a Out);

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.stdout().flush()
    }
}

/// <https://no-color.org>
pub fn colors_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// The multibase of that name (`base32`) or prefix letter (`b`).
///
/// # Errors
/// When there is none.
pub fn parse_base(text: &str) -> anyhow::Result<multibase::Base> {
    use multibase::Base;
    let named = [
        ("identity", Base::Identity),
        ("base2", Base::Base2),
        ("base8", Base::Base8),
        ("base10", Base::Base10),
        ("base16", Base::Base16Lower),
        ("base16upper", Base::Base16Upper),
        ("base32", Base::Base32Lower),
        ("base32upper", Base::Base32Upper),
        ("base32pad", Base::Base32PadLower),
        ("base32padupper", Base::Base32PadUpper),
        ("base32hex", Base::Base32HexLower),
        ("base32hexupper", Base::Base32HexUpper),
        ("base32hexpad", Base::Base32HexPadLower),
        ("base32hexpadupper", Base::Base32HexPadUpper),
        ("base32z", Base::Base32Z),
        ("base36", Base::Base36Lower),
        ("base36upper", Base::Base36Upper),
        ("base58btc", Base::Base58Btc),
        ("base58flickr", Base::Base58Flickr),
        ("base64", Base::Base64),
        ("base64pad", Base::Base64Pad),
        ("base64url", Base::Base64Url),
        ("base64urlpad", Base::Base64UrlPad),
        ("base256emoji", Base::Base256Emoji),
    ];
    let mut letters = text.chars();
    let by_prefix = letters.next().filter(|_| letters.next().is_none()).and_then(|c| Base::from_code(c).ok());
    named
        .iter()
        .find_map(|&(name, base)| (name == text).then_some(base))
        .or(by_prefix)
        .ok_or_else(|| anyhow::anyhow!("unknown multibase {text:?}: `cairn cid bases` lists them"))
}

/// Writes to standard error. Not with `eprint!`, which panics, in whatever task has something to say, when the reader of
/// standard error is gone.
pub fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Writes control characters as escapes.
pub fn escape_control(name: &str) -> Cow<'_, str> {
    if !name.chars().any(char::is_control) {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}
