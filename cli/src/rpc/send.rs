//! A command that the daemon carries out: sends what it reads, shows what it says.

use super::{
    FRAMES, PART_FAILED, QUERY, SENDER_FAILED, TERMINAL,
    client::{Client, refusal},
    encode_percent,
    frames::{Decoder, Frame},
    query::Asked,
    reply::Terminal,
};
use crate::{
    cmd::{Command, add},
    ctx::Ctx,
    exit::Outcome,
    output::{Kind, colors_wanted},
    progress::{Bar, End, State},
    source_size,
};
use anyhow::{Context as _, bail};
use bytes::Bytes;
use cairn_store::{
    import::{Options, Source, Step, Walk},
    unixfs::{meta::FileMeta, profile::Profile},
};
use futures::{SinkExt as _, StreamExt as _, channel::mpsc};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::header::CONTENT_TYPE;
use std::{
    fs::File,
    io::{self, IsTerminal as _, Read, Write as _},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};
use tempfile::NamedTempFile;

/// Bytes of a file that are sent at once.
const PIECE: usize = 1 << 20;
/// Longest query that stands in the URI, in bytes.
const LONG_QUERY: usize = 32 << 10;
/// Pieces that wait to be sent.
const WAITING: usize = 2;

/// Runs a command in the daemon.
///
/// # Errors
/// When the daemon can't be reached, refuses, or goes away.
pub fn run(ctx: &Ctx, client: &Client, asked: Asked, command: &Command) -> anyhow::Result<Outcome> {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, io::Error>>(WAITING);
    let (want, wanted) = sync_channel(1);
    let boundary = format!("cairn-{:032x}", rand::random::<u128>());
    let parts = Parts { sender, boundary: boundary.clone(), void: false };
    let paths = asked.files.clone().unwrap_or_default();
    send(ctx, parts, &asked, command, wanted)?;
    let mut saved = saved(command)?;
    let terminal = Terminal {
        stdin: io::stdin().is_terminal(),
        stdout: ctx.out.tty,
        stderr: ctx.out.err_tty,
        color: colors_wanted(),
    };
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let terminal = terminal.to_string();
    let mut headers = vec![(TERMINAL, terminal.as_str()), (CONTENT_TYPE.as_str(), content_type.as_str())];
    let mut query = asked.query.as_str();
    if query.len() > LONG_QUERY {
        headers.push((QUERY, std::mem::take(&mut query)));
    }
    let outcome = ctx.block_on(async {
        let body = StreamBody::new(receiver.map(|piece| piece.map(hyper::body::Frame::data))).boxed_unsync();
        let mut answer = client.upload(&asked.path.join("/"), query, &headers, body).await?;
        if answer.headers().get(CONTENT_TYPE).is_none_or(|value| value != FRAMES) {
            return Ok(Outcome::failed(refusal(client.address(), answer).await));
        }
        let file = saved.as_mut().map(|(file, _)| file.as_file_mut());
        let mut screen = Screen { ctx, bar: None, paths, want, file };
        let mut decoder = Decoder::default();
        while let Some(frame) = answer.body_mut().frame().await {
            let piece = frame.ok().and_then(|f| f.into_data().ok()).unwrap_or_default();
            for frame in decoder.feed(piece).map_err(|e| anyhow::anyhow!("the daemon sent what makes no sense: {e}"))? {
                if let Some(outcome) = screen.show(frame)? {
                    // What can't be written, to a full disk for example, is no success.
                    ctx.out.finish()?;
                    return Ok(outcome);
                }
            }
            ctx.out.finish()?;
        }
        bail!("the daemon went away before the command had ended")
    })?;
    if let Some((file, path)) = saved.filter(|_| outcome.code == 0) {
        file.persist(&path).map_err(io::Error::from).with_context(|| format!("cannot put {path:?} in place"))?;
        let path = path.to_string_lossy().into_owned();
        ctx.out.emit_once(&serde_json::json!({"File": path}), |_| {
            format!("Wrote profiles to: {}\n", ctx.out.escape(&path))
        })?;
        ctx.out.finish()?;
    }
    Ok(outcome)
}

