//! The configuration: a JSON file with Kubo's key names, shapes and defaults.
//!
//! It is kept as the JSON that stands in the file, so that keys unknown here, and the order of all keys, survive
//! every change. The known keys have types ([`Config::check`]); the accessors read `null`, and an absent key, as
//! "the default", which the caller knows.
//! Source: Kubo's `docs/config.md`.

mod defaults;
mod file;
mod import;
mod profile;
mod replace;
mod schema;
mod value;

pub use file::write_atomic;
pub use import::ImportConfig;
pub use profile::{PROFILES, Profile};
pub use value::{parse_duration, parse_size};

use crate::StoreError;
use serde_json::{Map, Value};
use std::{path::Path, time::Duration};

/// Largest configuration file that is read, in bytes.
pub const MAX_FILE: u64 = 16 << 20;
/// Longest value shown in an error, in bytes of JSON.
const MAX_SHOWN: usize = 60;
/// What the private key stands under.
pub(crate) const PRIVATE_KEY: &str = "Identity.PrivKey";
/// What the node's public name stands under.
pub(crate) const PEER_ID: &str = "Identity.PeerID";
/// What `config show` leaves out, as Kubo does.
const SECRETS: [&str; 3] = [PRIVATE_KEY, "API.Authorizations", "Pinning.RemoteServices.*.API.Key"];

/// What is wrong with a configuration.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConfigError {
    /// A key is not there, or not known.
    #[error("{0} not found")]
    NotFound(String),
    /// A key leads through a value that holds no keys.
    #[error("{0} key is not a map")]
    NotAMap(String),
    /// A key holds a value of another type.
    #[error("{key} is {found}, but must be {want}")]
    Type {
        /// The key.
        key: String,
        /// What it holds.
        found: String,
        /// What it must hold.
        want: &'static str,
    },
    /// A key holds a value of the right type that makes no sense.
    #[error("{key}: {why}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong, and what is wanted.
        why: String,
    },
    /// The text is not a JSON object.
    #[error("not a JSON object: {0}")]
    Syntax(String),
    /// What was asked for is not known, or makes no sense here.
    #[error("{0}")]
    Refused(String),
    /// The file can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ConfigError {
    fn of_type(key: &str, found: &Value, want: &'static str) -> Self {
        let kind = match found {
            Value::Null => "null",
            Value::Bool(_) | Value::Number(_) => "",
            Value::String(_) => "the string ",
            Value::Array(_) => "the list ",
            Value::Object(_) => "the object ",
        };
        let mut text = if found.is_null() { String::new() } else { found.to_string() };
        if text.len() > MAX_SHOWN {
            let end = (0..=MAX_SHOWN).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            text.truncate(end);
            text.push('…');
        }
        Self::Type { key: key.to_owned(), found: format!("{kind}{text}"), want }
    }
}

/// Whether a duration says "the default".
fn is_default_duration(text: &str) -> bool {
    matches!(text, "" | "default" | "null")
}

/// A configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    root: Map<String, Value>,
}

