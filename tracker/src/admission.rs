//! Admission control: decides at accept time which connections the tracker serves.
//!
//! The rules are in [`ConnectionTable`], and the time is an argument. A connection releases its slots when it drops
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
    table: Arc<Mutex<ConnectionTable>>,
}

/// The slots of an accepted connection.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The slot among all connections. It is held until the connection ends.
    pub(crate) session: ConnectionSlot,
    /// The slot among the unauthenticated connections. It is held until the login.
    pub(crate) preauth: PreAuthSlot,
}

/// A slot among all connections. It is released when this is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    network: Option<Subnet>,
    table: Arc<Mutex<ConnectionTable>>,
}

/// A slot among the unauthenticated connections. It is released when this is dropped, unless a newer connection has
/// taken it.
#[derive(Debug)]
pub(crate) struct PreAuthSlot {
    number: u64,
    displaced: CancellationToken,
    table: Arc<Mutex<ConnectionTable>>,
}

impl PreAuthSlot {
    /// Waits until a newer connection has taken this slot.
    pub(crate) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }
}

/// The reason why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejected {
    /// The tracker has its maximum number of connections.
    #[error("this tracker has its maximum of {0} connections. Try again in a minute")]
    AllSessions(usize),
    /// The network has its maximum number of connections.
    #[error("connections from your network: {0}, the most that there may be. Close one and try again")]
    Subnet(usize),
    /// The network holds unauthenticated connections while at least half of all slots are taken.
    #[error(
        "too many connections from your network have not signed in: sign in on those, or wait {} and try again",
        in_seconds(LOGIN_TIME)
    )]
    PreAuth,
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

impl Rejected {
    /// The time after which another connection may be accepted, if it is known.
    pub(crate) fn retry_after(self) -> Option<Duration> {
        match self {
            Self::AllSessions(_) | Self::Subnet(_) => None,
            Self::PreAuth => Some(LOGIN_TIME),
            Self::TooSoon { wait, .. } => Some(wait),
        }
    }
}

impl Admission {
    /// Creates an admission control without connections.
    pub(crate) fn new(limits: ConnectionLimits, watched: LimitScope) -> Self {
        Self { watched, table: Arc::new(Mutex::new(ConnectionTable::new(limits))) }
    }

    /// The number of connections, and of those that have not signed in.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let table = lock(&self.table);
        (table.sessions, table.preauth.len())
    }

    /// Whether there is room for another connection.
    pub(crate) fn has_room(&self) -> bool {
        let table = lock(&self.table);
        table.sessions < table.limits.sessions
    }

    /// Changes the limits. Connections that are there stay.
    pub(crate) fn set_limits(&self, limits: ConnectionLimits) {
        lock(&self.table).limits = limits;
    }

    /// Admits a connection, or returns the reason why it is refused.
    pub(crate) fn admit(&self, from: SocketAddr) -> Result<Admitted, Rejected> {
        let (network, now) = (self.watched.network(from.ip()), Instant::now());
        let mut table = lock(&self.table);
        match table.admit(network, now) {
            Ok((number, displaced)) => Ok(Admitted {
                session: ConnectionSlot { network, table: self.table.clone() },
                preauth: PreAuthSlot { number, displaced, table: self.table.clone() },
            }),
            Err(rejected) => {
                // A flood of connections must not flood the log.
                if table.refusals_logged.take(REFUSALS_LOGGED, now).is_ok() {
                    tracing::warn!(class = SECURITY, %from, why = ?rejected, "a connection is refused");
                }
                Err(rejected)
            }
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        lock(&self.table).leave(self.network);
    }
}

impl Drop for PreAuthSlot {
    fn drop(&mut self) {
        lock(&self.table).release_preauth(self.number);
    }
}

fn lock(table: &Mutex<ConnectionTable>) -> MutexGuard<'_, ConnectionTable> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An unauthenticated connection.
#[derive(Debug)]
struct PreAuth {
    network: Option<Subnet>,
    displaced: CancellationToken,
}

/// The numbers of connections from one network.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    sessions: usize,
    preauth: usize,
}

