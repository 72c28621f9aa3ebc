//! Which form of response a request asks for (IPIP-412, 523 and 524; trustless gateway specification).

use crate::{car::CarAsk, query::Query};
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

    /// Whether it is served with these parameters of its media type.
    fn has(self, parameters: &BTreeMap<String, String>) -> bool {
        let accept = |name: &str| parameters.get(name).map(String::as_str);
        self != Self::Car || CarAsk::parse(|_| None, accept).is_ok()
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
    /// Parameters of the media type, without its weight.
    pub parameters: BTreeMap<String, String>,
    /// Whether the form stands in the URL, and not in `Accept` alone.
    pub in_url: bool,
    /// Whether it does, and `Accept` asks for another one.
    pub differs: bool,
    /// Whether any other form will do where there is none of this one.
    pub or_any: bool,
}

impl Asked {
    /// Whether the form was chosen by `Accept`.
    pub fn by_accept(&self) -> bool {
        self.format.is_some() && !self.in_url
    }
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

/// Reads `?format=` and `Accept`. The URL counts (IPIP-523), so that one URL stands for one response in caches. Of what
/// `Accept` says the form with the greatest weight counts, then the first, of those that are served.
///
/// # Errors
/// When `Accept` asks for nothing that any gateway serves.
pub fn asked(query: &Query, headers: &HeaderMap) -> Result<Asked, FormatError> {
    let Accepted { forms, malformed, any } = accepted(headers);
    let known = |(name, _): &MediaType| Format::by_media_type(name);
    if let Some(format) = query.get("format").and_then(Format::by_name) {
        let same = forms.iter().find(|form| known(form) == Some(format));
        let (parameters, differs) =
            same.map_or((BTreeMap::new(), !forms.is_empty()), |(_, parameters)| (parameters.clone(), false));
        return Ok(Asked { format: Some(format), parameters, in_url: true, differs, or_any: false });
    }
    let served = forms.iter().position(|form| known(form).is_some_and(|format| format.has(&form.1)));
    // If there is none, the answer says what is wrong with one that is known.
    let chosen = served.or_else(|| forms.iter().position(|form| known(form).is_some()));
    match chosen.and_then(|at| Some((known(&forms[at])?, forms[at].1.clone()))) {
        Some((format, parameters)) => {
            let or_any = any && matches!(format, Format::Json | Format::Cbor);
            Ok(Asked { format: Some(format), parameters, or_any, ..Asked::default() })
        }
        None => match (forms.into_iter().next(), malformed) {
            (Some((name, _)), _) => Err(FormatError::Unsupported(name)),
            (None, Some(text)) => Err(FormatError::Malformed(text)),
            (None, None) => Ok(Asked::default()),
        },
    }
}

/// What `Accept` says of forms.
#[derive(Default)]
struct Accepted {
    /// Media types that ask for one form, the most wanted first; none with a weight of zero.
    forms: Vec<MediaType>,
    /// The first that is no media type.
    malformed: Option<String>,
    /// Whether any type will do.
    any: bool,
}

fn accepted(headers: &HeaderMap) -> Accepted {
    let (mut accepted, mut weighed) = (Accepted::default(), Vec::new());
    for header in headers.get_all(ACCEPT) {
        let text = String::from_utf8_lossy(header.as_bytes());
        for value in text.split(',').map(str::trim) {
            let explicit = EXPLICIT.iter().any(|explicit| starts_with(value, explicit));
            if !explicit && !starts_with(value, "*/*") && !starts_with(value, "application/*") {
                continue;
            }
            let Some((name, mut parameters)) = media_type(value) else {
                if explicit {
                    accepted.malformed.get_or_insert_with(|| value.to_owned());
                }
                continue;
            };
            let weight = weight(parameters.remove("q").as_deref());
            if weight == 0 {
                continue;
            }
            if explicit {
                weighed.push((std::cmp::Reverse(weight), (name, parameters)));
            } else {
                accepted.any = true;
            }
        }
    }
    // Those of one weight keep their order.
    weighed.sort_by_key(|(weight, _)| *weight);
    accepted.forms = weighed.into_iter().map(|(_, form)| form).collect();
    accepted
}

/// A weight in thousandths (RFC 9110, section 12.4.2); what is none counts in full.
fn weight(text: Option<&str>) -> u16 {
    let weight = text.and_then(|text| text.parse::<f32>().ok()).filter(|weight| (0.0..=1.0).contains(weight));
    (weight.unwrap_or(1.0) * 1000.0) as u16
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
        let expected = [("dups", "y"), ("order", "dfs")];
        assert!(parameters.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(expected));
        assert_eq!(ask("format=car", accept).expect("understood").parameters, parameters);
        assert!(ask("format=raw", accept).expect("understood").parameters.is_empty());
    }

    #[test]
    fn of_several_forms_the_most_wanted_counts_that_is_served() {
        for (accept, format, any) in [
            ("application/vnd.ipld.raw;q=0.5, application/vnd.ipld.car;q=0.9", Format::Car, false),
            ("application/vnd.ipld.raw;q=0.5, application/vnd.ipld.car;q=0.5", Format::Raw, false),
            ("application/vnd.ipld.raw;q=0, application/vnd.ipld.car;q=0.1", Format::Car, false),
            ("application/vnd.ipld.unknown, application/vnd.ipld.raw;q=0.1", Format::Raw, false),
            ("application/vnd.ipld.car; x, application/vnd.ipld.raw", Format::Raw, false),
            ("application/vnd.ipld.raw;q=x, application/vnd.ipld.car", Format::Raw, false),
            ("application/json, text/plain, */*", Format::Json, true),
            ("application/json, */*;q=0", Format::Json, false),
            ("application/vnd.ipld.raw, */*", Format::Raw, false),
        ] {
            let accept: &'static str = accept;
            let asked = ask("", &[accept]).expect("understood");
            assert_eq!((asked.format, asked.or_any), (Some(format), any), "{accept}");
        }
        let accept = "application/vnd.ipld.car;order=foo, application/vnd.ipld.car;order=dfs;q=0.5";
        let chosen = ask("", &[accept]).expect("understood").parameters;
        assert!(chosen.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq([("order", "dfs")]), "{chosen:?}");
        assert_eq!(ask("", &["application/vnd.ipld.raw;q=0"]), Ok(Asked::default()));
        for (query, accept, differs) in [
            ("format=raw", "application/vnd.ipld.car", true),
            ("format=raw", "application/vnd.ipld.car, application/vnd.ipld.raw;q=0.1", false),
            ("format=raw", "text/html, */*", false),
        ] {
            assert_eq!(ask(query, &[accept]).expect("understood").differs, differs, "{query} {accept}");
        }
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
