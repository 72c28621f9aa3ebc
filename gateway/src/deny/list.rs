//! One denylist: reading it, and reading on when it has grown.

use super::{
    MAX_WARNINGS,
    rule::{self, Line, Rule},
    table::{Order, Status},
};
use std::{
    fs::{File, Metadata},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Longest line in bytes.
pub(super) const MAX_LINE: usize = 2 << 20;
/// Longest header in bytes.
pub(super) const MAX_HEADER: usize = 1 << 20;
/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// A list as it was read last.
pub(super) struct List {
    path: PathBuf,
    /// As it was before it was read: a change meanwhile is seen at the next look.
    stamp: Option<Stamp>,
    parser: Parser,
    /// Hash of all bytes that were read.
    hash: blake3::Hasher,
    len: u64,
    broken: bool,
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    /// That of the file at a path; `None` if it can't be had.
    pub(super) fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|meta| Self::of(&meta))
    }

    fn of(meta: &Metadata) -> Self {
        Self { len: meta.len(), modified: meta.modified().ok() }
    }
}

impl List {
    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Whether it could not be read to its end.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Reads the list of that number.
    pub(super) fn read(path: PathBuf, number: u64, add: &mut dyn FnMut(Rule, Order)) -> Self {
        let mut list =
            Self { path, stamp: None, parser: Parser::default(), hash: blake3::Hasher::new(), len: 0, broken: false };
        list.go_on(number, add);
        list
    }

    /// Hands over what was appended since. `false`: it changed in another way, and all has to be read anew.
    pub(super) fn appended(&mut self, number: u64, rules: &mut Vec<(Rule, Order)>) -> bool {
        let stamp = Stamp::at(&self.path);
        if stamp == self.stamp {
            return true;
        }
        let longer = stamp.is_some_and(|stamp| stamp.len >= self.len);
        if !longer || self.broken || self.parser.is_undecided() || !self.is_still_there().unwrap_or(false) {
            return false;
        }
        self.go_on(number, &mut |rule, order| rules.push((rule, order)));
        true
    }

    /// Whether what was read is what the file begins with.
    fn is_still_there(&self) -> io::Result<bool> {
        let mut hash = blake3::Hasher::new();
        let mut file = File::open(&self.path)?.take(self.len);
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(hash.finalize() == self.hash.finalize()),
                len => hash.update(&piece[..len]),
            };
        }
    }

    /// Reads on from where it was read to.
    fn go_on(&mut self, number: u64, add: &mut dyn FnMut(Rule, Order)) {
        if let Err(error) = self.try_go_on(number, add) {
            self.broken = true;
            self.stamp = Stamp::at(&self.path);
            tracing::warn!("the denylist {} can't be read: {error}", self.path.display());
        }
    }

    fn try_go_on(&mut self, number: u64, add: &mut dyn FnMut(Rule, Order)) -> io::Result<()> {
        use std::io::Seek as _;
        let mut file = File::open(&self.path)?;
        self.stamp = Some(Stamp::of(&file.metadata()?));
        file.seek(io::SeekFrom::Start(self.len))?;
        let mut warnings = 0usize;
        let path = self.path.display();
        let mut warn = |line: u64, what: String| {
            warnings += 1;
            if warnings <= MAX_WARNINGS {
                tracing::warn!("{path}:{line}: {what}: this line blocks nothing");
            }
        };
        let mut on = |rule: Rule, line: u64, (allow, status)| add(rule, Order::new(number, line, allow, status));
        let mut piece = vec![0; PIECE];
        loop {
            let len = file.read(&mut piece)?;
            if len == 0 {
                break;
            }
            self.hash.update(&piece[..len]);
            self.len += len as u64;
            self.parser.feed(&piece[..len], &mut on, &mut warn);
        }
        self.parser.finish(&mut on, &mut warn);
        if warnings > MAX_WARNINGS {
            tracing::warn!("{path}: {} more bad lines", warnings - MAX_WARNINGS);
        }
        Ok(())
    }
}

/// Takes a rule, the number of its line, and whether it allows or how it blocks.
pub(super) type OnRule<'a> = &'a mut dyn FnMut(Rule, u64, (bool, Status));
/// Takes the number of a line and what is wrong with it.
pub(super) type OnBad<'a> = &'a mut dyn FnMut(u64, String);

/// Makes rules of bytes as they come.
#[derive(Default)]
pub(super) struct Parser {
    /// What came and was not used yet: a line that did not end, or all while there may be a header.
    rest: Vec<u8>,
    /// Lines that were used.
    lines: u64,
    /// Whether it is known where the header ends.
    begun: bool,
    /// Whether the rest of a line that is too long is being left out.
    skipping: bool,
    /// Whether the list is of a version that is not known.
    refused: bool,
    /// Whether the last line has no end, and was read all the same.
    unfinished: bool,
    status: Option<u16>,
}

