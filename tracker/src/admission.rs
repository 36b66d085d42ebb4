//! Admission: which connections are let in. Decided at the accept, before anything is spent on them.
//!
//! The rules are [`Crowd`]'s, pure, on a clock that is an argument. A place is given back by dropping it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::ConnectionLimits;
use crate::limits::{NETWORKS_MAX, NEWCOMERS_SPAN, REFUSALS_LOGGED};
use crate::network::{Network, Watched};
use crate::pace::{Bucket, Window, in_seconds};
use crate::recent::Recent;

/// Lets connections in.
#[derive(Debug)]
pub(crate) struct Admission {
    watched: Watched,
    crowd: Arc<Mutex<Crowd>>,
}

/// A connection was let in, and holds these while it lasts.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// Until the end.
    pub(crate) session: Place,
    /// Until it has signed in.
    pub(crate) stranger: Place,
}

/// A place in the crowd, free again once this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    among: Among,
    network: Option<Network>,
    crowd: Arc<Mutex<Crowd>>,
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// There is no room for anybody.
    #[error("the tracker has no room for another connection: try again later")]
    Everywhere,
    /// Its network has its share.
    #[error("there are too many connections from your network: close one, or sign in on those that are open")]
    Network,
    /// Too many came from its network lately.
    #[error("too many connections came from your network: wait {}", in_seconds(*.0))]
    TooSoon(Duration),
}

impl Admission {
    /// Nobody is there yet.
    pub(crate) fn new(limits: ConnectionLimits, watched: Watched) -> Self {
        Self { watched, crowd: Arc::new(Mutex::new(Crowd::new(limits))) }
    }

    /// Whether a connection is let in.
    pub(crate) fn admit(&self, from: SocketAddr) -> Result<Admitted, Full> {
        let (network, now) = (self.watched.network(from.ip()), Instant::now());
        let mut crowd = lock(&self.crowd);
        match crowd.admit(network, now) {
            Ok(()) => {
                let place = |among| Place { among, network, crowd: self.crowd.clone() };
                Ok(Admitted { session: place(Among::Sessions), stranger: place(Among::Strangers) })
            }
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
        lock(&self.crowd).leave(self.among, self.network);
    }
}

fn lock(crowd: &Mutex<Crowd>) -> MutexGuard<'_, Crowd> {
    crowd.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Among whom a place is.
#[derive(Debug, Clone, Copy)]
enum Among {
    /// All who are connected.
    Sessions,
    /// Those of them who have not signed in.
    Strangers,
}

/// How many are there.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    sessions: usize,
    strangers: usize,
}

/// Who is there, in numbers.
#[derive(Debug)]
struct Crowd {
    limits: ConnectionLimits,
    all: Count,
    /// Networks that are watched and from which somebody is there.
    of_network: HashMap<Network, Count>,
    newcomers: Recent<Network, Window>,
    refusals_logged: Bucket,
}

impl Crowd {
    fn new(limits: ConnectionLimits) -> Self {
        let newcomers = Recent::new(NETWORKS_MAX);
        Self {
            limits,
            all: Count::default(),
            of_network: HashMap::new(),
            newcomers,
            refusals_logged: Bucket::default(),
        }
    }

    /// Counts one more, if there is room.
    fn admit(&mut self, network: Option<Network>, now: Instant) -> Result<(), Full> {
        if self.all.sessions >= self.limits.sessions || self.all.strangers >= self.limits.strangers {
            return Err(Full::Everywhere);
        }
        if let Some(network) = network {
            let here = self.of_network.get(&network).copied().unwrap_or_default();
            if here.sessions >= self.limits.per_network || !self.may_have_another_stranger(here.strangers) {
                return Err(Full::Network);
            }
            let newcomers = self.newcomers.turn_of(&network);
            newcomers.take(self.limits.new_per_network, NEWCOMERS_SPAN, now).map_err(Full::TooSoon)?;
            self.of_network.entry(network).or_default().add(Count { sessions: 1, strangers: 1 });
        }
        self.all.add(Count { sessions: 1, strangers: 1 });
        Ok(())
    }

    /// Half of the strangers' places are for networks that hold none: so few networks cannot take them all.
    fn may_have_another_stranger(&self, held: usize) -> bool {
        held == 0 || self.all.strangers < self.limits.strangers / 2
    }

