//! From a request's path and query to a command, as Kubo's HTTP parser does it.

use super::{
    decode_percent, decode_percent_bytes,
    place::{self, Place},
};
use crate::{args::Cli, cmd::mount::HostPath};
use clap::{
    Arg, ArgAction, Command, CommandFactory as _, FromArgMatches as _,
    builder::ValueParser,
    error::{ContextKind, ErrorKind},
};
use std::{any::TypeId, collections::BTreeMap, ffi::OsString, os::unix::ffi::OsStringExt as _, path::PathBuf};

/// Global options that concern the caller's side only: they are ignored in a request.
const CALLERS: [&str; 5] = ["repo_dir", "config_file", "api", "api_auth", "debug"];

/// Why a request names no command.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is none of that path that can be asked for over HTTP.
    NotFound,
    /// It has only commands below it.
    NotCallable,
    /// An option or argument makes no sense.
    Bad(String),
}

/// What a request asks for.
#[derive(Debug)]
pub struct Asked {
    /// The command line.
    pub cli: Cli,
    /// Path of the command: `pin/ls`.
    pub name: String,
    /// The arguments.
    pub arguments: Vec<String>,
    /// The options that were given and are known.
    pub options: BTreeMap<String, String>,
}

/// Whether an option or argument names a file. Such names mean files of the caller, so none is taken from a request.
pub fn is_file(arg: &Arg) -> bool {
    takes(arg, TypeId::of::<PathBuf>())
}

/// Whether an option or argument names a file where the command runs: a daemon is told the whole path.
pub fn is_host_path(arg: &Arg) -> bool {
    takes(arg, TypeId::of::<HostPath>())
}

fn takes(arg: &Arg, wanted: TypeId) -> bool {
    let parser: &ValueParser = arg.get_value_parser();
    parser.type_id() == wanted
}

/// Reads a request. `path` is what follows the prefix, percent-decoded; `query` is as it stands in the URL.
///
/// # Errors
/// When it names no command, or makes no sense.
pub fn parse(path: &str, query: &str) -> Result<Asked, Refusal> {
    let root = Cli::command();
    let (command, names, trailing) = find(&root, path)?;
    if place::of(&names) == Place::Here {
        return Err(Refusal::NotFound);
    }
    if command.is_subcommand_required_set() {
        return Err(Refusal::NotCallable);
    }
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut given: Vec<Vec<u8>> = trailing.into_iter().map(String::into_bytes).collect();
    for (key, value) in pairs(query) {
        match key.as_str() {
            "arg" => given.push(value),
            _ => asked.entry(key).or_default().push(lossy(&value)),
        }
    }
    let arguments: Vec<String> = given.iter().map(|value| lossy(value)).collect();
    let (options_line, options) = options(&root, &names, asked)?;
    let name = names.join("/");
    let words = [root.get_name().to_owned()].into_iter().chain(names).chain(options_line);
    let mut line: Vec<OsString> = words.map(OsString::from).collect();
    line.push("--".into());
    let positionals: Vec<&Arg> = command.get_positionals().collect();
    if arguments.is_empty() {
        // A file that is required comes in the body.
        line.extend(positionals.iter().filter(|a| is_file(a) && a.is_required_set()).map(|_| OsString::from("-")));
    } else if positionals.iter().all(|a| is_file(a)) {
        let taken =
            if positionals.is_empty() { "the command takes no arguments" } else { "files are sent in the body" };
        return Err(Refusal::Bad(format!("unexpected argument {:?}: {taken}", arguments[0])));
    }
    line.extend(given.into_iter().enumerate().map(|(i, value)| {
        let arg = positionals.get(i).or(positionals.last());
        match arg.is_some_and(|arg| takes(arg, TypeId::of::<OsString>())) {
            true => OsString::from_vec(value),
            false => lossy(&value).into(),
        }
    }));
    let cli = root.try_get_matches_from(line).and_then(|matches| Cli::from_arg_matches(&matches)).map_err(bad)?;
    Ok(Asked { cli, name, arguments, options })
}

