//! A table of requirements: each row is a request and what must be answered. All rows of a table run, and all that fail
//! are shown together.

use crate::world::World;
use cairn_tests::{
    gateway::Gateway,
    http::{self, Request, Response},
};
use std::{collections::HashSet, fmt::Write as _, net::SocketAddr};

/// What a table asks.
pub trait Asked {
    /// The daemon.
    fn gateway(&self) -> &Gateway;
}

impl Asked for Gateway {
    fn gateway(&self) -> &Gateway {
        self
    }
}

impl Asked for World {
    fn gateway(&self) -> &Gateway {
        self.gateway()
    }
}

/// What must hold of an answer.
enum Want {
    /// One of these statuses.
    Status(Vec<u16>),
    /// A header with exactly this value, its lines joined by commas.
    Is(&'static str, String),
    /// A header whose value begins so.
    Starts(&'static str, String),
    /// A header whose value has this in it.
    Has(&'static str, String),
    /// A header that is a list with this item.
    Lists(&'static str, String),
    /// A header that is there and has one of these values.
    Any(&'static str, Vec<String>),
    /// A header that is there and not empty.
    Given(&'static str),
    /// No such header.
    Lacks(&'static str),
    /// No such header, or nothing like this in it.
    Not(&'static str, String),
    /// This body.
    Body(Vec<u8>),
    /// This in the body, which is text.
    BodyHas(String),
    /// Nothing like this in the body.
    BodyLacks(String),
    /// A body that breaks off.
    Breaks,
    /// A body that may break off.
    MayBreak,
    /// Whatever else.
    Check(Check),
}

/// What a row may check of an answer by itself.
type Check = Box<dyn Fn(&Response) -> Result<(), String>>;

/// A requirement.
pub struct Row {
    name: String,
    request: Request,
    wants: Vec<Want>,
    kubo_too: bool,
}

/// A row with a GET.
pub fn get(name: impl Into<String>, target: impl Into<String>) -> Row {
    ask("GET", name, target)
}

/// A row with a HEAD.
pub fn head(name: impl Into<String>, target: impl Into<String>) -> Row {
    ask("HEAD", name, target)
}

/// A row with any method.
pub fn ask(method: &str, name: impl Into<String>, target: impl Into<String>) -> Row {
    Row { name: name.into(), request: Request::new(method, target), wants: Vec::new(), kubo_too: true }
}

impl Row {
    /// Sends another host than the address.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.request.host = Some(host.into());
        self
    }

    /// Sends a header.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.request = self.request.with(name, value);
        self
    }

    /// Tells a row from another with the same name.
    pub fn again(mut self, how: &str) -> Self {
        self.name = format!("{} ({how})", self.name);
        self
    }

    /// Sends `Accept`.
    pub fn accept(self, value: impl Into<String>) -> Self {
        self.with("Accept", value)
    }

    fn want(mut self, want: Want) -> Self {
        self.wants.push(want);
        self
    }

    /// The status must be this. A row that says nothing of it wants 200.
    pub fn status(self, status: u16) -> Self {
        self.want(Want::Status(vec![status]))
    }

    /// The status must be one of these.
    pub fn statuses(self, statuses: &[u16]) -> Self {
        self.want(Want::Status(statuses.to_vec()))
    }

    /// A header must have exactly this value.
    pub fn is(self, header: &'static str, value: impl Into<String>) -> Self {
        self.want(Want::Is(header, value.into()))
    }

    /// A header's value must begin so.
    pub fn starts(self, header: &'static str, value: impl Into<String>) -> Self {
        self.want(Want::Starts(header, value.into()))
    }

    /// A header's value must have this in it.
    pub fn has(self, header: &'static str, part: impl Into<String>) -> Self {
        self.want(Want::Has(header, part.into()))
    }

    /// A header must be a list with this item.
    pub fn lists(self, header: &'static str, item: impl Into<String>) -> Self {
        self.want(Want::Lists(header, item.into()))
    }

    /// A header must have one of these values.
    pub fn any(self, header: &'static str, values: &[impl AsRef<str>]) -> Self {
        self.want(Want::Any(header, values.iter().map(|value| value.as_ref().to_owned()).collect()))
    }

    /// A header must be there.
    pub fn given(self, header: &'static str) -> Self {
        self.want(Want::Given(header))
    }

    /// A header must not be there.
    pub fn lacks(self, header: &'static str) -> Self {
        self.want(Want::Lacks(header))
    }

    /// A header must not have this in it, if it is there.
    pub fn not(self, header: &'static str, part: impl Into<String>) -> Self {
        self.want(Want::Not(header, part.into()))
    }

    /// The body must be this.
    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        self.want(Want::Body(body.as_ref().to_vec()))
    }

    /// The body must have this in it.
    pub fn body_has(self, part: impl Into<String>) -> Self {
        self.want(Want::BodyHas(part.into()))
    }

    /// The body must not have this in it.
    pub fn body_lacks(self, part: impl Into<String>) -> Self {
        self.want(Want::BodyLacks(part.into()))
    }

    /// The body must break off.
    pub fn breaks(self) -> Self {
        self.want(Want::Breaks)
    }

    /// The body may break off.
    pub fn may_break(self) -> Self {
        self.want(Want::MayBreak)
    }

    /// Whatever else must hold.
    pub fn check(self, check: impl Fn(&Response) -> Result<(), String> + 'static) -> Self {
        self.want(Want::Check(Box::new(check)))
    }

    /// Kubo is known to answer otherwise, against the text or because it lacks this: with `CAIRN_BIN` it is not asked.
    pub fn not_kubo(mut self) -> Self {
        self.kubo_too = false;
        self
    }

    /// What goes wrong.
    fn run(&self, address: SocketAddr) -> Result<(), String> {
        let response = http::send(address, &self.request).map_err(|e| format!("no answer: {e}"))?;
        let mut wrong = String::new();
        let status = Want::Status(vec![200]);
        let default = [&status].into_iter().filter(|_| !self.wants.iter().any(|w| matches!(w, Want::Status(_))));
        for want in default.chain(&self.wants) {
            if let Err(what) = want.holds(&response) {
                let _ = writeln!(wrong, "  wanted: {what}");
            }
        }
        let bare = self.request.method == "HEAD" || response.status == 304;
        if bare && !response.body.is_empty() {
            wrong.push_str("  wanted: no body\n");
        }
        if !response.whole && !self.wants.iter().any(|w| matches!(w, Want::Breaks | Want::MayBreak)) {
            wrong.push_str("  wanted: a body that comes whole\n");
        }
        if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong}  got:\n{}", indent(&response.describe()))) }
    }
}

impl Want {
    fn holds(&self, response: &Response) -> Result<(), String> {
        let held = |held: bool, what: String| if held { Ok(()) } else { Err(what) };
        let test = |header: &str, test: &dyn Fn(&str) -> bool| response.joined(header).is_some_and(|v| test(&v));
        match self {
            Self::Status(statuses) => held(statuses.contains(&response.status), format!("status {statuses:?}")),
            Self::Is(h, value) => held(test(h, &|v| v == value), format!("{h}: {value}")),
            Self::Starts(h, value) => held(test(h, &|v| v.starts_with(value.as_str())), format!("{h}: {value}…")),
            Self::Has(h, part) => held(test(h, &|v| v.contains(part.as_str())), format!("{h}: …{part}…")),
            Self::Lists(h, item) => held(response.lists(h, item), format!("{h}: …, {item}, …")),
            Self::Any(h, values) => {
                held(test(h, &|v| values.iter().any(|w| w == v)), format!("{h}: one of {values:?}"))
            }
            Self::Given(h) => held(test(h, &|v| !v.is_empty()), format!("{h}: something")),
            Self::Lacks(h) => held(response.header(h).is_none(), format!("no {h}")),
            Self::Not(h, part) => held(!test(h, &|v| v.contains(part.as_str())), format!("no {part:?} in {h}")),
            Self::Body(body) => {
                let shown = String::from_utf8_lossy(&body[..body.len().min(100)]).escape_debug().to_string();
                held(response.body == *body, format!("a body of {} bytes: {shown}", body.len()))
            }
            Self::BodyHas(part) => held(response.text().contains(part.as_str()), format!("{part:?} in the body")),
            Self::BodyLacks(part) => held(!response.text().contains(part.as_str()), format!("no {part:?} in the body")),
            Self::Breaks => held(!response.whole, "a body that breaks off".to_owned()),
            Self::MayBreak => Ok(()),
            Self::Check(check) => check(response),
        }
    }
}

fn indent(text: &str) -> String {
    text.lines().fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "    {line}");
        out
    })
}

/// Runs all rows.
///
/// # Panics
/// When one fails, after all of them have run; or when two have the same name.
#[track_caller]
pub fn check(asked: &impl Asked, rows: Vec<Row>) {
    let mut names = HashSet::new();
    let mut failed = Vec::new();
    let address = asked.gateway().address;
    let kubo = asked.gateway().node().program().is_kubo();
    for row in rows.iter().filter(|row| row.kubo_too || !kubo) {
        if !names.insert(&row.name) {
            failed.push(format!("{}: another row has this name", row.name));
        }
        if let Err(wrong) = row.run(address) {
            let request = row.request.encode(address);
            failed.push(format!("{}\n  asked:\n{}{wrong}", row.name, indent(request.trim_end())));
        }
    }
    assert!(failed.is_empty(), "{} of {} rows fail:\n\n{}", failed.len(), rows.len(), failed.join("\n"));
}
