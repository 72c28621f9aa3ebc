//! The page of a directory. It is written in pieces, so that a directory of any size begins to show at once: the head,
//! a row for each entry, the tail.

use super::{
    Frame, Top, close, escape, fact, full_cid,
    icon::{Kind, SPRITE, Type},
    open, open_cid, script, write,
};
use cairn_store::cid::Cid;

/// Bytes of a name that are shown; no file system takes more.
const MAX_SHOWN: usize = 255;
/// Bytes of a name up to which a URL can hold it: a request's head is bounded.
const MAX_LINKED: usize = 4 << 10;

/// What entries are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// The bytes of their names.
    Name,
    /// What they are taken for ([`Type`]), then their names.
    Type,
    /// Their sizes, then their names.
    Size,
}

impl SortBy {
    const ALL: [Self; 3] = [Self::Name, Self::Type, Self::Size];

    fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Type => "type",
            Self::Size => "size",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Name => "Name",
            Self::Type => "Type",
            Self::Size => "Size",
        }
    }
}

/// How entries are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub by: SortBy,
    /// `order=desc`.
    pub descending: bool,
}

impl Default for Sort {
    fn default() -> Self {
        Self { by: SortBy::Name, descending: false }
    }
}

impl Sort {
    /// Reads the values of `?sort=` and `?order=`; what is absent or unknown is the default.
    pub fn parse(sort: Option<&str>, order: Option<&str>) -> Self {
        let by = SortBy::ALL.into_iter().find(|by| sort == Some(by.name())).unwrap_or(SortBy::Name);
        Self { by, descending: order == Some("desc") }
    }
}

/// How entries are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// A table. It makes the browser fetch nothing.
    #[default]
    Table,
    /// Tiles, with the pictures themselves, which the browser fetches and scales as they come into sight: only when asked
    /// for, with `?view=tiles`.
    Tiles,
}

impl View {
    /// Reads the value of `?view=`.
    pub fn parse(view: Option<&str>) -> Self {
        if view == Some("tiles") { Self::Tiles } else { Self::Table }
    }
}

/// What is known of a directory before its entries are.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Where the page stands.
    pub frame: Frame<'a>,
    /// The directory.
    pub cid: &'a Cid,
    /// Size in bytes of all its blocks, if that is known.
    pub total_size: Option<u64>,
    /// How the rows that follow are sorted; `None` when they come in the directory's own order, as they are too many to
    /// be sorted: then there are no links to sort them.
    pub sort: Option<Sort>,
    /// How they are shown.
    pub view: View,
}

/// An entry.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Its name: any bytes.
    pub name: &'a [u8],
    /// Its root.
    pub cid: &'a Cid,
    /// Size in bytes, if it is known.
    pub size: Option<u64>,
    /// What is known of it without fetching anything.
    pub kind: Kind,
}

/// A page that is being written.
#[derive(Debug, Clone)]
pub struct Listing {
    /// URL of the directory, without a slash at its end.
    here: String,
    /// Where links to other content begin.
    elsewhere: Option<String>,
    view: View,
    /// The text of the CID of the current row.
    cid: String,
}

impl Listing {
    /// Writes the head of a page; what is returned writes the rest.
    pub fn begin(facts: &Facts<'_>, out: &mut String) -> Self {
        let frame = &facts.frame;
        let listing = Self {
            here: frame.here(),
            elsewhere: frame.elsewhere().map(str::to_owned),
            view: facts.view,
            cid: String::with_capacity(64),
        };
        let (name, root) = frame.last();
        let title =
            if root { format!("Index of {}", frame.path) } else { format!("{name} \u{2013} Index of {}", frame.path) };
        open(&Top { title: &title, skip: "Skip to the entries", label: "Index of", frame: Some(frame) }, out);
        out.push_str(SPRITE);
        out.push_str("\n<h1>");
        if root && frame.path.starts_with("/ipfs/") {
            // The path above and the facts below have it in full.
            out.push_str("Directory <code>");
            let mut short = String::new();
            write::short(name, &mut short);
            escape::text(short.as_bytes(), out);
            out.push_str("</code>");
        } else {
            out.push_str("<bdi>");
            escape::text(name.as_bytes(), out);
            out.push_str("</bdi>");
        }
        out.push_str("</h1>\n<dl>\n");
        fact("CID", out, |out| full_cid(facts.cid, out));
        if let Some(size) = facts.total_size {
            fact("Size", out, |out| write::size(size, out));
        }
        out.push_str("</dl>\n");
        script(out);
        Self::tools(facts, out);
        match facts.view {
            View::Table => table_head(facts, out),
            View::Tiles => out.push_str("<ul class=tiles>\n"),
        }
        if !root {
            listing.parent(out);
        }
        listing
    }

