//! Everything that is printed: events as text or JSON lines, CIDs in the wanted base, escaping for terminals.

use crate::args::{Enc, Global};
use cairn_store::Cid;
use serde::Serialize;
use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, IsTerminal as _, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Size of the buffer before stdout, in bytes. On a terminal every event is flushed at once.
const BUFFER: usize = 64 << 10;

/// Standard output and its form.
pub struct Out {
    enc: Enc,
    base: Option<multibase::Base>,
    upgrade: bool,
    stdout: Mutex<io::BufWriter<io::Stdout>>,
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
    pub fn new(global: &Global) -> anyhow::Result<Self> {
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
            stdout: Mutex::new(io::BufWriter::with_capacity(BUFFER, io::stdout())),
            tty: io::stdout().is_terminal(),
            err_tty: io::stderr().is_terminal(),
        })
    }

    /// Whether events are printed as JSON.
    pub fn json(&self) -> bool {
        self.enc == Enc::Json
    }

    /// Whether colours may be used on stdout.
    pub fn color(&self) -> bool {
        self.tty && colors_wanted()
    }

    /// The word before an error on stderr: red on a terminal, unless `NO_COLOR` is set.
    pub fn error_label(&self) -> &'static str {
        if self.err_tty && colors_wanted() { "\x1b[1;31mError:\x1b[0m" } else { "Error:" }
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
        let mut stdout = self.stdout();
        match self.enc {
            Enc::Json => {
                serde_json::to_writer(&mut *stdout, event)?;
                stdout.write_all(b"\n")?;
            }
            Enc::Text => stdout.write_all(text(event).as_bytes())?,
        }
        if self.tty {
            stdout.flush()?;
        }
        Ok(())
    }

    /// Stdout itself, for bytes. Hold it briefly.
    pub fn stdout(&self) -> MutexGuard<'_, io::BufWriter<io::Stdout>> {
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is still buffered.
    ///
    /// # Errors
    /// When stdout can't be written.
    pub fn finish(&self) -> anyhow::Result<()> {
        Ok(self.stdout().flush()?)
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

/// <https://no-color.org>
fn colors_wanted() -> bool {
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