    /// Counts one less.
    fn leave(&mut self, among: Among, network: Option<Network>) {
        self.all.remove(among);
        if let Some(network) = network
            && let Some(here) = self.of_network.get_mut(&network)
        {
            here.remove(among);
            if here.sessions == 0 && here.strangers == 0 {
                self.of_network.remove(&network);
            }
        }
    }
}

impl Count {
    fn add(&mut self, more: Self) {
        self.sessions += more.sessions;
        self.strangers += more.strangers;
    }

    fn remove(&mut self, among: Among) {
        let count = match among {
            Among::Sessions => &mut self.sessions,
            Among::Strangers => &mut self.strangers,
        };
        *count = count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::limits::STRANGERS_MAX;

    const MINUTE: Duration = Duration::from_secs(60);

    fn network(number: u32) -> Option<Network> {
        Watched { loopback: false }.network(IpAddr::from((0xc000_0200 + number).to_be_bytes()))
    }

    fn crowd() -> Crowd {
        Crowd::new(ConnectionLimits::default())
    }

    #[test]
    fn sixteen_from_a_network_and_no_more_and_neighbours_do_not_notice() {
        let (mut crowd, now) = (crowd(), Instant::now());
        for _ in 0..16 {
            assert_eq!(crowd.admit(network(1), now), Ok(()));
        }
        assert_eq!(crowd.admit(network(1), now), Err(Full::Network));
        // Signing in makes no room, leaving does.
        crowd.leave(Among::Strangers, network(1));
        assert_eq!(crowd.admit(network(1), now), Err(Full::Network));
        crowd.leave(Among::Sessions, network(1));
        assert_eq!(crowd.admit(network(1), now), Ok(()));
        assert_eq!(crowd.admit(network(2), now), Ok(()));
    }

    #[test]
    fn thirty_two_new_ones_in_ten_minutes() {
        let (mut crowd, start) = (crowd(), Instant::now());
        let mut come_and_go = |now| {
            let admitted = crowd.admit(network(1), now);
            if admitted.is_ok() {
                crowd.leave(Among::Strangers, network(1));
                crowd.leave(Among::Sessions, network(1));
            }
            admitted
        };
        for _ in 0..32 {
            assert_eq!(come_and_go(start), Ok(()));
        }
        assert_eq!(come_and_go(start + MINUTE), Err(Full::TooSoon(9 * MINUTE)));
        assert_eq!(come_and_go(start + 10 * MINUTE), Ok(()));
        assert!(crowd.of_network.is_empty(), "nothing is kept of who has left");
    }

    #[test]
    fn who_is_not_watched_counts_among_all_only() {
        let (mut crowd, now) = (crowd(), Instant::now());
        for _ in 0..256 {
            assert_eq!(crowd.admit(None, now), Ok(()));
        }
        assert_eq!(crowd.admit(None, now), Err(Full::Everywhere));
        crowd.leave(Among::Strangers, None);
        assert_eq!(crowd.admit(None, now), Ok(()));
    }

    #[test]
    fn ten_thousand_sessions_in_all() {
        let (mut crowd, now) = (crowd(), Instant::now());
        for _ in 0..10_240 {
            assert_eq!(crowd.admit(None, now), Ok(()));
            crowd.leave(Among::Strangers, None);
        }
        assert_eq!(crowd.admit(None, now), Err(Full::Everywhere));
        crowd.leave(Among::Sessions, None);
        assert_eq!(crowd.admit(None, now), Ok(()));
    }

    #[test]
    fn a_hundred_silent_networks_leave_room_for_another_in_whatever_order_they_come() {
        let one_by_one = (0..100).flat_map(|number| [number; 16]).collect();
        let in_turn = (0..1600).map(|turn| turn % 100).collect();
        for order in [one_by_one, in_turn] as [Vec<u32>; 2] {
            let (mut crowd, now) = (crowd(), Instant::now());
            let let_in = order.iter().filter(|number| crowd.admit(network(**number), now).is_ok()).count();
            assert!(let_in >= 128, "{let_in}");
            assert_eq!(crowd.admit(network(1000), now), Ok(()));
            // Where every network may have all its sixteen, they fill the house.
            let mut crowd = Crowd::new(ConnectionLimits { strangers: usize::MAX, ..crowd.limits });
            let let_in = order.iter().filter(|number| crowd.admit(network(**number), now).is_ok()).count();
            assert!(let_in > STRANGERS_MAX, "{let_in}");
        }
    }
}
