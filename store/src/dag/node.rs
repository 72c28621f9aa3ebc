//! A dag-pb node as a value of the data model: `{"Links": [{"Hash", "Name", "Tsize"}], "Data"}`.

use super::{
    ipld::{CodecError, Ipld},
    pb::{PbLink, PbNode},
};
use bytes::Bytes;

/// Reads dag-pb. A name of a link that is not UTF-8 has its bad bytes replaced.
///
/// # Errors
/// When the bytes are malformed.
pub fn decode(bytes: &Bytes) -> Result<Ipld, CodecError> {
    let node = PbNode::decode(bytes).map_err(|error| CodecError::Malformed { codec: "dag-pb", reason: error.0 })?;
    let mut map = vec![("Links".to_owned(), Ipld::List(node.links.into_iter().map(from_link).collect()))];
    map.extend(node.data.map(|data| ("Data".to_owned(), Ipld::Bytes(data))));
    Ok(Ipld::Map(map))
}

fn from_link(link: PbLink) -> Ipld {
    let mut map = vec![("Hash".to_owned(), Ipld::Link(Box::new(link.cid)))];
    map.extend(link.name.map(|name| ("Name".to_owned(), Ipld::String(String::from_utf8_lossy(&name).into_owned()))));
    map.extend(link.tsize.map(|tsize| ("Tsize".to_owned(), Ipld::Int(i128::from(tsize)))));
    Ipld::Map(map)
}

/// Writes dag-pb, links sorted by name.
///
/// # Errors
/// When the value has not the shape of a node.
pub fn encode(value: &Ipld) -> Result<Bytes, CodecError> {
    let fields = fields(value, "a node", &["Links", "Data"])?;
    let Some(Ipld::List(links)) = fields[0] else { return Err(refuse("a node without a list \"Links\"")) };
    let data = match fields[1] {
        None => None,
        Some(Ipld::Bytes(data)) => Some(data.clone()),
        Some(other) => return Err(refuse(&format!("{} as \"Data\": only bytes", other.kind()))),
    };
    let mut node = PbNode { links: links.iter().map(to_link).collect::<Result<_, _>>()?, data };
    node.sort_links();
    Ok(node.encode())
}

fn to_link(value: &Ipld) -> Result<PbLink, CodecError> {
    let fields = fields(value, "a link", &["Hash", "Name", "Tsize"])?;
    let Some(Ipld::Link(cid)) = fields[0] else { return Err(refuse("a link without a CID as \"Hash\"")) };
    let name = match fields[1] {
        None => None,
        Some(Ipld::String(name)) => Some(Bytes::copy_from_slice(name.as_bytes())),
        Some(other) => return Err(refuse(&format!("{} as \"Name\": only a string", other.kind()))),
    };
    let tsize = match fields[2] {
        None => None,
        Some(Ipld::Int(size)) => {
            Some(u64::try_from(*size).map_err(|_| refuse(&format!("the number {size} as \"Tsize\"")))?)
        }
        Some(other) => return Err(refuse(&format!("{} as \"Tsize\": only a number", other.kind()))),
    };
    Ok(PbLink { cid: **cid, name, tsize })
}

/// The values of these names, in their order; no other name may be there.
fn fields<'a, const N: usize>(
    value: &'a Ipld,
    what: &str,
    names: &[&str; N],
) -> Result<[Option<&'a Ipld>; N], CodecError> {
    let Ipld::Map(map) = value else { return Err(refuse(&format!("{} as {what}: only a map", value.kind()))) };
    let mut found = [None; N];
    for (key, value) in map {
        match names.iter().position(|name| name == key) {
            Some(at) => found[at] = Some(value),
            None => return Err(refuse(&format!("{key:?} in {what}: only {}", names.join(", ")))),
        }
    }
    Ok(found)
}

fn refuse(what: &str) -> CodecError {
    CodecError::NotEncodable { codec: "dag-pb", what: what.to_owned() }
}
