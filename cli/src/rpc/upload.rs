//! Files that a client sent, read as they come: nothing is held but a piece at a time.
//!
//! Parts come in the order in which they were sent. Their names are paths; folders may have parts of their own
//! (`application/x-directory`) or are known from the paths of what is in them. Source: boxo's `files` package.

use super::{
    PART_FAILED, SENDER_FAILED, decode_percent, decode_percent_bytes, frames,
    multipart::{Headers, Multipart, Pieces},
    pipe::Pipe,
    reply::Terminal,
};
use crate::{exit::Interrupted, input::Named};
use anyhow::{Context as _, bail};
use bytes::Bytes;
use cairn_store::{
    import::{ImportError, SenderError, Step, Steps},
    unixfs::{meta::FileMeta, node::Mtime},
};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    future::Future,
    io::{self, Read},
    path::PathBuf,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};
use tokio::sync::mpsc;

/// Deepest nesting of folders that is taken.
const MAX_DEPTH: usize = 4096;
/// Longest target of a symlink, in bytes: what Linux takes.
const MAX_LINK: u64 = 4096;
/// How often somebody who waits for the client looks whether it shall stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// What was sent with a request.
pub struct Upload {
    state: Mutex<State>,
    /// The terminal of a command line, and the way to it.
    caller: Option<(Terminal, Arc<Pipe>)>,
}

struct State {
    multipart: Option<Multipart>,
    /// Headers of the next part, when they were read already.
    next: Option<Headers>,
    /// Number of the present part.
    part: u64,
}

impl Upload {
    /// Of a program's request: `None` if it sent no files.
    pub fn of_program(multipart: Option<Multipart>) -> Option<Arc<Self>> {
        multipart.map(|multipart| Arc::new(Self::with(Some(multipart), None)))
    }

    /// Of a command line's request, which sends standard input when it is asked for it.
    pub fn of_command_line(multipart: Option<Multipart>, terminal: Terminal, pipe: Arc<Pipe>) -> Arc<Self> {
        Arc::new(Self::with(multipart, Some((terminal, pipe))))
    }

    fn with(multipart: Option<Multipart>, caller: Option<(Terminal, Arc<Pipe>)>) -> Self {
        Self { state: Mutex::new(State { multipart, next: None, part: 0 }), caller }
    }

    /// Whether a person asked through a command line.
    pub fn is_command_line(&self) -> bool {
        self.caller.is_some()
    }

    /// Whether only a person at a terminal could be read from.
    pub fn stdin_is_absent(&self) -> bool {
        self.caller.as_ref().is_some_and(|(terminal, _)| terminal.stdin)
    }

    /// The next part as one stream of bytes; a command line sends its standard input.
    pub fn stdin(self: &Arc<Self>) -> Box<dyn Read + Send> {
        Box::new(Stdin { upload: Arc::clone(self), part: None })
    }

    /// The next file.
    ///
    /// # Errors
    /// When it is none, or the body is malformed.
    pub fn next_file(self: &Arc<Self>) -> anyhow::Result<Option<Named>> {
        let Some(headers) = self.next_part()? else { return Ok(None) };
        let path = String::from_utf8_lossy(&path_of(&headers).join(&b'/')).into_owned();
        let name = if path.is_empty() { "stdin".to_owned() } else { path };
        match kind_of(&headers) {
            PartKind::File => Ok(Some(Named { name, reader: Box::new(self.reader()) })),
            PartKind::Folder => bail!("{name} is a directory: a file is wanted"),
            PartKind::Symlink => bail!("{name} is a symlink: a file is wanted"),
        }
    }

    /// The trees that were sent.
    pub fn steps(self: &Arc<Self>) -> Trees {
        Trees { upload: Arc::clone(self), open: Vec::new(), ready: VecDeque::new(), ended: false }
    }

    fn next_part(&self) -> io::Result<Option<Headers>> {
        let mut state = self.state.lock();
        state.part += 1;
        let headers = match (state.next.take(), &mut state.multipart) {
            (Some(headers), _) => Some(headers),
            (None, Some(multipart)) => multipart.next_part()?,
            (None, None) => None,
        };
        headers.map(checked).transpose()
    }

    /// Reads the present part.
    fn reader(self: &Arc<Self>) -> PartReader {
        let part = self.state.lock().part;
        PartReader { upload: Arc::clone(self), part, piece: Bytes::new(), ended: false }
    }
}

