//! Admission control: decides at accept time which connections the tracker serves.
//!
//! The rules are in [`ConnectionTable`], and the time is an argument. A connection releases its places when it drops
//! them. An unauthenticated connection keeps its slot only while no other needs it: if all slots are taken, the oldest
//! one is displaced. An attacker who fills every slot with silent connections therefore keeps nobody out.
//!
//! Example: with 256 slots in use, the 257th connection displaces the one that has been unauthenticated for the longest
//! time.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::ConnectionLimits;
use crate::limits::{LOGIN_TIME, NETWORKS_MAX, NEWCOMERS_SPAN, REFUSALS_LOGGED};
use crate::log_class::SECURITY;
use crate::rate_limit::{LimitScope, Recent, SlidingWindow, Subnet, TokenBucket, in_seconds};

/// Decides which connections are accepted. A clone is cheap and counts the same connections.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    watched: LimitScope,
    crowd: Arc<Mutex<ConnectionTable>>,
}

/// The places of an accepted connection.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The place among all connections. It is held until the connection ends.
    pub(crate) session: Place,
    /// The slot among the unauthenticated connections. It is held until the login.
    pub(crate) stranger: PreAuthSlot,
}

/// A place among all connections. It is released when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    network: Option<Subnet>,
    crowd: Arc<Mutex<ConnectionTable>>,
}

/// A slot among the unauthenticated connections. It is released when this is dropped, unless a newer connection has
/// taken it.
#[derive(Debug)]
pub(crate) struct PreAuthSlot {
    number: u64,
    taken: CancellationToken,
    crowd: Arc<Mutex<ConnectionTable>>,
}

impl PreAuthSlot {
    /// Waits until a newer connection has taken this slot.
    pub(crate) async fn taken(&self) {
        self.taken.cancelled().await;
    }
}

/// The reason why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// The tracker has its maximum number of connections.
    #[error("this tracker has its maximum of {0} connections. Try again in a minute")]
    Everywhere(usize),
    /// The network has its maximum number of connections.
    #[error("connections from your network: {0}, the most that there may be. Close one and try again")]
    Subnet(usize),
    /// The network holds unauthenticated connections while at least half of all slots are taken.
    #[error(
        "too many connections from your network have not signed in: sign in on those, or wait {} and try again",
        in_seconds(LOGIN_TIME)
    )]
    Strangers,
    /// Too many connections came from the network within the time span.
    #[error(
        "new connections from your network in {} minutes: {limit}, the most that there may be. To try again, wait {}",
        NEWCOMERS_SPAN.as_secs() / 60,
        in_seconds(*.wait)
    )]
    TooSoon {
        /// The maximum number of new connections.
        limit: usize,
        /// The time until the next connection is permitted.
        wait: Duration,
    },
}

impl Full {
    /// The time after which another connection may be accepted, if it is known.
    pub(crate) fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Everywhere(_) | Self::Subnet(_) => None,
            Self::Strangers => Some(LOGIN_TIME),
            Self::TooSoon { wait, .. } => Some(wait),
        }
    }
}

impl Admission {
    /// Creates an admission control without connections.
    pub(crate) fn new(limits: ConnectionLimits, watched: LimitScope) -> Self {
        Self { watched, crowd: Arc::new(Mutex::new(ConnectionTable::new(limits))) }
    }

    /// The number of connections, and of those that have not signed in.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let table = lock(&self.crowd);
        (table.sessions, table.strangers.len())
    }

    /// Whether there is room for another connection.
    pub(crate) fn has_room(&self) -> bool {
        let table = lock(&self.crowd);
        table.sessions < table.limits.sessions
    }

    /// Changes the limits. Connections that are there stay.
    pub(crate) fn set_limits(&self, limits: ConnectionLimits) {
        lock(&self.crowd).limits = limits;
    }

    /// Admits a connection, or returns the reason why it is refused.
    pub(crate) fn admit(&self, from: SocketAddr) -> Result<Admitted, Full> {
        let (network, now) = (self.watched.network(from.ip()), Instant::now());
        let mut crowd = lock(&self.crowd);
        match crowd.admit(network, now) {
            Ok((number, taken)) => Ok(Admitted {
                session: Place { network, crowd: self.crowd.clone() },
                stranger: PreAuthSlot { number, taken, crowd: self.crowd.clone() },
            }),
            Err(full) => {
                // A flood of connections must not flood the log.
                if crowd.refusals_logged.take(REFUSALS_LOGGED, now).is_ok() {
                    tracing::warn!(class = SECURITY, %from, why = ?full, "a connection is refused");
                }
                Err(full)
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.crowd).leave(self.network);
    }
}