/// Where the answer goes if not to stdout: a file that appears once it is whole, and its name.
fn saved(command: &Command) -> anyhow::Result<Option<(NamedTempFile, PathBuf)>> {
    let Command::Diag(args) = command else { return Ok(None) };
    let Some(path) = args.output() else { return Ok(None) };
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().prefix(".cairn-").tempfile_in(parent);
    Ok(Some((file.with_context(|| format!("cannot write in {parent:?}"))?, path)))
}

/// Shows what the daemon says.
struct Screen<'a> {
    ctx: &'a Ctx,
    bar: Option<Bar>,
    /// What is sent: its size is the length of a bar that has none.
    paths: Vec<PathBuf>,
    want: SyncSender<()>,
    /// What is written instead of stdout.
    file: Option<&'a mut File>,
}

impl Screen<'_> {
    fn show(&mut self, frame: Frame) -> anyhow::Result<Option<Outcome>> {
        match frame {
            Frame::Stdout(bytes) if self.file.is_some() => {
                self.file.iter_mut().try_for_each(|file| file.write_all(&bytes))?;
            }
            Frame::Stdout(bytes) => {
                let print = || self.ctx.out.begin(Kind::Events, None).write_all(&bytes);
                match &self.bar {
                    Some(bar) => {
                        bar.suspend(|| print().and_then(|()| self.ctx.out.begin(Kind::Events, None).flush()))?;
                    }
                    None if bytes.len() >= PIECE / 16 => self.ctx.out.begin(Kind::Events, None).whole(bytes)?,
                    None => print()?,
                }
            }
            Frame::Stderr(text) => match &self.bar {
                Some(bar) => bar.suspend(|| self.ctx.out.note(&text)),
                None => self.ctx.out.note(&text),
            },
            Frame::Bar(state) => self.draw(&state),
            // Asked for once; whoever sends files takes no notice.
            Frame::WantStdin => drop(self.want.try_send(())),
            Frame::End(outcome) => return Ok(Some(outcome)),
        }
        Ok(None)
    }

    fn draw(&mut self, state: &State) {
        if !self.ctx.out.err_tty {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = Bar::on_terminal(&state.template, state.total);
            let paths = std::mem::take(&mut self.paths);
            if state.total.is_none() && !paths.is_empty() && paths.iter().all(|p| p.as_os_str() != "-") {
                let counted = bar.clone();
                thread::spawn(move || counted.set_length(source_size::total(paths)));
            }
            bar
        });
        if let Some(total) = state.total {
            bar.set_length(total);
        }
        bar.set_message(state.message.clone());
        bar.set_position(state.done);
        if let Some(end) = state.end {
            bar.end(end);
            self.bar = None;
        }
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.end(End::Clear);
        }
    }
}

/// Begins to send what the command reads, on a thread of its own, which ends when nobody wants more.
fn send(ctx: &Ctx, mut parts: Parts, asked: &Asked, command: &Command, wanted: Receiver<()>) -> anyhow::Result<()> {
    let stdin = ctx.input.stdin();
    let Some(files) = asked.files.clone() else {
        thread::spawn(move || {
            if wanted.recv().is_ok() {
                let _ = parts.file(b"", FileMeta::default(), stdin).and_then(|()| parts.end());
            }
        });
        return Ok(());
    };
    let reads_stdin = files.is_empty() || files.iter().any(|f| f.as_os_str() == "-");
    if let Command::Add(args) = command {
        if reads_stdin && ctx.input.is_absent() && ctx.out.err_tty && !args.is_silent() {
            ctx.out.note(add::READING_STDIN);
        }
        let options = args.walk_options(Options::new(Profile::unixfs_v0_2015()))?;
        let sources = args.sources(stdin);
        thread::spawn(move || parts.finish(|parts| parts.walk(sources, &options)));
    } else {
        thread::spawn(move || {
            let mut stdin = Some(stdin);
            parts.finish(|parts| parts.files(files, &mut stdin));
        });
    }
    Ok(())
}

/// The body, written part by part.
struct Parts {
    sender: mpsc::Sender<Result<Bytes, io::Error>>,
    boundary: String,
    /// Whether the last part was not sent to its end.
    void: bool,
}

impl Parts {
    fn push(&mut self, bytes: impl Into<Bytes>) -> anyhow::Result<()> {
        futures::executor::block_on(self.sender.send(Ok(bytes.into()))).context("the daemon takes no more")
    }

