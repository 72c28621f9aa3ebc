//! Names and keys for the commands, with or without a network.

use crate::ctx::Ctx;
use anyhow::Context as _;
use cairn_net::{
    dnslink::{DnsConfig, Resolver, TextSource},
    ipns::{Name, Names, NamesConfig},
    keystore::{Keystore, PrivateKey},
};
use cairn_store::repo::{Identity, Repo};
use multibase::Base;
use std::sync::Arc;

/// Names for a command that runs by itself: over the repository's own records, and, unless `--offline` forbids it, DNS.
///
/// # Errors
/// When the repository can't be opened, or what its configuration says of names makes no sense.
pub fn open(ctx: &Ctx) -> anyhow::Result<Names> {
    of_repo(ctx.repo()?, ctx.global.offline)
}

/// Names over a repository's own records, and, unless `offline` forbids it, DNS.
///
/// # Errors
/// When what its configuration says of names makes no sense.
pub fn of_repo(repo: &Repo, offline: bool) -> anyhow::Result<Names> {
    let config = repo.config();
    let mut names = NamesConfig::load(&config)?;
    if cairn_net::node::is_private(repo.path()) {
        names = names.private();
    }
    let dns =
        if offline { None } else { Some(Arc::new(Resolver::new(DnsConfig::load(&config)?)) as Arc<dyn TextSource>) };
    Ok(Names::new(&names, Arc::clone(repo.kv()), None, dns))
}

/// The keys of the repository, and the node's own. They are files: no lock is needed for them.
///
/// # Errors
/// When there is no repository and none can be made, or its configuration holds no key.
pub fn keys(ctx: &Ctx) -> anyhow::Result<(Keystore, PrivateKey)> {
    let location = ctx.location()?;
    if !location.exists()? {
        ctx.repo()?;
    }
    let own = Identity::of(&location.read_config()?)?.to_protobuf()?;
    Ok((Keystore::of_repo(location.dir()), PrivateKey::from_protobuf(&own)?))
}

/// How names of keys are written: `--ipns-base`.
#[derive(Debug, Clone, Copy)]
pub struct IpnsBase(Option<Base>);

impl IpnsBase {
    /// A name in that form.
    pub fn encode(self, name: impl Into<Name>) -> String {
        name.into().in_base(self.0)
    }
}

/// Reads `--ipns-base`: a multibase, or `b58mh` for a peer ID.
pub fn ipns_base(text: &str) -> Result<IpnsBase, String> {
    if matches!(text, "b58mh" | "v0") {
        return Ok(IpnsBase(None));
    }
    let base = crate::output::parse_base(text).context("cannot get key encoder");
    match base {
        Ok(Base::Identity) => Err("the multibase identity would be binary".into()),
        Ok(base) => Ok(IpnsBase(Some(base))),
        Err(error) => Err(format!("{error:#}")),
    }
}
