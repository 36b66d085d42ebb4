//! Rate limits: how often a client may act, by session or by network.
//!
//! - [`TokenBucket`] is for actions that may come in bursts. With `burst: 3` and `every: 1 s` it grants three actions at
//!   once, and the fourth must wait one second.
//! - [`SlidingWindow`] is for an exact maximum. A window of 5 within 10 s never grants a sixth action in any 10 s.
//! - [`RequestLimiter`] combines the buckets of one session. A client that ignores RATE_LIMITED replies is not read until
//!   its next request is due.
//! - [`Subnet`] is the network of a client: the block of addresses that a provider usually gives to one customer. A
//!   customer with IPv6 has 2⁶⁴ addresses, so a limit per address would have no effect.
//! - [`Recent`] remembers a bounded number of clients, so that unauthenticated ones cannot make it grow.
//!
//! The time is an argument, and a refused caller gets the time to wait.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use commons::protocol::administration::AdminRequest;
use commons::protocol::with_tracker::TrackerRequest;
use tokio::time::Instant;

use crate::limits::{CHANGE_PACE, REFUSAL_PACE, REQUEST_PACE, Rate};

/// A token bucket. In any span of time, it grants at most `burst` actions and one more for each `every` in the span.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TokenBucket {
    /// The time at which the bucket is full again. This one value describes the whole state.
    full_at: Option<Instant>,
}

/// The times of the recent actions within a span.
#[derive(Debug, Clone, Default)]
pub(crate) struct SlidingWindow {
    times: VecDeque<Instant>,
}

impl TokenBucket {
    /// Checks whether one action may be taken so that `rest` actions are left. On an error, returns the time to wait.
    pub(crate) fn may_take(&self, pace: Rate, rest: u32, now: Instant) -> Result<(), Duration> {
        let Some(full_at) = self.full_at else { return Ok(()) };
        let most = pace.every * pace.burst.saturating_sub(rest);
        match (full_at.max(now) + pace.every).saturating_duration_since(now + most) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// Takes one action. On an error, returns the time to wait.
    pub(crate) fn take(&mut self, pace: Rate, now: Instant) -> Result<(), Duration> {
        self.may_take(pace, 0, now)?;
        self.full_at = Some(self.full_at.map_or(now, |full_at| full_at.max(now)) + pace.every);
        Ok(())
    }

    /// Whether the bucket was full at a time, as a new one is.
    pub(crate) fn is_full(&self, at: Instant) -> bool {
        self.full_at.is_none_or(|full_at| full_at <= at)
    }

    /// Returns one action that was taken for nothing.
    pub(crate) fn put_back(&mut self, pace: Rate) {
        self.full_at = self.full_at.and_then(|full_at| full_at.checked_sub(pace.every));
    }
}

impl SlidingWindow {
    /// Records an action now, if there were fewer than `most` within `span`. On an error, returns the time to wait.
    pub(crate) fn take(&mut self, most: usize, span: Duration, now: Instant) -> Result<(), Duration> {
        while self.times.front().is_some_and(|first| now.saturating_duration_since(*first) >= span) {
            self.times.pop_front();
        }
        if self.times.len() >= most {
            let first = self.times.front().copied().unwrap_or(now);
            return Err((first + span).saturating_duration_since(now));
        }
        self.times.push_back(now);
        Ok(())
    }

