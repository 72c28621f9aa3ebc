//! What is served at `Addresses.Gateway`: in this release `/routing/v1` only, unless `Gateway.ExposeRoutingAPI` is off.
//! Connections are bounded as those of the RPC are; searches by [`server`].

use super::{files::Announced, say};
use crate::{
    ctx::Ctx,
    daemon::Daemon,
    rpc::{address::Address, server::Listener},
};
use axum::{
    http::{HeaderValue, header::ACCESS_CONTROL_ALLOW_ORIGIN},
    middleware::map_response,
    response::Response,
};
use cairn_net::{
    delegated::server::{self, ServerConfig},
    dht,
    node::Node,
};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// For one search: boxo's.
const PATIENCE: Duration = Duration::from_secs(30);
/// Name of the file in the repository that says where it is served.
const FILE: &str = "gateway";

/// Begins to serve. An address that is taken is no reason for the daemon not to run: all of it can do without this.
///
/// # Errors
/// When an address is none, or the disk refuses the file that says where it is served.
pub async fn start(
    ctx: &Ctx,
    daemon: &Arc<Daemon>,
    node: &Node,
    servers: &mut JoinSet<()>,
) -> anyhow::Result<Option<Announced>> {
    let config = daemon.repo.config();
    if config.get_bool("Gateway.ExposeRoutingAPI")? == Some(false) {
        return Ok(None);
    }
    let settings = ServerConfig { timeout: PATIENCE, validator: Arc::new(dht::Names) };
    // Pages of any origin may read what anybody may read, as in Kubo.
    let router = server::router(node.routing(), settings).layer(map_response(async |mut response: Response| {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }));
    let mut first = None;
    for text in config.get_strings("Addresses.Gateway")?.unwrap_or_default() {
        let listener = match Listener::bind(&Address::parse(text)?).await {
            Ok(listener) => listener,
            Err(error) => {
                ctx.out.note(&format!("Warning: the routing API is not served there: {error:#}\n"));
                continue;
            }
        };
        let host = listener.address.host();
        say(ctx, &format!("Routing V1 API exposed at http://{host}/routing/v1\n"))?;
        first.get_or_insert(listener.address.clone().for_clients());
        servers.spawn(listener.serve_router(daemon.stop.clone(), router.clone()));
    }
    first.map(|address| Announced::new(daemon.repo.path(), FILE, &format!("http://{}", address.host()))).transpose()
}
