//! Writing a stranger's bytes into HTML and into URLs.
//!
//! Names are any bytes. What has no glyph of its own, or changes the direction of the text around it, is shown by its
//! number, so that nothing can hide in a name; invalid UTF-8 is shown byte by byte.

/// How characters without a glyph are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// With an element around their number.
    Marked,
    /// As text only: attributes and titles can't hold elements.
    Plain,
}

/// Writes bytes as the content of an element.
pub(super) fn text(bytes: &[u8], out: &mut String) {
    write(bytes, Shown::Marked, out);
}

/// Writes bytes as an attribute's value (between double quotes), or as a title's content.
pub(super) fn attr(bytes: &[u8], out: &mut String) {
    write(bytes, Shown::Plain, out);
}

/// Writes text whose lines stay lines as the content of an element.
pub(super) fn lines(text: &str, out: &mut String) {
    for (at, line) in text.trim_end().lines().enumerate() {
        if at > 0 {
            out.push_str("<br>");
        }
        self::text(line.as_bytes(), out);
    }
}

fn write(bytes: &[u8], shown: Shown, out: &mut String) {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !b"&<>\"'`".contains(byte);
    if bytes.iter().all(plain) {
        // What most names are: ASCII that means nothing to a browser.
        out.push_str(std::str::from_utf8(bytes).unwrap_or_default());
        return;
    }
    for chunk in bytes.utf8_chunks() {
        valid(chunk.valid(), shown, out);
        for byte in chunk.invalid() {
            number(shown, out, |out| {
                out.push_str("0x");
                hex(*byte, out);
            });
        }
    }
}

fn valid(text: &str, shown: Shown, out: &mut String) {
    let mut done = 0;
    for (at, char) in text.char_indices() {
        let entity = match char {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\'' => "&#39;",
            '`' => "&#96;",
            ' '..='~' => continue,
            char if hidden(char) => "",
            _ => continue,
        };
        out.push_str(&text[done..at]);
        done = at + char.len_utf8();
        if entity.is_empty() {
            number(shown, out, |out| {
                out.push_str("U+");
                let code = u32::from(char);
                if code > 0xFFFF {
                    hex((code >> 16) as u8, out);
                }
                hex((code >> 8) as u8, out);
                hex(code as u8, out);
            });
        } else {
            out.push_str(entity);
        }
    }
    out.push_str(&text[done..]);
}

fn number(shown: Shown, out: &mut String, write: impl FnOnce(&mut String)) {
    let (before, after) = match shown {
        Shown::Marked => ("<b class=x>", "</b>"),
        Shown::Plain => ("\u{27E8}", "\u{27E9}"),
    };
    out.push_str(before);
    write(out);
    out.push_str(after);
}

/// Whether a character has no glyph, breaks lines, or changes the direction of text. The joiners U+200C and U+200D and
/// the variation selectors are left alone: Persian, Indic scripts and emoji are written with them.
fn hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180E}'
            | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{2800}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{FFFE}' | '\u{FFFF}'
            | '\u{E0000}'..='\u{E0FFF}')
}

/// Writes a segment of a URL's path: every byte that is not unreserved (RFC 3986, 2.3) as `%XX`, so that no byte can be
/// a delimiter, end an attribute, or begin a scheme.
pub(super) fn segment(bytes: &[u8], out: &mut String) {
    percent(bytes, "%", out);
}

/// Writes the value of `?filename=` in the links by CID. Kubo encodes names twice there, and its clients compare the
/// links as text.
pub(super) fn filename(bytes: &[u8], out: &mut String) {
    percent(bytes, "%25", out);
}

fn percent(bytes: &[u8], sign: &str, out: &mut String) {
    let unreserved = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let run = rest.iter().take_while(|byte| unreserved(byte)).count();
        if run > 0 {
            // Unreserved characters are ASCII.
            out.push_str(std::str::from_utf8(&rest[..run]).unwrap_or_default());
            rest = &rest[run..];
        } else {
            out.push_str(sign);
            hex(*first, out);
            rest = after;
        }
    }
}

fn hex(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}