    /// Writes the line between the facts and the entries.
    fn tools(facts: &Facts<'_>, out: &mut String) {
        out.push_str("<div class=tools>");
        if facts.sort.is_none() {
            out.push_str("<p>Too many entries to sort: they are in the directory's own order.</p>");
        } else if facts.view == View::Tiles {
            out.push_str("<p>Sort by ");
            for by in SortBy::ALL {
                sort_link(facts, by, out);
                out.push(' ');
            }
            out.push_str("</p>");
        }
        out.push_str("<p class=views>");
        for (view, label) in [(View::Table, "List"), (View::Tiles, "Pictures")] {
            if view == facts.view {
                out.push_str("<b aria-current=true>");
                out.push_str(label);
                out.push_str("</b>");
            } else {
                out.push_str("<a rel=nofollow href=\"");
                query(facts.sort, view, out);
                out.push_str("\">");
                out.push_str(label);
                out.push_str("</a>");
            }
        }
        out.push_str("</p></div>\n");
    }

    fn parent(&self, out: &mut String) {
        out.push_str(match self.view {
            View::Table => "<tr class=up><th scope=row>",
            View::Tiles => "<li class=up>",
        });
        out.push_str("<svg aria-hidden=true><use href=\"#dir\"/></svg><a href=\"");
        out.push_str(&self.here);
        out.push_str("/..\">..</a> <span>one folder up</span>");
        out.push_str(match self.view {
            View::Table => "<td><td><td>\n",
            View::Tiles => "</li>\n",
        });
    }

    /// Writes an entry.
    pub fn row(&mut self, row: &Row<'_>, out: &mut String) {
        self.cid.clear();
        write::cid(row.cid, &mut self.cid);
        let of = Type::of(row.name, row.kind);
        match self.view {
            View::Table => {
                out.push_str("<tr><th scope=row>");
                Self::icon(of, out);
                self.name(row.name, out);
                out.push_str("<td>");
                out.push_str(of.label());
                out.push_str("<td>");
                self.link_cid(row.name, out);
                out.push_str("<td>");
                size(row.size, out);
                out.push('\n');
            }
            View::Tiles => {
                out.push_str("<li>");
                if of == Type::Image && addressable(row.name) {
                    out.push_str("<img loading=lazy decoding=async alt=\"\" src=\"");
                    self.url(row.name, out);
                    out.push_str("\">");
                } else {
                    Self::icon(of, out);
                }
                self.name(row.name, out);
                out.push_str("<p>");
                self.link_cid(row.name, out);
                out.push_str(" <span>");
                size(row.size, out);
                out.push_str("</span></p></li>\n");
            }
        }
    }

    fn icon(of: Type, out: &mut String) {
        out.push_str("<svg aria-hidden=true><use href=\"#");
        out.push_str(of.icon());
        out.push_str("\"/></svg>");
    }

    fn url(&self, name: &[u8], out: &mut String) {
        out.push_str(&self.here);
        out.push('/');
        escape::segment(name, out);
    }

    /// Writes a name as a link to its path; by its CID if no path can say it.
    fn name(&self, name: &[u8], out: &mut String) {
        if addressable(name) {
            out.push_str("<a href=\"");
            self.url(name, out);
        } else if let Some(gateway) = &self.elsewhere {
            out.push_str("<a href=\"");
            escape::attr(gateway.as_bytes(), out);
            out.push_str("/ipfs/");
            out.push_str(&self.cid);
        } else {
            out.push_str("<bdi>");
            shown(name, out);
            out.push_str("</bdi>");
            return;
        }
        out.push_str("\">");
        shown(name, out);
        out.push_str("</a>");
    }

