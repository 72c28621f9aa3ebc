//! Reads `multipart/form-data` as it comes, part by part, in bounded memory.
//!
//! Source: RFC 2046 §5.1 and RFC 7578; what the parts say of files is that of boxo's `files` package.

use bytes::{Buf as _, Bytes, BytesMut};
use std::io;

/// Longest boundary, by RFC 2046.
const MAX_BOUNDARY: usize = 70;
/// Longest header of a part in bytes, all lines together: a path of 4096 bytes, escaped, and some more.
const MAX_HEADER: usize = 32 << 10;
/// Bytes before the first boundary, and after one on its line, at most.
const MAX_NOISE: usize = 4 << 10;

/// Where a body comes from: gives its pieces, then `None`.
pub trait Pieces: Send {
    /// The next piece; it is not empty.
    ///
    /// # Errors
    /// When the body breaks off.
    fn next(&mut self) -> io::Result<Option<Bytes>>;
}

/// The headers of a part; names in lower case.
#[derive(Debug, Default, Clone)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of a header: `name` of `form-data; name="file"`.
    pub fn parameter(&self, header: &str, name: &str) -> Option<String> {
        let mut rest = self.get(header)?;
        rest = &rest[rest.find(';')?..];
        while let Some(after) = rest.strip_prefix(';') {
            let (key, value) = after.split_once('=')?;
            let (value, end) = value_of(value);
            if key.trim().eq_ignore_ascii_case(name) {
                return Some(value);
            }
            rest = end.trim_start();
        }
        None
    }
}

/// A parameter's value, quoted or not, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.trim_start().strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, c)) = letters.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// The boundary in a `Content-Type`, if that is `multipart/form-data`.
///
/// # Errors
/// When there is none, or it is none.
pub fn boundary(content_type: &str) -> Result<Option<String>, String> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("multipart/form-data") {
        return Ok(None);
    }
    let headers = Headers(vec![("content-type".into(), content_type.into())]);
    let boundary = headers.parameter("content-type", "boundary").ok_or("no multipart boundary param in Content-Type")?;
    let fine = |b: u8| b.is_ascii_graphic() || b == b' ';
    if boundary.is_empty() || boundary.len() > MAX_BOUNDARY || !boundary.bytes().all(fine) || boundary.ends_with(' ') {
        return Err("the boundary in Content-Type is not one".into());
    }
    Ok(Some(boundary))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the first boundary.
    Start,
    /// In the content of a part.
    Content,
    /// Behind the content of a part: what follows its boundary was not read yet.
    Boundary,
    /// Behind the last part.
    End,
    /// The body is malformed or broke off.
    Failed,
}

/// A body under way.
pub struct Multipart {
    pieces: Box<dyn Pieces>,
    /// CRLF, two hyphens, and the boundary.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    /// Bytes at the front of the buffer that belong to the present part.
    clear: usize,
    at: At,
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed multipart body: {what}"))
}

impl Multipart {
    /// Begins to read.
    pub fn new(pieces: Box<dyn Pieces>, boundary: &str) -> Self {
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        // So that the first boundary, which may stand at the very front, looks like the others.
        let buffer = BytesMut::from(&b"\r\n"[..]);
        Self { pieces, delimiter, buffer, clear: 0, at: At::Start }
    }

    /// The headers of the next part, or `None` behind the last. What is left of the present one is skipped.
    ///
    /// # Errors
    /// When the body is malformed or breaks off; it can't be read on then.
    pub fn next_part(&mut self) -> io::Result<Option<Headers>> {
        let result = self.advance();
        if result.is_err() {
            self.at = At::Failed;
        }
        result
    }

    fn advance(&mut self) -> io::Result<Option<Headers>> {
        let mut noise = 0;
        loop {
            match self.at {
                At::End => return Ok(None),
                At::Failed => return Err(malformed("it can't be read on")),
                At::Boundary => break,
                At::Start | At::Content => {
                    let content = self.content(usize::MAX)?;
                    if self.at == At::Start {
                        noise += content.map_or(0, |c| c.len());
                        if noise > MAX_NOISE {
                            return Err(malformed("no boundary at its beginning"));
                        }
                    }
                }
            }
        }
        self.need(2)?;
        if self.buffer.starts_with(b"--") {
            self.at = At::End;
            return Ok(None);
        }
        self.line(MAX_NOISE)?.iter().all(u8::is_ascii_whitespace).then_some(()).ok_or_else(|| malformed("a boundary"))?;
        let headers = self.headers()?;
        self.at = At::Content;
        self.clear = 0;
        Ok(Some(headers))
    }

    /// The next bytes of the present part, `most` at most; `None` at its end.
    ///
    /// # Errors
    /// When the body breaks off.
    pub fn content(&mut self, most: usize) -> io::Result<Option<Bytes>> {
        if !matches!(self.at, At::Content | At::Start) {
            return Ok(None);
        }
        while self.clear == 0 {
            match memchr::memmem::find(&self.buffer, &self.delimiter) {
                Some(0) => {
                    self.buffer.advance(self.delimiter.len());
                    self.at = At::Boundary;
                    return Ok(None);
                }
                Some(at) => self.clear = at,
                // All but what may be the beginning of a delimiter.
                None => self.clear = (self.buffer.len() + 1).saturating_sub(self.delimiter.len()),
            }
            if self.clear == 0 {
                self.more()?;
            }
        }
        let now = self.buffer.split_to(self.clear.min(most)).freeze();
        self.clear -= now.len();
        Ok(Some(now))
    }

