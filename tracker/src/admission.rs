//! Admission: which connections are let in. Decided at the accept, before anything is spent on them.
//!
//! The rules are [`ConnectionTable`]'s, on a clock that is an argument. A place is given back by dropping it. Whoever has not signed
//! in holds theirs only until others need it more: where all places for strangers are taken, the one who came first
//! has had time enough. So a crowd that holds every place and says nothing keeps nobody out.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::ConnectionLimits;
use crate::limits::{LOGIN_TIME, NETWORKS_MAX, NEWCOMERS_SPAN, REFUSALS_LOGGED};
use crate::rate_limit::{SlidingWindow, TokenBucket, in_seconds};
use crate::recent::Recent;
use crate::subnet::{LimitScope, Subnet};

/// Lets connections in.
#[derive(Debug)]
pub(crate) struct Admission {
    watched: LimitScope,
    crowd: Arc<Mutex<ConnectionTable>>,
}

/// A connection was let in, and holds these while it lasts.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// Until the end.
    pub(crate) session: Place,
    /// Until it has signed in.
    pub(crate) stranger: PreAuthSlot,
}

/// A place in the crowd, free again once this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    network: Option<Subnet>,
    crowd: Arc<Mutex<ConnectionTable>>,
}

/// A place among those who have not signed in, free again once this is dropped, if it is not taken away before.
#[derive(Debug)]
pub(crate) struct PreAuthSlot {
    number: u64,
    taken: CancellationToken,
    crowd: Arc<Mutex<ConnectionTable>>,
}

impl PreAuthSlot {
    /// Waits until a newcomer has got this place.
    pub(crate) async fn taken(&self) {
        self.taken.cancelled().await;
    }
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// There is no room for anybody.
    #[error("connections to this tracker: {0}, the most that there may be. Try again in a minute")]
    Everywhere(usize),
    /// Its network has its share.
    #[error("connections from your network: {0}, the most that there may be. Close one and try again")]
    Subnet(usize),
    /// Too many of its network have not signed in, while many others want to.
    #[error(
        "too many connections from your network have not signed in: sign in on those, or wait {} and try again",
        in_seconds(LOGIN_TIME)
    )]
    Strangers,
    /// Too many came from its network lately.
    #[error(
        "new connections from your network in {} minutes: {limit}, the most that there may be. To try again, wait {}",
        NEWCOMERS_SPAN.as_secs() / 60,
        in_seconds(*.wait)
    )]
    TooSoon {
        /// How many may come.
        limit: usize,
        /// Until the next one may come.
        wait: Duration,
    },
}

impl Admission {
    /// Nobody is there yet.
    pub(crate) fn new(limits: ConnectionLimits, watched: LimitScope) -> Self {
        Self { watched, crowd: Arc::new(Mutex::new(ConnectionTable::new(limits))) }
    }

    /// Whether a connection is let in.
    pub(crate) fn admit(&self, from: SocketAddr) -> Result<Admitted, Full> {
        let (network, now) = (self.watched.network(from.ip()), Instant::now());
        let mut crowd = lock(&self.crowd);
        match crowd.admit(network, now) {
            Ok((number, taken)) => Ok(Admitted {
                session: Place { network, crowd: self.crowd.clone() },
                stranger: PreAuthSlot { number, taken, crowd: self.crowd.clone() },
            }),
            Err(full) => {
                // A flood of connections is not to become a flood of lines.
                if crowd.refusals_logged.take(REFUSALS_LOGGED, now).is_ok() {
                    tracing::warn!(%from, why = ?full, "a connection is not let in");
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

/// Somebody who has not signed in.
#[derive(Debug)]
struct PreAuth {
    network: Option<Subnet>,
    taken: CancellationToken,
}

/// How many are there from one network.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    sessions: usize,
    strangers: usize,
}

/// Who is there.
#[derive(Debug)]
struct ConnectionTable {
    limits: ConnectionLimits,
    sessions: usize,
    /// In the order in which they came.
    strangers: BTreeMap<u64, PreAuth>,
    came: u64,
    /// Networks that are watched and from which somebody is there.
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

    /// Counts one more, if there is room; its number among the strangers, and what tells it that its place is taken.
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

    /// Half of the strangers' places are for networks that hold none: so few networks cannot take them all.
    fn has_preauth_room(&self, held: usize) -> bool {
        held == 0 || self.strangers.len() < self.limits.strangers / 2
    }

    /// Counts a connection less.
    fn leave(&mut self, network: Option<Subnet>) {
        self.sessions = self.sessions.saturating_sub(1);
        self.change(network, |here| here.sessions = here.sessions.saturating_sub(1));
    }

    /// Counts a stranger less, whose place was not taken before.
    fn release_preauth(&mut self, number: u64) {
        if let Some(stranger) = self.strangers.remove(&number) {
            self.count_without(&stranger);
        }
    }

    fn count_without(&mut self, stranger: &PreAuth) {
        self.change(stranger.network, |here| here.strangers = here.strangers.saturating_sub(1));
    }

    /// Changes the count of a network; of one from which nobody is there nothing is kept.
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

    /// Whether a connection is let in, and nothing more of it.
    fn let_in(crowd: &mut ConnectionTable, network: Option<Subnet>, now: Instant) -> Result<(), Full> {
        crowd.admit(network, now).map(drop)
    }

    /// Comes and goes at once.
    fn visit(crowd: &mut ConnectionTable, network: Option<Subnet>, now: Instant) -> Result<(), Full> {
        let (number, _) = crowd.admit(network, now)?;
        crowd.release_preauth(number);
        crowd.leave(network);
        Ok(())
    }

    #[test]
    fn sixteen_from_a_network_and_no_more_and_neighbours_do_not_notice() {
        let (mut crowd, now) = (crowd(), Instant::now());
        let (first, _) = crowd.admit(network(1), now).unwrap();
        for _ in 1..16 {
            assert_eq!(let_in(&mut crowd, network(1), now), Ok(()));
        }
        assert_eq!(let_in(&mut crowd, network(1), now), Err(Full::Subnet(16)));
        // Signing in makes no room, leaving does.
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
        // The one who came first of all has signed in: nobody is in the way.
        crowd.release_preauth(places[0].0);
        crowd.admit(None, now).unwrap();
        assert!(places.iter().all(|(_, taken)| !taken.is_cancelled()));
        for newcomers in 1..10 {
            crowd.admit(None, now).unwrap();
            let displaced = places[1..].iter().take_while(|(_, taken)| taken.is_cancelled()).count();
            assert_eq!(displaced, newcomers);
            assert_eq!(crowd.strangers.len(), 256);
        }
        // Who is on the way out is counted as a connection until it is closed, and as a stranger no more.
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
    fn a_hundred_networks_displace_nobody_in_whatever_order_they_come() {
        let one_by_one = (0..100).flat_map(|number| [number; 16]).collect();
        let in_turn = (0..1600).map(|turn| turn % 100).collect();
        for order in [one_by_one, in_turn] as [Vec<u32>; 2] {
            let (mut crowd, now) = (crowd(), Instant::now());
            let (_, taken) = crowd.admit(network(1000), now).unwrap();
            let let_in = order.iter().filter(|number| crowd.admit(network(**number), now).is_ok()).count();
            assert!((127..STRANGERS_MAX).contains(&let_in), "{let_in}");
            assert!(!taken.is_cancelled());
            // As many from nowhere, who have no share, take the place of others.
            order.iter().for_each(|_| drop(crowd.admit(None, now)));
            assert!(taken.is_cancelled());
        }
    }
}