    fn end(&mut self) -> anyhow::Result<()> {
        self.push(format!("--{}--\r\n", self.boundary))
    }

    /// Sends what `send` does, then the end, or what went wrong. If nobody takes it, the answer says why.
    fn finish(&mut self, send: impl FnOnce(&mut Self) -> anyhow::Result<()>) {
        let result = send(self).or_else(|error| {
            let message = encode_percent(format!("{error:#}").as_bytes());
            let header = if self.void { PART_FAILED } else { SENDER_FAILED };
            self.push(format!("--{}\r\n{header}: {message}\r\n\r\n\r\n", self.boundary))
        });
        let _ = result.and_then(|()| self.end());
    }

    fn head(&mut self, path: &[u8], kind: &str, meta: FileMeta) -> anyhow::Result<()> {
        let mut query = Vec::new();
        query.extend(meta.mode.map(|mode| format!("mode=0{mode:o}")));
        if let Some(time) = meta.mtime {
            query.push(format!("mtime={}&mtime-nsecs={}", time.seconds, time.nanos));
        }
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        self.push(format!(
            "--{}\r\nContent-Disposition: form-data; name=\"file{query}\"; filename=\"{}\"\r\nContent-Type: {kind}\r\n\r\n",
            self.boundary,
            encode_percent(path)
        ))
    }

    fn file(&mut self, path: &[u8], meta: FileMeta, mut reader: impl Read) -> anyhow::Result<()> {
        self.head(path, "application/octet-stream", meta)?;
        loop {
            let mut piece = vec![0; PIECE];
            let read = match reader.read(&mut piece) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // What was sent of the file is void: the part that tells of the error comes next.
                Err(error) => {
                    self.void = true;
                    self.push("\r\n")?;
                    return Err(error).with_context(|| format!("cannot read {}", String::from_utf8_lossy(path)));
                }
            };
            if read == 0 {
                return self.push("\r\n");
            }
            piece.truncate(read);
            self.push(piece)?;
        }
    }

    fn files(&mut self, files: Vec<PathBuf>, stdin: &mut Option<Box<dyn Read + Send>>) -> anyhow::Result<()> {
        let files = if files.is_empty() { vec![PathBuf::from("-")] } else { files };
        // Opened before anything is sent, so that a name that is wrong costs nothing.
        files.iter().filter(|f| f.as_os_str() != "-").try_for_each(|f| open(f).map(drop))?;
        for file in files {
            if file.as_os_str() == "-" {
                let stdin: Box<dyn Read + Send> = stdin.take().unwrap_or_else(|| Box::new(io::empty()));
                self.file(b"", FileMeta::default(), stdin)?;
            } else {
                self.file(file.display().to_string().as_bytes(), FileMeta::default(), open(&file)?)?;
            }
        }
        Ok(())
    }

    fn walk(&mut self, sources: Vec<Source>, options: &Options) -> anyhow::Result<()> {
        for source in sources {
            let mut path: Vec<Vec<u8>> = Vec::new();
            let mut walk = Walk::new(source, options);
            while let Some(step) = walk.step()? {
                let below = |name: Vec<u8>| path.iter().chain([&name]).cloned().collect::<Vec<_>>().join(&b'/');
                match step {
                    Step::Enter { name, meta } => {
                        self.head(&below(name.clone()), "application/x-directory", meta)?;
                        self.push("\r\n")?;
                        path.push(name);
                    }
                    Step::Leave => drop(path.pop()),
                    Step::Symlink { name, target, meta } => {
                        self.head(&below(name), "application/symlink", meta)?;
                        self.push([&target[..], b"\r\n"].concat())?;
                    }
                    Step::File { name, meta, path: place, reader, .. } => {
                        let name = below(name.unwrap_or_default());
                        self.file(&name, meta, reader).map_err(|error| match error.downcast::<io::Error>() {
                            Ok(io) => anyhow::anyhow!("cannot read {}: {io}", place.display()),
                            Err(other) => other,
                        })?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    if file.metadata().is_ok_and(|meta| meta.is_dir()) {
        bail!("{name} is a directory: a file is wanted");
    }
    Ok(file)
}
