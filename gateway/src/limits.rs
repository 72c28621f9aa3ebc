//! How many requests run at once, and that one client does not take the place of all others.

use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

/// Requests that run.
#[derive(Debug)]
pub struct Limits {
    max: usize,
    state: Mutex<State>,
}

/// What is counted.
#[derive(Debug, Default)]
struct State {
    all: usize,
    /// Requests of each client that has any: no more entries than requests.
    clients: HashMap<IpAddr, usize>,
}

/// Answers that walk DAGs, CARs and archives, at once: each reads ahead and remembers what it sent.
pub const MAX_WALKS: usize = 32;
/// Of these, how many one client may have, unless it is on this machine: a proxy there speaks for many.
const WALKS_OF_CLIENT: usize = MAX_WALKS / 4;
/// How many may read far ahead.
const FAR_WALKS: usize = 4;
/// One place of so many is kept from any single client that is not on this machine.
const KEPT: usize = 8;

/// Room for walks.
#[derive(Debug, Clone, Default)]
pub struct Walks(Arc<Mutex<State>>);

/// Room for one walk; dropping it gives it back.
#[derive(Debug)]
pub struct Walk {
    walks: Walks,
    client: IpAddr,
}

impl Walks {
    /// Room for one more, and whether it may read ahead a little only; `None` if there is none, or this client has its
    /// share.
    pub fn enter(&self, client: IpAddr) -> Option<(Walk, bool)> {
        let (here, client) = (is_here(client), network(client));
        let mut state = self.0.lock();
        if state.all >= MAX_WALKS || !here && state.of(client) >= WALKS_OF_CLIENT {
            return None;
        }
        state.add(client);
        Some((Walk { walks: self.clone(), client }, state.all > FAR_WALKS))
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.walks.0.lock().remove(self.client);
    }
}

impl State {
    fn of(&self, client: IpAddr) -> usize {
        self.clients.get(&client).copied().unwrap_or(0)
    }

    fn add(&mut self, client: IpAddr) {
        self.all += 1;
        *self.clients.entry(client).or_default() += 1;
    }

    fn remove(&mut self, client: IpAddr) {
        self.all -= 1;
        if let Some(count) = self.clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
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

    /// A place for a request. `None` when there is none, when more than half of them are taken, and this client has its
    /// share of all that there are already, or when it has all but those that no single client may have.
    pub fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Permit> {
        let (here, client) = (is_here(client), network(client));
        let mut state = self.state.lock();
        let mine = state.of(client);
        let others = state.clients.len() - usize::from(mine > 0);
        let share = self.max / (others + 1);
        let crowded = state.all >= self.max / 2;
        let greedy = !here && mine >= self.max - self.max / KEPT;
        if state.all >= self.max || greedy || crowded && others > 0 && mine >= share.max(1) {
            return None;
        }
        state.add(client);
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
        self.limits.state.lock().remove(self.client);
    }
}

/// Whether a client is on this machine.
pub fn is_here(client: IpAddr) -> bool {
    client.to_canonical().is_loopback()
}

/// Whoever has an IPv6 address has a /64 of them.
pub fn network(client: IpAddr) -> IpAddr {
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
        assert_eq!(greedy.len(), 7, "all but what nobody has alone");
        assert!(limits.enter(b).is_some(), "there is room for somebody else");
        drop(greedy);
        assert_eq!(limits.running(), 0);
        let _first = limits.enter(b).expect("room");
        let mut greedy: Vec<Permit> = std::iter::from_fn(|| limits.enter(a)).collect();
        assert_eq!(greedy.len(), 4, "half of eight");
        assert!(limits.enter(b).is_some());
        greedy.pop();
        assert!(limits.enter(a).is_some());
        let limits = Limits::new(8);
        let here: IpAddr = [127, 0, 0, 1].into();
        let all: Vec<Permit> = std::iter::from_fn(|| limits.enter(here)).collect();
        assert_eq!(all.len(), 8, "a proxy on this machine speaks for many");
        assert!(Limits::new(1).enter(a).is_some(), "where there is one place, somebody has it");
    }

    #[test]
    fn one_client_does_not_take_the_room_of_all_walks() {
        let walks = Walks::default();
        let client = |number: u8| IpAddr::from([10, 0, 0, number]);
        let mut taken: Vec<_> = std::iter::from_fn(|| walks.enter(client(1))).collect();
        assert_eq!(taken.len(), WALKS_OF_CLIENT);
        let near: Vec<bool> = taken.iter().map(|(_, near)| *near).collect();
        assert_eq!(near.iter().filter(|near| !**near).count(), FAR_WALKS, "the first ones may read far ahead");
        for other in 2..=4 {
            taken.extend(std::iter::from_fn(|| walks.enter(client(other))));
        }
        assert_eq!(taken.len(), MAX_WALKS);
        assert!(walks.enter(client(5)).is_none());
        drop(taken);
        let here: Vec<_> = std::iter::from_fn(|| walks.enter([127, 0, 0, 1].into())).collect();
        assert_eq!(here.len(), MAX_WALKS, "a proxy on this machine speaks for many");
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
