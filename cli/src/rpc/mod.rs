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

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use std::borrow::Cow;

/// What stands before the path of a command.
pub const PREFIX: &str = "/api/v0/";
/// Header of a client that shows output as this program does: see [`frames`]. Its value says what its standard
/// streams are: a list of `in`, `out` and `err`, each if it is a terminal, and `color`.
pub const TERMINAL: &str = "x-cairn-terminal";
/// Header of such a client in place of the query of the URI, which may have 64 KiB only.
pub const QUERY: &str = "x-cairn-query";
/// Header of a part of a body after which nothing follows, since the sender failed; the message, percent-encoded.
pub const SENDER_FAILED: &str = "x-cairn-failed";
/// The same, when it failed in the middle of the part before, which is void.
pub const PART_FAILED: &str = "x-cairn-part-failed";
/// Media type of an answer in frames.
pub const FRAMES: &str = "application/vnd.cairn.frames";

/// All but letters, digits and `-_.~`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Decodes percent-encoding; `plus` says that `+` is a space. What is no escape stays; what is no UTF-8 is replaced.
pub fn decode_percent(text: &str, plus: bool) -> String {
    let bytes = decode_percent_bytes(text, plus);
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// The same, whatever bytes come out.
pub fn decode_percent_bytes(text: &str, plus: bool) -> Vec<u8> {
    let text = if plus { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    percent_decode_str(&text).collect()
}

/// Encodes bytes for a query or a header.
pub fn encode_percent(bytes: &[u8]) -> String {
    percent_encode(bytes, ESCAPED).to_string()
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
