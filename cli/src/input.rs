//! What commands read: standard input and files of this process, or what a client sent.

use crate::{
    exit::{Interrupted, Usage},
    rpc::upload::Upload,
};
use anyhow::{Context as _, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// How often the flag of Ctrl-C is looked at, in nanoseconds: quick enough for a person.
const PATIENCE: i64 = 50_000_000;

/// A file that was named on the command line, or sent.
pub struct Named {
    /// Its name, for messages.
    pub name: String,
    /// Its bytes.
    pub reader: Box<dyn Read + Send>,
    /// Its length in bytes, where it is known.
    pub size: Option<u64>,
}

/// Where input comes from.
pub enum Input {
    /// This process. The flag ends reading.
    Process(Arc<AtomicBool>),
    /// A request, with or without a body.
    Request(Option<Arc<Upload>>),
}

impl Input {
    /// Whether there is nobody but a person at a terminal to read from, or nothing at all.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Process(_) => io::stdin().is_terminal(),
            Self::Request(upload) => upload.as_ref().is_none_or(|u| u.stdin_is_absent()),
        }
    }

    /// Standard input, or the next file that was sent. It has no buffer of its own, so two of them do not lose each
    /// other's bytes.
    pub fn stdin(&self) -> Box<dyn Read + Send> {
        match self {
            Self::Process(stop) => Box::new(Stdin(Arc::clone(stop))),
            Self::Request(Some(upload)) => upload.stdin(),
            Self::Request(None) => Box::new(io::empty()),
        }
    }

    /// What was sent, if this is a request.
    pub fn upload(&self) -> Option<&Option<Arc<Upload>>> {
        match self {
            Self::Process(_) => None,
            Self::Request(upload) => Some(upload),
        }
    }

    /// The files that were named, in order, each opened when its turn comes; `-` or none at all is standard input. Of
    /// a request, all files that were sent: its arguments can't name any.
    ///
    /// # Errors
    /// When a file was required of a request, and none was sent.
    pub fn files(&self, given: Vec<PathBuf>) -> anyhow::Result<Files<'_>> {
        let given = if given.is_empty() { vec![PathBuf::from("-")] } else { given };
        match self {
            Self::Process(_) => Ok(Files { input: self, given: given.into_iter(), upload: None }),
            Self::Request(None) => Err(Usage("file argument 'path' is required".into()).into()),
            Self::Request(Some(upload)) => {
                Ok(Files { input: self, given: Vec::new().into_iter(), upload: Some(Arc::clone(upload)) })
            }
        }
    }
}

/// See [`Input::files`].
pub struct Files<'a> {
    input: &'a Input,
    given: std::vec::IntoIter<PathBuf>,
    upload: Option<Arc<Upload>>,
}

impl Iterator for Files<'_> {
    type Item = anyhow::Result<Named>;

    fn next(&mut self) -> Option<Self::Item> {
        match &self.upload {
            Some(upload) => upload.next_file().transpose(),
            None => self.given.next().map(|path| open(self.input, &path)),
        }
    }
}

fn open(input: &Input, path: &std::path::Path) -> anyhow::Result<Named> {
    if path.as_os_str() == "-" {
        return Ok(Named { name: "stdin".to_owned(), reader: input.stdin(), size: None });
    }
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    let meta = file.metadata().with_context(|| format!("cannot examine {name}"))?;
    if meta.is_dir() {
        bail!("{name} is a directory: a file is wanted");
    }
    let size = meta.is_file().then_some(meta.len());
    Ok(Named { name, reader: Box::new(file), size })
}

/// Standard input that Ctrl-C interrupts.
///
/// A signal does not end a `read` that waits: its handler only sets a flag. So the flag is looked at while nothing
/// has come yet.
struct Stdin(Arc<AtomicBool>);

impl Stdin {
    /// Waits until there is something to read, or the end.
    fn wait(&self) -> io::Result<()> {
        let stdin = rustix::stdio::stdin();
        let patience = Timespec { tv_sec: 0, tv_nsec: PATIENCE };
        loop {
            if self.0.load(Ordering::Relaxed) {
                return Err(io::Error::other(Interrupted));
            }
            match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&patience)) {
                Ok(0) | Err(Errno::INTR) => {}
                // Errors and the end are for the read that follows.
                _ => return Ok(()),
            }
        }
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        Ok(rustix::io::read(rustix::stdio::stdin(), buffer)?)
    }
}