/// The table of current connections.
#[derive(Debug)]
struct ConnectionTable {
    limits: ConnectionLimits,
    sessions: usize,
    /// The unauthenticated connections, the oldest first.
    preauth: BTreeMap<u64, PreAuth>,
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
            preauth: BTreeMap::new(),
            came: 0,
            of_network: HashMap::new(),
            newcomers,
            refusals_logged: TokenBucket::default(),
        }
    }

    /// Counts one more connection, if there is room. Returns its slot number, and the token that is cancelled when its
    /// slot is taken.
    fn admit(&mut self, network: Option<Subnet>, now: Instant) -> Result<(u64, CancellationToken), Rejected> {
        if self.sessions >= self.limits.sessions {
            return Err(Rejected::AllSessions(self.limits.sessions));
        }
        if let Some(network) = network {
            let here = self.of_network.get(&network).copied().unwrap_or_default();
            if here.sessions >= self.limits.per_network {
                return Err(Rejected::Subnet(self.limits.per_network));
            }
            if !self.has_preauth_room(here.preauth) {
                return Err(Rejected::PreAuth);
            }
            let newcomers = self.newcomers.turn_of(&network);
            let limit = self.limits.new_per_network;
            let admitted = newcomers.take(limit, NEWCOMERS_SPAN, now);
            admitted.map_err(|wait| Rejected::TooSoon { limit, wait })?;
            let here = self.of_network.entry(network).or_default();
            *here = Count { sessions: here.sessions + 1, preauth: here.preauth + 1 };
        }
        if self.preauth.len() >= self.limits.preauth
            && let Some((_, first)) = self.preauth.pop_first()
        {
            self.count_without(&first);
            first.displaced.cancel();
        }
        let displaced = CancellationToken::new();
        self.sessions += 1;
        self.came += 1;
        self.preauth.insert(self.came, PreAuth { network, displaced: displaced.clone() });
        Ok((self.came, displaced))
    }

    /// Whether a network that holds `held` slots may take another one. Half of the slots are reserved for networks that
    /// hold none, so a few networks cannot take all slots.
    fn has_preauth_room(&self, held: usize) -> bool {
        held == 0 || self.preauth.len() < self.limits.preauth / 2
    }

    /// Removes a connection from the counts.
    fn leave(&mut self, network: Option<Subnet>) {
        self.sessions = self.sessions.saturating_sub(1);
        self.change(network, |here| here.sessions = here.sessions.saturating_sub(1));
    }

    /// Removes an unauthenticated connection from the counts, unless its slot was taken before.
    fn release_preauth(&mut self, number: u64) {
        if let Some(preauth) = self.preauth.remove(&number) {
            self.count_without(&preauth);
        }
    }

    fn count_without(&mut self, preauth: &PreAuth) {
        self.change(preauth.network, |here| here.preauth = here.preauth.saturating_sub(1));
    }

    /// Changes the counts of a network. Removes the network when it has no connections left.
    fn change(&mut self, network: Option<Subnet>, change: impl FnOnce(&mut Count)) {
        if let Some(network) = network
            && let Some(here) = self.of_network.get_mut(&network)
        {
            change(here);
            if here.sessions == 0 && here.preauth == 0 {
                self.of_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::limits::PREAUTH_MAX;

    const MINUTE: Duration = Duration::from_secs(60);

    fn network(number: u32) -> Option<Subnet> {
        LimitScope { loopback: false }.network(IpAddr::from((0xc000_0200 + number).to_be_bytes()))
    }

    fn table() -> ConnectionTable {
        ConnectionTable::new(ConnectionLimits::default())
    }

    /// Admits a connection and drops its number and token.
    fn let_in(table: &mut ConnectionTable, network: Option<Subnet>, now: Instant) -> Result<(), Rejected> {
        table.admit(network, now).map(drop)
    }

    /// Admits a connection that leaves at once.
    fn visit(table: &mut ConnectionTable, network: Option<Subnet>, now: Instant) -> Result<(), Rejected> {
        let (number, _) = table.admit(network, now)?;
        table.release_preauth(number);
        table.leave(network);
        Ok(())
    }

    #[test]
    fn network_has_at_most_sixteen_connections() {
        let (mut table, now) = (table(), Instant::now());
        let (first, _) = table.admit(network(1), now).unwrap();
        for _ in 1..16 {
            assert_eq!(let_in(&mut table, network(1), now), Ok(()));
        }
        assert_eq!(let_in(&mut table, network(1), now), Err(Rejected::Subnet(16)));
        // Signing in frees no slot. Leaving does.
        table.release_preauth(first);
        assert_eq!(let_in(&mut table, network(1), now), Err(Rejected::Subnet(16)));
        table.leave(network(1));
        assert_eq!(let_in(&mut table, network(1), now), Ok(()));
        assert_eq!(let_in(&mut table, network(2), now), Ok(()));
    }

    #[test]
    fn thirty_two_new_ones_in_ten_minutes() {
        let (mut table, start) = (table(), Instant::now());
        for _ in 0..32 {
            assert_eq!(visit(&mut table, network(1), start), Ok(()));
        }
        assert_eq!(
            visit(&mut table, network(1), start + MINUTE),
            Err(Rejected::TooSoon { limit: 32, wait: 9 * MINUTE })
        );
        assert_eq!(visit(&mut table, network(1), start + 10 * MINUTE), Ok(()));
        assert!(table.of_network.is_empty(), "nothing is kept of who has left");
    }

    #[test]
    fn newcomer_displaces_the_oldest_unauthenticated() {
        let (mut table, now) = (table(), Instant::now());
        let slots: Vec<_> = (0..256).map(|_| table.admit(None, now).unwrap()).collect();
        // The first connection has signed in, so the next one displaces nobody.
        table.release_preauth(slots[0].0);
        table.admit(None, now).unwrap();
        assert!(slots.iter().all(|(_, displaced)| !displaced.is_cancelled()));
        for newcomers in 1..10 {
            table.admit(None, now).unwrap();
            let evicted = slots[1..].iter().take_while(|(_, taken)| taken.is_cancelled()).count();
            assert_eq!(evicted, newcomers);
            assert_eq!(table.preauth.len(), 256);
        }
        // A displaced connection counts as a connection until it is closed, but no longer as an unauthenticated one.
        table.release_preauth(slots[1].0);
        assert_eq!((table.preauth.len(), table.sessions), (256, 266));
    }

    #[test]
    fn displaced_slot_is_given_back_to_its_network() {
        let now = Instant::now();
        let mut table = ConnectionTable::new(ConnectionLimits { preauth: 1, ..ConnectionLimits::default() });
        let (number, displaced) = table.admit(network(1), now).unwrap();
        table.admit(network(2), now).unwrap();
        assert!(displaced.is_cancelled());
        table.release_preauth(number);
        table.leave(network(1));
        assert!(!table.of_network.contains_key(&network(1).unwrap()));
    }

    #[test]
    fn ten_thousand_sessions_in_all() {
        let (mut table, now) = (table(), Instant::now());
        for _ in 0..10_240 {
            let (number, _) = table.admit(None, now).unwrap();
            table.release_preauth(number);
        }
        assert_eq!(let_in(&mut table, None, now), Err(Rejected::AllSessions(10_240)));
        table.leave(None);
        assert_eq!(let_in(&mut table, None, now), Ok(()));
    }

    #[test]
    fn hundred_networks_displace_no_connection() {
        let one_by_one = (0..100).flat_map(|number| [number; 16]).collect();
        let in_turn = (0..1600).map(|turn| turn % 100).collect();
        for order in [one_by_one, in_turn] as [Vec<u32>; 2] {
            let (mut table, now) = (table(), Instant::now());
            let (_, displaced) = table.admit(network(1000), now).unwrap();
            let let_in = order.iter().filter(|number| table.admit(network(**number), now).is_ok()).count();
            assert!((127..PREAUTH_MAX).contains(&let_in), "{let_in}");
            assert!(!displaced.is_cancelled());
            // As many connections without a network limit do displace others.
            order.iter().for_each(|_| drop(table.admit(None, now)));
            assert!(displaced.is_cancelled());
        }
    }
}
