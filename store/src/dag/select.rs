//! Following a path inside one block.

use super::ipld::Ipld;
use crate::Cid;
use thiserror::Error;

/// Where a path inside a block leads.
#[derive(Debug, Clone, PartialEq)]
pub enum Selected {
    /// To this value, with nothing of the path left.
    Value(Ipld),
    /// To a link, after that many segments of the path; the others are to be followed from the linked block.
    Link(Cid, usize),
}

/// Why a path can't be followed. The wording of the first is Kubo's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelectError {
    /// A map has no such name, or a list no such index.
    #[error("key not found: {0:?}")]
    NotFound(String),
    /// An element of a list was asked for by something that is not a number.
    #[error("{0:?} is not an index into a list")]
    NotAnIndex(String),
    /// There is nothing below such a value.
    #[error("there is no {segment:?} below a value of kind {kind}: only maps and lists have something below")]
    NotAContainer {
        /// The segment that was asked for.
        segment: String,
        /// Kind of the value.
        kind: &'static str,
    },
}

/// Follows `path` from `root` until it ends or meets a link: names through maps, numbers through lists.
///
/// # Errors
/// When a segment leads nowhere.
pub fn select(root: Ipld, path: &[impl AsRef<str>]) -> Result<Selected, SelectError> {
    let mut value = root;
    for (followed, segment) in path.iter().enumerate() {
        value = match value {
            Ipld::Link(cid) => return Ok(Selected::Link(*cid, followed)),
            other => step(other, segment.as_ref())?,
        };
    }
    Ok(match value {
        Ipld::Link(cid) => Selected::Link(*cid, path.len()),
        value => Selected::Value(value),
    })
}

fn step(value: Ipld, segment: &str) -> Result<Ipld, SelectError> {
    let not_found = || SelectError::NotFound(segment.to_owned());
    match value {
        Ipld::Map(map) => map.into_iter().find_map(|(k, v)| (k == segment).then_some(v)).ok_or_else(not_found),
        Ipld::List(mut list) => {
            let index: i64 = segment.parse().map_err(|_| SelectError::NotAnIndex(segment.to_owned()))?;
            match usize::try_from(index) {
                Ok(index) if index < list.len() => Ok(list.swap_remove(index)),
                _ => Err(not_found()),
            }
        }
        other => Err(SelectError::NotAContainer { segment: segment.to_owned(), kind: other.kind() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::json;

    const CID: &str = "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am";

    fn at(path: &str) -> Result<Selected, SelectError> {
        let text = format!(r#"{{"a":{{"l":[10,{{"x":"y"}},{{"/":"{CID}"}}]}},"n":null}}"#);
        let root = json::decode(&text.into()).expect("json");
        select(root, &path.split('/').filter(|s| !s.is_empty()).collect::<Vec<_>>())
    }

    #[test]
    fn paths_end_at_values_or_links() {
        let cid = crate::cid::parse(CID).expect("cid");
        assert_eq!(at("a/l/0"), Ok(Selected::Value(Ipld::Int(10))));
        assert_eq!(at("a/l/1/x"), Ok(Selected::Value(Ipld::String("y".into()))));
        assert_eq!(at("a/l/01/x"), Ok(Selected::Value(Ipld::String("y".into()))), "as Kubo counts");
        assert_eq!(at("n"), Ok(Selected::Value(Ipld::Null)));
        assert!(matches!(at(""), Ok(Selected::Value(Ipld::Map(_)))));
        assert_eq!(at("a/l/2"), Ok(Selected::Link(cid, 3)));
        assert_eq!(at("a/l/2/s/b"), Ok(Selected::Link(cid, 3)));
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        assert_eq!(at("z"), Err(SelectError::NotFound("z".into())));
        assert_eq!(at("a/l/9"), Err(SelectError::NotFound("9".into())));
        assert_eq!(at("a/l/-1"), Err(SelectError::NotFound("-1".into())));
        assert_eq!(at("a/l/x"), Err(SelectError::NotAnIndex("x".into())));
        assert_eq!(at("n/x"), Err(SelectError::NotAContainer { segment: "x".into(), kind: "null" }));
        assert_eq!(at("a/l/0/q"), Err(SelectError::NotAContainer { segment: "q".into(), kind: "int" }));
    }
}
