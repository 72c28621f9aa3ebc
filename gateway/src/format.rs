//! Which form of response a request asks for (IPIP-412, 523 and 524; trustless gateway specification).

use crate::query::Query;
use cairn_store::cid::codec;
use http::{HeaderMap, header::ACCEPT};
use std::collections::BTreeMap;

/// A form of response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A block as it is.
    Raw,
    /// A DAG, or part of one, in a CAR.
    Car,
    /// Files and directories as an archive.
    Tar,
    /// Blocks of JSON and DAG-JSON as they are.
    Json,
    /// Blocks of CBOR and DAG-CBOR as they are.
    Cbor,
    /// DAG-JSON.
    DagJson,
    /// DAG-CBOR.
    DagCbor,
    /// The signed record of an IPNS name.
    IpnsRecord,
}

/// Name in `?format=`, and media type.
const FORMATS: [(Format, &str, &str); 8] = [
    (Format::Raw, "raw", "application/vnd.ipld.raw"),
    (Format::Car, "car", "application/vnd.ipld.car"),
    (Format::Tar, "tar", "application/x-tar"),
    (Format::Json, "json", "application/json"),
    (Format::Cbor, "cbor", "application/cbor"),
    (Format::DagJson, "dag-json", "application/vnd.ipld.dag-json"),
    (Format::DagCbor, "dag-cbor", "application/vnd.ipld.dag-cbor"),
    (Format::IpnsRecord, "ipns-record", "application/vnd.ipfs.ipns-record"),
];
/// Beginnings of media types that ask for one form and no other; browsers send none of them.
const EXPLICIT: [&str; 5] =
    ["application/vnd.ipld", "application/vnd.ipfs", "application/x-tar", "application/json", "application/cbor"];

impl Format {
    fn row(self) -> &'static (Self, &'static str, &'static str) {
        FORMATS.iter().find(|(format, ..)| *format == self).unwrap_or(&FORMATS[0])
    }

    /// Its name in `?format=`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        self.row().2
    }

    /// The form that blocks of a codec have by themselves, if it is one of these.
    pub fn of_codec(code: u64) -> Option<Self> {
        match code {
            codec::JSON => Some(Self::Json),
            codec::CBOR => Some(Self::Cbor),
            codec::DAG_JSON => Some(Self::DagJson),
            codec::DAG_CBOR => Some(Self::DagCbor),
            _ => None,
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        FORMATS.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    fn by_media_type(name: &str) -> Option<Self> {
        FORMATS.iter().find(|row| row.2 == name).map(|row| row.0)
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The form; `None`: whatever suits the content.
    pub format: Option<Format>,
    /// Parameters of the media type.
    pub parameters: BTreeMap<String, String>,
    /// Whether the form stands in the URL, and not in `Accept` alone.
    pub in_url: bool,
}

/// A media type and its parameters.
type MediaType = (String, BTreeMap<String, String>);

/// Why a request can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A media type of the family that is none of ours.
    #[error("unsupported response format requested: {0:?}")]
    Unsupported(String),
    /// `Accept` is no list of media types.
    #[error("error while processing the Accept header: {0:?} is no media type")]
    Malformed(String),
}

/// Reads `?format=` and `Accept`. The URL counts (IPIP-523), so that one URL stands for one response in caches.
///
/// # Errors
/// When `Accept` asks for something that no gateway serves.
pub fn asked(query: &Query, headers: &HeaderMap) -> Result<Asked, FormatError> {
    let in_url = query.get("format").and_then(Format::by_name);
    let accepted = accepted(headers)?;
    match (in_url, accepted) {
        (Some(format), Some((accepted, parameters))) if Format::by_media_type(&accepted) == Some(format) => {
            Ok(Asked { format: Some(format), parameters, in_url: true })
        }
        (Some(format), _) => Ok(Asked { format: Some(format), in_url: true, ..Asked::default() }),
        (None, Some((accepted, parameters))) => match Format::by_media_type(&accepted) {
            Some(format) => Ok(Asked { format: Some(format), parameters, in_url: false }),
            None => Err(FormatError::Unsupported(accepted)),
        },
        (None, None) => Ok(Asked::default()),
    }
}

/// The first media type of `Accept` that asks for one form, with its parameters.
fn accepted(headers: &HeaderMap) -> Result<Option<MediaType>, FormatError> {
    for header in headers.get_all(ACCEPT) {
        let text = String::from_utf8_lossy(header.as_bytes());
        for value in text.split(',').map(str::trim) {
            if EXPLICIT.iter().any(|explicit| starts_with(value, explicit)) {
                return media_type(value).map(Some).ok_or_else(|| FormatError::Malformed(value.to_owned()));
            }
        }
    }
    Ok(None)
}

fn starts_with(value: &str, prefix: &str) -> bool {
    value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Reads `type/subtype; name=value; name="value"`.
fn media_type(text: &str) -> Option<MediaType> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&b))
    };
    let (kind, subtype) = name.split_once('/')?;
    if !is_token(kind) || !is_token(subtype) {
        return None;
    }
    let mut parameters = BTreeMap::new();
    for part in parts.filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=')?;
        let value = value.strip_prefix('"').map_or(Some(value), |rest| rest.strip_suffix('"'))?;
        if !is_token(name.trim()) {
            return None;
        }
        parameters.insert(name.trim().to_ascii_lowercase(), value.to_owned());
    }
    Some((name, parameters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn ask(query: &str, accept: &[&'static str]) -> Result<Asked, FormatError> {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        asked(&Query::parse(query), &headers)
    }

    #[test]
    fn the_url_counts_more_than_accept() {
        const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8";
        for (query, accept, format, in_url) in [
            ("", &[][..], None, false),
            ("", &[BROWSER], None, false),
            ("format=raw", &[BROWSER], Some(Format::Raw), true),
            ("format=raw", &["application/vnd.ipld.car"], Some(Format::Raw), true),
            ("format=nonsense", &["application/vnd.ipld.car"], Some(Format::Car), false),
            ("", &["text/html, Application/vnd.ipld.CAR;version=1", "application/json"], Some(Format::Car), false),
            ("", &["text/html", "application/x-tar"], Some(Format::Tar), false),
            ("format=", &["application/vnd.ipfs.ipns-record"], Some(Format::IpnsRecord), false),
        ] {
            let asked = ask(query, accept).expect("understood");
            assert_eq!((asked.format, asked.in_url), (format, in_url), "{query:?} {accept:?}");
        }
    }

    #[test]
    fn parameters_of_accept_count_for_their_own_format_only() {
        let accept = &["application/vnd.ipld.car; order=dfs; dups=\"y\";q=0.5"];
        let parameters = ask("", accept).expect("understood").parameters;
        let expected = [("dups", "y"), ("order", "dfs"), ("q", "0.5")];
        assert!(parameters.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(expected));
        assert_eq!(ask("format=car", accept).expect("understood").parameters, parameters);
        assert!(ask("format=raw", accept).expect("understood").parameters.is_empty());
    }

    #[test]
    fn what_nobody_serves_is_refused() {
        for accept in ["application/vnd.ipld.unknown", "application/vnd.ipfs.x", "application/json-x"] {
            assert_eq!(ask("", &[accept]), Err(FormatError::Unsupported(accept.to_owned())));
        }
        for accept in
            ["application/vnd.ipld.car; order", "application/vnd.ipld.car/x", "application/vnd.ipld.car; a=\"b"]
        {
            assert_eq!(ask("", &[accept]), Err(FormatError::Malformed(accept.to_owned())));
        }
    }
}