    /// Removes the latest recorded action, because it had no effect.
    pub(crate) fn put_back(&mut self) {
        self.times.pop_back();
    }
}

/// The text of a wait in whole seconds, rounded up.
pub(crate) fn in_seconds(wait: Duration) -> String {
    format!("{} s", wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

/// A wait in whole milliseconds for programs, rounded up.
pub(crate) fn in_milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// The token buckets of one session.
#[derive(Debug, Default)]
pub(crate) struct RequestLimiter {
    requests: TokenBucket,
    changes: TokenBucket,
    refusals: TokenBucket,
    read_paused_until: Option<Instant>,
}

impl RequestLimiter {
    /// Counts a request, or a frame that is no request (`None`). On an error, returns the time to wait before the next
    /// request.
    pub(crate) fn admit(&mut self, request: Option<&TrackerRequest>, now: Instant) -> Result<(), Duration> {
        let mut admitted = self.requests.take(REQUEST_PACE, now);
        if admitted.is_ok() && request.is_some_and(changes_something) {
            admitted = self.changes.take(CHANGE_PACE, now);
        }
        admitted.inspect_err(|wait| {
            if self.refusals.take(REFUSAL_PACE, now).is_err() {
                self.read_paused_until = Some(now + *wait);
            }
        })
    }

    /// The end of the current read pause, if there is one. A client that keeps sending without waiting is not read
    /// until then, so its data stays in its own send buffer.
    pub(crate) fn read_paused_until(&self, now: Instant) -> Option<Instant> {
        self.read_paused_until.filter(|until| *until > now)
    }
}

fn changes_something(request: &TrackerRequest) -> bool {
    use AdminRequest::{Bans, Sessions};
    use TrackerRequest::{Admin, ChangePassword, DeleteAccount, EndorseKey, RevokeKey};
    use TrackerRequest::{ChangeRoom, CreateRoom, DeleteRoom, JoinRoom, LeaveRoom};
    if let Admin(request) = request {
        return !matches!(request, Sessions(_) | Bans(_));
    }
    matches!(
        request,
        CreateRoom { .. }
            | JoinRoom { .. }
            | LeaveRoom { .. }
            | DeleteRoom { .. }
            | ChangeRoom { .. }
            | RevokeKey { .. }
            | EndorseKey { .. }
            | ChangePassword { .. }
            | DeleteAccount { .. }
    )
}

/// An IPv4 address or an IPv6 /64. Example: 2001:db8::1 and 2001:db8::2 are in the same network, 192.0.2.1 and 192.0.2.2
/// are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Subnet(IpAddr);

/// The networks to which limits apply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LimitScope {
    /// Whether limits also apply to loopback addresses.
    pub(crate) loopback: bool,
}

impl Subnet {
    /// The network of an address.
    pub(crate) fn of(ip: IpAddr) -> Self {
        let IpAddr::V6(ip) = ip.to_canonical() else { return Self(ip.to_canonical()) };
        Self(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into())
    }

    /// The IPv6 /48 around this network. An IPv4 address is a site of its own.
    pub(crate) fn site(self) -> Self {
        let IpAddr::V6(ip) = self.0 else { return self };
        Self(Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80).into())
    }
}

impl LimitScope {
    /// The network to which an address is counted. `None` if no limits apply to the address.
    pub(crate) fn network(self, ip: IpAddr) -> Option<Subnet> {
        (self.loopback || !ip.to_canonical().is_loopback()).then(|| Subnet::of(ip))
    }
}

/// A map of at most `most` keys, ordered by their last use. When it is full, it forgets the least recently used key.
/// Example with at most 3 keys: after uses of 1, 2, 3, 1 and 4, it holds 3, 1 and 4.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    most: usize,
    values: HashMap<K, (u64, V)>,
    /// The keys by their last turn, the oldest first.
    turns: BTreeMap<u64, K>,
    last_turn: u64,
}

