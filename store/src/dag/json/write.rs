//! Writing JSON.

use crate::dag::ipld::{self, CodecError, Ipld, Item, Sort};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use std::fmt::Write as _;

/// dag-json.
pub(super) fn compact(value: &Ipld) -> Result<Bytes, CodecError> {
    write(value, Writer { out: String::new(), pretty: false, depth: 0, comma: false, named: false }, Sort::Bytes)
}

/// json in indented lines.
pub(super) fn pretty(value: &Ipld) -> Result<Bytes, CodecError> {
    write(value, Writer { out: String::new(), pretty: true, depth: 0, comma: false, named: false }, Sort::Keep)
}

fn write(value: &Ipld, mut writer: Writer, sort: Sort) -> Result<Bytes, CodecError> {
    if !writer.pretty {
        refuse_special(value)?;
    }
    ipld::visit(value, sort, &mut |item| {
        match item {
            Item::List(_) => writer.open('['),
            Item::Map(_) => writer.open('{'),
            Item::Close(map, len) => writer.close(if map { '}' } else { ']' }, len),
            Item::Key(key) => writer.key(key),
            Item::Leaf(leaf) => {
                writer.begin();
                return writer.leaf(leaf);
            }
        }
        Ok(())
    })?;
    Ok(writer.out.into_bytes().into())
}

/// Refuses maps that would be read back as something else.
fn refuse_special(value: &Ipld) -> Result<(), CodecError> {
    let mut stack = vec![value];
    while let Some(value) = stack.pop() {
        match value {
            Ipld::List(list) => stack.extend(list),
            Ipld::Map(map) => {
                if let [(name, inner)] = map.as_slice()
                    && name == "/"
                    && (matches!(inner, Ipld::String(_)) || is_bytes_form(inner))
                {
                    let what = "a map whose only name is \"/\": that is how it writes links and bytes".into();
                    return Err(CodecError::NotEncodable { codec: "dag-json", what });
                }
                stack.extend(map.iter().map(|(_, value)| value));
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_bytes_form(value: &Ipld) -> bool {
    matches!(value, Ipld::Map(map) if matches!(map.as_slice(), [(name, Ipld::String(_))] if name == "bytes"))
}

struct Writer {
    out: String,
    pretty: bool,
    depth: usize,
    /// Something stands before on this level.
    comma: bool,
    /// A name was written, its value is next.
    named: bool,
}

impl Writer {
    /// What stands before an element or a name.
    fn begin(&mut self) {
        if std::mem::take(&mut self.named) {
            self.comma = true;
            return;
        }
        if self.comma {
            self.out.push(',');
        }
        if self.pretty && self.depth > 0 {
            self.line();
        }
        self.comma = true;
    }

    fn line(&mut self) {
        self.out.push('\n');
        for _ in 0..self.depth {
            self.out.push('\t');
        }
    }

    fn open(&mut self, bracket: char) {
        self.begin();
        self.out.push(bracket);
        self.depth += 1;
        self.comma = false;
    }

    fn close(&mut self, bracket: char, len: usize) {
        self.depth -= 1;
        if self.pretty && len > 0 {
            self.line();
        }
        self.out.push(bracket);
        if self.pretty && self.depth == 0 {
            self.out.push('\n');
        }
        self.comma = true;
    }

    fn key(&mut self, key: &str) {
        self.begin();
        self.string(key);
        self.out.push_str(if self.pretty { ": " } else { ":" });
        self.named = true;
    }

    fn leaf(&mut self, leaf: &Ipld) -> Result<(), CodecError> {
        let codec = if self.pretty { "json" } else { "dag-json" };
        let refuse = |what: String| Err(CodecError::NotEncodable { codec, what });
        match leaf {
            Ipld::Null => self.out.push_str("null"),
            Ipld::Bool(true) => self.out.push_str("true"),
            Ipld::Bool(false) => self.out.push_str("false"),
            Ipld::Int(value) if u64::try_from(*value).is_err() && u64::try_from(-1 - *value).is_err() => {
                return refuse(format!("the integer {value}"));
            }
            Ipld::Int(value) => self.show(format_args!("{value}")),
            Ipld::Float(value) if !value.is_finite() => return refuse(format!("the float {value}")),
            Ipld::Float(value) => self.float(*value),
            Ipld::String(text) => self.string(text),
            Ipld::Bytes(_) if self.pretty => return refuse("bytes".into()),
            Ipld::Bytes(bytes) => {
                self.out.push_str("{\"/\":{\"bytes\":\"");
                STANDARD_NO_PAD.encode_string(bytes, &mut self.out);
                self.out.push_str("\"}}");
            }
            Ipld::Link(_) if self.pretty => return refuse("links".into()),
            Ipld::Link(cid) => self.show(format_args!("{{\"/\":\"{cid}\"}}")),
            Ipld::List(_) | Ipld::Map(_) => {}
        }
        Ok(())
    }

    fn show(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.out.write_fmt(what);
    }

    /// The shortest digits that are read back as this number; an exponent below 1e-6 and from 1e21 on.
    fn float(&mut self, value: f64) {
        let size = value.abs();
        if size == 0.0 || (1e-6..1e21).contains(&size) {
            self.show(format_args!("{value}"));
        } else if size >= 1.0 {
            let text = format!("{value:e}").replace('e', "e+");
            self.out.push_str(&text);
        } else {
            self.show(format_args!("{value:e}"));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                // Kubo escapes the two separators that end a line in JavaScript.
                '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => self.show(format_args!("\\u{:04x}", u32::from(c))),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}
