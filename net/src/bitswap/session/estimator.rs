//! How fast a peer is: response times as TCP estimates them (RFC 6298, after Jacobson), and the rate at which it
//! delivers (after BBR: the best of the last rounds). From both comes how much to ask of it at once.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Time to wait for a peer that has not answered anything yet.
const INITIAL_RTO: Duration = Duration::from_secs(1);
/// Shortest time to wait: a server reads from its disk, and hashing takes its share of a busy machine.
const MIN_RTO: Duration = Duration::from_millis(250);
/// Longest time to wait, however often the peer was late.
const MAX_RTO: Duration = Duration::from_secs(20);
/// Rounds over which the best rate counts. A peer that has become slower is found out after these.
const RATE_ROUNDS: u64 = 8;
/// Age at which a shortest response time is measured anew.
const MIN_RTT_AGE: Duration = Duration::from_secs(10);
/// Bytes asked of a peer at first.
pub const INITIAL_WINDOW: u64 = 512 << 10;
/// Most bytes asked of a peer at once: a gigabit per second at 120 ms.
pub const MAX_WINDOW: u64 = 16 << 20;
/// Rounds without growth of the rate by a quarter after which a window stops doubling.
const FULL_ROUNDS: u32 = 3;

/// What was known when a block was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    at: Instant,
    delivered: u64,
    delivered_at: Instant,
}

/// Measurements of one peer.
#[derive(Debug, Clone)]
pub struct Estimator {
    srtt: Option<Duration>,
    rttvar: Duration,
    min_rtt: Option<(Duration, Instant)>,
    backoff: u32,
    /// Bytes delivered, and when the last of them came.
    delivered: u64,
    delivered_at: Option<Instant>,
    /// Best rates by round, in bytes per second, greatest first.
    rates: VecDeque<(u64, f64)>,
    round: u64,
    round_ends: u64,
    /// Rate at which growth was last seen, and rounds since; `None` once the window is full.
    startup: Option<(f64, u32)>,
    window: u64,
}

impl Default for Estimator {
    fn default() -> Self {
        Self {
            srtt: None,
            rttvar: Duration::ZERO,
            min_rtt: None,
            backoff: 0,
            delivered: 0,
            delivered_at: None,
            rates: VecDeque::new(),
            round: 0,
            round_ends: 0,
            startup: Some((0.0, 0)),
            window: INITIAL_WINDOW,
        }
    }
}

impl Estimator {
    /// Notes that something was asked.
    pub fn mark(&mut self, now: Instant, idle: bool) -> Mark {
        // After a pause the rate is counted from now on, not from the last delivery.
        let delivered_at = if idle { now } else { self.delivered_at.unwrap_or(now) };
        Mark { at: now, delivered: self.delivered, delivered_at }
    }

    /// A response without a block.
    pub fn on_response(&mut self, now: Instant, mark: &Mark) {
        self.sample(now.saturating_duration_since(mark.at), now);
    }

    /// A block came.
    pub fn on_block(&mut self, now: Instant, mark: &Mark, size: u64) {
        self.delivered += size;
        self.delivered_at = Some(now);
        self.sample(now.saturating_duration_since(mark.at), now);
        let elapsed = now.saturating_duration_since(mark.delivered_at).as_secs_f64().max(1e-4);
        let rate = (self.delivered - mark.delivered) as f64 / elapsed;
        if mark.delivered >= self.round_ends {
            self.round += 1;
            self.round_ends = self.delivered;
            self.end_round();
        }
        while self.rates.back().is_some_and(|(_, r)| *r <= rate) {
            self.rates.pop_back();
        }
        self.rates.push_back((self.round, rate));
        while self.rates.front().is_some_and(|(round, _)| round + RATE_ROUNDS < self.round) {
            self.rates.pop_front();
        }
        self.grow(size);
    }

    fn sample(&mut self, rtt: Duration, now: Instant) {
        self.backoff = 0;
        match self.srtt {
            None => {
                self.srtt = Some(rtt);
                self.rttvar = rtt / 2;
            }
            Some(srtt) => {
                let error = if srtt > rtt { srtt - rtt } else { rtt - srtt };
                self.rttvar = self.rttvar * 3 / 4 + error / 4;
                self.srtt = Some(srtt * 7 / 8 + rtt / 8);
            }
        }
        let stale = self.min_rtt.is_none_or(|(min, at)| rtt <= min || now.saturating_duration_since(at) > MIN_RTT_AGE);
        if stale {
            self.min_rtt = Some((rtt, now));
        }
    }

