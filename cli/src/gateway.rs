//! The gateway in this program: what it reads from, where it listens, and what is served beside it.

use crate::{cmd::daemon::files::Announced, ctx::Ctx, reading::Reading, rpc::address::Address};
use anyhow::Context as _;
use axum::http::{HeaderValue, header::ACCESS_CONTROL_ALLOW_ORIGIN};
use cairn_gateway::{
    Backend, Body, Config, Gateway,
    serve::{Listener, Other, Service, serve},
};
use cairn_net::{
    delegated::server::{self, ServerConfig},
    dht,
    node::Node,
};
use cairn_store::repo::Repo;
use futures::TryStreamExt as _;
use http_body_util::BodyDataStream;
use hyper_util::service::TowerToHyperService;
use std::{
    io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, UnixListener},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// For one search by `/routing/v1`: boxo's.
const SEARCH: Duration = Duration::from_secs(30);
/// Name of the file in the repository that says where it is served.
const FILE: &str = "gateway";
/// Where the routing API is.
const ROUTING: &str = "/routing/v1";

/// What a gateway of this repository reads from; with a node, from the network too, unless `Gateway.NoFetch` forbids it.
///
/// # Errors
/// When the configuration makes no sense.
pub fn backend(repo: &Repo, node: Option<&Node>, offline: bool) -> anyhow::Result<Backend> {
    let no_fetch = repo.config().get_bool("Gateway.NoFetch")?.unwrap_or(false);
    let Reading { session, local, names } = Reading::new(repo, node.filter(|_| !no_fetch), offline)?;
    Ok(Backend { session, local, names })
}

/// A gateway that is served.
pub struct Served {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// The file that says where.
    _file: Option<Announced>,
}

/// Begins to serve at `Addresses.Gateway`. An address that is taken is no reason for a daemon not to run: `required` says
/// that there is nothing else to do.
///
/// # Errors
/// When the configuration makes no sense, the disk refuses the file that says where it is served, or nothing can be served
/// although it is required.
pub async fn start(
    ctx: &Ctx,
    repo: &Repo,
    node: Option<&Node>,
    stop: &CancellationToken,
    servers: &mut JoinSet<()>,
    required: bool,
) -> anyhow::Result<Served> {
    let config = repo.config();
    let settings = Config::from_repo(&config, repo.path())?;
    let backend = backend(repo, node, ctx.global.offline || node.is_none() && !required)?;
    let version =
        format!("Commit: {}\nClient Version: {}\n", env!("CAIRN_COMMIT"), concat!("cairn/", env!("CARGO_PKG_VERSION")));
    let gateway = Arc::new(Gateway::new(settings, backend, version));
    let exposed = config.get_bool("Gateway.ExposeRoutingAPI")?.unwrap_or(true);
    let routing = node.filter(|_| exposed).map(|node| (ROUTING.to_owned(), routing(node)));
    let service = Service { gateway: Arc::clone(&gateway), others: Arc::new(routing.into_iter().collect()) };
    let mut first = None;
    for text in config.get_strings("Addresses.Gateway")?.unwrap_or_default() {
        let (address, listener) = match bind(&Address::parse(text)?).await {
            Ok(bound) => bound,
            Err(error) if required => return Err(error),
            Err(error) => {
                ctx.out.note(&format!("Warning: the gateway is not served there: {error:#}\n"));
                continue;
            }
        };
        crate::cmd::daemon::say(ctx, &format!("Gateway server listening on {address}\n"))?;
        if !service.others.is_empty() {
            crate::cmd::daemon::say(ctx, &format!("Routing V1 API exposed at http://{}{ROUTING}\n", address.host()))?;
        }
        let (service, stop) = (service.clone(), stop.clone());
        servers.spawn(async move {
            serve(listener, service, stop).await;
        });
        first.get_or_insert(address.for_clients());
    }
    if required && first.is_none() {
        anyhow::bail!(
            "Addresses.Gateway names no address to listen on: cairn config Addresses.Gateway /ip4/127.0.0.1/tcp/8080"
        );
    }
    gateway.denylists().follow();
    let file =
        first.map(|address| Announced::new(repo.path(), FILE, &format!("http://{}", address.host()))).transpose()?;
    Ok(Served { gateway, _file: file })
}

async fn bind(address: &Address) -> anyhow::Result<(Address, Listener)> {
    let refuse = || format!("cannot listen on {address}");
    Ok(match address {
        Address::Ip(ip) => {
            let socket = TcpListener::bind(ip).await.with_context(refuse)?;
            (Address::Ip(socket.local_addr()?), Listener::Tcp(socket))
        }
        Address::Name(name, port) => {
            let socket = TcpListener::bind((name.as_str(), *port)).await.with_context(refuse)?;
            (Address::Ip(socket.local_addr()?), Listener::Tcp(socket))
        }
        Address::Unix(path) => (address.clone(), Listener::Unix(bind_private(path).with_context(refuse)?)),
    })
}

/// A socket in the file system, for this user alone from the first moment on: it gets its name once it is. A socket that
/// nobody listens on makes room; what is none stays, and is in the way.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file, and it is no socket"));
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => return Err(io::ErrorKind::AddrInUse.into()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Paths of sockets are short.
    let new = path.with_file_name(format!(".{}", std::process::id()));
    let bound = UnixListener::bind(&new)?;
    let named = std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| std::fs::rename(&new, path));
    if named.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    named.map(|()| bound)
}

/// The routing API as `net` has it, for pages of any origin.
fn routing(node: &Node) -> Other {
    let settings = ServerConfig { timeout: SEARCH, validator: Arc::new(dht::Names) };
    let router = server::router(node.routing(), settings);
    Arc::new(move |request| {
        let service = TowerToHyperService::new(router.clone());
        Box::pin(async move {
            let Ok(mut response) = hyper::service::Service::call(&service, request).await;
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            response.map(|body| Body::stream(BodyDataStream::new(body).map_err(io::Error::other), None))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_takes_the_place_of_a_dead_one_and_of_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("gateway.sock");
        let mode = || std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        let first = bind_private(&path).expect("binds");
        assert_eq!(mode(), 0o600);
        assert_eq!(bind_private(&path).expect_err("it is in use").kind(), io::ErrorKind::AddrInUse);
        drop(first);
        let second = bind_private(&path).expect("nobody listens on the old one");
        drop(second);
        for there in ["file", "link"] {
            std::fs::remove_file(&path).expect("removes");
            std::fs::write(dir.path().join("other"), "precious").expect("writes");
            match there {
                "file" => std::fs::write(&path, "precious").expect("writes"),
                _ => std::os::unix::fs::symlink("other", &path).expect("links"),
            }
            assert_eq!(bind_private(&path).expect_err(there).kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read_to_string(&path).expect("it is still there"), "precious");
        }
        let left = std::fs::read_dir(dir.path()).expect("reads").count();
        assert_eq!(left, 2, "no other name is left");
    }
}
