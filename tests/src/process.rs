//! Running a program to its end: output, wall time, processor time, peak memory.

use std::{
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a process used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// From its start to its end.
    pub wall: Duration,
    /// On all processors, in user and system mode.
    pub cpu: Duration,
    /// Greatest resident size in bytes. The kernel counts the resident size of the parent at the time of the
    /// start as well, so a measuring process must be small itself.
    pub peak_rss: u64,
}

/// How a process ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// What it used.
    pub usage: Usage,
}

impl Outcome {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Runs a command; its input is what `input` gives, or nothing.
///
/// # Errors
/// When it can't be started, or its pipes fail.
pub fn run(command: &mut Command, input: Option<Box<dyn Read + Send>>) -> io::Result<Outcome> {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn()?;
    let feeder = child.stdin.take().zip(input).map(|(to, from)| thread::spawn(move || feed(from, to)));
    let errors = child.stderr.take().map(|pipe| thread::spawn(move || drain(pipe)));
    let stdout = child.stdout.take().map_or_else(|| Ok(Vec::new()), drain)?;
    let stderr = errors.map_or_else(|| Ok(Vec::new()), join)?;
    let (status, mut usage) = wait(&child)?;
    usage.wall = start.elapsed();
    if let Some(feeder) = feeder {
        join(feeder)?;
    }
    Ok(Outcome { status, stdout, stderr, usage })
}

/// What a measured process printed: how much, and the beginning of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Printed {
    /// Bytes in all.
    pub len: u64,
    /// The first of them.
    pub head: Vec<u8>,
}

/// A figure of a process in `/proc/PID/status`, in bytes: `VmRSS:` is its resident memory, `VmHWM:` the greatest so far.
///
/// # Panics
/// When it does not run.
pub fn memory(pid: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("Linux tells it");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}

/// Time that a process has used on all processors so far, in user and system mode.
///
/// # Panics
/// When it does not run.
pub fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // Behind the name, which may hold anything: state is the first field, and the times are the 12th and the 13th.
    let (_, fields) = stat.rsplit_once(')').expect("Linux puts the name in brackets");
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Runs a command and throws its output away as fast as a pipe can carry it, whatever its length.
///
/// # Errors
/// When it can't be started, or its pipe fails.
pub fn run_drained(command: &mut Command) -> io::Result<(ExitStatus, Usage, Printed)> {
    const HEAD: usize = 4096;
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn()?;
    let mut printed = Printed::default();
    if let Some(mut pipe) = child.stdout.take() {
        let mut buffer = vec![0; 1 << 17];
        loop {
            let n = pipe.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            printed.len += n as u64;
            let room = HEAD.saturating_sub(printed.head.len()).min(n);
            printed.head.extend_from_slice(&buffer[..room]);
        }
    }
    let (status, mut usage) = wait(&child)?;
    usage.wall = start.elapsed();
    Ok((status, usage, printed))
}

fn join<T>(thread: thread::JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread.join().map_err(|_| io::Error::other("a pipe's thread panicked"))?
}

fn drain(mut pipe: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A process that stops reading early closes the pipe: that is its right.
fn feed(mut from: Box<dyn Read + Send>, mut to: impl Write) -> io::Result<()> {
    match io::copy(&mut from, &mut to) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Waits for a child and says what it used, wall time left at zero.
///
/// # Errors
/// When it was waited for before.
#[allow(unsafe_code)]
pub fn wait(child: &Child) -> io::Result<(ExitStatus, Usage)> {
    let pid = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    let mut status = 0;
    loop {
        // SAFETY: an all-zero rusage is a valid value, and both pointers are to live locals of the right types.
        let (done, used) = unsafe {
            let mut used: libc::rusage = std::mem::zeroed();
            (libc::wait4(pid, &raw mut status, 0, &raw mut used), used)
        };
        if done == pid {
            let usage = Usage {
                wall: Duration::ZERO,
                cpu: duration(used.ru_utime) + duration(used.ru_stime),
                peak_rss: u64::try_from(used.ru_maxrss).unwrap_or(0) * 1024,
            };
            return Ok((ExitStatus::from_raw(status), usage));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}
