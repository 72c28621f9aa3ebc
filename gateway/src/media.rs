//! Media types: by a file's name, else by its first bytes.

use std::borrow::Cow;

/// Bytes that are looked at.
const LOOK: usize = 3072;

/// What a name says, by its extension.
pub fn of_name(name: &str) -> Option<Cow<'static, str>> {
    // A name that begins with its only dot has no extension.
    name.get(1..)?.rfind('.')?;
    let guess = mime_guess::from_path(name).first_raw()?;
    Some(charset(guess))
}

/// What bytes from the beginning of a file say; `whole` if these are all of it.
pub fn of_bytes(bytes: &[u8], whole: bool) -> Cow<'static, str> {
    let look = &bytes[..bytes.len().min(LOOK)];
    if look.is_empty() {
        return Cow::Borrowed("text/plain");
    }
    if is_svg(look) {
        return Cow::Borrowed("image/svg+xml");
    }
    if let Some(kind) = infer::get(look) {
        return charset(kind.mime_type());
    }
    if !is_text(look) {
        return Cow::Borrowed("application/octet-stream");
    }
    let structured = look.trim_ascii_start().first().is_some_and(|&first| matches!(first, b'{' | b'['));
    if structured && whole && bytes.len() <= LOOK && serde_json::from_slice::<serde_json::Value>(bytes).is_ok() {
        return Cow::Borrowed("application/json");
    }
    Cow::Borrowed("text/plain; charset=utf-8")
}

/// Text is UTF-8 unless it says something else itself, as HTML does.
fn charset(media_type: &'static str) -> Cow<'static, str> {
    if media_type.starts_with("text/") && media_type != "text/html" {
        return Cow::Owned(format!("{media_type}; charset=utf-8"));
    }
    Cow::Borrowed(media_type)
}

/// A drawing, by its first element; what comes before it may be a declaration, comments and a document type.
fn is_svg(bytes: &[u8]) -> bool {
    let mut rest = bytes.trim_ascii_start();
    loop {
        let end: &[u8] = match rest {
            _ if rest.starts_with(b"<svg") => {
                return rest.get(4).is_some_and(|b| b.is_ascii_whitespace() || *b == b'>');
            }
            _ if rest.starts_with(b"<?") => b"?>",
            _ if rest.starts_with(b"<!--") => b"-->",
            _ if rest.starts_with(b"<!DOCTYPE svg") => b">",
            _ => return false,
        };
        let Some(at) = rest.windows(end.len()).position(|window| window == end) else { return false };
        rest = rest[at + end.len()..].trim_ascii_start();
    }
}

/// UTF-8, possibly cut off at the end, without control characters that no text has.
fn is_text(bytes: &[u8]) -> bool {
    let valid = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    valid && !bytes.iter().any(|&b| matches!(b, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_more_than_bytes() {
        for (name, expected) in [
            ("a.txt", Some("text/plain; charset=utf-8")),
            ("index.html", Some("text/html")),
            ("a.css", Some("text/css; charset=utf-8")),
            ("a.js", Some("text/javascript; charset=utf-8")),
            ("a.json", Some("application/json")),
            ("a.svg", Some("image/svg+xml")),
            ("a.PNG", Some("image/png")),
            ("movie.mp4", Some("video/mp4")),
            ("app.wasm", Some("application/wasm")),
            ("README", None),
            (".html", None),
            ("", None),
            ("é", None),
            ("a.nothing-known", None),
        ] {
            assert_eq!(of_name(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn bytes_say_something_too() {
        let cut = "ü".repeat(2000);
        for (bytes, expected) in [
            (&b"hello\n"[..], "text/plain; charset=utf-8"),
            (b"", "text/plain"),
            (&cut.as_bytes()[..LOOK + 1], "text/plain; charset=utf-8"),
            (b"{\"a\": 1}", "application/json"),
            (b"{\"a\": ", "text/plain; charset=utf-8"),
            (b"\x89PNG\r\n\x1a\n----", "image/png"),
            (b"%PDF-1.7", "application/pdf"),
            (b"<!DOCTYPE html><p>", "text/html"),
            (b"<?xml version='1.0'?>\n<!-- a --><svg xmlns='x'/>", "image/svg+xml"),
            (b"<?xml version='1.0'?><svgs/>", "text/xml; charset=utf-8"),
            (b"\x00\x01\x02", "application/octet-stream"),
            (b"a\xffb", "application/octet-stream"),
        ] {
            assert_eq!(of_bytes(bytes, true), expected, "{bytes:?}");
        }
    }
}
