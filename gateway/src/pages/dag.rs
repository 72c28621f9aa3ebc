//! The page of a block of dag-cbor or dag-json: its value as a tree, which opens and closes without a script.

use super::{Frame, Top, close, escape, fact, full_cid, open, open_cid, write};
use cairn_store::{
    cid::{Cid, codec},
    dag::Ipld,
};
use std::fmt::Write as _;

/// Values that a page shows at most, lists and maps included.
pub(super) const MAX_VALUES: usize = 5_000;
/// Bytes of names, texts and bytes of the block that a page shows at most.
pub(super) const MAX_BYTES: usize = 256 << 10;
/// Lists and maps inside each other that a page shows at most: browsers flatten what is deeper than a few hundred elements.
pub(super) const MAX_DEPTH: usize = 48;
/// Bytes of one name or text that are shown at most.
pub(super) const MAX_TEXT: usize = 2_000;
/// Bytes of one value of bytes that are shown at most.
const MAX_HEX: usize = 64;
/// Levels that are open at first.
const OPEN_LEVELS: usize = 2;
/// A list or map with more entries is closed at first, unless it is the whole value.
const OPEN_ENTRIES: usize = 50;

/// A block with a value.
#[derive(Debug, Clone, Copy)]
pub struct DagPage<'a> {
    /// Where the page stands.
    pub frame: Frame<'a>,
    /// The block.
    pub cid: &'a Cid,
    /// Name of its codec: `dag-cbor`.
    pub codec: &'a str,
    /// Its length in bytes.
    pub size: u64,
    /// Its value, or why it has none.
    pub value: Result<&'a Ipld, &'a str>,
    /// Whether the gateway converts it to other codecs.
    pub convert: bool,
}

/// The page of a block with a value. What goes beyond the limits above is left out, and the page says so.
pub fn dag(page: &DagPage<'_>) -> String {
    let mut out = String::with_capacity(16 << 10);
    let title = format!("{} {}", page.codec, page.frame.path);
    open(&Top { title: &title, skip: "Skip to the data", label: "Data at", frame: Some(&page.frame) }, &mut out);
    let (name, root) = page.frame.last();
    out.push_str("<h1>");
    if root {
        out.push_str("Data in ");
        escape::text(page.codec.as_bytes(), &mut out);
    } else {
        out.push_str("<bdi>");
        escape::text(name.as_bytes(), &mut out);
        out.push_str("</bdi>");
    }
    out.push_str("</h1>\n<dl>\n");
    fact("CID", &mut out, |out| full_cid(page.cid, out));
    fact("Codec", &mut out, |out| {
        escape::text(page.codec.as_bytes(), out);
        // Writing to a String can't fail.
        let _ = write!(out, " (0x{:x})", page.cid.codec());
    });
    fact("Size", &mut out, |out| write::size(page.size, out));
    fact("Download", &mut out, |out| downloads(page, out));
    out.push_str("</dl>\n");
    match page.value {
        Ok(value) => {
            out.push_str("<div class=tree translate=no>\n");
            let mut tree = Tree { frame: &page.frame, values: MAX_VALUES, bytes: MAX_BYTES, left_out: false };
            tree.write(value, &mut out);
            out.push_str("</div>\n");
            if tree.left_out {
                out.push_str(
                    "<p class=alert role=note>Only a part is shown. The block has the rest: download it.</p>\n",
                );
            }
        }
        Err(reason) => {
            out.push_str("<p class=alert role=note><strong>No preview.</strong> ");
            escape::text(reason.as_bytes(), &mut out);
            out.push_str("</p>\n");
        }
    }
    close("Cairn, a gateway to IPFS.", true, &mut out);
    out
}

fn downloads(page: &DagPage<'_>, out: &mut String) {
    out.push_str("<a rel=nofollow href=\"?format=raw\">Raw block</a>");
    for (format, code, label) in [("dag-json", codec::DAG_JSON, "DAG-JSON"), ("dag-cbor", codec::DAG_CBOR, "DAG-CBOR")]
    {
        if page.convert || page.cid.codec() == code {
            // Writing to a String can't fail.
            let _ = write!(out, " <a rel=nofollow href=\"?format={format}\">{label}</a>");
        }
    }
}

/// What may still be shown.
struct Tree<'a> {
    frame: &'a Frame<'a>,
    values: usize,
    bytes: usize,
    left_out: bool,
}

