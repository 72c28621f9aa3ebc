//! How many requests run at once, and that one client does not take the place of all others.

use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests that run.
#[derive(Debug)]
pub struct Limits {
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    all: usize,
    /// Requests of each client that has any: no more entries than requests.
    clients: HashMap<IpAddr, usize>,
}

/// Answers that walk DAGs, CARs and archives, at once: each reads ahead and remembers what it sent.
pub const MAX_WALKS: usize = 32;
/// Of these, how many may read far ahead.
const FAR_WALKS: usize = 4;

/// Room for walks.
#[derive(Debug, Clone)]
pub struct Walks(Arc<Semaphore>);

impl Default for Walks {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_WALKS)))
    }
}

impl Walks {
    /// Room for one more, and whether it may read ahead a little only; `None` if there is none.
    pub fn enter(&self) -> Option<(OwnedSemaphorePermit, bool)> {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some((permit, self.0.available_permits() < MAX_WALKS - FAR_WALKS))
    }
}

/// A request's place; dropping it gives the place back.
#[derive(Debug)]
pub struct Permit {
    limits: Arc<Limits>,
    client: IpAddr,
}

impl Limits {
    /// At most so many at once.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, state: Mutex::default() })
    }

    /// A place for a request. `None` when there is none, or when more than half of them are taken, and this client has
    /// its share of all that there are already.
    pub fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Permit> {
        let client = network(client);
        let mut state = self.state.lock();
        let mine = state.clients.get(&client).copied().unwrap_or(0);
        let others = state.clients.len() - usize::from(mine > 0);
        let share = self.max / (others + 1);
        let crowded = state.all >= self.max / 2;
        if state.all >= self.max || crowded && others > 0 && mine >= share.max(1) {
            return None;
        }
        state.all += 1;
        *state.clients.entry(client).or_default() += 1;
        drop(state);
        Some(Permit { limits: Arc::clone(self), client })
    }

    /// How many run.
    #[cfg(test)]
    fn running(&self) -> usize {
        self.state.lock().all
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.limits.state.lock();
        state.all -= 1;
        if let Some(count) = state.clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                state.clients.remove(&self.client);
            }
        }
    }
}

/// Whoever has an IPv6 address has a /64 of them.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        },
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_room_for_others() {
        let limits = Limits::new(8);
        let (a, b): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let greedy: Vec<Permit> = std::iter::from_fn(|| limits.enter(a)).collect();
        assert_eq!(greedy.len(), 8, "alone it may have everything");
        assert!(limits.enter(b).is_none(), "there is no room at all");
        drop(greedy);
        assert_eq!(limits.running(), 0);
        let _first = limits.enter(b).expect("room");
        let mut greedy: Vec<Permit> = std::iter::from_fn(|| limits.enter(a)).collect();
        assert_eq!(greedy.len(), 4, "half of eight");
        assert!(limits.enter(b).is_some());
        greedy.pop();
        assert!(limits.enter(a).is_some());
    }

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let parse = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(parse("2001:db8:1:2::1"), parse("2001:db8:1:2:ffff::9"));
        assert_ne!(parse("2001:db8:1:2::1"), parse("2001:db8:1:3::1"));
        assert_eq!(parse("::ffff:10.0.0.1"), parse("10.0.0.1"));
        assert_ne!(parse("10.0.0.1"), parse("10.0.0.2"));
    }
}
