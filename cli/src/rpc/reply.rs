//! Output of a command that runs for a client.

use super::{frames, pipe::Pipe};
use crate::{
    output::{Kind, Notes, Place, Sink},
    progress::Bar,
};
use bytes::Bytes;
use std::{
    io::{self, Write},
    sync::Arc,
};

/// What an answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// Output of that kind, with the length of the content where it is known.
    Output(Kind, Option<u64>),
    /// Frames: see [`frames`].
    Frames,
    /// Nothing was printed.
    Empty,
    /// An error before anything was printed.
    Failed {
        /// What to say.
        message: String,
        /// Whether the request makes no sense.
        usage: bool,
    },
}

/// What the client's terminal is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Standard input is a terminal.
    pub stdin: bool,
    /// Standard output is one.
    pub stdout: bool,
    /// Standard error is one.
    pub stderr: bool,
    /// Colours are welcome.
    pub color: bool,
}

impl Terminal {
    /// Reads the header.
    pub fn parse(text: &str) -> Self {
        let has = |word| text.split(',').any(|w| w.trim() == word);
        Self { stdin: has("in"), stdout: has("out"), stderr: has("err"), color: has("color") }
    }
}

impl std::fmt::Display for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = [(self.stdin, "in"), (self.stdout, "out"), (self.stderr, "err"), (self.color, "color")];
        let words: Vec<&str> = words.into_iter().filter(|(on, _)| *on).map(|(_, word)| word).collect();
        f.write_str(&words.join(","))
    }
}

/// Where a command prints that runs for a client. With a terminal, the answer is in frames.
pub fn place(pipe: &Arc<Pipe>, terminal: Option<Terminal>) -> Place {
    let Some(terminal) = terminal else {
        let notes = Arc::new(Unheard);
        return Place { sink: Box::new(Plain(Arc::clone(pipe))), notes, tty: false, err_tty: false, color: false };
    };
    Place {
        sink: Box::new(Framed(Arc::clone(pipe))),
        notes: Arc::new(Far(Arc::clone(pipe))),
        tty: terminal.stdout,
        err_tty: terminal.stderr,
        color: terminal.color,
    }
}

/// The body of an answer is stdout.
struct Plain(Arc<Pipe>);

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&[bytes])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Plain {
    fn begin(&mut self, kind: Kind, length: Option<u64>) {
        self.0.begin(Head::Output(kind, length));
    }

    fn whole(&mut self, bytes: Bytes) -> io::Result<()> {
        self.0.write_whole(b"", bytes)
    }
}

/// Stdout in frames.
struct Framed(Arc<Pipe>);

impl Write for Framed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(frames::MAX)];
        self.0.write(&[&frames::stdout(bytes.len()), bytes])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Framed {
    fn begin(&mut self, _: Kind, _: Option<u64>) {}

    fn whole(&mut self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(frames::MAX));
            self.0.write_whole(&frames::stdout(piece.len()), piece)?;
        }
        Ok(())
    }
}

/// Clients of Kubo's RPC have no stderr: what is said to people is logged.
struct Unheard;

impl Notes for Unheard {
    fn note(&self, text: &str) {
        tracing::info!("{}", text.trim());
    }

    fn bar(&self, _: &'static str, _: Option<u64>) -> Bar {
        Bar::hidden()
    }
}

/// Stderr in frames. When nobody takes them, the next write to stdout says so.
struct Far(Arc<Pipe>);

impl Notes for Far {
    fn note(&self, text: &str) {
        let _ = self.0.write(&[&frames::stderr(text)]);
    }

    fn bar(&self, template: &'static str, total: Option<u64>) -> Bar {
        let pipe = Arc::clone(&self.0);
        Bar::far(template, total, Box::new(move |state| drop(pipe.write(&[&frames::bar(state)]))))
    }
}
