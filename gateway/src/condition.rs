//! Conditional requests and ranges (RFC 9110, sections 13 and 14).

use http::{
    HeaderMap, HeaderName,
    header::{CACHE_CONTROL, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE},
};
use std::{
    ops::Range,
    time::{SystemTime, UNIX_EPOCH},
};

/// Ranges of one header that are looked at.
const MAX_RANGES: usize = 64;

/// What a request's conditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The response is to be sent; `range` says whether a range counts.
    Send {
        /// Whether the header `Range` counts.
        range: bool,
    },
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client thinks it is.
    Failed,
}

/// Weighs a request's conditions, in the order of RFC 9110, section 13.2.2. `modified` is what `Last-Modified` says.
pub fn weigh(headers: &HeaderMap, etag: &str, modified: Option<SystemTime>) -> Verdict {
    let since = |name: HeaderName| Some((date(headers, name)?, seconds(modified?)));
    let goes_on = match text(headers, IF_MATCH) {
        Some(list) => matches_any(&list, true, |candidate| strong_match(candidate, etag)),
        None => since(IF_UNMODIFIED_SINCE).is_none_or(|(limit, modified)| modified <= limit),
    };
    if !goes_on {
        return Verdict::Failed;
    }
    let has_it = match text(headers, IF_NONE_MATCH) {
        Some(list) => none_match(&list, etag),
        None => since(IF_MODIFIED_SINCE).is_some_and(|(limit, modified)| modified <= limit),
    };
    if has_it {
        return Verdict::NotModified;
    }
    let range = match text(headers, IF_RANGE) {
        None => true,
        Some(value) => match scan(value.trim()) {
            Some((candidate, _)) => strong_match(candidate, etag),
            None => date(headers, IF_RANGE).zip(modified).is_some_and(|(limit, m)| limit == seconds(m)),
        },
    };
    Verdict::Send { range: range && headers.contains_key(RANGE) }
}

/// Whether a list of `If-None-Match` names that tag, strong or weak, or all.
pub fn none_match(list: &str, etag: &str) -> bool {
    matches_any(list, true, |candidate| weak(candidate) == weak(etag))
}

/// The same, but "all" does not count.
pub fn names(list: &str, etag: &str) -> bool {
    matches_any(list, false, |candidate| weak(candidate) == weak(etag))
}

/// Whether only what is here may be sent: `Cache-Control: only-if-cached`, alone or among others (RFC 9111, section 5.2.1.7).
pub fn only_if_cached(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case("only-if-cached"))
}

/// A header of the request as text.
pub fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    let time = httpdate::parse_http_date(text(headers, name)?.trim()).ok()?;
    Some(seconds(time))
}

/// HTTP's dates know no fractions.
fn seconds(time: impl Into<SystemTime>) -> u64 {
    time.into().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whether one tag of a list matches; `star` is what a `*` means.
fn matches_any(list: &str, star: bool, matches: impl Fn(&str) -> bool) -> bool {
    let mut rest = list.trim_start();
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.starts_with('*') {
            return star;
        }
        let Some((tag, after)) = scan(rest) else { return false };
        if matches(tag) {
            return true;
        }
        rest = after;
    }
}

/// The entity tag that a text begins with, and what follows.
fn scan(text: &str) -> Option<(&str, &str)> {
    let quoted = text.strip_prefix("W/").unwrap_or(text).strip_prefix('"')?;
    let end = quoted.find('"')?;
    let is_tag = quoted[..end].bytes().all(|b| b == 0x21 || b >= 0x23 && b != 0x7f);
    let len = text.len() - quoted.len() + end + 1;
    is_tag.then(|| text.split_at(len))
}

fn weak(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

fn strong_match(a: &str, b: &str) -> bool {
    a == b && a.starts_with('"')
}

/// A range as a request writes it, before the length of the content is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// From a byte to a byte, both of them included, or to the end.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Last(u64),
}