impl Drop for PreAuthSlot {
    fn drop(&mut self) {
        lock(&self.crowd).release_preauth(self.number);
    }
}

fn lock(crowd: &Mutex<ConnectionTable>) -> MutexGuard<'_, ConnectionTable> {
    crowd.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An unauthenticated connection.
#[derive(Debug)]
struct PreAuth {
    network: Option<Subnet>,
    taken: CancellationToken,
}

/// The numbers of connections from one network.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    sessions: usize,
    strangers: usize,
}

/// The table of current connections.
#[derive(Debug)]
struct ConnectionTable {
    limits: ConnectionLimits,
    sessions: usize,
    /// The unauthenticated connections, the oldest first.
    strangers: BTreeMap<u64, PreAuth>,
    came: u64,
    /// The counts of the limited networks that have connections.
    of_network: HashMap<Subnet, Count>,
    newcomers: Recent<Subnet, SlidingWindow>,
    refusals_logged: TokenBucket,
}

impl ConnectionTable {
    fn new(limits: ConnectionLimits) -> Self {
        let newcomers = Recent::new(NETWORKS_MAX);
        Self {
            limits,
            sessions: 0,
            strangers: BTreeMap::new(),
            came: 0,
            of_network: HashMap::new(),
            newcomers,
            refusals_logged: TokenBucket::default(),
        }
    }

    /// Counts one more connection, if there is room. Returns its slot number, and the token that is cancelled when its
    /// slot is taken.
    fn admit(&mut self, network: Option<Subnet>, now: Instant) -> Result<(u64, CancellationToken), Full> {
        if self.sessions >= self.limits.sessions {
            return Err(Full::Everywhere(self.limits.sessions));
        }
        if let Some(network) = network {
            let here = self.of_network.get(&network).copied().unwrap_or_default();
            if here.sessions >= self.limits.per_network {
                return Err(Full::Subnet(self.limits.per_network));
            }
            if !self.has_preauth_room(here.strangers) {
                return Err(Full::Strangers);
            }
            let newcomers = self.newcomers.turn_of(&network);
            let limit = self.limits.new_per_network;
            let taken = newcomers.take(limit, NEWCOMERS_SPAN, now);
            taken.map_err(|wait| Full::TooSoon { limit, wait })?;
            let here = self.of_network.entry(network).or_default();
            *here = Count { sessions: here.sessions + 1, strangers: here.strangers + 1 };
        }
        if self.strangers.len() >= self.limits.strangers
            && let Some((_, first)) = self.strangers.pop_first()
        {
            self.count_without(&first);
            first.taken.cancel();
        }
        let taken = CancellationToken::new();
        self.sessions += 1;
        self.came += 1;
        self.strangers.insert(self.came, PreAuth { network, taken: taken.clone() });
        Ok((self.came, taken))
    }

    /// Whether a network that holds `held` slots may take another one. Half of the slots are reserved for networks that
    /// hold none, so a few networks cannot take all slots.
    fn has_preauth_room(&self, held: usize) -> bool {
        held == 0 || self.strangers.len() < self.limits.strangers / 2
    }

    /// Removes a connection from the counts.
    fn leave(&mut self, network: Option<Subnet>) {
        self.sessions = self.sessions.saturating_sub(1);
        self.change(network, |here| here.sessions = here.sessions.saturating_sub(1));
    }

    /// Removes an unauthenticated connection from the counts, unless its slot was taken before.
    fn release_preauth(&mut self, number: u64) {
        if let Some(stranger) = self.strangers.remove(&number) {
            self.count_without(&stranger);
        }
    }

    fn count_without(&mut self, stranger: &PreAuth) {
        self.change(stranger.network, |here| here.strangers = here.strangers.saturating_sub(1));
    }

