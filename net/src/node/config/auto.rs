//! What `auto` stands for.

use super::read::{AUTO, PUBLIC_BOOTSTRAP};
use crate::delegated;
use cairn_store::config::{Config, ConfigError};
use serde_json::Value;

/// Lists in which `auto` stands for what the public network uses.
fn public(key: &str) -> Vec<&'static str> {
    match key {
        "Bootstrap" => PUBLIC_BOOTSTRAP.to_vec(),
        _ => vec![delegated::PUBLIC],
    }
}

/// Puts what `auto` stands for in its place. Of `DNS.Resolvers` it goes away: the system's are meant, and these are asked
/// where none is named. With `AutoConf.Enabled` false it stands for nothing anywhere.
///
/// # Errors
/// When a key holds another type than it must.
pub fn expand(config: &mut Config) -> Result<(), ConfigError> {
    let on = config.get_bool("AutoConf.Enabled")?.unwrap_or(true);
    for key in ["Bootstrap", "Routing.DelegatedRouters", "Ipns.DelegatedPublishers"] {
        let Some(listed) = config.get_strings(key)? else { continue };
        if listed.contains(&AUTO) {
            let rest = listed.iter().filter(|item| **item != AUTO).copied();
            let all: Vec<&str> = rest.chain(if on { public(key) } else { Vec::new() }).collect();
            let all = Value::from(all);
            config.set(key, all)?;
        }
    }
    if let Ok(Value::Object(resolvers)) = config.get("DNS.Resolvers") {
        let mut named = resolvers.clone();
        named.retain(|_, url| url != AUTO);
        config.set("DNS.Resolvers", Value::Object(named))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_auto_stands_for_is_put_in_its_place() {
        let mut config = Config::defaults("QmPeer", "key");
        config.set("Routing.DelegatedRouters", json!(["https://router.example", "auto"])).expect("sets");
        config.set("DNS.Resolvers", json!({".": "auto", "eth.": "https://dns.example"})).expect("sets");
        let mut off = config.clone();
        expand(&mut config).expect("expands");
        let strings = |config: &Config, key: &str| -> Vec<String> {
            config.get_strings(key).expect("strings").unwrap_or_default().into_iter().map(str::to_owned).collect()
        };
        assert_eq!(strings(&config, "Bootstrap"), PUBLIC_BOOTSTRAP);
        assert_eq!(strings(&config, "Routing.DelegatedRouters"), ["https://router.example", delegated::PUBLIC]);
        assert_eq!(config.get("DNS.Resolvers").expect("set"), &json!({"eth.": "https://dns.example"}));
        off.set("AutoConf.Enabled", json!(false)).expect("sets");
        expand(&mut off).expect("expands");
        assert!(strings(&off, "Bootstrap").is_empty());
        assert_eq!(strings(&off, "Routing.DelegatedRouters"), ["https://router.example"]);
    }
}
