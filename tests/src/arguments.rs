//! Arguments of the measuring and crashing programs: `--name value` pairs and words.

use std::{collections::BTreeMap, process::ExitCode};

/// What was said makes no sense: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(String);

/// Refuses an argument.
///
/// # Errors
/// Always: [`Misuse`].
pub fn misuse<T>(why: impl Into<String>) -> anyhow::Result<T> {
    Err(Misuse(why.into()).into())
}

/// Prints what went wrong, if anything, and gives the exit code.
pub fn report(program: &str, result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Misuse>() => {
            eprintln!("{program}: {error}");
            ExitCode::from(2)
        }
        Err(error) => {
            println!("{program}: FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What was said.
#[derive(Debug, Default)]
pub struct Arguments {
    named: BTreeMap<String, String>,
    /// The words that belong to no name.
    pub words: Vec<String>,
}

impl Arguments {
    /// Reads the process's arguments; only these names are known.
    ///
    /// # Errors
    /// [`Misuse`] on an unknown name, or one without a value.
    pub fn from_env(names: &[&str]) -> anyhow::Result<Self> {
        let mut out = Self::default();
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            if !arg.starts_with("--") {
                out.words.push(arg);
                continue;
            }
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (arg, None),
            };
            if !names.contains(&name.as_str()) {
                return misuse(format!("{name} is not known: there are {}", names.join(" ")));
            }
            let Some(value) = value.or_else(|| args.next()) else {
                return misuse(format!("{name} needs a value"));
            };
            out.named.insert(name, value);
        }
        Ok(out)
    }

    /// A number by its name.
    ///
    /// # Errors
    /// [`Misuse`] when it is none.
    pub fn number(&mut self, name: &str) -> anyhow::Result<Option<u64>> {
        let Some(value) = self.named.remove(name) else { return Ok(None) };
        match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => misuse(format!("{name} {value} is not a number")),
        }
    }

    /// A text by its name.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.named.remove(name)
    }
}