    fn headers(&mut self) -> io::Result<Headers> {
        let mut left = MAX_HEADER;
        let mut headers = Vec::new();
        loop {
            let line = self.line(left)?;
            if line.is_empty() {
                return Ok(Headers(headers));
            }
            left = left.saturating_sub(line.len() + 2);
            let text = String::from_utf8_lossy(&line).into_owned();
            let (name, value) = text.split_once(':').ok_or_else(|| malformed("a header without a colon"))?;
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// A line without its end, which is CRLF.
    fn line(&mut self, most: usize) -> io::Result<BytesMut> {
        let mut searched = 0;
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer[searched..], b"\r\n") {
                let line = self.buffer.split_to(searched + at);
                self.buffer.advance(2);
                if line.len() > most {
                    return Err(malformed("a header that is too long"));
                }
                return Ok(line);
            }
            searched = self.buffer.len().saturating_sub(1);
            if self.buffer.len() > most {
                return Err(malformed("a header that is too long"));
            }
            self.more()?;
        }
    }

    fn need(&mut self, len: usize) -> io::Result<()> {
        while self.buffer.len() < len {
            self.more()?;
        }
        Ok(())
    }

    fn more(&mut self) -> io::Result<()> {
        match self.pieces.next() {
            Ok(Some(piece)) => {
                self.buffer.extend_from_slice(&piece);
                Ok(())
            }
            Ok(None) => {
                self.at = At::Failed;
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the multipart body ends before its last boundary"))
            }
            Err(error) => {
                self.at = At::Failed;
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Cut(Vec<u8>, usize);

    impl Pieces for Cut {
        fn next(&mut self) -> io::Result<Option<Bytes>> {
            let now = self.0.len().min(self.1);
            Ok((now > 0).then(|| Bytes::from(self.0.drain(..now).collect::<Vec<_>>())))
        }
    }

    type Parts = Vec<(Headers, Vec<u8>)>;

    fn read(body: &[u8], cut: usize) -> io::Result<Parts> {
        let mut multipart = Multipart::new(Box::new(Cut(body.to_vec(), cut)), "b0");
        let mut parts = Vec::new();
        while let Some(headers) = multipart.next_part()? {
            let mut content = Vec::new();
            while let Some(bytes) = multipart.content(7)? {
                content.extend_from_slice(&bytes);
            }
            parts.push((headers, content));
        }
        Ok(parts)
    }

    const BODY: &[u8] = b"preamble\r\n--b0\r\nContent-Disposition: form-data; name=\"a\\\"b;c\"; filename=x%2Fy\r\n\r\none\r\n--b\r\n--b0 \r\n\r\n\r\n--b0\r\nX: y\r\n\r\n\r\n\r\n--b0--\r\nepilogue";

    #[test]
    fn parts_are_read_however_the_body_is_cut() {
        for cut in 1..BODY.len() {
            let parts = read(BODY, cut).expect("well-formed");
            let contents: Vec<&[u8]> = parts.iter().map(|(_, content)| content.as_slice()).collect();
            assert_eq!(contents, [&b"one\r\n--b"[..], b"", b"\r\n"], "in pieces of {cut}");
            let parameter = |name| parts[0].0.parameter("content-disposition", name);
            assert_eq!(parameter("name").as_deref(), Some("a\"b;c"));
            assert_eq!(parameter("filename").as_deref(), Some("x%2Fy"));
            assert_eq!(parameter("other"), None);
            assert_eq!(parts[2].0.get("x"), Some("y"));
        }
    }

    #[test]
    fn a_body_that_breaks_off_is_an_error() {
        let end = BODY.len() - b"--\r\nepilogue".len();
        for len in 0..=end {
            assert!(read(&BODY[..len], 5).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn what_has_no_end_is_refused_in_bounded_memory() {
        struct Endless(&'static [u8], Bytes);
        impl Pieces for Endless {
            fn next(&mut self) -> io::Result<Option<Bytes>> {
                let first = std::mem::take(&mut self.0);
                Ok(Some(if first.is_empty() { self.1.clone() } else { Bytes::from_static(first) }))
            }
        }
        for first in [&b"x"[..], b"--b0", b"--b0\r\n", b"--b0\r\nX: ", b"--b0\r\nX: y\r\n"] {
            for rest in [&b"xxxxxxxx"[..], b"\r", b"X: y\r\n"] {
                let rest = Bytes::from(rest.repeat(1000));
                let mut multipart = Multipart::new(Box::new(Endless(first, rest)), "b0");
                let error = multipart.next_part().map(|h| h.is_some()).expect_err("refused");
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                assert!(multipart.buffer.len() < 2 * MAX_HEADER);
                assert!(multipart.next_part().is_err(), "it stays refused");
            }
        }
    }

    #[test]
    fn boundaries_are_checked() {
        let of = |text| boundary(text);
        assert_eq!(of("multipart/form-data; boundary=b0"), Ok(Some("b0".into())));
        assert_eq!(of("Multipart/Form-Data; charset=x; boundary=\"b 0\""), Ok(Some("b 0".into())));
        assert_eq!(of("application/octet-stream"), Ok(None));
        for bad in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"a\r\nb\""] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
        assert!(of(&format!("multipart/form-data; boundary={}", "x".repeat(71))).is_err());
    }
}
