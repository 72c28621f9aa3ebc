//! Whether a command goes to a daemon, and to which.

use super::{
    address::Address,
    blocks::{Remote, RemoteNames},
    client::Client,
    place::{self, Place},
    query, send,
};
use crate::{
    args::{Cli, Enc},
    cmd::Command,
    ctx::{Ctx, Source},
    exit::{Outcome, Usage},
};
use anyhow::Context as _;
use clap::{ArgMatches, CommandFactory as _};
use std::{
    net::{TcpStream, ToSocketAddrs as _},
    os::unix::net::UnixStream,
    sync::Arc,
    time::Duration,
};

/// How long the daemon of the repository may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// Runs the command in a daemon, if that is where it runs: `None` if it runs here.
///
/// # Errors
/// When it needs a daemon, and there is none.
pub fn to_daemon(ctx: &mut Ctx, matches: &ArgMatches, command: &Command) -> anyhow::Result<Option<Outcome>> {
    let path = query::path(matches);
    let place = place::of(&path);
    if place == Place::Alone || path.first().is_some_and(|name| name == "daemon") {
        return Ok(None);
    }
    let given = given(ctx)?;
    if place == Place::Here {
        if ctx.global.api.is_some() {
            return Err(Usage(format!("--api: `cairn {}` runs here, and never in a daemon", path.join(" "))).into());
        }
        return Ok(None);
    }
    let address = match given {
        Some(address) => Some(address),
        None => of_repository(ctx)?,
    };
    let Some(address) = address else {
        return match place {
            Place::Daemon => Err(Usage(
                "this command works on a running daemon, and there is none: start it with `cairn daemon`".into(),
            )
            .into()),
            _ => Ok(None),
        };
    };
    let client = Client::new(address, ctx.global.api_auth.as_deref())?;
    if place == Place::WithBlocks {
        let offline = ctx.global.offline;
        let fetch = Arc::new(Remote { client: client.clone(), offline, session: rand::random() });
        let source = Source { fetch, names: Arc::new(RemoteNames { client, offline }) };
        ctx.use_source(source);
        return Ok(None);
    }
    let enc = if ctx.global.enc == Enc::Json { "json" } else { "text" };
    let asked = query::of(&Cli::command(), matches, enc);
    send::run(ctx, &client, asked, command).map(Some)
}

/// The address that was given.
fn given(ctx: &Ctx) -> anyhow::Result<Option<Address>> {
    if let Some(text) = &ctx.global.api {
        return Address::parse(text).context("--api").map(Some);
    }
    match std::env::var("CAIRN_API") {
        Ok(text) if !text.is_empty() => Address::parse(&text).context("CAIRN_API").map(Some),
        _ => Ok(None),
    }
}

/// The address in the repository's file `api`, if somebody listens there. What a daemon that was killed left behind is
/// ignored: whether the repository is free is for its lock to say.
fn of_repository(ctx: &Ctx) -> anyhow::Result<Option<Address>> {
    let Ok(text) = std::fs::read_to_string(ctx.repo_path()?.join("api")) else { return Ok(None) };
    let Ok(address) = Address::parse(&text) else { return Ok(None) };
    let listens = match &address {
        Address::Unix(path) => UnixStream::connect(path).is_ok(),
        Address::Ip(ip) => TcpStream::connect_timeout(ip, CONNECT).is_ok(),
        Address::Name(name, port) => (name.as_str(), *port)
            .to_socket_addrs()
            .is_ok_and(|mut all| all.any(|ip| TcpStream::connect_timeout(&ip, CONNECT).is_ok())),
    };
    Ok(listens.then_some(address))
}
