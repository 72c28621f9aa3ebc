//! The task that carries out the schedule.

use super::{
    Config, KeySource, ProvideTarget,
    keystore::{Keystore, Rows},
    schedule::{Due, Schedule},
    serve::{ServeError, Server, blocking},
    stats::{self, Counters, Stats, mean, read},
};
use crate::dht::{
    Clock, Net,
    key::{Id, Prefix},
    message::{Kind, Message},
    query::{Walk, lookup::K, region},
};
use cairn_store::{Multihash, kv::Kv};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};

/// After the key source or the network failed, the next try.
const RETRY: Duration = Duration::from_secs(60);
/// While nobody is known to announce to, the next look. It costs nothing: there is nobody to ask.
const OFFLINE_RETRY: Duration = Duration::from_secs(3);
/// Lookups of random points that tell the size of the network before the first region.
const CALIBRATION: usize = 4;
/// Waiting keys that `provide stat` counts.
const MAX_COUNTED: usize = 1_000_000;
/// The longest sleep, so that a clock that jumps is noticed.
const MAX_SLEEP: Duration = Duration::from_secs(600);

/// Announces what this node has. Cheap to clone; the work stops when [`Sweep::close`] is called or all clones are gone.
#[derive(Clone)]
pub struct Sweep {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    clock: Arc<dyn Clock>,
    keys: Arc<Keystore>,
    source: Arc<dyn KeySource>,
    targets: Vec<Arc<Target>>,
    started: Instant,
    /// Goes up when something is new: keys, or the end.
    news: watch::Sender<u64>,
    /// Goes up when the key source should be read now.
    reread: watch::Sender<u64>,
    closed: AtomicBool,
}

struct Target {
    server: Server,
    schedule: Mutex<Schedule>,
    /// Since when there is, or is not, somebody to announce to.
    online: Mutex<(bool, u64)>,
}

impl Target {
    fn net(&self) -> Net {
        self.server.target.net
    }

    fn prefix_len(&self) -> usize {
        region::prefix_len(self.server.target.network.size().unwrap_or(0.0))
    }

    fn set_online(&self, online: bool, now: u64) {
        let mut state = self.online.lock();
        if state.0 != online {
            *state = (online, now);
        }
    }
}

impl Sweep {
    /// Starts the work on the current tokio runtime. `targets` come from [`crate::dht::Dht::provide_targets`].
    pub fn start(
        config: Config,
        targets: Vec<ProvideTarget>,
        source: Arc<dyn KeySource>,
        kv: Arc<dyn Kv>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let keys = Arc::new(Keystore::new(kv));
        let now = clock.now();
        let targets = targets
            .into_iter()
            .map(|target| {
                let counters = Arc::new(Counters::default());
                let connections = config.max_connections_per_worker.max(1);
                let server = Server { target, keys: Arc::clone(&keys), counters, connections };
                let schedule = Mutex::new(Schedule::new(config.interval.as_secs(), now, None));
                Arc::new(Target { server, schedule, online: Mutex::new((false, now)) })
            })
            .collect();
        let shared = Arc::new(Shared {
            config,
            clock,
            keys,
            source,
            targets,
            started: Instant::now(),
            news: watch::channel(0).0,
            reread: watch::channel(0).0,
            closed: AtomicBool::new(false),
        });
        tokio::spawn(read_source(Arc::downgrade(&shared), shared.reread.subscribe()));
        Self { shared }
    }

    /// Takes keys that were just added to the repository: they are announced with the regions of their own, as soon as
    /// workers are free, and from then on with the schedule.
    ///
    /// # Errors
    /// When they can't be written down.
    pub async fn add(&self, keys: Vec<Multihash>) -> Result<(), String> {
        let (store, nets) = (Arc::clone(&self.shared.keys), self.nets());
        blocking(move || store.add(&keys, &nets).map_err(|e| e.to_string())).await.map_err(|e| e.to_string())?;
        self.shared.news.send_modify(|n| *n += 1);
        Ok(())
    }

    /// Announces everything again, beginning now (`routing reprovide`).
    pub fn reprovide(&self) {
        let now = self.shared.clock.now();
        for target in &self.shared.targets {
            *target.schedule.lock() = Schedule::new(self.shared.config.interval.as_secs(), now, None);
        }
        self.shared.reread.send_modify(|n| *n += 1);
        self.shared.news.send_modify(|n| *n += 1);
    }

