//! The RPC: commands of the command line over HTTP, in the form that clients of Kubo know.
//!
//! The server makes an argument list of a request, by looking at the same table of commands that reads the command
//! line (`arguments`), and runs the command with a `Ctx` whose output is the body of the answer (`reply`, `pipe`) and
//! whose input are the files that were sent (`upload`, `multipart`). The client is its mirror image: `dispatch` says
//! which commands go to a daemon, `query` makes a request of the command line, `send` the body, `client` carries both.

pub mod address;
pub mod arguments;
pub mod auth;
pub mod blocks;
pub mod client;
pub mod connection;
pub mod dispatch;
pub mod frames;
pub mod handle;
pub mod log;
pub mod metrics;
pub mod multipart;
pub mod origin;
pub mod pipe;
pub mod place;
pub mod query;
pub mod reply;
pub mod send;
pub mod server;
pub mod upload;

/// What stands before the path of a command.
pub const PREFIX: &str = "/api/v0/";
/// Header of a client that shows output as this program does: see [`frames`]. Its value says what its standard
/// streams are: a list of `in`, `out` and `err`, each if it is a terminal, and `color`.
pub const TERMINAL: &str = "x-cairn-terminal";
/// Header of a part of a body after which nothing follows, since the sender failed; the message, percent-encoded.
pub const SENDER_FAILED: &str = "x-cairn-failed";
/// Media type of an answer in frames.
pub const FRAMES: &str = "application/vnd.cairn.frames";

/// Decodes percent-encoding; `plus` says that `+` is a space. What is no escape stays; what is no UTF-8 is replaced.
pub fn decode_percent(text: &str, plus: bool) -> String {
    let bytes = decode_percent_bytes(text, plus);
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// The same, whatever bytes come out.
pub fn decode_percent_bytes(text: &str, plus: bool) -> Vec<u8> {
    let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match (byte, hex(bytes.get(at)), hex(bytes.get(at + 1))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 2;
            }
            (b'+', ..) if plus => out.push(b' '),
            _ => out.push(byte),
        }
    }
    out
}

/// Encodes bytes for a query or a header: all but letters, digits and `-_.~` are escaped.
pub fn encode_percent(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_goes_both_ways() {
        for text in ["", "a b", "ä/%&=?+#\n\0", "100%", "%zz"] {
            assert_eq!(decode_percent(&encode_percent(text.as_bytes()), true), text);
        }
        assert_eq!(decode_percent("a+b%2", true), "a b%2");
        assert_eq!(decode_percent("a+b", false), "a+b");
        assert_eq!(decode_percent("%ff", false), "\u{fffd}");
    }
}
