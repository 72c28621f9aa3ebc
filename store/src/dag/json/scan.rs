//! Tokens of JSON.

use crate::{
    cid,
    dag::ipld::{CodecError, Nest, Token, Tokens},
};
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use std::borrow::Cow;

/// Base64 with or without padding, as Kubo reads it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn malformed(reason: impl Into<String>) -> CodecError {
    CodecError::Malformed { codec: "dag-json", reason: reason.into() }
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// A value that has to be there.
    Value,
    /// The first element or name, or the end.
    FirstOrEnd,
    /// A comma, or the end.
    CommaOrEnd,
    /// Nothing.
    End,
}

pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Whether links and bytes have their forms.
    dag: bool,
    expect: Expect,
    nest: Nest<'a>,
}

impl<'a> Tokens<'a> for Scanner<'a> {
    const CODEC: &'static str = "dag-json";

    fn next(&mut self) -> Result<Option<Token<'a>>, CodecError> {
        self.skip_space();
        match self.expect {
            Expect::End => match self.peek() {
                None => return Ok(None),
                Some(_) => return Err(self.unexpected("the end")),
            },
            Expect::Value => return self.value().map(Some),
            Expect::FirstOrEnd | Expect::CommaOrEnd => {}
        }
        let map = self.nest.in_map() == Some(true);
        if self.eat(if map { b'}' } else { b']' }) {
            self.nest.close().map_err(|key| malformed(format!("the name {key:?} twice in a map")))?;
            self.after_value();
            return Ok(Some(Token::Close));
        }
        if self.expect == Expect::CommaOrEnd {
            if !self.eat(b',') {
                return Err(self.unexpected("a comma or an end"));
            }
            self.skip_space();
        }
        if map { self.key().map(Some) } else { self.value().map(Some) }
    }
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8], dag: bool) -> Result<Self, CodecError> {
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        Ok(Self { text, at: 0, dag, expect: Expect::Value, nest: Nest::default() })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn unexpected(&self, wanted: &str) -> CodecError {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(c) => malformed(format!("{c:?} at byte {} instead of {wanted}", self.at)),
            None => malformed(format!("it ends before {wanted}")),
        }
    }

    fn after_value(&mut self) {
        self.expect = if self.nest.in_map().is_some() { Expect::CommaOrEnd } else { Expect::End };
    }

    fn key(&mut self) -> Result<Token<'a>, CodecError> {
        let key = self.name()?;
        self.nest.key(key.clone());
        self.expect = Expect::Value;
        Ok(Token::Key(key))
    }

    /// A name and its colon.
    fn name(&mut self) -> Result<Cow<'a, [u8]>, CodecError> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a name in quotes"));
        }
        let name = bytes(self.string()?);
        self.skip_space();
        if self.eat(b':') { Ok(name) } else { Err(self.unexpected("a colon")) }
    }

    fn value(&mut self) -> Result<Token<'a>, CodecError> {
        let token = match self.peek() {
            Some(b'{') => {
                self.at += 1;
                match self.special()? {
                    Some(token) => token,
                    None => return self.open(true, Token::Map),
                }
            }
            Some(b'[') => {
                self.at += 1;
                return self.open(false, Token::List(0));
            }
            Some(b'"') => Token::Text(bytes(self.string()?)),
            Some(b'n') => self.word("null", Token::Null)?,
            Some(b't') => self.word("true", Token::Bool(true))?,
            Some(b'f') => self.word("false", Token::Bool(false))?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return Err(self.unexpected("a value")),
        };
        self.after_value();
        Ok(token)
    }

    fn open(&mut self, map: bool, token: Token<'a>) -> Result<Token<'a>, CodecError> {
        self.nest.open(map)?;
        self.expect = Expect::FirstOrEnd;
        Ok(token)
    }

    fn word(&mut self, word: &str, token: Token<'a>) -> Result<Token<'a>, CodecError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(token)
    }

    /// The link or the bytes that this map, whose brace was read, stands for. Looks ahead over one string, and
    /// goes back when it is an ordinary map.
    fn special(&mut self) -> Result<Option<Token<'a>>, CodecError> {
        let start = self.at;
        if self.dag
            && self.named("/")
            && let Some(token) = self.special_value()?
        {
            return Ok(Some(token));
        }
        self.at = start;
        Ok(None)
    }

    fn special_value(&mut self) -> Result<Option<Token<'a>>, CodecError> {
        if self.eat(b'{') {
            let Some(text) = self.named("bytes").then(|| self.sole_string()).flatten() else { return Ok(None) };
            self.skip_space();
            if !self.eat(b'}') {
                return Ok(None);
            }
            let bytes = BASE64.decode(text.as_bytes()).map_err(|e| malformed(format!("bytes: {e}")))?;
            return Ok(Some(Token::Bytes(Cow::Owned(bytes))));
        }
        let Some(text) = self.sole_string() else { return Ok(None) };
        let cid = cid::parse(&text).map_err(|e| malformed(format!("link: {e}")))?;
        Ok(Some(Token::Link(cid)))
    }

    /// Whether the next name is this one; then it, its colon and the space behind are passed.
    fn named(&mut self, name: &str) -> bool {
        self.skip_space();
        let is = self.peek() == Some(b'"') && self.name().is_ok_and(|n| n.as_ref() == name.as_bytes());
        self.skip_space();
        is
    }

    /// The string that is the last value of its map, whose brace is passed too.
    fn sole_string(&mut self) -> Option<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let text = self.string().ok()?;
        self.skip_space();
        self.eat(b'}').then_some(text)
    }

    /// A string, whose quote is next.
    fn string(&mut self) -> Result<Cow<'a, str>, CodecError> {
        self.at += 1;
        let mut decoded: Option<String> = None;
        loop {
            let rest = &self.text[self.at..];
            let stop = rest.bytes().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len());
            let plain = &rest[..stop];
            self.at += stop;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match decoded {
                        None => Cow::Borrowed(plain),
                        Some(text) => Cow::Owned(text + plain),
                    });
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escape()?;
                    let text = decoded.get_or_insert_default();
                    text.push_str(plain);
                    text.push(c);
                }
                _ => return Err(self.unexpected("the rest of a string")),
            }
        }
    }

    /// What stands for one character, behind its backslash.
    fn escape(&mut self) -> Result<char, CodecError> {
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.unexpected("an escape")),
        };
        self.at += 1;
        Ok(c)
    }

    fn unicode(&mut self) -> Result<char, CodecError> {
        let lone = || malformed("half of a surrogate pair");
        let first = self.hex()?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first).ok_or_else(lone);
        }
        if first >= 0xdc00 || !(self.eat(b'\\') && self.eat(b'u')) {
            return Err(lone());
        }
        match self.hex()? {
            second @ 0xdc00..0xe000 => {
                char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or_else(lone)
            }
            _ => Err(lone()),
        }
    }

    fn hex(&mut self) -> Result<u32, CodecError> {
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = digits.and_then(|d| u32::from_str_radix(d, 16).ok());
        let value = value.ok_or_else(|| self.unexpected("four hexadecimal digits"))?;
        self.at += 4;
        Ok(value)
    }

    fn number(&mut self) -> Result<Token<'a>, CodecError> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        let whole_end = self.at;
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        let out_of_range = || malformed(format!("a number out of range at byte {start}"));
        if self.at == whole_end {
            // What dag-cbor can hold, so that every block has a form in both.
            let value: i128 = text.parse().map_err(|_| out_of_range())?;
            let fits = u64::try_from(value).is_ok() || u64::try_from(-1 - value).is_ok();
            return if fits { Ok(Token::Int(value)) } else { Err(out_of_range()) };
        }
        let value: f64 = text.parse().map_err(|_| out_of_range())?;
        if value.is_finite() { Ok(Token::Float(value)) } else { Err(out_of_range()) }
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), CodecError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.unexpected("a digit")) }
    }
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}