    /// Forgets new keys that wait to be announced (`provide clear`); how many there were.
    ///
    /// # Errors
    /// When the rows can't be removed.
    pub async fn clear(&self) -> Result<u64, String> {
        let (store, nets) = (Arc::clone(&self.shared.keys), self.nets());
        blocking(move || {
            let mut most = 0;
            for net in nets {
                most = most.max(store.clear_new(net).map_err(|e| e.to_string())?);
            }
            Ok(most)
        })
        .await
        .map_err(|e| e.to_string())
    }

    /// Stops. What was under way is not counted as announced.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.shared.news.send_modify(|n| *n += 1);
        self.shared.reread.send_modify(|n| *n += 1);
    }

    fn nets(&self) -> Vec<Net> {
        self.shared.targets.iter().map(|t| t.net()).collect()
    }

    /// Figures of one DHT; `None` when nothing is announced there.
    pub async fn stats(&self, net: Net) -> Option<Stats> {
        let target = Arc::clone(self.shared.targets.iter().find(|t| t.net() == net)?);
        let keys = Arc::clone(&self.shared.keys);
        let waiting = tokio::task::spawn_blocking(move || keys.waiting(net, MAX_COUNTED)).await.unwrap_or(0);
        Some(self.shared.stats(&target, waiting as u64))
    }
}

impl Shared {
    fn stats(&self, target: &Target, waiting: u64) -> Stats {
        let now = self.clock.now();
        let counters = &target.server.counters;
        let (len, keys) = (target.prefix_len(), self.keys.len());
        let (wake_at, cursor, cycle_start) = {
            let schedule = target.schedule.lock();
            (schedule.wake_at(), schedule.cursor(), schedule.cycle_start())
        };
        let interval = self.config.interval.as_secs().max(1);
        let overdue = now.saturating_sub(wake_at).min(interval);
        let regions = 1u64 << len.min(62);
        let (online, since) = *target.online.lock();
        let (periodic, burst) = (read(&counters.periodic), read(&counters.burst));
        let served = read(&counters.regions_served);
        Stats {
            closed: self.closed.load(Ordering::Relaxed),
            connectivity: stats::Connectivity { status: if online { "online" } else { "offline" }.into(), since },
            queues: stats::Queues {
                pending_key_provides: waiting,
                pending_region_provides: waiting.min(regions),
                pending_region_reprovides: u64::try_from(
                    u128::from(overdue) * u128::from(regions) / u128::from(interval),
                )
                .unwrap_or(u64::MAX),
            },
            schedule: stats::Schedule {
                keys,
                regions,
                avg_prefix_length: len as f64,
                next_reprovide_at: wake_at,
                next_reprovide_prefix: Prefix::new(&cursor, len).bits(),
            },
            workers: stats::Workers {
                max: self.config.max_workers,
                active: periodic + burst,
                active_periodic: periodic,
                active_burst: burst,
                dedicated_periodic: self.config.dedicated_periodic,
                dedicated_burst: self.config.dedicated_burst,
                max_provide_conns_per_worker: self.config.max_connections_per_worker,
            },
            timing: stats::Timing {
                uptime: u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX),
                reprovides_interval: u64::try_from(self.config.interval.as_nanos()).unwrap_or(u64::MAX),
                cycle_start,
                current_time_offset: now.saturating_sub(cycle_start).saturating_mul(1_000_000_000),
            },
            operations: stats::Operations {
                past: stats::PastOperations {
                    records_provided: read(&counters.records),
                    keys_provided: read(&counters.keys),
                    keys_failed: read(&counters.keys_failed),
                    reprovide_duration: (mean(read(&counters.reprovide_millis), served) * 1e6) as u64,
                    avg_keys_per_reprovide: mean(read(&counters.keys_reprovided), served),
                    regions_reprovided_last_cycle: read(&counters.regions_last_cycle),
                },
            },
            network: stats::Network {
                peers: read(&counters.region_peers),
                reachable: read(&counters.region_peers).saturating_sub(read(&counters.unreachable)),
                avg_region_size: mean(read(&counters.region_peers), read(&counters.regions)),
                avg_holders: mean(read(&counters.holders), read(&counters.keys)),
                replication_factor: K,
            },
        }
    }
}