    fn end_round(&mut self) {
        let rate = self.rate().unwrap_or(0.0);
        if let Some((best, flat)) = &mut self.startup {
            if rate >= *best * 1.25 {
                (*best, *flat) = (rate, 0);
            } else {
                *flat += 1;
            }
            if *flat >= FULL_ROUNDS {
                self.startup = None;
            }
        }
    }

    fn grow(&mut self, size: u64) {
        let target = match (self.rate(), self.min_rtt) {
            // Twice what is on the way: as much again waits at the peer, so that it never runs dry.
            (Some(rate), Some((rtt, _))) => (2.0 * rate * rtt.as_secs_f64()) as u64,
            _ => INITIAL_WINDOW,
        };
        self.window = if self.startup.is_some() { (self.window + size).max(target) } else { target };
        self.window = self.window.clamp(2 * size, MAX_WINDOW);
    }

    /// It was silent for too long: it has to earn its window again.
    pub fn on_stall(&mut self) {
        self.backoff = (self.backoff + 1).min(6);
        self.window = 1;
        self.startup = Some((0.0, 0));
        self.rates.clear();
    }

    /// Bytes that may be asked of it at once. At least one block may always be asked.
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Bytes per second; `None` before the first block.
    pub fn rate(&self) -> Option<f64> {
        self.rates.front().map(|(_, rate)| *rate)
    }

    /// Smoothed time of a response.
    pub fn rtt(&self) -> Option<Duration> {
        self.srtt
    }

    /// Time after which a response is late but not yet given up: two deviations over the mean.
    pub fn late_after(&self) -> Duration {
        self.srtt.map_or(INITIAL_RTO / 4, |srtt| (srtt + 2 * self.rttvar).max(Duration::from_millis(5)))
    }

    /// Silence after which the peer is given up for now.
    pub fn rto(&self) -> Duration {
        let base = self.srtt.map_or(INITIAL_RTO, |srtt| (srtt + 4 * self.rttvar).max(MIN_RTO));
        (base * 2u32.pow(self.backoff)).min(MAX_RTO)
    }

    /// Bytes of blocks it delivered.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// How long `bytes` more take, with `queued` before them.
    pub fn expected(&self, queued: u64, bytes: u64) -> Duration {
        let rtt = self.min_rtt.map_or(Duration::from_millis(100), |(rtt, _)| rtt);
        // Nobody is slower than a peer that is not known yet, unless measured: it is tried early, with little.
        let rate = self.rate().unwrap_or(1e6).max(1.0);
        rtt + Duration::from_secs_f64(((queued + bytes) as f64 / rate).min(3600.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer behind a link of that rate and delay, asked as much as its window allows.
    fn run(rate: f64, rtt: Duration, size: u64, seconds: u64) -> (Estimator, f64) {
        let mut e = Estimator::default();
        let start = Instant::now();
        let (mut now, mut free_at) = (start, start);
        let mut flying: VecDeque<(Instant, Mark)> = VecDeque::new();
        let mut bytes = 0;
        while now < start + Duration::from_secs(seconds) {
            while flying.is_empty() || (flying.len() as u64 + 1) * size <= e.window() {
                let mark = e.mark(now, flying.is_empty());
                free_at = free_at.max(now + rtt / 2) + Duration::from_secs_f64(size as f64 / rate);
                flying.push_back((free_at + rtt / 2, mark));
            }
            let (at, mark) = flying.pop_front().expect("something flies");
            now = at;
            bytes += size;
            e.on_block(now, &mark, size);
        }
        (e, bytes as f64 / now.duration_since(start).as_secs_f64())
    }

    #[test]
    fn a_window_fills_the_link_and_no_more_than_twice() {
        for (rate, ms, size) in [(4e6, 20, 256 << 10), (4e6, 200, 256 << 10), (50e6, 100, 256 << 10), (1e6, 5, 4096)] {
            let rtt = Duration::from_millis(ms);
            let (e, got) = run(rate, rtt, size, 20);
            assert!(got > 0.9 * rate, "{rate} {ms}: {got}");
            let most = 2.5 * (rate * rtt.as_secs_f64() + 2.0 * size as f64);
            assert!((e.window() as f64) < most, "{rate} {ms}: window {} over {most}", e.window());
        }
    }

    #[test]
    fn silence_backs_off_and_an_answer_ends_that() {
        let mut e = Estimator::default();
        let now = Instant::now();
        let mark = e.mark(now, true);
        e.on_block(now + Duration::from_millis(10), &mark, 1000);
        let rto = e.rto();
        e.on_stall();
        e.on_stall();
        assert_eq!(e.rto(), rto * 4);
        assert!(e.window() < 1000);
        let mark = e.mark(now, true);
        e.on_block(now + Duration::from_millis(20), &mark, 1000);
        assert!(e.rto() < 2 * rto && e.window() >= 2000);
    }
}