/// Why ranges can't be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The header is no list of ranges of bytes: 400.
    #[error("invalid range: write for example \"Range: bytes=0-1023\" or \"Range: bytes=-1024\"")]
    Malformed,
    /// All of it lies beyond the end: 416.
    #[error("invalid range: failed to overlap")]
    Beyond,
}

/// The part of content of that size that is to be sent, once the request's conditions were weighed; `None` for all of it.
/// A range in another unit than bytes is none (RFC 9110, section 14.2).
///
/// # Errors
/// When the header is malformed, or all of it lies beyond the end.
pub fn part(headers: &HeaderMap, size: u64) -> Result<Option<Range<u64>>, RangeError> {
    match text(headers, RANGE) {
        Some(text) if is_bytes(&text) => select(&ranges(&text)?, size),
        _ => Ok(None),
    }
}

/// Whether a range is one of bytes, or none at all.
fn is_bytes(range: &str) -> bool {
    range.split_once('=').is_none_or(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"))
}

/// Reads the header `Range`.
fn ranges(text: &str) -> Result<Vec<Asked>, RangeError> {
    let list = text.split_once('=').ok_or(RangeError::Malformed)?.1;
    let number =
        |text: &str| text.parse::<u64>().ok().filter(|&n| i64::try_from(n).is_ok()).ok_or(RangeError::Malformed);
    let one = |range: &str| {
        let (first, last) = range.split_once('-').ok_or(RangeError::Malformed)?;
        let (first, last) = (first.trim(), last.trim());
        match (first.is_empty(), last.is_empty()) {
            (true, _) => number(last).map(Asked::Last),
            (false, true) => Ok(Asked::From(number(first)?, None)),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last { Err(RangeError::Malformed) } else { Ok(Asked::From(first, Some(last))) }
            }
        }
    };
    list.split(',').map(str::trim).filter(|range| !range.is_empty()).take(MAX_RANGES).map(one).collect()
}