impl Parser {
    /// Whether bytes that follow may change the meaning of what was read.
    fn is_undecided(&self) -> bool {
        self.unfinished
    }

    /// Reads on.
    pub(super) fn feed(&mut self, bytes: &[u8], on: OnRule<'_>, bad: OnBad<'_>) {
        self.rest.extend_from_slice(bytes);
        if !self.begun {
            match header_end(&self.rest) {
                _ if begins_with_rule(&self.rest) => self.begun = true,
                Some(end) => self.begin(end, bad),
                None if self.rest.len() > MAX_HEADER => self.begun = true,
                None => return,
            }
        }
        self.use_lines(on, bad);
    }

    /// Nothing follows for now: what came is all there is.
    pub(super) fn finish(&mut self, on: OnRule<'_>, bad: OnBad<'_>) {
        if !self.begun {
            // A header may still be coming: whatever is appended has all be read anew.
            self.unfinished = true;
            self.use_lines(on, bad);
        }
        if !self.rest.is_empty() && !self.skipping {
            self.unfinished = true;
            let line = std::mem::take(&mut self.rest);
            self.line(&line, on, bad);
        }
    }

    fn begin(&mut self, end: usize, bad: OnBad<'_>) {
        self.begun = true;
        let header: Vec<u8> = self.rest.drain(..end).collect();
        let text = String::from_utf8_lossy(&header);
        match parse_header(&text) {
            Ok(status) => self.status = status,
            Err(what) => {
                self.refused = true;
                bad(1, format!("{what}: nothing of this list is read"));
            }
        }
        self.lines = header.iter().filter(|&&byte| byte == b'\n').count() as u64;
    }

    fn use_lines(&mut self, on: OnRule<'_>, bad: OnBad<'_>) {
        let rest = std::mem::take(&mut self.rest);
        let mut begin = 0;
        while let Some(len) = rest[begin..].iter().position(|&byte| byte == b'\n') {
            let line = &rest[begin..begin + len];
            begin += len + 1;
            if std::mem::take(&mut self.skipping) {
                self.lines += 1;
            } else {
                self.line(line, on, bad);
            }
        }
        self.rest = rest[begin..].to_vec();
        if self.rest.len() >= MAX_LINE || self.skipping {
            if !self.skipping {
                bad(self.lines + 1, format!("a line of more than {MAX_LINE} bytes"));
            }
            self.skipping = true;
            self.rest.clear();
        }
    }

    fn line(&mut self, line: &[u8], on: OnRule<'_>, bad: OnBad<'_>) {
        self.lines += 1;
        if self.refused {
            return;
        }
        if line.len() >= MAX_LINE {
            return bad(self.lines, format!("a line of more than {MAX_LINE} bytes"));
        }
        let Ok(text) = std::str::from_utf8(line) else { return bad(self.lines, "it is not UTF-8".into()) };
        match Line::parse(text) {
            Ok(None) => {}
            Ok(Some(line)) => {
                let legal = line.status.or(self.status) == Some(451);
                let status = if legal { Status::Legal } else { Status::Gone };
                line.rules.into_iter().for_each(|rule| on(rule, self.lines, (line.allow, status)));
            }
            Err(what) => bad(self.lines, what),
        }
    }
}

/// Whether the first line that says anything is a rule: no header begins so, and none need be waited for.
fn begins_with_rule(bytes: &[u8]) -> bool {
    let first =
        bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty() && line[0] != b'#');
    first.is_some_and(|line| line.strip_prefix(b"!").unwrap_or(line).starts_with(b"/"))
}

/// Where the header ends, behind its last line.
fn header_end(bytes: &[u8]) -> Option<usize> {
    let bytes = &bytes[..bytes.len().min(MAX_HEADER)];
    let mut begin = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        begin += line.len();
        if matches!(line, b"---\n" | b"---\r\n") {
            return Some(begin);
        }
    }
    None
}

/// The status that a header asks for. Of YAML only what a header needs is read: a version, and a map of hints.
fn parse_header(text: &str) -> Result<Option<u16>, String> {
    let (mut status, mut in_hints) = (None, false);
    for line in text.lines().map(|line| line.split(" #").next().unwrap_or(line)) {
        let indented = line.starts_with([' ', '\t']);
        let Some((key, value)) = line.trim().split_once(':') else { continue };
        let (key, value) = (key.trim().trim_matches(['"', '\'']), value.trim());
        if indented {
            if in_hints {
                status = rule::status(key, value).or(status);
            }
            continue;
        }
        in_hints = key == "hints";
        if in_hints {
            let flow = value.trim_matches(['{', '}']).split(',').filter_map(|pair| pair.split_once(':'));
            status = flow.fold(status, |status, (key, value)| rule::status(key.trim(), value.trim()).or(status));
        }
        if key == "version" && !matches!(value.trim_matches(['"', '\'']), "1" | "0" | "") {
            return Err(format!("version {value} of the format is not known"));
        }
    }
    Ok(status)
}
