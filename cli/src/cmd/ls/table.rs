//! The table that `ls` prints.

use super::{Link, Output, TYPE_DIRECTORY, time};
use crate::table::Table as Columns;
use std::{fmt::Write as _, time::SystemTime};

/// Least width of a column when entries are printed one by one, as in Kubo.
const STREAM_WIDTH: usize = 10;

/// What the table shows.
#[derive(Clone, Copy)]
pub struct Form {
    pub headers: bool,
    pub long: bool,
    pub size: bool,
    pub stream: bool,
}

/// A table under way.
pub struct Table {
    form: Form,
    /// Whether there are many objects, each under its own heading.
    many: bool,
    last: String,
    now: SystemTime,
}

impl Table {
    pub fn new(form: Form, many: bool) -> Self {
        Self { form, many, last: String::new(), now: SystemTime::now() }
    }

    /// The lines of some entries.
    pub fn print(&mut self, output: &Output) -> String {
        let mut text = String::new();
        for object in &output.objects {
            let mut rows = Columns::new(if self.form.stream { STREAM_WIDTH } else { 1 }, 1);
            if object.hash != self.last {
                if self.many {
                    if !self.last.is_empty() {
                        text.push('\n');
                    }
                    let _ = writeln!(text, "{}:", escape(&object.hash));
                }
                if self.form.headers {
                    rows.row(self.row("Mode", "Hash", "Size", "ModTime", "Name"));
                }
                self.last.clone_from(&object.hash);
            }
            object.links.iter().for_each(|link| rows.row(self.link_row(link)));
            text.push_str(&rows.text());
        }
        text
    }

    fn row(&self, mode: &str, hash: &str, size: &str, time: &str, name: &str) -> Vec<String> {
        let cells =
            [(self.form.long, mode), (true, hash), (self.form.size, size), (self.form.long, time), (true, name)];
        cells.into_iter().filter(|(shown, _)| *shown).map(|(_, cell)| cell.to_owned()).collect()
    }

    fn link_row(&self, link: &Link) -> Vec<String> {
        let directory = link.r#type == TYPE_DIRECTORY;
        let name = format!("{}{}", escape(&link.name), if directory { "/" } else { "" });
        let size = if directory { "-".to_owned() } else { link.size.to_string() };
        let mode = link.meta.mode.map_or("-".to_owned(), |mode| permissions(mode, link.r#type));
        self.row(&mode, &link.hash, &size, &time::short(link.meta.mtime, self.now), &name)
    }
}

/// Permissions as `ls -l` of Unix shows them.
fn permissions(mode: u32, kind: u8) -> String {
    let letter = match kind {
        TYPE_DIRECTORY => 'd',
        4 => 'l',
        _ => '-',
    };
    let mut out = String::from(letter);
    for (shift, special, on, off) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = mode >> shift;
        out.push(if bits & 4 == 0 { '-' } else { 'r' });
        out.push(if bits & 2 == 0 { '-' } else { 'w' });
        out.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => on,
            (true, false) => off,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    out
}

/// A name with everything that does not print written as an escape, on terminals and elsewhere, as in Kubo:
/// a line feed in a name must not look like another entry to a script either.
fn escape(name: &str) -> String {
    if !name.chars().any(|c| c == '\\' || !prints(c)) {
        return name.to_owned();
    }
    let mut out = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        let code = u32::from(c);
        let _ = match c {
            '\\' => write!(out, "\\\\"),
            '\x07' => write!(out, "\\a"),
            '\x08' => write!(out, "\\b"),
            '\x0c' => write!(out, "\\f"),
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            '\x0b' => write!(out, "\\v"),
            c if prints(c) => write!(out, "{c}"),
            _ if code < 0x80 => write!(out, "\\x{code:02x}"),
            _ if code < 0x1_0000 => write!(out, "\\u{code:04x}"),
            _ => write!(out, "\\U{code:08x}"),
        };
    }
    out
}

fn prints(c: char) -> bool {
    // After a letter, so that a combining accent is not taken for a stray one.
    matches!(c, '"' | '\'') || format!("a{c}").escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_go_quotes_them() {
        // Expected values from strconv.Quote, without the quotes around and before quotes.
        for (name, shown) in [
            ("plain \"name\" é e\u{301} 日本", "plain \"name\" é e\u{301} 日本"),
            ("a\nb\tc\\", "a\\nb\\tc\\\\"),
            ("\x1b[31m\x7f", "\\x1b[31m\\x7f"),
            ("\u{202e}x\u{85}", "\\u202ex\\u0085"),
        ] {
            assert_eq!(escape(name), shown);
        }
    }

    #[test]
    fn permissions_are_those_of_unix() {
        assert_eq!(permissions(0o644, 2), "-rw-r--r--");
        assert_eq!(permissions(0o4755, 2), "-rwsr-xr-x");
        assert_eq!(permissions(0o1776, 1), "drwxrwxrwT");
    }
}
