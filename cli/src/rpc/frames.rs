//! Answers in frames, for a client that is this program.
//!
//! The body is a sequence of frames: a byte for the kind, the length of the content as 4 bytes in network order, the
//! content. So all that a command does to the terminal is carried, whichever command it is: the client needs to know
//! nothing of it, and exit codes, messages and progress are those of a command that runs by itself.

use crate::{exit::Outcome, progress::State};
use bytes::{Buf as _, Bytes, BytesMut};

/// Longest content that is accepted, in bytes: a block and some more. Longer output comes in several frames.
pub const MAX: usize = 16 << 20;
/// Bytes before the content.
pub const HEAD: usize = 5;

/// The kinds.
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const BAR: u8 = 3;
const WANT_STDIN: u8 = 4;
const END: u8 = 5;

/// A frame that was received.
#[derive(Debug)]
pub enum Frame {
    /// Bytes for stdout.
    Stdout(Bytes),
    /// Text for stderr.
    Stderr(String),
    /// What a progress bar shows.
    Bar(State),
    /// The command reads standard input.
    WantStdin,
    /// The command has ended.
    End(Outcome),
}

/// What stands before so many bytes for stdout.
pub fn stdout(len: usize) -> [u8; HEAD] {
    head(STDOUT, len)
}

/// A text for stderr.
pub fn stderr(text: &str) -> Vec<u8> {
    frame(STDERR, text.as_bytes())
}

/// The state of a progress bar.
pub fn bar(state: &State) -> Vec<u8> {
    frame(BAR, &serde_json::to_vec(state).unwrap_or_default())
}

/// Asks for standard input.
pub fn want_stdin() -> Vec<u8> {
    frame(WANT_STDIN, b"")
}

/// The end.
pub fn end(outcome: &Outcome) -> Vec<u8> {
    frame(END, &serde_json::to_vec(outcome).unwrap_or_default())
}

fn head(kind: u8, len: usize) -> [u8; HEAD] {
    let [a, b, c, d] = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    [kind, a, b, c, d]
}

fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    let content = &content[..content.len().min(MAX)];
    [&head(kind, content.len()), content].concat()
}

/// Takes frames out of a body that comes in pieces.
#[derive(Default)]
pub struct Decoder {
    buffer: BytesMut,
    /// Bytes of the present frame for stdout that are still to come: they are passed on as they come.
    stdout_left: usize,
}

impl Decoder {
    /// Takes a piece; gives the frames that it completes.
    ///
    /// # Errors
    /// When it is no sequence of frames.
    pub fn feed(&mut self, piece: Bytes) -> Result<Vec<Frame>, String> {
        let mut frames = Vec::new();
        let mut piece = piece;
        if self.buffer.is_empty() && self.stdout_left > 0 {
            let now = piece.split_to(self.stdout_left.min(piece.len()));
            self.stdout_left -= now.len();
            frames.push(Frame::Stdout(now));
        }
        self.buffer.extend_from_slice(&piece);
        while self.buffer.len() >= HEAD {
            let kind = self.buffer[0];
            let len = u32::from_be_bytes([self.buffer[1], self.buffer[2], self.buffer[3], self.buffer[4]]) as usize;
            if len > MAX {
                return Err(format!("a frame of {len} bytes"));
            }
            if kind == STDOUT {
                self.buffer.advance(HEAD);
                let now = self.buffer.split_to(len.min(self.buffer.len())).freeze();
                self.stdout_left = len - now.len();
                frames.push(Frame::Stdout(now));
                continue;
            }
            if self.buffer.len() < HEAD + len {
                break;
            }
            self.buffer.advance(HEAD);
            frames.push(decode(kind, &self.buffer.split_to(len))?);
        }
        Ok(frames)
    }
}

fn decode(kind: u8, content: &[u8]) -> Result<Frame, String> {
    let json = |e: serde_json::Error| e.to_string();
    Ok(match kind {
        STDERR => Frame::Stderr(String::from_utf8_lossy(content).into_owned()),
        BAR => Frame::Bar(serde_json::from_slice(content).map_err(json)?),
        WANT_STDIN => Frame::WantStdin,
        END => Frame::End(serde_json::from_slice(content).map_err(json)?),
        other => return Err(format!("a frame of kind {other}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_however_they_are_cut() {
        let outcome = Outcome { code: 1, message: Some("no".into()), usage: false };
        let mut body = Vec::new();
        for part in [&b"hello "[..], b"", b"world"] {
            body.extend_from_slice(&stdout(part.len()));
            body.extend_from_slice(part);
            body.extend_from_slice(&stderr("!"));
        }
        body.extend_from_slice(&want_stdin());
        body.extend_from_slice(&bar(&State { done: 7, ..State::default() }));
        body.extend_from_slice(&end(&outcome));
        for cut in 1..body.len() {
            let mut decoder = Decoder::default();
            let (mut out, mut notes, mut wants, mut done, mut ended) = (Vec::new(), 0, 0, 0, None);
            for piece in body.chunks(cut) {
                for frame in decoder.feed(Bytes::copy_from_slice(piece)).expect("frames") {
                    match frame {
                        Frame::Stdout(bytes) => out.extend_from_slice(&bytes),
                        Frame::Stderr(text) => notes += text.len(),
                        Frame::WantStdin => wants += 1,
                        Frame::Bar(state) => done = state.done,
                        Frame::End(outcome) => ended = Some(outcome),
                    }
                }
            }
            assert_eq!((out.as_slice(), notes, wants, done), (&b"hello world"[..], 3, 1, 7), "in pieces of {cut}");
            assert_eq!(ended.as_ref(), Some(&outcome));
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert!(Decoder::default().feed(Bytes::from_static(b"\x09\0\0\0\0")).is_err());
        assert!(Decoder::default().feed(Bytes::from_static(b"\x01\xff\xff\xff\xff")).is_err());
    }
}
