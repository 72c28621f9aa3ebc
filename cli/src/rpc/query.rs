//! From a command line to a request's path and query: the way back of `arguments`.

use super::{
    arguments::{is_file, is_host_path},
    encode_percent,
};
use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::PathBuf};

/// A command line as a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Names of the command.
    pub path: Vec<String>,
    /// Options and arguments.
    pub query: String,
    /// The files that were named, if the command takes files.
    pub files: Option<Vec<PathBuf>>,
}

/// Global options that concern this side only.
const OURS: [&str; 6] = ["repo_dir", "config_file", "api", "api_auth", "debug", "enc"];

/// The names of the command that was asked for.
pub fn path(matches: &ArgMatches) -> Vec<String> {
    let mut path = Vec::new();
    let mut matches = matches;
    while let Some((name, below)) = matches.subcommand() {
        path.push(name.to_owned());
        matches = below;
    }
    path
}

/// Makes a request of what was given on the command line; what was not has the same default there. `enc` is the form of
/// the output.
pub fn of(root: &Command, matches: &ArgMatches, enc: &str) -> Asked {
    let mut asked = Asked { path: path(matches), query: format!("encoding={enc}"), files: None };
    let (mut command, mut matches) = (root, matches);
    // Options of a command may be given to those below it too.
    let mut above: Vec<&Arg> = Vec::new();
    while let Some((name, below)) = matches.subcommand() {
        matches = below;
        above.extend(command.get_arguments().filter(|a| a.is_global_set() && !OURS.contains(&a.get_id().as_str())));
        match command.find_subcommand(name) {
            Some(found) => command = found,
            None => break,
        }
    }
    for arg in command.get_arguments().chain(above) {
        let id = arg.get_id().as_str();
        let given = matches.value_source(id) == Some(ValueSource::CommandLine);
        if arg.is_positional() && is_file(arg) {
            let named = matches.get_raw(id).filter(|_| given).into_iter().flatten().map(PathBuf::from);
            asked.files.get_or_insert_default().extend(named);
        } else if given && !is_file(arg) {
            add(&mut asked.query, arg, matches);
        }
    }
    asked
}

fn add(query: &mut String, arg: &Arg, matches: &ArgMatches) {
    let name = match (arg.is_positional(), arg.get_long(), arg.get_short()) {
        (true, ..) => "arg".to_owned(),
        (_, Some(long), _) => long.to_owned(),
        (_, _, Some(short)) => short.to_string(),
        (_, None, None) => return,
    };
    let mut push = |value: &OsStr| {
        query.push('&');
        query.push_str(&name);
        query.push('=');
        query.push_str(&encode_percent(value.as_bytes()));
    };
    match arg.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse | ArgAction::Count => push(OsStr::new("true")),
        _ => {
            let whole =
                |path: &OsStr| std::path::absolute(path).map_or_else(|_| path.to_owned(), PathBuf::into_os_string);
            let given = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
            given.for_each(|value| if is_host_path(arg) { push(&whole(value)) } else { push(value) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args::Cli, rpc::arguments};
    use clap::{CommandFactory as _, FromArgMatches as _};

    /// What the daemon makes of the request that a command line becomes.
    fn there_and_back(line: &[&str]) -> (Asked, String, String) {
        let matches = Cli::command().try_get_matches_from(line).expect("a command line");
        let asked = of(&Cli::command(), &matches, "text");
        let here = Cli::from_arg_matches(&matches).expect("a command line");
        let there = arguments::parse(&asked.path.join("/"), &asked.query).expect("a request");
        (
            asked,
            format!("{:?} {:?}", here.command, here.global),
            format!("{:?} {:?}", there.cli.command, there.cli.global),
        )
    }

    #[test]
    fn a_request_means_what_the_command_line_meant() {
        for line in [
            &["cairn", "pin", "ls", "--type=recursive", "-q", "--names"][..],
            &["cairn", "pin", "ls", "-n", "a b&c=d", "--", "-x", "ä/ü"],
            &["cairn", "cat", "-o", "5", "-l=7", "--progress=false", "Qm/a", "Qm/b", "--timeout=5s"],
            &["cairn", "cid", "format", "-f", "%h %%", "-v1", "-b", "base32", "Qm"],
            &["cairn", "pin", "add", "-r=false", "--progress", "x", "--cid-base=base36", "--upgrade-cidv0-in-output"],
            &["cairn", "resolve", "--recursive", "/ipns/x"],
            &["cairn", "refs", "--max-depth", "-1", "x"],
            &["cairn", "config", "--json", "A.B", "{\"a\": 1}"],
            &["cairn", "repo", "gc", "--stream-errors"],
            &["cairn", "refs", "local"],
            &["cairn", "mount", "/a b", "--deadline=5s", "--read-only"],
            &["cairn", "mount", "-f", "/x", "--allow-other"],
            &["cairn", "files", "--flush=false", "write", "-e", "/a", "-"],
            &["cairn", "files", "write", "/a", "-o", "-1", "-f=false"],
            &["cairn", "files", "stat", "--format", "<hash>", "/a b"],
        ] {
            let (_, here, there) = there_and_back(line);
            assert_eq!(here, there, "{line:?}");
        }
    }

    #[test]
    fn files_go_into_the_body() {
        let (asked, ..) = there_and_back(&["cairn", "add", "-r", "--ignore-rules-path=r", "--api=x", "a", "-"]);
        assert_eq!(asked.files, Some(vec!["a".into(), "-".into()]));
        assert_eq!(asked.query, "encoding=text&recursive=true");
        let (asked, ..) = there_and_back(&["cairn", "block", "put"]);
        assert_eq!(asked.files, Some(vec![]));
        let (asked, ..) = there_and_back(&["cairn", "pin", "ls", "x"]);
        assert_eq!(asked.files, None);
    }
}
