//! With Kubo over loopback, where `ipfs` is on the PATH (or `CAIRN_KUBO` names it); skipped with a reason elsewhere.

use super::{
    nodes::{LIMIT, Node, key, until},
    support::Anything,
};
use crate::{dht::Mode, routing::Routing as _};
use cairn_store::{Multihash, cid::codec, kv::MemoryKv};
use futures::StreamExt as _;
use libp2p::{Multiaddr, PeerId, identity::Keypair};
use std::{
    ffi::OsString,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Instant,
};

struct Kubo {
    program: OsString,
    repo: tempfile::TempDir,
    daemon: Option<Child>,
}

impl Drop for Kubo {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn program() -> Option<OsString> {
    if let Some(named) = std::env::var_os("CAIRN_KUBO") {
        return Some(named);
    }
    let dirs = std::env::var_os("PATH")?;
    std::env::split_paths(&dirs).map(|d: PathBuf| d.join("ipfs")).find(|p| p.is_file()).map(PathBuf::into_os_string)
}

impl Kubo {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("IPFS_PATH", self.repo.path()).env("IPFS_TELEMETRY", "off").stderr(Stdio::piped());
        command
    }

    async fn run(&self, args: &[&str]) -> String {
        let mut command = self.command(args);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("starts");
        assert!(output.status.success(), "ipfs {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// A daemon whose LAN DHT works over loopback and that talks to nobody else.
    async fn start() -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("skipped: no `ipfs` on the PATH, and CAIRN_KUBO is not set");
            return None;
        };
        let repo = tempfile::tempdir().expect("a folder");
        let mut kubo = Self { program, repo, daemon: None };
        kubo.run(&["init", "--profile=test,server"]).await;
        for (name, value) in [
            ("Addresses.Swarm", r#"["/ip4/127.0.0.1/tcp/0"]"#),
            ("Addresses.API", r#""/ip4/127.0.0.1/tcp/0""#),
            ("Addresses.Gateway", "[]"),
            ("Bootstrap", "[]"),
            ("Swarm.AddrFilters", "[]"),
            ("Addresses.NoAnnounce", "[]"),
            ("AutoTLS.Enabled", "false"),
            ("AutoConf.Enabled", "false"),
            ("DNS.Resolvers", "{}"),
            ("Routing.DelegatedRouters", "[]"),
            ("Ipns.DelegatedPublishers", "[]"),
            ("Routing.Type", r#""dhtserver""#),
            ("Routing.LoopbackAddressesOnLanDHT", "true"),
        ] {
            kubo.run(&["config", "--json", name, value]).await;
        }
        kubo.daemon = Some(kubo.command(&["daemon"]).stdout(Stdio::null()).spawn().expect("starts"));
        until("the daemon answers", async || {
            let mut command = kubo.command(&["swarm", "addrs", "local"]);
            command.stdout(Stdio::null());
            kubo.repo.path().join("api").exists() && command.status().is_ok_and(|s| s.success())
        })
        .await;
        Some(kubo)
    }

    async fn address(&self) -> Multiaddr {
        let addrs = self.run(&["id", "-f", "<addrs>"]).await;
        addrs.lines().next().expect("an address").parse().expect("a multiaddr")
    }
}

#[tokio::test]
async fn kubo_and_this_node_find_each_others_records() {
    let Some(kubo) = Kubo::start().await else { return };
    let node =
        Node::validated(Mode::Server, Keypair::generate_ed25519(), Arc::new(MemoryKv::default()), Arc::new(Anything))
            .await;
    let theirs: PeerId = kubo.run(&["id", "-f", "<id>"]).await.parse().expect("a peer id");
    node.dial(kubo.address().await).await;
    until("Kubo is in our table", async || node.table().await.contains(&theirs)).await;
    until("we are in Kubo's table", async || kubo.run(&["stats", "dht", "lan"]).await.contains(&node.peer.to_string()))
        .await;

    // We announce, Kubo finds us and where we are.
    node.dht.provide(key(1), Some(Instant::now() + LIMIT)).await.expect("Kubo takes it");
    let cid = cairn_store::Cid::new_v1(codec::RAW, key(1)).to_string();
    until("Kubo finds us", async || {
        kubo.run(&["routing", "findprovs", "--timeout=20s", &cid]).await.contains(&node.peer.to_string())
    })
    .await;

    // Kubo announces, we find it and where it is.
    let file = kubo.repo.path().join("hello");
    std::fs::write(&file, b"hello from Kubo").expect("writes");
    let cid = kubo.run(&["add", "-Q", "--cid-version=1", &file.to_string_lossy()]).await;
    kubo.run(&["routing", "provide", &cid]).await;
    let multihash: Multihash = *cairn_store::cid::parse(&cid).expect("a CID").hash();
    until("we find Kubo", async || {
        node.find(multihash, 0).await.iter().any(|p| p.peer == theirs && !p.addrs.is_empty())
    })
    .await;

    // Kubo publishes a name; its record is with us and can be fetched back.
    kubo.run(&["name", "publish", "--allow-offline", &format!("/ipfs/{cid}")]).await;
    let name = [b"/ipns/".to_vec(), theirs.to_bytes()].concat();
    until("Kubo put its record to us", async || node.stats().await.values == 1).await;
    let values: Vec<_> = Arc::clone(&node.dht).search_value(name.into(), Some(Instant::now() + LIMIT)).collect().await;
    assert!(values.iter().any(|v| v.as_ref().is_ok_and(|v| v.len() > 100)), "{values:?}");

    // Public keys of peers, and peers.
    let closest = node.dht.get_closest_peers(theirs.to_bytes()).await;
    assert_eq!(closest, [theirs]);
    let found = kubo.run(&["routing", "findpeer", "--timeout=20s", &node.peer.to_string()]).await;
    assert!(found.contains("/tcp/"), "{found}");
}
