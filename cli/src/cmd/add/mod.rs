//! `cairn add`.

mod profile;
mod progress;
mod to_files;

use crate::{
    args::octal_or_decimal,
    cmd::fast_provide,
    ctx::Ctx,
    exit::{Interrupted, Usage},
    rpc::upload::Upload,
};
use anyhow::Context as _;
use cairn_store::{
    import::{self, Added, Committer, ImportError, Progress, Source},
    kv::Batch,
    pin::{PinMode, Pins},
    unixfs::node::Mtime,
};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde::Serialize;
use std::{
    io::{self, Read, Write as _},
    path::PathBuf,
};
use to_files::ToFiles;

/// Add files and folders: print their CIDs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn add photo.jpg
  cairn add -r --cid-version=1 folder
  tar c folder | cairn add --stdin-name=folder.tar -w
  cairn add -nQ photo.jpg        # only compute the CID

What was printed is on the disk and pinned. Symlinks are kept as symlinks; FIFOs, sockets and devices are
refused. Defaults of the flags that decide the CID come from Import.* in the configuration.")]
pub struct Args {
    /// Files and folders; `-` or none for standard input
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Add folders with all that is in them
    #[arg(short, long)]
    recursive: bool,
    /// Follow symlinks given as arguments
    #[arg(long)]
    dereference_args: bool,
    /// Follow all symlinks, inside folders too
    #[arg(long)]
    dereference_symlinks: bool,
    /// Name of what is read from standard input
    #[arg(long, value_name = "NAME")]
    stdin_name: Option<String>,
    /// Include names that begin with a dot
    #[arg(short = 'H', long)]
    hidden: bool,
    /// Leave out what this .gitignore pattern matches (repeatable)
    #[arg(long, value_name = "PATTERN")]
    ignore: Vec<String>,
    /// Leave out what the patterns in this file match
    #[arg(long, value_name = "FILE")]
    ignore_rules_path: Option<PathBuf>,
    /// Include folders without content
    #[arg(short = 'E', long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    empty_dirs: bool,
    /// Print only CIDs
    #[arg(short, long)]
    quiet: bool,
    /// Print only the CID of the last root
    #[arg(short = 'Q', long)]
    quieter: bool,
    /// Print nothing
    #[arg(long)]
    silent: bool,
    /// Show progress [default: when stderr is a terminal]; with --enc=json as events
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    progress: Option<bool>,
    /// Only compute CIDs: store nothing
    #[arg(short = 'n', long)]
    only_hash: bool,
    /// Put all arguments into one folder
    #[arg(short, long)]
    wrap_with_directory: bool,
    /// Pin the roots, so that they are never collected
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    pin: bool,
    /// Name of the pins
    #[arg(long, value_name = "NAME")]
    pin_name: Option<String>,
    /// Make an entry of the tree (`cairn files`) of each root: at that path, or in that directory if it ends with a
    /// slash
    #[arg(long, value_name = "PATH")]
    to_files: Option<String>,
    /// What decides the CID.
    #[command(flatten)]
    profile: profile::Flags,
    /// Keep permission bits
    #[arg(long)]
    preserve_mode: bool,
    /// Keep modification times
    #[arg(long)]
    preserve_mtime: bool,
    /// Permission bits for everything that is added, octal with a leading 0
    #[arg(long, value_name = "MODE", value_parser = octal_or_decimal)]
    mode: Option<u32>,
    /// Modification time for everything that is added, in seconds since 1970
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    mtime: Option<i64>,
    /// Fraction of --mtime in nanoseconds
    #[arg(long, value_name = "NANOSECONDS")]
    mtime_nsecs: Option<u32>,
    #[command(flatten)]
    provide: fast_provide::Args,
}

/// One line of the output, in Kubo's shape.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtime: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtime_nsecs: Option<u32>,
}

/// Said to a person whose terminal is read.
pub const READING_STDIN: &str = "cairn: reading from standard input; send Ctrl-d to stop.\n";

