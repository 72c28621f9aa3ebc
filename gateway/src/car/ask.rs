//! What a client asks for, and how.

use cairn_store::Cid;
use std::fmt::Write as _;

/// How much of what is at the end of the path: `dag-scope`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Its block.
    Block,
    /// What it takes to read a file or to list a directory; for other objects the block.
    Entity,
    /// All that is below it.
    #[default]
    All,
}

/// Order of the blocks: `car-order`. They are sent depth first in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// Depth first.
    #[default]
    Dfs,
    /// The client does not mind.
    Unknown,
}

/// Bytes of a file: `entity-bytes`. Both ends are inclusive; negative numbers count from the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// The first byte.
    pub from: i64,
    /// The last byte; `None`: to the end.
    pub to: Option<i64>,
}

/// Parameters of a request for a CAR.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CarAsk {
    /// `dag-scope`.
    pub scope: Scope,
    /// `entity-bytes`: only for [`Scope::Entity`].
    pub range: Option<ByteRange>,
    /// `car-dups`: whether a block is sent as often as it occurs.
    pub dups: bool,
    /// `car-order`.
    pub order: Order,
}

/// Why parameters are refused. All of them are the client's mistake (400).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CarParamError {
    /// `dag-scope`.
    #[error("unsupported application/vnd.ipld.car scope parameter {0:?}: block, entity and all are supported")]
    Scope(String),
    /// `car-order`, or `order` of the content type.
    #[error("unsupported application/vnd.ipld.car order parameter {0:?}: dfs and unk are supported")]
    Order(String),
    /// `car-dups`, or `dups` of the content type.
    #[error("unsupported application/vnd.ipld.car dups parameter {0:?}: y and n are supported")]
    Dups(String),
    /// `car-version`, or `version` of the content type.
    #[error("unsupported application/vnd.ipld.car version: only version=1 is supported")]
    Version,
    /// `entity-bytes`.
    #[error("invalid application/vnd.ipld.car entity-bytes URL parameter: {0}")]
    Range(String),
}

impl std::str::FromStr for ByteRange {
    type Err = CarParamError;

    /// Reads `from:to`; `to` may be `*`.
    fn from_str(text: &str) -> Result<Self, CarParamError> {
        let refuse = |why: &str| CarParamError::Range(why.to_owned());
        let number =
            |text: &str| text.parse::<i64>().map_err(|error| CarParamError::Range(format!("{text:?}: {error}")));
        let two = text.split_once(':').filter(|(_, to)| !to.contains(':'));
        let (from, to) = two.ok_or_else(|| refuse("range must have two numbers separated with ':'"))?;
        let from = number(from)?;
        let to = if to == "*" { None } else { Some(number(to)?) };
        if to.is_some_and(|to| (from < 0) == (to < 0) && from > to) {
            return Err(refuse("cannot have an entity-bytes range where 'from' is after 'to'"));
        }
        Ok(Self { from, to })
    }
}

impl ByteRange {
    /// The first byte, and the one after the last, of a file of that size; the same twice for no bytes at all.
    pub fn within(self, size: u64) -> (u64, u64) {
        let place = |at: i64| if at < 0 { size.saturating_sub(at.unsigned_abs()) } else { at.unsigned_abs() };
        let from = place(self.from);
        let to = match self.to {
            None => u64::MAX,
            // The last byte may be before the first one of the file.
            Some(to) if to < 0 => size.saturating_sub(to.unsigned_abs() - 1),
            Some(to) => to.unsigned_abs() + 1,
        };
        (from, to.max(from))
    }
}

impl CarAsk {
    /// Reads parameters of the URL's query, which come first, and of the content type in `Accept`. Both functions give
    /// the first value of that name, decoded. As the specification has it, `entity-bytes` implies `dag-scope=entity`.
    ///
    /// # Errors
    /// When a value is not among those that are defined.
    pub fn parse<'a>(
        query: impl Fn(&str) -> Option<&'a str>,
        accept: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, CarParamError> {
        let range: Option<ByteRange> = query("entity-bytes").map(str::parse).transpose()?;
        let scope = match query("dag-scope") {
            None if range.is_some() => Scope::Entity,
            None | Some("all") => Scope::All,
            Some("entity") => Scope::Entity,
            Some("block") => Scope::Block,
            Some(other) => return Err(CarParamError::Scope(other.to_owned())),
        };
        let either = |in_query: &str, in_accept: &str| {
            query(in_query).filter(|value| !value.is_empty()).or_else(|| accept(in_accept)).unwrap_or_default()
        };
        if !matches!(either("car-version", "version"), "" | "1") {
            return Err(CarParamError::Version);
        }
        let order = match either("car-order", "order") {
            "" | "dfs" => Order::Dfs,
            "unk" => Order::Unknown,
            other => return Err(CarParamError::Order(other.to_owned())),
        };
        let dups = match either("car-dups", "dups") {
            "" | "n" => false,
            "y" => true,
            other => return Err(CarParamError::Dups(other.to_owned())),
        };
        Ok(Self { scope, range: range.filter(|_| scope == Scope::Entity), dups, order })
    }

    /// The response's content type.
    pub fn content_type(&self) -> &'static str {
        match (self.order, self.dups) {
            (Order::Dfs, false) => "application/vnd.ipld.car; version=1; order=dfs; dups=n",
            (Order::Dfs, true) => "application/vnd.ipld.car; version=1; order=dfs; dups=y",
            (Order::Unknown, false) => "application/vnd.ipld.car; version=1; order=unk; dups=n",
            (Order::Unknown, true) => "application/vnd.ipld.car; version=1; order=unk; dups=y",
        }
    }

    /// The response's entity tag: weak, since another gateway may send the same blocks in another way. `path` is the
    /// path below the namespace without names: `CID/a/b`.
    pub fn etag(&self, path: &str, root: &Cid) -> String {
        let hash = blake3::hash(format!("{path}\0{self:?}").as_bytes());
        let mut tag = format!("W/\"{root}.car.");
        for byte in &hash.as_bytes()[..8] {
            // Writing to a String does not fail.
            let _ = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        tag
    }
}
