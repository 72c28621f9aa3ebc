//! Replacing a configuration by another that was written for the same node.

use super::{Config, ConfigError, PRIVATE_KEY};
use serde_json::{Map, Value};

/// Where remote pinning services are, by name.
const SERVICES: &str = "Pinning.RemoteServices";

impl Config {
    /// Takes over all of `new` but what is secret: the identity and the credentials of pinning services stay, and
    /// services are neither added nor removed. On an error nothing is changed.
    ///
    /// # Errors
    /// [`ConfigError::Refused`], in Kubo's words, when `new` would change what stays.
    pub fn replace(&mut self, mut new: Self) -> Result<(), ConfigError> {
        if new.get_str(PRIVATE_KEY)?.is_some_and(|key| !key.is_empty()) {
            return Err(refused("setting private key with API is not supported"));
        }
        match self.root.get("Identity") {
            Some(identity) => new.put("Identity", identity.clone())?,
            None => return Err(refused("failed to get PrivKey")),
        }
        let (ours, mut theirs) = (self.services(), new.services());
        if ours.len() != theirs.len() || ours.keys().any(|name| !theirs.contains_key(name)) {
            return Err(refused("cannot add or remove remote pinning services with 'config replace'"));
        }
        for (name, service) in &ours {
            let Some(Value::Object(changed)) = theirs.get_mut(name) else { continue };
            let field = |of: Option<&Value>, key: &str| {
                of.and_then(|api| api.get(key)).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            let (old, new) = (service.get("API"), changed.get("API"));
            let endpoint = field(new, "Endpoint");
            if !field(new, "Key").is_empty() || (!endpoint.is_empty() && endpoint != field(old, "Endpoint")) {
                return Err(refused("cannot change remote pinning services api info with `config replace`"));
            }
            changed.insert("API".to_owned(), old.cloned().unwrap_or(Value::Null));
        }
        if !ours.is_empty() {
            new.put(SERVICES, Value::Object(theirs))?;
        }
        *self = new;
        Ok(())
    }

    fn services(&self) -> Map<String, Value> {
        self.get(SERVICES).ok().and_then(Value::as_object).cloned().unwrap_or_default()
    }
}

fn refused(why: &str) -> ConfigError {
    ConfigError::Refused(why.to_owned())
}