/// Reads the key source once per interval, and starts the work after the first time.
async fn read_source(shared: std::sync::Weak<Shared>, mut reread: watch::Receiver<u64>) {
    let mut working = false;
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let wait = match read_once(&strong, working).await {
            Ok(count) => {
                tracing::debug!(keys = count, "keys to announce");
                if !working {
                    working = true;
                    start_work(&strong).await;
                }
                strong.config.interval
            }
            Err(error) => {
                tracing::warn!(%error, "the keys to announce could not be read; trying again");
                RETRY
            }
        };
        strong.news.send_modify(|n| *n += 1);
        drop(strong);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            changed = reread.changed() => if changed.is_err() { return },
        }
        if shared.upgrade().is_none_or(|s| s.closed.load(Ordering::Relaxed)) {
            return;
        }
    }
}

async fn read_once(shared: &Arc<Shared>, announce_new: bool) -> Result<u64, ServeError> {
    let shared = Arc::clone(shared);
    blocking(move || {
        let nets: Vec<Net> = shared.targets.iter().map(|t| t.net()).collect();
        shared.keys.refresh(shared.source.keys(shared.config.strategy), &nets, announce_new)
    })
    .await
}

async fn start_work(shared: &Arc<Shared>) {
    for target in &shared.targets {
        if shared.config.resume {
            let (keys, net) = (Arc::clone(&shared.keys), target.net());
            let position = blocking(move || keys.position(net).map_err(|e| e.to_string())).await;
            let now = shared.clock.now();
            *target.schedule.lock() =
                Schedule::new(shared.config.interval.as_secs(), now, position.ok().flatten());
        }
        tokio::spawn(work(Arc::downgrade(shared), Arc::clone(target), shared.news.subscribe()));
    }
}

/// What a finished worker was at.
enum Job {
    Periodic(Due),
    Burst(Prefix),
}

/// Where the new keys are looked through.
struct Burst {
    /// Everything before was looked at in this pass; `None`: there is nothing to do.
    from: Option<Id>,
    /// Something came up since the pass began.
    again: bool,
    /// Not before this time.
    paused_until: u64,
}

