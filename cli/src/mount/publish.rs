//! Publishes trees when they have changed and come to rest.

use cairn_net::{
    ipns::{DEFAULT_LIFETIME, Names, Network, Publish},
    keystore::PrivateKey,
};
use cairn_store::{Cid, mfs::NamedCell, path::Path};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A tree is published once nothing was committed for so long.
const REST: Duration = Duration::from_secs(5);
/// A tree that never rests is published after so long.
const LONGEST: Duration = Duration::from_secs(60);
/// How long others may keep what they were told.
const TTL: Duration = Duration::from_secs(60);
/// For one publication; for the last one, when the process ends.
const PATIENCE: Duration = Duration::from_secs(60);
const LAST_PATIENCE: Duration = Duration::from_secs(4);
/// After one that failed.
const PAUSE: Duration = Duration::from_secs(60);

/// Whoever publishes, and when that ends.
#[derive(Default)]
pub struct Publishers {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Publishers {
    /// Publishes what waits for it, and nothing more.
    pub async fn finish(&self) {
        self.stop.cancel();
        self.tasks.close();
        // What was not told to the network is known here, and is told with the other names that are published again.
        let _ = time::timeout(LAST_PATIENCE + Duration::from_secs(1), self.tasks.wait()).await;
    }
}

/// Publishes one tree, until nobody changes it any more.
pub struct Publisher {
    /// Where.
    pub names: Names,
    /// Under the name of this key.
    pub key: PrivateKey,
    /// Where it is noted.
    pub row: Arc<NamedCell>,
    /// The root that was committed last, if it was not published.
    pub changes: watch::Receiver<Option<Cid>>,
}

impl Publisher {
    /// Begins.
    pub fn start(mut self, publishers: &Publishers) {
        // A root that waits from before is a change.
        self.changes.mark_changed();
        let stop = publishers.stop.clone();
        publishers.tasks.spawn(async move {
            while !stop.is_cancelled() {
                tokio::select! {
                    changed = self.changes.changed() => if changed.is_err() { return },
                    () = stop.cancelled() => {}
                }
                tokio::select! {
                    () = self.rest() => {}
                    () = stop.cancelled() => {}
                }
                self.publish_all(&stop).await;
            }
        });
    }

    /// Waits until nothing changes.
    async fn rest(&mut self) {
        let end = time::Instant::now() + LONGEST;
        loop {
            tokio::select! {
                () = time::sleep(REST) => return,
                () = time::sleep_until(end) => return,
                changed = self.changes.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Publishes until what was committed last is.
    async fn publish_all(&mut self, stop: &CancellationToken) {
        loop {
            let Some(root) = *self.changes.borrow_and_update() else { return };
            let last = stop.is_cancelled();
            if self.publish(root, last).await || last {
                return;
            }
            tokio::select! {
                () = time::sleep(PAUSE) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn publish(&self, root: Cid, last: bool) -> bool {
        let row = Arc::clone(&self.row);
        if row.state().is_ok_and(|state| state.published == Some(root)) {
            return true;
        }
        let options = Publish {
            lifetime: DEFAULT_LIFETIME,
            ttl: TTL,
            sequence: None,
            v1: true,
            network: Network::Optional,
            deadline: Some(Instant::now() + if last { LAST_PATIENCE } else { PATIENCE }),
        };
        let published = self.names.publish(&self.key, &Path::from_cid(&root), &options).await;
        if let Err(error) = published {
            tracing::warn!(%error, %root, "a tree that changed could not be published; it is tried again");
            return false;
        }
        match tokio::task::spawn_blocking(move || row.published(&root)).await {
            Ok(Ok(())) => {}
            other => tracing::warn!(?other, "that a tree was published could not be noted: it will be again"),
        }
        true
    }
}
