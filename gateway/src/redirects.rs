//! `_redirects` files (specification: web-redirects-file).
//!
//! A file is a list of rules `from to [status]`, one a line; the first that matches a path counts. The library that Kubo
//! uses is followed in what it accepts and how it matches, with these differences: a placeholder that is used twice in
//! `from` is refused, as the specification has it; placeholders in `to` are replaced in one pass, the longest name first, so
//! that what a client puts into a path is never taken for a placeholder; and it never becomes a scheme or a host.
//!
//! Finding the rule for a path takes time linear in the length of the file and of the path.

use crate::query;

#[cfg(test)]
mod tests;

/// Longest file in bytes.
pub const MAX_FILE: usize = 64 << 10;
/// Longest target in bytes, once placeholders were replaced.
pub const MAX_TARGET: usize = 64 << 10;

/// Why a file, or what it says of one path, can't be used. The specification has a 500 answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// It is too long.
    #[error("redirects file size cannot exceed {MAX_FILE} bytes")]
    TooLong,
    /// It is no text.
    #[error("the redirects file is not UTF-8")]
    NotText,
    /// A line is not a rule.
    #[error("line {line} of the redirects file: {reason}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Placeholders make a target too long.
    #[error("a redirect leads to a target of more than {MAX_TARGET} bytes")]
    Target,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    from: Vec<Segment>,
    splat: bool,
    to: String,
    status: u16,
}

/// A part of `from`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Exact(String),
    Placeholder(String),
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// 200: what is at `to` is served in its place; 301 to 308: the client is sent there; 404, 410, 451: `to` is the page
    /// that is served with that status.
    pub status: u16,
    /// A path, or an absolute URL (http, https, ipfs, ipns). What came from the path is percent-encoded in it if the client
    /// is sent there, else as it was given.
    pub to: String,
}

/// Reads a file.
///
/// # Errors
/// When any of its lines is not a rule, a comment, or empty.
pub fn parse(file: &[u8]) -> Result<Vec<Rule>, RedirectError> {
    if file.len() > MAX_FILE {
        return Err(RedirectError::TooLong);
    }
    let text = std::str::from_utf8(file).map_err(|_| RedirectError::NotText)?;
    let lines =
        (1..).zip(text.split('\n').map(str::trim)).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(number, line)| rule(line).map_err(|reason| RedirectError::Line { line: number, reason })).collect()
}

/// What the first matching rule says of a path, which begins with `/` and is not percent-encoded. One slash at its end is
/// of no account.
///
/// # Errors
/// When placeholders make the target too long.
pub fn match_path(rules: &[Rule], path: &str) -> Result<Option<Match>, RedirectError> {
    let path = path.strip_suffix('/').unwrap_or(path);
    // Where each segment begins and ends: a rule then costs no more than its own length.
    let mut ends = Vec::new();
    let mut start = 0;
    for segment in path.split('/') {
        ends.push((start, start + segment.len()));
        start += segment.len() + 1;
    }
    let rule = rules.iter().find(|rule| rule.matches(path, &ends));
    rule.map(|rule| {
        // Whoever is sent elsewhere gets a URL.
        let escape = (300..400).contains(&rule.status);
        Ok(Match { status: rule.status, to: rule.expand(path, &ends, escape)? })
    })
    .transpose()
}

impl Rule {
    fn matches(&self, path: &str, ends: &[(usize, usize)]) -> bool {
        let fits = if self.splat { ends.len() > self.from.len() } else { ends.len() == self.from.len() };
        fits && self.from.iter().zip(ends).all(|(segment, &(start, end))| match segment {
            Segment::Exact(text) => *text == path[start..end],
            Segment::Placeholder(_) => true,
        })
    }

    fn expand(&self, path: &str, ends: &[(usize, usize)], escape: bool) -> Result<String, RedirectError> {
        let splat = if self.splat { &path[ends[self.from.len()].0..] } else { "" };
        let mut values: Vec<(&str, &str)> = self
            .from
            .iter()
            .zip(ends)
            .filter_map(|(segment, &(start, end))| match segment {
                Segment::Placeholder(name) if !name.is_empty() => Some((name.as_str(), &path[start..end])),
                Segment::Placeholder(_) | Segment::Exact(_) => None,
            })
            .collect();
        if values.iter().all(|(name, _)| *name != "splat") {
            values.push(("splat", splat));
        }
        // Of the names that a text begins with, the longest is the last one that is not behind it in this order.
        values.sort_unstable();
        // The colon of a scheme stays one.
        let scheme = if self.to.starts_with('/') { 0 } else { self.to.find(':').map_or(0, |at| at + 1) };
        let mut pieces = self.to[scheme..].split(':');
        let mut to = format!("{}{}", &self.to[..scheme], pieces.next().unwrap_or_default());
        for piece in pieces {
            match longest(&values, piece) {
                Some((name, value)) if escape => {
                    to.push_str(&query::encode_path(value));
                    to.push_str(&piece[name.len()..]);
                }
                Some((name, value)) => {
                    to.push_str(value);
                    to.push_str(&piece[name.len()..]);
                }
                None => {
                    to.push(':');
                    to.push_str(piece);
                }
            }
            if to.len() > MAX_TARGET {
                return Err(RedirectError::Target);
            }
        }
        if to.starts_with("//") && !self.to.starts_with("//") {
            // What a client wrote would name a host.
            to.replace_range(..to.len() - to.trim_start_matches('/').len(), "/");
        }
        Ok(to)
    }
}