async fn work(shared: std::sync::Weak<Shared>, target: Arc<Target>, mut news: watch::Receiver<u64>) {
    let mut jobs: JoinSet<(Job, Result<u64, ServeError>)> = JoinSet::new();
    let mut burst = Burst { from: Some(Id([0; 32])), again: false, paused_until: 0 };
    loop {
        let Some(strong) = shared.upgrade() else { return };
        if strong.closed.load(Ordering::Relaxed) {
            return;
        }
        let now = strong.clock.now();
        if target.server.target.network.size().is_none() && !calibrate(&target).await {
            target.set_online(false, now);
            drop(strong);
            tokio::time::sleep(OFFLINE_RETRY).await;
            continue;
        }
        target.set_online(true, now);
        spawn_periodic(&strong, &target, &mut jobs, now);
        spawn_burst(&strong, &target, &mut jobs, &mut burst, now).await;
        let wake_at = target.schedule.lock().wake_at();
        drop(strong);
        let mut sleep = Duration::from_secs(wake_at.saturating_sub(now)).clamp(Duration::from_secs(1), MAX_SLEEP);
        if burst.from.is_some() {
            sleep = sleep.min(RETRY);
        }
        tokio::select! {
            Some(done) = jobs.join_next(), if !jobs.is_empty() => {
                let Some(strong) = shared.upgrade() else { return };
                match done {
                    Ok((job, result)) => finish(&strong, &target, job, result, &mut burst).await,
                    Err(panicked) => tracing::error!(%panicked, "a region of the provide sweep"),
                }
            }
            changed = news.changed() => {
                if changed.is_err() {
                    return;
                }
                burst.news();
            }
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

impl Burst {
    fn news(&mut self) {
        match self.from {
            None => self.from = Some(Id([0; 32])),
            Some(_) => self.again = true,
        }
    }

    fn passed(&mut self) {
        self.from = std::mem::take(&mut self.again).then_some(Id([0; 32]));
    }
}

fn spawn_periodic(
    shared: &Shared,
    target: &Arc<Target>,
    jobs: &mut JoinSet<(Job, Result<u64, ServeError>)>,
    now: u64,
) {
    let counters = &target.server.counters;
    let limit = shared.config.max_workers.saturating_sub(shared.config.dedicated_burst).max(1) as u64;
    while read(&counters.periodic) < limit && jobs.len() < shared.config.max_workers.max(2) {
        let len = target.prefix_len();
        let (due, new_cycle) = {
            let mut schedule = target.schedule.lock();
            let before = schedule.cycle_start();
            let Some(due) = schedule.next(now, len) else { return };
            (due, schedule.cycle_start() != before)
        };
        if new_cycle {
            let last = counters.regions_this_cycle.swap(0, Ordering::Relaxed);
            counters.regions_last_cycle.store(last, Ordering::Relaxed);
        }
        counters.periodic.fetch_add(1, Ordering::Relaxed);
        let server = target.server.clone();
        jobs.spawn(async move {
            let began = Instant::now();
            let result = server.serve(Rows::All, due.prefix, rand::random()).await;
            if let Ok(keys) = &result {
                let counters = &server.counters;
                counters.keys_reprovided.fetch_add(*keys, Ordering::Relaxed);
                let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                counters.reprovide_millis.fetch_add(millis, Ordering::Relaxed);
            }
            (Job::Periodic(due), result)
        });
    }
}

async fn spawn_burst(
    shared: &Shared,
    target: &Arc<Target>,
    jobs: &mut JoinSet<(Job, Result<u64, ServeError>)>,
    burst: &mut Burst,
    now: u64,
) {
    let counters = &target.server.counters;
    let limit = shared.config.max_workers.saturating_sub(shared.config.dedicated_periodic).max(1) as u64;
    let rows = Rows::New(target.net());
    while read(&counters.burst) < limit && jobs.len() < shared.config.max_workers.max(2) && now >= burst.paused_until {
        let Some(from) = burst.from else { return };
        let keys = Arc::clone(&shared.keys);
        let first = blocking(move || keys.first(rows, from).map_err(|e| e.to_string())).await;
        let Ok(Some(first)) = first else {
            // The next pass must not meet the rows that are being served.
            if read(&counters.burst) == 0 {
                burst.passed();
                if burst.from.is_some() {
                    continue;
                }
            }
            return;
        };
        let prefix = Prefix::new(&first, target.prefix_len());
        burst.from = prefix.end();
        if burst.from.is_none() {
            burst.from = Some(Id([0xff; 32]));
        }
        counters.burst.fetch_add(1, Ordering::Relaxed);
        let server = target.server.clone();
        jobs.spawn(async move { (Job::Burst(prefix), server.serve(rows, prefix, rand::random()).await) });
    }
}

async fn finish(
    shared: &Shared,
    target: &Arc<Target>,
    job: Job,
    result: Result<u64, ServeError>,
    burst: &mut Burst,
) {
    let now = shared.clock.now();
    let counters = &target.server.counters;
    if let Err(error) = &result {
        tracing::debug!(net = target.net().name(), %error, "a region was not announced; trying again");
        target.set_online(false, now);
    }
    match job {
        Job::Periodic(due) => {
            counters.periodic.fetch_sub(1, Ordering::Relaxed);
            let position = {
                let mut schedule = target.schedule.lock();
                match result {
                    Ok(_) => {
                        schedule.served(due);
                        counters.regions_served.fetch_add(1, Ordering::Relaxed);
                        counters.regions_this_cycle.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => schedule.failed(due, now),
                }
                schedule.position()
            };
            let (keys, net) = (Arc::clone(&shared.keys), target.net());
            let written = blocking(move || keys.set_position(net, position).map_err(|e| e.to_string())).await;
            if let Err(error) = written {
                tracing::warn!(%error, "the position of the provide sweep is not written down");
            }
        }
        Job::Burst(prefix) => {
            counters.burst.fetch_sub(1, Ordering::Relaxed);
            if result.is_err() {
                tracing::debug!(region = prefix.bits(), "new keys wait for the next try");
                burst.again = true;
                burst.paused_until = now + RETRY.as_secs();
            }
        }
    }
}

/// Learns the size of the network; whether there is one.
async fn calibrate(target: &Target) -> bool {
    let network = &target.server.target.network;
    for _ in 0..CALIBRATION {
        let key: [u8; 32] = rand::random();
        let walk = Walk::start(Arc::clone(network), Message::ask(Kind::FindNode, key.to_vec())).await;
        walk.closest().await;
    }
    network.size().is_some()
}