/// Runs `cairn add`.
///
/// # Errors
/// What could not be read or stored. What was printed before is durable; nothing else is pinned.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let options = options(ctx, args)?;
    let pins = if args.only_hash { None } else { Some(prepare_store(ctx)?) };
    let name = args.pin_name.clone().unwrap_or_default();
    let stage = |batch: &mut Batch, cid: &cairn_store::Cid| match &pins {
        Some(pins) => {
            pins.stage(batch, cid, PinMode::Recursive, &name);
            Ok(())
        }
        None => Ok(()),
    };
    let blocks = if args.only_hash { None } else { Some(std::sync::Arc::clone(ctx.blocks()?)) };
    let wanted = args.progress.unwrap_or(ctx.out.err_tty) && !args.quiet && !args.quieter && !args.silent;
    let bar = progress::bar(ctx, wanted && ctx.out.err_tty && !ctx.out.json(), &args.paths);
    let events = wanted && ctx.out.json();

    let provide = if args.only_hash { None } else { Some(args.provide.of(ctx)?) };
    let (mut last_root, mut to_provide) = (None, Vec::new());
    let mut entries = args.to_files.as_deref().map(|path| ToFiles::open(ctx, path)).transpose()?;
    let mut on_added = |added: Added| {
        if added.root {
            last_root = Some(added.cid);
            match provide {
                // What is waited for does not hold up the import.
                Some(provide) if provide.waits() => to_provide.push(added.cid),
                Some(provide) => {
                    let announced = provide.announce(ctx, vec![added.cid]);
                    announced.map_err(|e| ImportError::Output(e.to_string()))?;
                }
                None => {}
            }
        }
        bar.suspend(|| print(ctx, args, &added)).map_err(|e| ImportError::Output(e.to_string()))?;
        match &mut entries {
            Some(entries) if added.root => entries.add(ctx, &added).map_err(|e| ImportError::Sender(format!("{e:#}"))),
            _ => Ok(()),
        }
    };
    let mut on_progress = |progress: &Progress<'_>| {
        bar.set_position(progress.all);
        if events {
            let name = String::from_utf8_lossy(progress.path).into_owned();
            // A reader that went away is met again at the next line.
            let _ = ctx.out.emit(&Event { name, bytes: Some(progress.file), ..Event::default() }, |_| String::new());
        }
    };
    let stage: Option<import::StagePin<'_>> = if args.pin && pins.is_some() { Some(&stage) } else { None };
    let mut committer = Committer::new(blocks, stage, &mut on_added, &mut on_progress);
    let cancel = ctx.cancel.flag();
    let result = import::import(sources(ctx, args)?, &options, &cancel, &mut committer)
        // Arguments before the one that failed are whole: they are kept and announced, as in Kubo.
        .map_or_else(|error| committer.abandon().and(Err(error)), |()| Ok(()))
        .and_then(|()| committer.finish());
    // So are entries that were made.
    let ended = entries.map_or(Ok(()), |entries| entries.end(ctx));
    match result {
        Err(ImportError::Cancelled) => return Err(Interrupted.into()),
        other => other?,
    }
    ended?;
    bar.finish_and_clear();
    if let Some(provide) = provide.filter(|provide| provide.waits()) {
        provide.announce(ctx, to_provide)?;
    }
    if let (true, false, Some(cid)) = (args.quieter, ctx.is_rpc(), last_root) {
        writeln!(ctx.out.stdout(), "{}", ctx.out.cid(&cid))?;
    }
    Ok(())
}

/// Opens the repository and checks that it may grow.
fn prepare_store(ctx: &Ctx) -> anyhow::Result<&Pins> {
    ctx.check_capacity()?;
    Ok(ctx.repo()?.pins())
}

fn options(ctx: &Ctx, args: &Args) -> anyhow::Result<import::Options> {
    let to_files = args.to_files.is_some();
    anyhow::ensure!(!(args.only_hash && to_files), "only-hash and to-files options are not compatible");
    anyhow::ensure!(args.pin || args.pin_name.is_none(), "pin-name option requires pin to be set");
    anyhow::ensure!(
        !(args.wrap_with_directory && to_files),
        "wrap-with-directory and to-files options are not compatible"
    );
    if let Some(name) = &args.pin_name {
        cairn_store::pin::check_name(name)?;
    }
    let mtime = match (args.mtime.unwrap_or(0), args.mtime_nsecs.unwrap_or(0)) {
        (0, 0) => None,
        (0, _) => anyhow::bail!("option \"mtime-nsecs\" requires \"mtime\" to be provided as well"),
        (_, nanos) if nanos >= 1_000_000_000 => anyhow::bail!("--mtime-nsecs is below 1000000000, got {nanos}"),
        (seconds, nanos) => Some(Mtime { seconds, nanos }),
    };
    let mode = args.mode.filter(|&m| m != 0);
    let metadata = args.preserve_mode || args.preserve_mtime || mode.is_some() || mtime.is_some();
    let profile = args.profile.resolve(&ctx.config()?.import()?, metadata)?;
    Ok(import::Options {
        profile,
        // What was sent was chosen where it was read.
        recursive: args.recursive || ctx.input.upload().is_some(),
        hidden: args.hidden,
        empty_dirs: args.empty_dirs,
        wrap: args.wrap_with_directory,
        dereference_args: args.dereference_args,
        dereference_symlinks: args.dereference_symlinks,
        ignore: if ctx.input.upload().is_some() { Gitignore::empty() } else { ignore_rules(args)? },
        preserve_mode: args.preserve_mode,
        preserve_mtime: args.preserve_mtime,
        mode,
        mtime,
    })
}