/// Key and value of each part of a query.
fn pairs(query: &str) -> impl Iterator<Item = (String, Vec<u8>)> {
    query.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (decode_percent(key, true), decode_percent_bytes(value, true))
    })
}

/// What is no UTF-8 is replaced.
fn lossy(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// The command of a path, its names, and a last part of the path that is an argument.
fn find<'a>(root: &'a Command, path: &str) -> Result<(&'a Command, Vec<String>, Option<String>), Refusal> {
    let mut command = root;
    let mut names = Vec::new();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        match command.find_subcommand(part) {
            Some(below) => {
                command = below;
                names.push(below.get_name().to_owned());
            }
            // As in Kubo: `cat/Qm…`.
            None if parts.peek().is_none() && !names.is_empty() && !part.is_empty() => {
                return if command.is_subcommand_required_set() {
                    Err(Refusal::NotFound)
                } else {
                    Ok((command, names, Some(part.to_owned())))
                };
            }
            None => return Err(Refusal::NotFound),
        }
    }
    Ok((command, names, None))
}

type Options = (Vec<String>, BTreeMap<String, String>);

/// The options as they stand on a command line, and those that are known. Others are ignored, as in Kubo.
fn options(root: &Command, names: &[String], asked: BTreeMap<String, Vec<String>>) -> Result<Options, Refusal> {
    let mut line = Vec::new();
    let mut known = BTreeMap::new();
    let mut command = root;
    // Options of a command may be given to those below it too.
    let mut defined: Vec<&Arg> = Vec::new();
    for name in names {
        defined.extend(command.get_arguments().filter(|a| a.is_global_set()));
        command = command.find_subcommand(name).unwrap_or(command);
    }
    defined.extend(command.get_arguments().filter(|a| !a.is_positional()));
    for (key, values) in asked {
        let Some(arg) = defined.iter().find(|arg| is_named(arg, &key)) else { continue };
        if is_file(arg) || CALLERS.contains(&arg.get_id().as_str()) {
            continue;
        }
        let many = matches!(arg.get_action(), ArgAction::Append) || arg.get_value_delimiter().is_some();
        if values.len() > 1 && !many {
            return Err(Refusal::Bad(format!("expected key {key} to have only a single value, received {values:?}")));
        }
        for value in values {
            line.extend(spell(arg, &key, &value)?);
            known.insert(arg.get_id().to_string().replace('_', "-"), value);
        }
    }
    if !known.contains_key("enc") {
        line.push("--enc=json".to_owned());
    }
    Ok((line, known))
}

fn is_named(arg: &Arg, key: &str) -> bool {
    let mut letters = key.chars();
    let letter = letters.next().filter(|_| letters.next().is_none());
    arg.get_long() == Some(key)
        || arg.get_all_aliases().is_some_and(|all| all.contains(&key))
        || letter
            .is_some_and(|c| arg.get_short() == Some(c) || arg.get_all_short_aliases().is_some_and(|a| a.contains(&c)))
}

/// An option as it stands on a command line; nothing for a flag that is off.
fn spell(arg: &Arg, key: &str, value: &str) -> Result<Option<String>, Refusal> {
    let name = match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => return Ok(None),
    };
    let refuse = || Refusal::Bad(format!("could not convert value {value:?} of option {key:?} to bool"));
    match arg.get_action() {
        ArgAction::SetTrue | ArgAction::Count => Ok(go_bool(value).ok_or_else(refuse)?.then_some(name)),
        ArgAction::Set | ArgAction::Append => {
            let value = if takes(arg, TypeId::of::<bool>()) {
                go_bool(value).ok_or_else(refuse)?.to_string()
            } else {
                value.to_owned()
            };
            Ok(Some(format!("{name}={value}")))
        }
        // Help and the like are for people.
        _ => Ok(None),
    }
}