    fn link_cid(&self, name: &[u8], out: &mut String) {
        // Nothing can be saved under a longer one.
        let filename = Some(name).filter(|name| name.len() <= MAX_SHOWN);
        open_cid(self.elsewhere.as_deref(), &self.cid, filename, out);
        write::short(&self.cid, out);
        out.push_str("</a>");
    }

    /// Writes the rest of the page. `count` is how many rows there were, `failure` why there are no more of them although
    /// the directory has more.
    pub fn end(self, count: u64, failure: Option<&str>, out: &mut String) {
        out.push_str(match self.view {
            View::Table => "</table>\n",
            View::Tiles => "</ul>\n",
        });
        if let Some(failure) = failure {
            out.push_str("<p class=alert role=alert><strong>The list is incomplete.</strong> ");
            escape::text(failure.as_bytes(), out);
            out.push_str("</p>\n");
        }
        if count == 0 && failure.is_none() {
            out.push_str("<p class=reason>This directory is empty.</p>\n");
        }
        let mut note = String::new();
        write::count(count, &mut note);
        note.push_str(if count == 1 { " entry." } else { " entries." });
        note.push_str(" Sizes are of all blocks, as the directory says.");
        close(&note, false, out);
    }
}

fn table_head(facts: &Facts<'_>, out: &mut String) {
    out.push_str("<table>\n<thead><tr>");
    for by in [Some(SortBy::Name), Some(SortBy::Type), None, Some(SortBy::Size)] {
        let Some(by) = by else {
            out.push_str("<th scope=col>CID");
            continue;
        };
        out.push_str("<th scope=col");
        match facts.sort.filter(|sort| sort.by == by) {
            Some(Sort { descending: false, .. }) => out.push_str(" aria-sort=ascending>"),
            Some(_) => out.push_str(" aria-sort=descending>"),
            None => out.push('>'),
        }
        sort_link(facts, by, out);
    }
    out.push_str("</thead>\n<tbody>\n");
}

/// Writes a link that sorts: by what is sorted by already, the other way round.
fn sort_link(facts: &Facts<'_>, by: SortBy, out: &mut String) {
    let Some(sort) = facts.sort else {
        out.push_str(by.title());
        return;
    };
    out.push_str("<a rel=nofollow href=\"");
    query(Some(Sort { by, descending: sort.by == by && !sort.descending }), facts.view, out);
    out.push_str("\">");
    out.push_str(by.title());
    if sort.by == by {
        out.push_str(if sort.descending {
            " <i aria-hidden=true>\u{2193}</i>"
        } else {
            " <i aria-hidden=true>\u{2191}</i>"
        });
    }
    out.push_str("</a>");
}

fn query(sort: Option<Sort>, view: View, out: &mut String) {
    let Some(sort) = sort else {
        out.push_str(if view == View::Tiles { "?view=tiles" } else { "?view=list" });
        return;
    };
    out.push_str("?sort=");
    out.push_str(sort.by.name());
    out.push_str("&amp;order=");
    out.push_str(if sort.descending { "desc" } else { "asc" });
    if view == View::Tiles {
        out.push_str("&amp;view=tiles");
    }
}

/// Whether a path can hold a name: paths are text, are split at slashes, and are cleaned of `.` and `..`.
fn addressable(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= MAX_LINKED
        && !name.contains(&b'/')
        && std::str::from_utf8(name).is_ok()
}

fn shown(name: &[u8], out: &mut String) {
    if name.is_empty() {
        out.push_str("<i>no name</i>");
    } else if name.len() <= MAX_SHOWN {
        escape::text(name, out);
    } else {
        // A character that is cut in the middle is left out.
        let end = match std::str::from_utf8(&name[..MAX_SHOWN]) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => MAX_SHOWN,
        };
        escape::text(&name[..end], out);
        out.push('\u{2026}');
    }
}

fn size(size: Option<u64>, out: &mut String) {
    match size {
        Some(size) => write::size(size, out),
        None => out.push('\u{2013}'),
    }
}