/// An error if the sender failed.
fn checked(headers: Headers) -> io::Result<Headers> {
    match headers.get(SENDER_FAILED).or(headers.get(PART_FAILED)) {
        Some(message) => Err(io::Error::other(SenderError(decode_percent(message, false)))),
        None => Ok(headers),
    }
}

struct Stdin {
    upload: Arc<Upload>,
    part: Option<Option<PartReader>>,
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.part.is_none() {
            if let Some((_, pipe)) = &self.upload.caller {
                pipe.write(&[&frames::want_stdin()])?;
            }
            let found = self.upload.next_part()?.is_some();
            self.part = Some(found.then(|| self.upload.reader()));
        }
        match &mut self.part {
            Some(Some(part)) => part.read(buffer),
            _ => Ok(0),
        }
    }
}

/// The content of one part. Behind its end the next header is read: the sender may say there that it failed.
struct PartReader {
    upload: Arc<Upload>,
    part: u64,
    piece: Bytes,
    ended: bool,
}

impl Read for PartReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        if self.piece.is_empty() {
            let mut guard = self.upload.state.lock();
            let state = &mut *guard;
            let Some(multipart) = state.multipart.as_mut().filter(|_| state.part == self.part) else { return Ok(0) };
            match multipart.content(usize::MAX)? {
                Some(piece) => self.piece = piece,
                None => {
                    self.ended = true;
                    let next = multipart.next_part()?;
                    let void = next.as_ref().is_some_and(|headers| headers.get(PART_FAILED).is_some());
                    state.next = if void { next.map(checked).transpose()? } else { next };
                    return Ok(0);
                }
            }
        }
        let now = self.piece.split_to(self.piece.len().min(buffer.len()));
        buffer[..now.len()].copy_from_slice(&now);
        Ok(now.len())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartKind {
    File,
    Folder,
    Symlink,
}

fn kind_of(headers: &Headers) -> PartKind {
    let kind = headers.get("content-type").and_then(|c| c.split(';').next()).unwrap_or_default().trim();
    match kind.to_ascii_lowercase().as_str() {
        "application/x-directory" | "multipart/form-data" => PartKind::Folder,
        "application/symlink" => PartKind::Symlink,
        _ => PartKind::File,
    }
}

/// The path of a part, made clean: `..` leads no higher than the top.
fn path_of(headers: &Headers) -> Vec<Vec<u8>> {
    let name = headers.parameter("content-disposition", "filename").unwrap_or_default();
    let mut path = Vec::new();
    for part in decode_percent_bytes(&name, true).split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(path.pop()),
            name => path.push(name.to_vec()),
        }
    }
    path
}

/// Mode and time of a part: in the query of its form name, `file?mode=0644&mtime=0&mtime-nsecs=1`.
fn meta_of(headers: &Headers) -> FileMeta {
    let name = headers.parameter("content-disposition", "name").unwrap_or_default();
    let query = name.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let find = |key| query.split('&').filter_map(|p| p.split_once('=')).find(|(k, _)| *k == key).map(|(_, v)| v);
    let mode = find("mode").and_then(|text| u32::from_str_radix(text, 8).ok()).map(|mode| mode & 0o7777);
    let seconds = find("mtime").and_then(|text| text.parse().ok());
    let nanos = find("mtime-nsecs").and_then(|text| text.parse().ok()).filter(|n| *n < 1_000_000_000).unwrap_or(0);
    FileMeta { mode, mtime: seconds.map(|seconds| Mtime { seconds, nanos }) }
}

/// See [`Upload::steps`].
pub struct Trees {
    upload: Arc<Upload>,
    /// Names of the folders that are open.
    open: Vec<Vec<u8>>,
    ready: VecDeque<Step>,
    ended: bool,
}

impl Steps for Trees {
    fn next(&mut self) -> Result<Option<Step>, ImportError> {
        loop {
            if let Some(step) = self.ready.pop_front() {
                return Ok(Some(step));
            }
            if self.ended {
                return Ok(None);
            }
            match self.upload.next_part().map_err(failed)? {
                Some(headers) => self.take(&headers)?,
                None => {
                    self.ended = true;
                    self.ready.extend(self.open.drain(..).map(|_| Step::Leave));
                }
            }
        }
    }
}