/// What the patterns and the file of rules leave out.
///
/// # Errors
/// When they can't be read.
fn ignore_rules(args: &Args) -> anyhow::Result<Gitignore> {
    // Patterns are matched against paths that are already relative to the folder that is added.
    let mut rules = GitignoreBuilder::new("");
    if let Some(file) = &args.ignore_rules_path
        && let Some(error) = rules.add(file)
    {
        return Err(error).with_context(|| format!("cannot use the ignore rules in {}", file.display()));
    }
    for pattern in &args.ignore {
        rules.add_line(None, pattern).with_context(|| format!("--ignore {pattern:?} is not a pattern"))?;
    }
    Ok(rules.build()?)
}

impl Args {
    /// Whether nothing is printed.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// How to walk what was named: all that is decided where the files are.
    ///
    /// # Errors
    /// When the rules of what to leave out can't be read.
    pub fn walk_options(&self, options: import::Options) -> anyhow::Result<import::Options> {
        Ok(import::Options {
            recursive: self.recursive,
            hidden: self.hidden,
            empty_dirs: self.empty_dirs,
            dereference_args: self.dereference_args,
            dereference_symlinks: self.dereference_symlinks,
            ignore: ignore_rules(self)?,
            // Whether they are kept is decided where they are stored.
            preserve_mode: true,
            preserve_mtime: true,
            ..options
        })
    }

    /// What was named, with `stdin` for standard input.
    pub fn sources(&self, stdin: Box<dyn Read + Send>) -> Vec<Source> {
        let mut stdin = Some(stdin);
        let name = self.stdin_name.clone().map(String::into_bytes);
        let paths = ordered(self.paths.clone(), self.dereference_args || self.dereference_symlinks);
        let paths = if paths.is_empty() { vec![PathBuf::from("-")] } else { paths };
        let source = |path: PathBuf| match path.as_os_str() == "-" {
            true => {
                Source::Stream { name: name.clone(), reader: stdin.take().unwrap_or_else(|| Box::new(io::empty())) }
            }
            false => Source::Path(path),
        };
        paths.into_iter().map(source).collect()
    }
}

fn sources(ctx: &Ctx, args: &Args) -> anyhow::Result<Vec<Source>> {
    if let Some(upload) = ctx.input.upload() {
        let upload = upload.as_ref().ok_or_else(|| Usage("file argument 'path' is required".into()))?;
        return Ok(vec![Source::Steps(Box::new(Upload::steps(upload)))]);
    }
    let reads_stdin = args.paths.is_empty() || args.paths.iter().any(|p| p.as_os_str() == "-");
    if reads_stdin && ctx.input.is_absent() && ctx.out.err_tty && !args.silent {
        ctx.out.note(READING_STDIN);
    }
    Ok(args.sources(ctx.input.stdin()))
}

/// Paths in the order in which they are added.
fn ordered(mut paths: Vec<PathBuf>, dereference: bool) -> Vec<PathBuf> {
    if dereference {
        // As in Kubo: a symlink that is followed is added under the name of what it leads to. One that leads
        // nowhere is met again when it is read.
        paths.iter_mut().filter(|p| p.as_os_str() != "-").for_each(|path| {
            if let Ok(target) = path.canonicalize() {
                *path = target;
            }
        });
    }
    // As in Kubo: arguments are added by the order of their names, and each once.
    paths.sort_by(|a, b| a.file_name().cmp(&b.file_name()).then_with(|| a.cmp(b)));
    paths.dedup();
    paths
}

fn print(ctx: &Ctx, args: &Args, added: &Added) -> anyhow::Result<()> {
    // As in Kubo, a program that asks over HTTP is told of everything: how much of it is printed is its own affair.
    if args.silent || (args.quieter && !ctx.is_rpc()) {
        return Ok(());
    }
    let name = String::from_utf8_lossy(&added.name);
    let event = Event {
        name: name.clone().into_owned(),
        hash: Some(ctx.out.cid(&added.cid)),
        bytes: None,
        size: Some(added.size.to_string()),
        mode: added.meta.mode.map(|m| format!("0{m:o}")),
        mtime: added.meta.mtime.map(|t| t.seconds),
        mtime_nsecs: added.meta.mtime.map(|t| t.nanos).filter(|&n| n > 0),
    };
    ctx.out.emit(&event, |event| {
        let hash = event.hash.as_deref().unwrap_or_default();
        if args.quiet { format!("{hash}\n") } else { format!("added {hash} {}\n", ctx.out.escape(&name)) }
    })
}
