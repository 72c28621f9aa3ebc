//! Regular collections: `cairn daemon --enable-gc`.

use crate::daemon::Daemon;
use cairn_store::{
    gc::{self, Event, GcError},
    pin::Pins,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Time between two looks, where `Datastore.GCPeriod` is not set: Kubo's.
const PERIOD: Duration = Duration::from_secs(3600);
/// Shortest time between two looks.
const MIN_PERIOD: Duration = Duration::from_secs(1);

/// Collects, every now and then, until the daemon stops.
pub async fn regularly(daemon: Arc<Daemon>) {
    loop {
        let period = daemon.repo.config().get_duration("Datastore.GCPeriod").ok().flatten().unwrap_or(PERIOD);
        tokio::select! {
            () = daemon.stop.cancelled() => return,
            () = tokio::time::sleep(period.max(MIN_PERIOD)) => {}
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (worker, flag) = (Arc::clone(&daemon), Arc::clone(&stop));
        let work = tokio::task::spawn_blocking(move || collect(&worker, &flag));
        let mut work = std::pin::pin!(work);
        tokio::select! {
            () = daemon.stop.cancelled() => {
                stop.store(true, Ordering::Relaxed);
                let _ = work.await;
                return;
            }
            _ = &mut work => {}
        }
    }
}

fn collect(daemon: &Daemon, stop: &AtomicBool) {
    let due = daemon.repo.kv().usage().map_err(anyhow::Error::from).and_then(|usage| {
        let watermark = daemon.repo.gc_watermark()?;
        Ok(usage.total >= watermark)
    });
    match due {
        Ok(false) => return,
        Ok(true) => {}
        Err(error) => return tracing::error!("cannot tell whether a collection is due: {error:#}"),
    }
    let pins = Pins::new(Arc::clone(daemon.repo.blocks()));
    let mut removed = 0_u64;
    let result = gc::collect(daemon.repo.blocks(), &pins, &|| daemon.repo.kept_roots(), stop, &mut |event| {
        if let Event::Removed(_) = event {
            removed += 1;
        }
    });
    match result {
        Ok(_) => tracing::info!("collected {removed} blocks"),
        Err(GcError::Stopped) => {}
        Err(error) => tracing::error!("the collection failed: {error}"),
    }
}