impl Trees {
    /// Makes steps of a part.
    fn take(&mut self, headers: &Headers) -> Result<(), ImportError> {
        let mut path = path_of(headers);
        let (kind, meta) = (kind_of(headers), meta_of(headers));
        if path.len() > MAX_DEPTH {
            return Err(ImportError::Loop { path: shown(&path) });
        }
        let name = if kind == PartKind::Folder { None } else { Some(path.pop()) };
        let common = self.open.iter().zip(&path).take_while(|(open, name)| open == name).count();
        while self.open.len() > common {
            self.open.pop();
            self.ready.push_back(Step::Leave);
        }
        let last = path.len();
        for (depth, folder) in path.into_iter().enumerate().skip(common) {
            // One that is only known from the paths of what is in it has no meta of its own.
            let meta = if name.is_none() && depth + 1 == last { meta } else { FileMeta::default() };
            self.ready.push_back(Step::Enter { name: folder.clone(), meta });
            self.open.push(folder);
        }
        let Some(name) = name else { return Ok(()) };
        let reader = self.upload.reader();
        let step = match (kind, name) {
            (PartKind::Symlink, Some(name)) => {
                let mut target = Vec::new();
                reader.take(MAX_LINK + 1).read_to_end(&mut target).map_err(failed)?;
                if target.len() as u64 > MAX_LINK {
                    return Err(ImportError::Sender("a symlink whose target is longer than 4096 bytes".into()));
                }
                Step::Symlink { name, target, meta }
            }
            (PartKind::Symlink, None) => return Err(ImportError::Sender("a symlink without a name".into())),
            (_, name) => {
                let path = name.as_deref().map_or_else(|| PathBuf::from("standard input"), |n| shown(&[n.to_vec()]));
                Step::File { name, meta, path, reader: Box::new(reader), size: None }
            }
        };
        self.ready.push_back(step);
        Ok(())
    }
}

fn shown(path: &[Vec<u8>]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(&path.join(&b'/')).into_owned())
}

fn failed(error: io::Error) -> ImportError {
    match error.get_ref().and_then(|e| e.downcast_ref::<SenderError>()) {
        Some(SenderError(message)) => ImportError::Sender(message.clone()),
        None => ImportError::Sender(format!("cannot read what was sent: {error}")),
    }
}

/// Pieces of a body that were received and not yet read, at most. The client waits then.
const WAITING: usize = 2;

/// The body of a request, for threads that wait for it.
///
/// It is received by a task, whether or not somebody reads it: that is how the end of a connection is noticed.
pub struct BodyPieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    cancel: Arc<AtomicBool>,
}

impl BodyPieces {
    /// Receives a body until `cancel` is set, and sets it when the connection breaks off. Must be called within a
    /// runtime.
    pub fn new(mut body: Incoming, cancel: Arc<AtomicBool>) -> Self {
        let (sender, pieces) = mpsc::channel(WAITING);
        let broken = Arc::clone(&cancel);
        tokio::spawn(async move {
            while let Some(frame) = body.frame().await {
                let piece = match frame {
                    // Trailers say nothing here.
                    Ok(frame) => Ok(frame.into_data().unwrap_or_default()),
                    Err(error) => {
                        broken.store(true, Ordering::Relaxed);
                        Err(io::Error::other(error))
                    }
                };
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
        });
        Self { pieces, cancel }
    }
}

impl Pieces for BodyPieces {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match wait(self.pieces.recv(), &self.cancel)? {
                Some(Ok(piece)) if piece.is_empty() => {}
                other => return other.transpose(),
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future that needs no runtime, on a thread of whatever kind.
fn wait<T>(future: impl Future<Output = T>, cancel: &AtomicBool) -> io::Result<T> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Ok(value);
        }
        if cancel.load(Ordering::Relaxed) {
            return Err(io::Error::other(Interrupted));
        }
        thread::park_timeout(PATIENCE);
    }
}