/// The bytes of content of that size which are to be sent: the first range that overlaps it, as deployed gateways do.
/// `None` for all of it: when ranges add up to more than there is, or nothing is there.
fn select(ranges: &[Asked], size: u64) -> Result<Option<Range<u64>>, RangeError> {
    let within = |range: &Asked| match *range {
        Asked::From(first, _) if first >= size => None,
        Asked::From(first, last) => Some(first..last.map_or(size, |last| last.saturating_add(1).min(size))),
        Asked::Last(count) => Some(size - count.min(size)..size),
    };
    let overlapping: Vec<Range<u64>> = ranges.iter().filter_map(within).collect();
    let total = overlapping.iter().fold(0u64, |sum, range| sum.saturating_add(range.end - range.start));
    match overlapping.into_iter().next() {
        None if ranges.is_empty() || size == 0 => Ok(None),
        None => Err(RangeError::Beyond),
        Some(_) if total > size => Ok(None),
        Some(range) if range.is_empty() => Err(RangeError::Beyond),
        first => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::time::Duration;

    const TAG: &str = "\"bafy\"";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn verdict(headers: &[(HeaderName, &'static str)], etag: &str) -> Verdict {
        let modified = Some(httpdate::parse_http_date(THEN).expect("a date") + Duration::from_millis(700));
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        weigh(&headers, etag, modified)
    }

    #[test]
    fn conditions_are_weighed_in_order() {
        const SEND: Verdict = Verdict::Send { range: false };
        const RANGED: Verdict = Verdict::Send { range: true };
        let range = (RANGE, "bytes=0-1");
        for (headers, expected) in [
            (vec![], SEND),
            (vec![(IF_NONE_MATCH, TAG)], Verdict::NotModified),
            (vec![(IF_NONE_MATCH, "W/\"bafy\"")], Verdict::NotModified),
            (vec![(IF_NONE_MATCH, "\"a\", \"b\" , W/\"bafy\"")], Verdict::NotModified),
            (vec![(IF_NONE_MATCH, "\"a\",*")], Verdict::NotModified),
            (vec![(IF_NONE_MATCH, "bafy")], SEND),
            (vec![(IF_NONE_MATCH, "\"a\""), (IF_MODIFIED_SINCE, THEN)], SEND),
            (vec![(IF_MODIFIED_SINCE, THEN)], Verdict::NotModified),
            (vec![(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")], SEND),
            (vec![(IF_MODIFIED_SINCE, "yesterday")], SEND),
            (vec![(IF_MATCH, TAG)], SEND),
            (vec![(IF_MATCH, "W/\"bafy\"")], Verdict::Failed),
            (vec![(IF_MATCH, "*"), (IF_NONE_MATCH, TAG)], Verdict::NotModified),
            (vec![(IF_UNMODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")], Verdict::Failed),
            (vec![(IF_UNMODIFIED_SINCE, THEN)], SEND),
            (vec![range.clone()], RANGED),
            (vec![range.clone(), (IF_RANGE, TAG)], RANGED),
            (vec![range.clone(), (IF_RANGE, "W/\"bafy\"")], SEND),
            (vec![range.clone(), (IF_RANGE, THEN)], RANGED),
            (vec![range, (IF_RANGE, "Sun, 06 Nov 1994 08:49:38 GMT")], SEND),
        ] {
            assert_eq!(verdict(&headers, TAG), expected, "{headers:?}");
        }
        assert_eq!(verdict(&[(IF_NONE_MATCH, TAG)], "W/\"bafy\""), Verdict::NotModified);
    }

    #[test]
    fn directives_are_read_in_lists() {
        let of = |values: &[&'static str]| {
            let values = values.iter().map(|value| (CACHE_CONTROL, HeaderValue::from_static(value)));
            only_if_cached(&values.collect())
        };
        assert!(
            of(&["only-if-cached"]) && of(&["no-transform, Only-If-Cached"]) && of(&["max-age=0", "only-if-cached"])
        );
        assert!(!of(&[]) && !of(&["no-cache"]) && !of(&["x-only-if-cached"]));
        assert!(names("\"a\", W/\"b\"", "\"b\"") && !names("*", "\"b\"") && !names(" , *", "\"b\""));
    }

    #[test]
    fn ranges_are_read_and_cut_to_the_content() {
        let of =
            |text: &'static str, size| part(&HeaderMap::from_iter([(RANGE, HeaderValue::from_static(text))]), size);
        for (text, size, expected) in [
            ("bytes=0-0", 10, Ok(Some(0..1))),
            ("bytes=3-", 10, Ok(Some(3..10))),
            ("bytes=-4", 10, Ok(Some(6..10))),
            ("bytes=-40", 10, Ok(Some(0..10))),
            ("bytes=5-100", 10, Ok(Some(5..10))),
            ("bytes=1-2, 4-5", 10, Ok(Some(1..3))),
            ("bytes=20-30,1-2", 10, Ok(Some(1..3))),
            ("bytes=0-,0-", 10, Ok(None)),
            ("bytes=", 10, Ok(None)),
            ("bytes=0-", 0, Ok(None)),
            ("bytes=10-", 10, Err(RangeError::Beyond)),
            ("bytes=-0", 10, Err(RangeError::Beyond)),
            ("bytes=2-1", 10, Err(RangeError::Malformed)),
            ("bytes=a-", 10, Err(RangeError::Malformed)),
            ("bytes=--1", 10, Err(RangeError::Malformed)),
            ("bytes=1", 10, Err(RangeError::Malformed)),
            ("Bytes=1-2", 10, Ok(Some(1..3))),
            ("lines=1-2", 10, Ok(None)),
            ("lines=a", 10, Ok(None)),
            ("1-2", 10, Err(RangeError::Malformed)),
            ("bytes=0-99999999999999999999", 10, Err(RangeError::Malformed)),
        ] {
            assert_eq!(of(text, size), expected, "{text} of {size}");
        }
        assert_eq!(ranges(&format!("bytes={}", "0-0,".repeat(100_000))).expect("ranges").len(), MAX_RANGES);
    }
}