impl<K: Clone + Eq + Hash, V: Default> Recent<K, V> {
    /// Creates an empty map of at most `most` keys.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, values: HashMap::new(), turns: BTreeMap::new(), last_turn: 0 }
    }

    /// The value of a key, if the key is remembered. The access does not count as a use.
    pub(crate) fn known(&mut self, key: &K) -> Option<&mut V> {
        self.values.get_mut(key).map(|(_, value)| value)
    }

    /// The value of a key, created with the default if needed. The access counts as a use of the key.
    pub(crate) fn turn_of(&mut self, key: &K) -> &mut V {
        self.last_turn += 1;
        if !self.values.contains_key(key)
            && self.values.len() >= self.most
            && let Some((_, oldest)) = self.turns.pop_first()
        {
            self.values.remove(&oldest);
        }
        let (turn, value) = self.values.entry(key.clone()).or_default();
        self.turns.remove(turn);
        *turn = self.last_turn;
        self.turns.insert(*turn, key.clone());
        value
    }

    /// The number of keys.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.values.len(), self.turns.len());
        self.values.len()
    }

    /// Removes a key from the map.
    pub(crate) fn forget(&mut self, key: &K) {
        if let Some((turn, _)) = self.values.remove(key) {
            self.turns.remove(&turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_pace() {
        let pace = Rate { burst: 3, every: SECOND };
        let (mut bucket, start) = (TokenBucket::default(), Instant::now());
        let mut taken = 0;
        for tenth in 0..=100 {
            let now = start + SECOND / 10 * tenth;
            match bucket.take(pace, now) {
                Ok(()) => taken += 1,
                Err(wait) => {
                    assert!(bucket.may_take(pace, 0, now + wait).is_ok());
                    assert!(bucket.may_take(pace, 0, now + wait - SECOND / 1000).is_err());
                }
            }
        }
        assert_eq!(taken, 3 + 10);
        bucket.put_back(pace);
        assert_eq!(bucket.take(pace, start + SECOND * 10), Ok(()));
        // A long pause fills the bucket only up to its burst.
        let later = start + SECOND * 1000;
        assert_eq!((0..10).filter(|_| bucket.take(pace, later).is_ok()).count(), 3);
    }

    #[test]
    fn some_leave_a_rest_for_others() {
        let pace = Rate { burst: 3, every: SECOND };
        let (mut bucket, now) = (TokenBucket::default(), Instant::now());
        bucket.take(pace, now).unwrap();
        assert_eq!(bucket.may_take(pace, 2, now), Err(SECOND));
        assert_eq!(bucket.may_take(pace, 1, now), Ok(()));
        assert_eq!(bucket.may_take(pace, 0, now), Ok(()));
    }

    #[test]
    fn a_window_never_holds_more_than_it_may() {
        let (mut window, start, span) = (SlidingWindow::default(), Instant::now(), SECOND * 10);
        let taken: Vec<_> = (0..1000)
            .map(|tick| start + SECOND / 7 * tick)
            .filter(|now| window.take(5, span, *now).is_ok())
            .collect();
        assert!(taken.len() > 5 * 10);
        assert!(taken.windows(6).all(|six| six[5] - six[0] >= span));
        assert_eq!(window.times.len(), 5);
        let now = start + SECOND * 1000;
        for _ in 0..5 {
            window.take(5, span, now).unwrap();
        }
        assert_eq!(window.take(5, span, now + SECOND), Err(SECOND * 9));
        window.put_back();
        assert_eq!(window.take(5, span, now + SECOND), Ok(()));
    }

    #[test]
    fn waits_are_rounded_up() {
        assert_eq!(in_seconds(Duration::from_millis(200)), "1 s");
        assert_eq!(in_seconds(SECOND), "1 s");
        assert_eq!(in_seconds(Duration::from_millis(1001)), "2 s");
        assert_eq!(in_milliseconds(Duration::from_millis(1001)), 1001);
        assert_eq!(in_milliseconds(Duration::from_nanos(1)), 1);
    }

    /// Sends a request a hundred times a second for a minute, except while reading is paused. Returns how many requests
    /// were granted and how many were refused.
    fn hammer(request: &TrackerRequest) -> (u32, u32) {
        let (mut rates, start) = (RequestLimiter::default(), Instant::now());
        let (mut granted, mut refused) = (0, 0);
        for tick in 0..6000 {
            let now = start + Duration::from_millis(10) * tick;
            if rates.read_paused_until(now).is_none() {
                match rates.admit(Some(request), now) {
                    Ok(()) => granted += 1,
                    Err(_) => refused += 1,
                }
            }
        }
        (granted, refused)
    }

    #[test]
    fn ten_requests_at_once_and_five_a_second() {
        let (granted, refused) = hammer(&TrackerRequest::Ping);
        assert!((300..=310).contains(&granted), "{granted}");
        assert!((10..=400).contains(&refused), "{refused} of 6000 were worth an answer");
    }

    #[test]
    fn five_changes_at_once_and_one_a_second() {
        let (granted, refused) = hammer(&TrackerRequest::JoinRoom { room: "sala".to_owned() });
        assert!((55..=65).contains(&granted), "{granted}");
        assert!((10..=400).contains(&refused), "{refused}");
    }

    #[test]
    fn client_that_waits_as_required_is_served() {
        let (mut rates, mut now) = (RequestLimiter::default(), Instant::now());
        for _ in 0..100 {
            if let Err(wait) = rates.admit(Some(&TrackerRequest::Ping), now) {
                now += wait;
                assert_eq!(rates.admit(Some(&TrackerRequest::Ping), now), Ok(()));
            }
            assert_eq!(rates.read_paused_until(now), None);
        }
    }

    #[test]
    fn addresses_of_one_customer_are_one_network() {
        let network = |ip: &str| LimitScope { loopback: true }.network(ip.parse().unwrap()).unwrap();
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
    }

    #[test]
    fn loopback_is_limited_only_if_configured() {
        for ip in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"].map(|ip| ip.parse().unwrap()) {
            assert!(LimitScope { loopback: false }.network(ip).is_none(), "{ip}");
            assert!(LimitScope { loopback: true }.network(ip).is_some(), "{ip}");
        }
        assert!(LimitScope { loopback: false }.network("192.0.2.1".parse().unwrap()).is_some());
    }

    #[test]
    fn forgets_the_least_recent_client() {
        let mut recent = Recent::new(3);
        for key in [1, 2, 3] {
            *recent.turn_of(&key) = key * 10;
        }
        assert_eq!(*recent.turn_of(&1), 10);
        recent.known(&2);
        *recent.turn_of(&4) = 40;
        assert_eq!([1, 2, 3, 4].map(|key| recent.known(&key).copied()), [Some(10), None, Some(30), Some(40)]);
        recent.forget(&3);
        recent.turn_of(&5);
        assert_eq!((recent.values.len(), recent.turns.len()), (3, 3));
        assert_eq!(recent.known(&1), Some(&mut 10), "what was forgotten has made room");
    }
}
