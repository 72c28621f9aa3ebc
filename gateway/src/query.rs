//! The query of a URL.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// All but letters, digits and `-_.~`.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What may stand in a path besides those (RFC 3986, section 3.3), but for what programs take for more than a letter.
const PATH: &AsciiSet = &VALUE
    .remove(b'/')
    .remove(b':')
    .remove(b'@')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=');
/// Parameters of one query that are looked at.
const MAX_PARAMETERS: usize = 64;

/// Names and values, decoded, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of a URL after `?`. Escapes that are none stay as they are; bytes that are no UTF-8 are replaced.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(MAX_PARAMETERS);
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The first value of that name, unless it is empty.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Puts a value in place of all of that name.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(n, _)| n != name);
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// Adds those parameters of another query whose names are not here.
    pub fn complete(&mut self, other: Self) {
        let new: Vec<_> = other.0.into_iter().filter(|(name, _)| self.get(name).is_none()).collect();
        self.0.extend(new);
    }

    /// As text, ordered by name, which is one text for one set of parameters.
    pub fn encode(&self) -> String {
        let mut pairs: Vec<&(String, String)> = self.0.iter().collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let pairs: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{}={}", encode_value(name), encode_value(value))).collect();
        pairs.join("&")
    }
}

fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

/// Escapes everything that is not a letter, digit, `-`, `_`, `.` or `~`.
pub fn encode_value(text: &str) -> String {
    percent_encode(text.as_bytes(), VALUE).to_string()
}

/// Escapes what may not stand in the path of a URL.
pub fn encode_path(text: impl AsRef<[u8]>) -> String {
    percent_encode(text.as_ref(), PATH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_and_written() {
        let mut query = Query::parse("format=car&&a=b+c%20d&flag&format=raw&x=%zz%ff");
        assert_eq!(query.get("format"), Some("car"));
        assert_eq!(query.get("a"), Some("b c d"));
        assert_eq!((query.get("flag"), query.given("flag"), query.get("nope")), (Some(""), None, None));
        assert_eq!(query.get("x"), Some("%zz\u{fffd}"));
        query.set("format", "tar");
        assert_eq!(query.encode(), "a=b%20c%20d&flag=&format=tar&x=%25zz%EF%BF%BD");
        assert_eq!(encode_path("/a b/ü?#%"), "/a%20b/%C3%BC%3F%23%25");
    }

    #[test]
    fn only_so_many_parameters_are_read() {
        let query = Query::parse(&"a=1&".repeat(10_000));
        assert_eq!(query.0.len(), MAX_PARAMETERS);
    }
}