    /// Changes the counts of a network. Removes the network when it has no connections left.
    fn change(&mut self, network: Option<Subnet>, change: impl FnOnce(&mut Count)) {
        if let Some(network) = network
            && let Some(here) = self.of_network.get_mut(&network)
        {
            change(here);
            if here.sessions == 0 && here.strangers == 0 {
                self.of_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::limits::STRANGERS_MAX;

    const MINUTE: Duration = Duration::from_secs(60);

    fn network(number: u32) -> Option<Subnet> {
        LimitScope { loopback: false }.network(IpAddr::from((0xc000_0200 + number).to_be_bytes()))
    }

    fn crowd() -> ConnectionTable {
        ConnectionTable::new(ConnectionLimits::default())
    }

    /// Admits a connection and drops its number and token.
    fn let_in(crowd: &mut ConnectionTable, network: Option<Subnet>, now: Instant) -> Result<(), Full> {
        crowd.admit(network, now).map(drop)
    }

    /// Admits a connection that leaves at once.
    fn visit(crowd: &mut ConnectionTable, network: Option<Subnet>, now: Instant) -> Result<(), Full> {
        let (number, _) = crowd.admit(network, now)?;
        crowd.release_preauth(number);
        crowd.leave(network);
        Ok(())
    }

    #[test]
    fn network_has_at_most_sixteen_connections() {
        let (mut crowd, now) = (crowd(), Instant::now());
        let (first, _) = crowd.admit(network(1), now).unwrap();
        for _ in 1..16 {
            assert_eq!(let_in(&mut crowd, network(1), now), Ok(()));
        }
        assert_eq!(let_in(&mut crowd, network(1), now), Err(Full::Subnet(16)));
        // Signing in frees no place. Leaving does.
        crowd.release_preauth(first);
        assert_eq!(let_in(&mut crowd, network(1), now), Err(Full::Subnet(16)));
        crowd.leave(network(1));
        assert_eq!(let_in(&mut crowd, network(1), now), Ok(()));
        assert_eq!(let_in(&mut crowd, network(2), now), Ok(()));
    }

    #[test]
    fn thirty_two_new_ones_in_ten_minutes() {
        let (mut crowd, start) = (crowd(), Instant::now());
        for _ in 0..32 {
            assert_eq!(visit(&mut crowd, network(1), start), Ok(()));
        }
        assert_eq!(
            visit(&mut crowd, network(1), start + MINUTE),
            Err(Full::TooSoon { limit: 32, wait: 9 * MINUTE })
        );
        assert_eq!(visit(&mut crowd, network(1), start + 10 * MINUTE), Ok(()));
        assert!(crowd.of_network.is_empty(), "nothing is kept of who has left");
    }

    #[test]
    fn the_stranger_who_came_first_makes_place_for_the_newcomer() {
        let (mut crowd, now) = (crowd(), Instant::now());
        let places: Vec<_> = (0..256).map(|_| crowd.admit(None, now).unwrap()).collect();
        // The first connection has signed in, so the next one displaces nobody.
        crowd.release_preauth(places[0].0);
        crowd.admit(None, now).unwrap();
        assert!(places.iter().all(|(_, taken)| !taken.is_cancelled()));
        for newcomers in 1..10 {
            crowd.admit(None, now).unwrap();
            let displaced = places[1..].iter().take_while(|(_, taken)| taken.is_cancelled()).count();
            assert_eq!(displaced, newcomers);
            assert_eq!(crowd.strangers.len(), 256);
        }
        // A displaced connection counts as a connection until it is closed, but no longer as an unauthenticated one.
        crowd.release_preauth(places[1].0);
        assert_eq!((crowd.strangers.len(), crowd.sessions), (256, 266));
    }

    #[test]
    fn a_place_that_is_taken_is_given_back_to_its_network() {
        let now = Instant::now();
        let mut crowd =
            ConnectionTable::new(ConnectionLimits { strangers: 1, ..ConnectionLimits::default() });
        let (number, taken) = crowd.admit(network(1), now).unwrap();
        crowd.admit(network(2), now).unwrap();
        assert!(taken.is_cancelled());
        crowd.release_preauth(number);
        crowd.leave(network(1));
        assert!(!crowd.of_network.contains_key(&network(1).unwrap()));
    }

    #[test]
    fn ten_thousand_sessions_in_all() {
        let (mut crowd, now) = (crowd(), Instant::now());
        for _ in 0..10_240 {
            let (number, _) = crowd.admit(None, now).unwrap();
            crowd.release_preauth(number);
        }
        assert_eq!(let_in(&mut crowd, None, now), Err(Full::Everywhere(10_240)));
        crowd.leave(None);
        assert_eq!(let_in(&mut crowd, None, now), Ok(()));
    }

    #[test]
    fn hundred_networks_displace_no_connection() {
        let one_by_one = (0..100).flat_map(|number| [number; 16]).collect();
        let in_turn = (0..1600).map(|turn| turn % 100).collect();
        for order in [one_by_one, in_turn] as [Vec<u32>; 2] {
            let (mut crowd, now) = (crowd(), Instant::now());
            let (_, taken) = crowd.admit(network(1000), now).unwrap();
            let let_in = order.iter().filter(|number| crowd.admit(network(**number), now).is_ok()).count();
            assert!((127..STRANGERS_MAX).contains(&let_in), "{let_in}");
            assert!(!taken.is_cancelled());
            // As many connections without a network limit do displace others.
            order.iter().for_each(|_| drop(crowd.admit(None, now)));
            assert!(taken.is_cancelled());
        }
    }
}
