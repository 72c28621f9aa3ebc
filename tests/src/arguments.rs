//! Arguments of the measuring and crashing programs: `--name value` pairs and words.

use anyhow::{Context as _, bail};
use std::collections::BTreeMap;

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
    /// On an unknown name, or one without a value.
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
                bail!("{name} is not known: there are {}", names.join(" "));
            }
            let value = value.or_else(|| args.next()).with_context(|| format!("{name} needs a value"))?;
            out.named.insert(name, value);
        }
        Ok(out)
    }

    /// A number by its name.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(&mut self, name: &str) -> anyhow::Result<Option<u64>> {
        let value = self.named.remove(name);
        value.map(|v| v.parse().with_context(|| format!("{name} {v} is not a number"))).transpose()
    }

    /// A text by its name.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.named.remove(name)
    }
}
