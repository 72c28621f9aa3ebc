//! Addresses of daemons: those multiaddrs that an HTTP server can have, and URLs.

use anyhow::{Context as _, bail};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

/// Where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A name and port.
    Name(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Reads `/ip4/127.0.0.1/tcp/5001`, `/ip6/…`, `/dns/name/tcp/5001`, with `/http` behind it or not,
    /// `/unix/path/to/socket`, `http://host:port` or `host:port`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let text = text.trim();
        let wrong = || format!("{text:?} is not an address of a daemon: write for example /ip4/127.0.0.1/tcp/5001");
        if let Some(path) = text.strip_prefix("/unix/") {
            return Ok(Self::Unix(PathBuf::from(format!("/{path}"))));
        }
        if text.starts_with("https://") || text.ends_with("/https") || text.contains("/tls") {
            bail!("{text:?}: cairn speaks to daemons over plain HTTP only; use a tunnel, such as ssh -L, for another machine");
        }
        if !text.starts_with('/') {
            let rest = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
            if let Ok(address) = rest.parse() {
                return Ok(Self::Ip(address));
            }
            let (name, port) = rest.rsplit_once(':').with_context(wrong)?;
            return Ok(Self::Name(name.to_owned(), port.parse().with_context(wrong)?));
        }
        let parts: Vec<&str> = text.split('/').skip(1).collect();
        let [kind, host, "tcp", port, rest @ ..] = parts.as_slice() else { bail!(wrong()) };
        if !matches!(rest, [] | ["http"]) {
            bail!(wrong());
        }
        let port = port.parse().with_context(wrong)?;
        Ok(match *kind {
            "ip4" => Self::Ip((host.parse::<Ipv4Addr>().with_context(wrong)?, port).into()),
            "ip6" => Self::Ip((host.parse::<Ipv6Addr>().with_context(wrong)?, port).into()),
            "dns" | "dns4" | "dns6" => Self::Name((*host).to_owned(), port),
            _ => bail!(wrong()),
        })
    }

    /// Whether it can be reached from this machine only.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Ip(address) => address.ip().is_loopback(),
            Self::Name(name, _) => name == "localhost",
            Self::Unix(_) => true,
        }
    }

    /// The address at which a client on this machine finds whoever listens here.
    #[must_use]
    pub fn for_clients(self) -> Self {
        match self {
            Self::Ip(address) if address.ip().is_unspecified() => {
                let ip = match address.ip() {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                    IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
                };
                Self::Ip((ip, address.port()).into())
            }
            other => other,
        }
    }

    /// What a client says in `Host`.
    pub fn host(&self) -> String {
        match self {
            Self::Ip(address) => address.to_string(),
            Self::Name(name, port) => format!("{name}:{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

/// As a multiaddr.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(SocketAddr::V4(a)) => write!(f, "/ip4/{}/tcp/{}", a.ip(), a.port()),
            Self::Ip(SocketAddr::V6(a)) => write!(f, "/ip6/{}/tcp/{}", a.ip(), a.port()),
            Self::Name(name, port) => write!(f, "/dns/{name}/tcp/{port}"),
            Self::Unix(path) => write!(f, "/unix{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, shown) in [
            ("/ip4/127.0.0.1/tcp/5001", "/ip4/127.0.0.1/tcp/5001"),
            ("/ip6/::1/tcp/5001/http", "/ip6/::1/tcp/5001"),
            ("/dns4/node/tcp/1", "/dns/node/tcp/1"),
            ("/unix/run/x.sock", "/unix/run/x.sock"),
            ("http://127.0.0.1:5001/", "/ip4/127.0.0.1/tcp/5001"),
            ("[::1]:80", "/ip6/::1/tcp/80"),
            ("node:80\n", "/dns/node/tcp/80"),
        ] {
            assert_eq!(Address::parse(text).expect(text).to_string(), shown);
        }
        for bad in ["", "/ip4/1.2.3/tcp/5001", "/ip4/1.2.3.4/udp/1", "/ip4/1.2.3.4/tcp/99999", "node", "https://x:1"] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
        let any = Address::parse("/ip4/0.0.0.0/tcp/5001").expect("an address");
        assert!(!any.is_local());
        assert_eq!(any.for_clients().to_string(), "/ip4/127.0.0.1/tcp/5001");
    }
}