/// What was sent, if it was sent as files.
///
/// # Errors
/// When the boundary is missing or wrong.
pub fn multipart(content_type: &str, body: Incoming, cancel: Arc<AtomicBool>) -> anyhow::Result<Option<Multipart>> {
    let boundary =
        super::multipart::boundary(content_type).map_err(anyhow::Error::msg).context("cannot read the body")?;
    Ok(boundary.map(|boundary| Multipart::new(Box::new(BodyPieces::new(body, cancel)), &boundary)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Once(Option<Bytes>);

    impl Pieces for Once {
        fn next(&mut self) -> io::Result<Option<Bytes>> {
            Ok(self.0.take())
        }
    }

    fn part(name: &str, filename: &str, kind: &str, content: &str) -> String {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\"\r\nContent-Type: {kind}\r\n\r\n{content}\r\n"
        )
    }

    const FILE: &str = "application/octet-stream";
    const FOLDER: &str = "application/x-directory";

    fn steps(parts: &[String]) -> Result<Vec<String>, ImportError> {
        let body = parts.concat() + "--b--\r\n";
        let upload = Upload::of_program(Some(Multipart::new(Box::new(Once(Some(body.into()))), "b"))).expect("files");
        let mut trees = upload.steps();
        let mut out = Vec::new();
        while let Some(step) = trees.next()? {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            out.push(match step {
                Step::Enter { name, meta } => format!("{}/ {:?}", text(&name), meta.mode),
                Step::Leave => "..".to_owned(),
                Step::Symlink { name, target, .. } => format!("{} -> {}", text(&name), text(&target)),
                Step::File { name, meta, mut reader, .. } => {
                    let mut content = String::new();
                    reader.read_to_string(&mut content).map_err(failed)?;
                    let name = name.map_or("-".to_owned(), |n| text(&n));
                    format!("{name} = {content} {:?}", meta.mtime.map(|m| (m.seconds, m.nanos)))
                }
            });
        }
        Ok(out)
    }

    #[test]
    fn parts_become_trees() {
        let got = steps(&[
            part("file?mode=0755", "top", FOLDER, ""),
            part("file?mtime=-5&mtime-nsecs=7", "top%2Fa+b", FILE, "one"),
            part("file", "top%2Fsub%2Fdeep%2Ff", FILE, "two"),
            part("file", "top/link", "application/symlink", "a b"),
            part("file", "lone", FILE, "three"),
            part("file", "", FILE, "four"),
            part("file", "%2e%2e/../etc//./passwd", FILE, "five"),
        ]);
        let expected = [
            "top/ Some(493)",
            "a b = one Some((-5, 7))",
            "sub/ None",
            "deep/ None",
            "f = two None",
            "..",
            "..",
            "link -> a b",
            "..",
            "lone = three None",
            "- = four None",
            "etc/ None",
            "passwd = five None",
            "..",
        ];
        assert_eq!(got.expect("well-formed"), expected);
    }

    #[test]
    fn a_folder_is_entered_again_when_it_was_left() {
        let got = steps(&[part("f", "d/x", FILE, ""), part("f", "d", FOLDER, ""), part("f", "d/y", FILE, "")]);
        assert_eq!(got.expect("well-formed"), ["d/ None", "x =  None", "y =  None", ".."]);
        let got = steps(&[part("f", "d/s/x", FILE, ""), part("f", "d/y", FILE, ""), part("f", "d/s/z", FILE, "")]);
        let expected = ["d/ None", "s/ None", "x =  None", "..", "y =  None", "s/ None", "z =  None", "..", ".."];
        assert_eq!(got.expect("well-formed"), expected);
    }

    #[test]
    fn a_sender_that_fails_spoils_the_file_that_it_was_sending() {
        let failed = |header| format!("--b\r\n{header}: cannot%20read%20x\r\n\r\n\r\n");
        let read = |parts: &[String]| {
            let body = parts.concat() + "--b--\r\n";
            let pieces = Box::new(Once(Some(body.into())));
            let mut trees = Upload::of_program(Some(Multipart::new(pieces, "b"))).expect("files").steps();
            let Some(Step::File { mut reader, .. }) = trees.next().expect("a file") else { panic!("no file") };
            let content = reader.read_to_end(&mut Vec::new()).map_err(super::failed);
            (
                content.is_ok(),
                content.map(drop).and_then(|()| trees.next().map(drop)).expect_err("an error").to_string(),
            )
        };
        for (header, whole) in [(PART_FAILED, false), (SENDER_FAILED, true)] {
            let got = read(&[part("f", "x", FILE, "half"), failed(header)]);
            assert_eq!(got, (whole, "cannot read x".to_owned()), "{header}");
        }
        assert_eq!(steps(&[failed(SENDER_FAILED)]).expect_err("an error").to_string(), "cannot read x");
    }
}
