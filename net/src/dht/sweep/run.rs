//! The task that carries out the schedule.

use super::{
    Config, KeySource, ProvideTarget,
    keystore::{Keystore, Rows},
    schedule::{Due, Schedule},
    serve::{Outcome, ServeError, Server, blocking},
    stats::{Counters, Stats, read},
};
use crate::dht::{
    Clock, Net,
    key::{Id, Prefix},
    message::{Kind, Message},
    query::{Walk, region},
};
use cairn_store::{Multihash, kv::Kv};
use futures::FutureExt as _;
use parking_lot::Mutex;
use std::{
    panic::AssertUnwindSafe,
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

pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keys: Arc<Keystore>,
    source: Arc<dyn KeySource>,
    targets: Vec<Arc<Target>>,
    pub(super) started: Instant,
    /// Goes up when something is new: keys, or the end.
    news: watch::Sender<u64>,
    /// Goes up when the key source should be read now.
    reread: watch::Sender<u64>,
    pub(super) closed: AtomicBool,
}

pub(super) struct Target {
    pub(super) server: Server,
    pub(super) schedule: Mutex<Schedule>,
    /// Since when there is, or is not, somebody to announce to.
    pub(super) online: Mutex<(bool, u64)>,
}

impl Target {
    fn net(&self) -> Net {
        self.server.target.net
    }

    pub(super) fn prefix_len(&self) -> usize {
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

    /// Takes keys that were just announced one by one ([`crate::routing::Routing::provide`], for roots): they come round
    /// with the schedule.
    ///
    /// # Errors
    /// When they can't be written down.
    pub async fn remember(&self, keys: Vec<Multihash>) -> Result<(), String> {
        let store = Arc::clone(&self.shared.keys);
        blocking(move || store.add(&keys, &[]).map_err(|e| e.to_string())).await.map_err(|e| e.to_string())
    }

    /// Announces everything again, beginning now (`routing reprovide`).
    pub fn reprovide(&self) {
        let now = self.shared.clock.now();
        for target in &self.shared.targets {
            target.schedule.lock().restart(now);
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

/// Keys that are new since the last read wait to be announced. Of the first read of a run these are the keys that came
/// up while it was off, where the schedule goes on from an earlier run; where it begins anew, all keys are due anyway.
async fn read_once(shared: &Arc<Shared>, working: bool) -> Result<u64, ServeError> {
    let shared = Arc::clone(shared);
    blocking(move || {
        let goes_on = |net: &Net| shared.config.resume && matches!(shared.keys.position(*net), Ok(Some(_)));
        let nets = shared.targets.iter().map(|t| t.net());
        let nets: Vec<Net> = nets.filter(|net| working || goes_on(net)).collect();
        shared.keys.refresh(shared.source.keys(shared.config.strategy), &nets, !nets.is_empty())
    })
    .await
}

async fn start_work(shared: &Arc<Shared>) {
    for target in &shared.targets {
        if shared.config.resume {
            let (keys, net) = (Arc::clone(&shared.keys), target.net());
            let position = blocking(move || keys.position(net).map_err(|e| e.to_string())).await;
            let now = shared.clock.now();
            target.schedule.lock().resume(now, position.ok().flatten());
        }
        tokio::spawn(work(Arc::downgrade(shared), Arc::clone(target), shared.news.subscribe()));
    }
}

/// What a finished worker was at.
enum Job {
    Periodic(Due),
    Burst(Prefix),
}

/// Who works.
type Jobs = JoinSet<(Job, Result<Outcome, ServeError>)>;

/// Serves a region; a panic is an error like others, so that the region and the worker's place are not lost.
async fn serve(server: Server, rows: Rows, prefix: Prefix) -> Result<Outcome, ServeError> {
    let serving = async move { server.serve(rows, prefix, rand::random()).await };
    match AssertUnwindSafe(serving).catch_unwind().await {
        Ok(result) => result,
        Err(_) => {
            tracing::error!(region = prefix.bits(), "a worker of the provide sweep panicked");
            Err(ServeError::Panicked)
        }
    }
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
    let mut jobs: Jobs = JoinSet::new();
    let mut burst = Burst { from: Some(Id([0; 32])), again: false, paused_until: 0 };
    let mut calibrated = false;
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
        if !std::mem::replace(&mut calibrated, true) {
            target.set_online(true, now);
        }
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
                    Err(stopped) => tracing::error!(%stopped, "a region of the provide sweep"),
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

fn spawn_periodic(shared: &Shared, target: &Arc<Target>, jobs: &mut Jobs, now: u64) {
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
            let counters = Arc::clone(&server.counters);
            let result = serve(server, Rows::All, due.prefix).await;
            if let Ok(outcome) = &result {
                counters.keys_reprovided.fetch_add(outcome.announced, Ordering::Relaxed);
                let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                counters.reprovide_millis.fetch_add(millis, Ordering::Relaxed);
            }
            (Job::Periodic(due), result)
        });
    }
}

async fn spawn_burst(shared: &Shared, target: &Arc<Target>, jobs: &mut Jobs, burst: &mut Burst, now: u64) {
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
        jobs.spawn(async move { (Job::Burst(prefix), serve(server, rows, prefix).await) });
    }
}

async fn finish(
    shared: &Shared,
    target: &Arc<Target>,
    job: Job,
    result: Result<Outcome, ServeError>,
    burst: &mut Burst,
) {
    let now = shared.clock.now();
    let counters = &target.server.counters;
    if let Err(error) = &result {
        tracing::debug!(net = target.net().name(), %error, "a region was not announced; trying again");
    }
    // A region without keys says nothing.
    if result.as_ref().ok() != Some(&Outcome::default()) {
        target.set_online(result.is_ok(), now);
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
            if result.is_err() || result.is_ok_and(|outcome| outcome.left > 0) {
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