/// A boolean as Go reads it; nothing is true.
fn go_bool(text: &str) -> Option<bool> {
    match text {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// What clap has to say, in one line and without its advice for people at a terminal.
fn bad(error: clap::Error) -> Refusal {
    if error.kind() == ErrorKind::MissingRequiredArgument
        && let Some(missing) = error.get(ContextKind::InvalidArg)
    {
        let name = missing.to_string().trim_matches(|c| "<>.[]".contains(c)).to_lowercase();
        return Refusal::Bad(format!("argument {name:?} is required"));
    }
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    Refusal::Bad(line.strip_prefix("error: ").unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Enc;

    fn refusal(path: &str, query: &str) -> Refusal {
        parse(path, query).expect_err("a refusal")
    }

    #[test]
    fn names_options_and_arguments_are_those_of_the_command_line() {
        let asked =
            parse("pin/ls", "arg=a+b&arg=c%2fd&type=direct&q&stream=true&names=0&nonsense=1").expect("a command");
        assert_eq!(asked.name, "pin/ls");
        assert_eq!(asked.arguments, ["a b", "c/d"]);
        assert_eq!(asked.cli.global.enc, Enc::Json, "JSON unless something else is asked for");
        let said = format!("{:?}", asked.cli.command);
        for part in [r#"paths: ["a b", "c/d"]"#, r#"kind: "direct""#, "quiet: true", "stream: true", "names: false"] {
            assert!(said.contains(part), "no {part} in {said}");
        }
        assert_eq!(parse("cat/Qm", "").expect("a command").arguments, ["Qm"]);
        assert_eq!(parse("version", "encoding=text").expect("a command").cli.global.enc, Enc::Text);
    }

    #[test]
    fn every_value_is_only_a_value() {
        let asked = parse("cat", "arg=--offset%3D5&arg=-h&arg=--").expect("a command");
        assert!(format!("{:?}", asked.cli.command).contains(r#"["--offset=5", "-h", "--"]"#));
    }

    #[test]
    fn names_of_files_are_never_taken_from_a_request() {
        let asked = parse("version", "repo-dir=/x&config-file=/y&api=z&debug=true").expect("a command");
        let global = asked.cli.global;
        assert!(global.repo_dir.is_none() && global.config_file.is_none() && global.api.is_none() && !global.debug);
        assert!(matches!(refusal("add", "arg=/etc/passwd"), Refusal::Bad(_)));
        assert!(matches!(refusal("add/etc", ""), Refusal::Bad(_)));
        assert!(matches!(refusal("config/replace", "arg=/etc/passwd"), Refusal::Bad(_)));
        let asked = parse("add", "ignore-rules-path=/etc/passwd").expect("a command");
        assert!(format!("{:?}", asked.cli.command).contains("ignore_rules_path: None"));
        let asked = parse("get", "arg=Qm&output=/etc/x").expect("a command");
        assert!(format!("{:?}", asked.cli.command).contains("output: None"));
    }

    #[test]
    fn what_is_no_command_is_not_found() {
        for path in
            ["", "nope", "pin/nope", "pin/ls/x/y", "pin//ls", "../version", "init", "daemon", "config/edit", "help"]
        {
            assert_eq!(refusal(path, ""), Refusal::NotFound, "{path:?}");
        }
        assert_eq!(refusal("pin", ""), Refusal::NotCallable);
    }

    #[test]
    fn bad_options_are_told() {
        for (path, query) in [
            ("pin/ls", "stream=perhaps"),
            ("pin/ls", "type=a&type=b"),
            ("cat", "offset=x"),
            ("version", "arg=x"),
            ("version", "timeout=soon"),
            ("version", "enc=xml"),
        ] {
            assert!(matches!(refusal(path, query), Refusal::Bad(_)), "{path}?{query}");
        }
        assert_eq!(refusal("config", ""), Refusal::Bad("argument \"key\" is required".into()));
    }
}