/// Entries of an open list or map.
enum Entries<'v> {
    List(std::iter::Enumerate<std::slice::Iter<'v, Ipld>>),
    Map(std::slice::Iter<'v, (String, Ipld)>),
}

/// Name of an entry.
enum Key<'v> {
    Root,
    Index(usize),
    Name(&'v str),
}

impl<'v> Entries<'v> {
    fn of(value: &'v Ipld) -> Option<Self> {
        match value {
            Ipld::List(list) if !list.is_empty() => Some(Self::List(list.iter().enumerate())),
            Ipld::Map(map) if !map.is_empty() => Some(Self::Map(map.iter())),
            _ => None,
        }
    }

    fn next(&mut self) -> Option<(Key<'v>, &'v Ipld)> {
        match self {
            Self::List(list) => list.next().map(|(at, value)| (Key::Index(at), value)),
            Self::Map(map) => map.next().map(|(name, value)| (Key::Name(name), value)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
        }
    }
}

impl Tree<'_> {
    /// Writes a value and all in it, without recursion: what is open is kept in a list.
    fn write(&mut self, root: &Ipld, out: &mut String) {
        let mut open = Vec::new();
        self.value(&Key::Root, root, &mut open, out);
        while let Some(entries) = open.last_mut() {
            let left = entries.len();
            let entry = if self.values == 0 || self.bytes == 0 { None } else { entries.next() };
            let Some((key, value)) = entry else {
                if left > 0 {
                    self.omit(left, out);
                }
                open.pop();
                out.push_str(if open.is_empty() { "</ul>\n" } else { "</ul></details></li>\n" });
                continue;
            };
            out.push_str("<li>");
            self.value(&key, value, &mut open, out);
        }
    }

    fn omit(&mut self, count: usize, out: &mut String) {
        self.left_out = true;
        out.push_str("<li><i>");
        write::count(count as u64, out);
        out.push_str(" more, not shown</i></li>\n");
    }

    /// Writes one value; a list or map is opened instead, and its entries follow.
    fn value<'v>(&mut self, key: &Key<'v>, value: &'v Ipld, open: &mut Vec<Entries<'v>>, out: &mut String) {
        self.values -= 1;
        let Some(entries) = Entries::of(value) else {
            self.key(key, out);
            self.leaf(value, out);
            out.push_str(if open.is_empty() { "\n" } else { "</li>\n" });
            return;
        };
        let kind = if matches!(value, Ipld::List(_)) { "list" } else { "map" };
        if open.len() == MAX_DEPTH {
            self.left_out = true;
            self.key(key, out);
            // Writing to a String can't fail.
            let _ = writeln!(out, "<i>{kind} of {}, too deep to be shown</i></li>", entries.len());
            return;
        }
        if !open.is_empty() {
            let is_open = open.len() <= OPEN_LEVELS && entries.len() <= OPEN_ENTRIES;
            out.push_str(if is_open { "<details open><summary>" } else { "<details><summary>" });
            self.key(key, out);
            let _ = write!(out, "<i>{kind} of {}</i></summary>", entries.len());
        }
        out.push_str("<ul>\n");
        open.push(entries);
    }

    fn key(&mut self, key: &Key<'_>, out: &mut String) {
        match key {
            Key::Root => return,
            Key::Index(at) => {
                // Writing to a String can't fail.
                let _ = write!(out, "<span class=n>{at}</span>");
            }
            Key::Name(name) => {
                out.push_str("<span class=k>");
                self.text(name, out);
                out.push_str("</span>");
            }
        }
        out.push(' ');
    }

    fn leaf(&mut self, value: &Ipld, out: &mut String) {
        // Writing to a String can't fail.
        let _ = match value {
            Ipld::Null => write!(out, "<i>null</i>"),
            Ipld::Bool(value) => write!(out, "<span class=l>{value}</span>"),
            Ipld::Int(value) => write!(out, "<span class=l>{value}</span>"),
            Ipld::Float(value) => write!(out, "<span class=l>{value:?}</span>"),
            Ipld::String(text) => {
                out.push_str("<q>");
                self.text(text, out);
                out.push_str("</q>");
                Ok(())
            }
            Ipld::Bytes(bytes) => {
                self.hex(bytes, out);
                Ok(())
            }
            Ipld::List(_) => write!(out, "<i>empty list</i>"),
            Ipld::Map(_) => write!(out, "<i>empty map</i>"),
            Ipld::Link(cid) => {
                let mut text = String::new();
                write::cid(cid, &mut text);
                self.bytes = self.bytes.saturating_sub(text.len());
                open_cid(self.frame.elsewhere(), &text, None, out);
                out.push_str(&text);
                out.push_str("</a>");
                Ok(())
            }
        };
    }

    fn text(&mut self, text: &str, out: &mut String) {
        let shown = text.floor_char_boundary(MAX_TEXT.min(self.bytes));
        self.bytes -= shown;
        escape::text(&text.as_bytes()[..shown], out);
        self.cut(text.len() - shown, out);
    }

    fn hex(&mut self, bytes: &[u8], out: &mut String) {
        // Two digits for each.
        let shown = bytes.len().min(MAX_HEX).min(self.bytes / 2);
        self.bytes -= shown * 2;
        let _ = write!(out, "<i>{} bytes</i> <span class=h>", bytes.len());
        for byte in &bytes[..shown] {
            let _ = write!(out, "{byte:02x}");
        }
        out.push_str("</span>");
        self.cut(bytes.len() - shown, out);
    }

    fn cut(&mut self, bytes: usize, out: &mut String) {
        if bytes > 0 {
            self.left_out = true;
            out.push_str(" <i>\u{2026} ");
            write::count(bytes as u64, out);
            out.push_str(" more bytes</i>");
        }
    }
}