/// The longest of the sorted names that a text begins with.
fn longest<'a>(values: &[(&'a str, &'a str)], text: &str) -> Option<(&'a str, &'a str)> {
    // Each step back goes to what shares less with the text, so that it takes no more steps than the text is long.
    let mut text = text;
    loop {
        let at = values.partition_point(|(name, _)| *name <= text);
        let (name, value) = *values.get(at.checked_sub(1)?)?;
        if text.starts_with(name) {
            return Some((name, value));
        }
        let common = name.chars().zip(text.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
        text = &text[..common];
    }
}

fn rule(line: &str) -> Result<Rule, String> {
    let fields: Vec<&str> = line.split_whitespace().take(4).collect();
    let (from, to, status) = match fields[..] {
        [from, to] => (from, to, "301"),
        [from, to, status] => (from, to, status),
        [_] | [] => return Err("missing 'to' path".into()),
        _ => return Err("must match format 'from to [status]'".into()),
    };
    let (from, splat) = parse_from(from).map_err(|reason| format!("parsing 'from': {reason}"))?;
    check_to(to).map_err(|reason| format!("parsing 'to': {reason}"))?;
    let status = parse_status(status).map_err(|reason| format!("parsing status {status:?}: {reason}"))?;
    Ok(Rule { from, splat, to: to.to_owned(), status })
}

fn parse_from(text: &str) -> Result<(Vec<Segment>, bool), String> {
    match text.bytes().filter(|&byte| byte == b'*').count() {
        0 => {}
        _ if !text.ends_with('*') => return Err("path must end with asterisk".into()),
        1 => {}
        _ => return Err("path can have at most one asterisk".into()),
    }
    check_url(text)?;
    if !text.starts_with('/') {
        return Err("path must begin with '/'".into());
    }
    let mut segments: Vec<&str> = text.strip_suffix('/').unwrap_or(text).split('/').collect();
    let splat = segments.last() == Some(&"*");
    if splat {
        segments.pop();
    }
    let mut names: Vec<&str> = segments.iter().filter_map(|segment| segment.strip_prefix(':')).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("the placeholder {:?} is used more than once", twice[0]));
    }
    let segment = |text: &str| match text.strip_prefix(':') {
        Some(name) => Segment::Placeholder(name.to_owned()),
        None => Segment::Exact(text.to_owned()),
    };
    Ok((segments.into_iter().map(segment).collect(), splat))
}

fn check_to(text: &str) -> Result<(), String> {
    let scheme = check_url(text)?;
    let known = |scheme: &str| ["http", "https", "ipfs", "ipns"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    if text.starts_with('/') || scheme.is_some_and(known) { Ok(()) } else { Err("invalid URL scheme".into()) }
}

fn parse_status(text: &str) -> Result<u16, String> {
    if text.ends_with('!') {
        return Err("forced redirects (or \"shadowing\") are not supported".into());
    }
    let code: i64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match code {
        200 | 301 | 302 | 303 | 307 | 308 | 404 | 410 | 451 => u16::try_from(code).map_err(|error| error.to_string()),
        _ => Err(format!("status code {code} is not supported")),
    }
}

/// Whether text may be a URL, absolute or not; its scheme, if it has one.
fn check_url(text: &str) -> Result<Option<&str>, String> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("invalid control character in URL".into());
    }
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    check_escapes(fragment)?;
    let (scheme, rest) = match split_scheme(text)? {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, text),
    };
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    if scheme.is_some() && !rest.starts_with('/') {
        return Ok(scheme);
    }
    if scheme.is_none() && !rest.starts_with('/') && rest.split('/').next().is_some_and(|first| first.contains(':')) {
        return Err("first path segment in URL cannot contain colon".into());
    }
    let authority = rest.strip_prefix("//").filter(|rest| scheme.is_some() || !rest.starts_with('/'));
    match authority {
        None => check_escapes(rest)?,
        Some(rest) => {
            let at = rest.find('/').unwrap_or(rest.len());
            check_authority(&rest[..at])?;
            check_escapes(&rest[at..])?;
        }
    }
    Ok(scheme)
}

/// The scheme and what follows its colon.
fn split_scheme(text: &str) -> Result<Option<(&str, &str)>, String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".into()),
            b':' => return Ok(Some((&text[..at], &text[at + 1..]))),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

fn check_authority(authority: &str) -> Result<(), String> {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let user_char = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(user_char) {
        return Err("invalid userinfo".into());
    }
    check_escapes(user)?;
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let end = rest.rfind(']').ok_or("missing ']' in host")?;
            (&rest[..end], &rest[end + 1..])
        }
        None => host.rfind(':').map_or((host, ""), |at| (&host[..at], &host[at..])),
    };
    if !(port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))) {
        return Err(format!("invalid port {port:?} after host"));
    }
    let host_char =
        |byte: u8| !byte.is_ascii() || byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]<>\"%".contains(&byte);
    if let Some(byte) = name.bytes().find(|&byte| !host_char(byte)) {
        return Err(format!("invalid character {:?} in host name", char::from(byte)));
    }
    // Of what is ASCII only a percent sign may be encoded in a name.
    let wrong = |at: usize| {
        let byte = name.get(at + 1..at + 3).filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        byte.is_none_or(|hex| hex != "25" && hex.as_bytes()[0] < b'8')
    };
    if name.match_indices('%').any(|(at, _)| wrong(at)) { Err("invalid URL escape in host".into()) } else { Ok(()) }
}

/// Every percent sign has two digits after it.
fn check_escapes(text: &str) -> Result<(), String> {
    let whole = |at: usize| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    match text.match_indices('%').find(|(at, _)| !whole(*at)) {
        Some((at, _)) => Err(format!("invalid URL escape {:?}", text[at..].chars().take(3).collect::<String>())),
        None => Ok(()),
    }
}