impl Config {
    /// Reads JSON text. Types are not checked: see [`Config::check`].
    ///
    /// # Errors
    /// [`ConfigError::Syntax`].
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        match serde_json::from_slice(text) {
            Ok(Value::Object(root)) => Ok(Self { root }),
            Ok(other) => Err(ConfigError::Syntax(format!("it is {other}"))),
            Err(error) => Err(ConfigError::Syntax(error.to_string())),
        }
    }

    /// Reads a file. Types are not checked: see [`Config::check`].
    ///
    /// # Errors
    /// [`ConfigError::Store`] or [`ConfigError::Syntax`], naming the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let context = || format!("cannot read {}", path.display());
        let length = std::fs::metadata(path).map_err(|e| StoreError::io(context(), e))?.len();
        if length > MAX_FILE {
            return Err(ConfigError::Syntax(format!("{} is larger than {MAX_FILE} bytes", path.display())));
        }
        let text = std::fs::read(path).map_err(|e| StoreError::io(context(), e))?;
        Self::parse(&text).map_err(|error| match error {
            ConfigError::Syntax(why) => ConfigError::Syntax(format!("{}: {why}", path.display())),
            other => other,
        })
    }

    /// Replaces a file by this configuration, durably and at once; only its owner may read it.
    ///
    /// # Errors
    /// [`ConfigError::Store`]; the file is then as it was.
    pub fn save(&self, path: &Path) -> Result<(), ConfigError> {
        Ok(write_atomic(path, self.to_text().as_bytes(), true)?)
    }

    /// Indented JSON, as it stands in the file.
    pub fn to_text(&self) -> String {
        format!("{:#}\n", Value::Object(self.root.clone()))
    }

    /// Checks the types of all known keys.
    ///
    /// # Errors
    /// The first key that is wrong, what it holds, and what it must hold.
    pub fn check(&self) -> Result<(), ConfigError> {
        schema::check(&self.root, "")?;
        self.import().map(drop)
    }

    /// What a key holds: `Section.Key`.
    ///
    /// # Errors
    /// [`ConfigError::NotFound`] or [`ConfigError::NotAMap`], as Kubo says it.
    pub fn get(&self, key: &str) -> Result<&Value, ConfigError> {
        let mut map = &self.root;
        let mut parts = key.split('.');
        let mut path = String::new();
        let mut part = parts.next().unwrap_or_default();
        loop {
            path.push_str(part);
            let value = map.get(part).ok_or_else(|| ConfigError::NotFound(path.clone()))?;
            part = match parts.next() {
                None => return Ok(value),
                Some(part) => part,
            };
            map = value.as_object().ok_or_else(|| ConfigError::NotAMap(path.clone()))?;
            path.push('.');
        }
    }

    /// Sets a known key and checks its type. On an error nothing is changed.
    ///
    /// # Errors
    /// When the key is unknown or the value has the wrong type.
    pub fn set(&mut self, key: &str, value: Value) -> Result<(), ConfigError> {
        schema::find(key)?;
        let mut changed = self.clone();
        changed.put(key, value)?;
        schema::check(&changed.root, key)?;
        if key.starts_with("Import") {
            changed.import()?;
        }
        *self = changed;
        Ok(())
    }

    /// Sets a key, and makes the objects on the way to it.
    fn put(&mut self, key: &str, value: Value) -> Result<(), ConfigError> {
        let mut map = &mut self.root;
        let (sections, name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut path = String::new();
        for part in sections.split('.').filter(|p| !p.is_empty()) {
            path.push_str(part);
            let entry = map.entry(part).or_insert(Value::Null);
            if entry.is_null() {
                *entry = Value::Object(Map::new());
            }
            map = entry.as_object_mut().ok_or_else(|| ConfigError::NotAMap(path.clone()))?;
            path.push('.');
        }
        map.insert(name.to_owned(), value);
        Ok(())
    }

    /// What a key holds, without `null`.
    fn found(&self, key: &str) -> Result<Option<&Value>, ConfigError> {
        match self.get(key) {
            Ok(Value::Null) | Err(ConfigError::NotFound(_)) => Ok(None),
            Ok(value) => Ok(Some(value)),
            // A section that is null has no keys.
            Err(ConfigError::NotAMap(at)) if self.get(&at).is_ok_and(Value::is_null) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read<'a, T>(
        &'a self,
        key: &str,
        want: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.found(key)? else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| ConfigError::of_type(key, value, want))
    }

    /// A string.
    ///
    /// # Errors
    /// When it is something else.
    pub fn get_str(&self, key: &str) -> Result<Option<&str>, ConfigError> {
        self.read(key, "a string", Value::as_str)
    }

    /// A boolean.
    ///
    /// # Errors
    /// When it is something else.
    pub fn get_bool(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        self.read(key, "true, false or null", Value::as_bool)
    }

    /// An integer.
    ///
    /// # Errors
    /// When it is something else.
    pub fn get_int(&self, key: &str) -> Result<Option<i64>, ConfigError> {
        self.read(key, "an integer", Value::as_i64)
    }

    /// Strings: a list of them, or one alone.
    ///
    /// # Errors
    /// When it is something else.
    pub fn get_strings(&self, key: &str) -> Result<Option<Vec<&str>>, ConfigError> {
        self.read(key, "a list of strings", |value| match value {
            Value::String(one) if one.is_empty() => Some(Vec::new()),
            Value::String(one) => Some(vec![one.as_str()]),
            Value::Array(list) => list.iter().map(Value::as_str).collect(),
            _ => None,
        })
    }

    /// A duration. `""` and `"default"` are the default too.
    ///
    /// # Errors
    /// When it is something else.
    pub fn get_duration(&self, key: &str) -> Result<Option<Duration>, ConfigError> {
        let text = self.read(key, "a duration such as \"1h30m\"", Value::as_str)?;
        let text = text.filter(|text| !is_default_duration(text));
        text.map(parse_duration).transpose().map_err(|why| ConfigError::Value { key: key.to_owned(), why })
    }

    /// A size in bytes. `""` is the default too.
    ///
    /// # Errors
    /// When it is something else.
    pub fn get_size(&self, key: &str) -> Result<Option<u64>, ConfigError> {
        match self.found(key)? {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => {
                parse_size(text).map(Some).map_err(|why| ConfigError::Value { key: key.to_owned(), why })
            }
            Some(value) => {
                value.as_u64().map(Some).ok_or_else(|| ConfigError::of_type(key, value, "a size such as \"10GB\""))
            }
        }
    }

    /// All of it without secrets, for people to see.
    pub fn public(&self) -> Value {
        let mut root = Value::Object(self.root.clone());
        for secret in SECRETS {
            scrub(&mut root, secret);
        }
        root
    }

    /// The whole of it, secrets included.
    #[cfg(test)]
    pub(crate) fn as_map(&self) -> &Map<String, Value> {
        &self.root
    }
}

/// Removes a key; `*` stands for every name. The depth is that of the key.
fn scrub(value: &mut Value, key: &str) {
    let Some(map) = value.as_object_mut() else { return };
    let Some((part, rest)) = key.split_once('.') else {
        // Files are also written by people and by Kubo, which reads names in any case.
        map.retain(|name, _| !name.eq_ignore_ascii_case(key));
        return;
    };
    for (_, value) in map.iter_mut().filter(|(name, _)| part == "*" || name.eq_ignore_ascii_case(part)) {
        scrub(value, rest);
    }
}

#[cfg(test)]
mod tests;
