//! The figures of a running sweep, put together.

use super::{
    run::{Shared, Target},
    stats::{self, Stats, mean, read},
};
use crate::dht::{key::Prefix, query::lookup::K};
use std::sync::atomic::Ordering;

impl Shared {
    pub(super) fn stats(&self, target: &Target, waiting: u64) -> Stats {
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
