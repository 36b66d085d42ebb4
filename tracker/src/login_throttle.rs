//! The login throttle: decides when the next password for an account may be checked.
//!
//! It keeps two counts. One is per account and network: each wrong password doubles the wait of that network, and the
//! owner on another network does not wait. The other is a token bucket per account, against guessers with many
//! networks. Most of the bucket is reserved for networks without a wrong password, so guessers cannot lock the owner
//! out.
//!
//! Example: the first three wrong passwords of a network cost no wait. The following ones cost 1, 2, 4 … seconds, up to
//! 300. Both counts survive a reconnect, and neither depends on whether the account exists. The time is an argument.

use std::time::Duration;

use commons::names::Username;
use tokio::time::Instant;

use crate::limits::{
    GUESS_DELAY_MAX, GUESS_MEMORY, GUESS_PACE, GUESSERS_MAX, GUESSES_FOR_NEW_NETWORKS, GUESSES_FREE,
};
use crate::rate_limit::{Recent, Subnet, TokenBucket};

/// The recent wrong passwords, by source and by account.
#[derive(Debug)]
pub(crate) struct LoginThrottle {
    by_source: Recent<Source, Failures>,
    by_account: Recent<Username, TokenBucket>,
}

/// A network that guesses the password of an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Source {
    account: Username,
    network: Subnet,
}

/// The wrong passwords of a source. Passwords that are being checked count as wrong.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    count: u32,
    last: Option<Instant>,
}

/// A password that is being checked. It counts as wrong until [`LoginThrottle`] gets the result. Otherwise many
/// passwords offered at the same moment would all count as the first.
#[derive(Debug)]
#[must_use]
pub(crate) struct Attempt {
    source: Source,
    /// The time of its beginning.
    begun: Instant,
}

impl LoginThrottle {
    /// Creates a throttle that has seen no wrong passwords.
    pub(crate) fn new() -> Self {
        Self { by_source: Recent::new(GUESSERS_MAX), by_account: Recent::new(GUESSERS_MAX) }
    }

    /// Begins an attempt, if a password may be checked now. On an error, returns the time to wait, and nothing is
    /// counted.
    pub(crate) fn begin(
        &mut self,
        account: &Username,
        network: Subnet,
        now: Instant,
    ) -> Result<Attempt, Duration> {
        let source = Source { account: account.clone(), network };
        let wrong = self.by_source.known(&source).map_or(Ok(0), |failures| failures.counting(now))?;
        let rest = if wrong == 0 { 0 } else { GUESSES_FOR_NEW_NETWORKS };
        if let Some(bucket) = self.by_account.known(account) {
            bucket.may_take(GUESS_PACE, rest, now)?;
        }
        self.by_account.turn_of(account).take(GUESS_PACE, now)?;
        *self.by_source.turn_of(&source) = Failures::new(wrong + 1, now);
        Ok(Attempt { source, begun: now })
    }

    /// Reports that the password was correct. The failures of this source are forgotten.
    pub(crate) fn right(&mut self, attempt: &Attempt) {
        self.put_back(attempt);
        self.by_source.forget(&attempt.source);
        // A full bucket is as good as none.
        let account = &attempt.source.account;
        if self.by_account.known(account).is_some_and(|bucket| bucket.is_full(attempt.begun)) {
            self.by_account.forget(account);
        }
    }

    /// The number of remembered guessers and guessed accounts.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_source.len() + self.by_account.len()
    }

    /// Reports that the password was not checked after all.
    pub(crate) fn unchecked(&mut self, attempt: &Attempt) {
        self.put_back(attempt);
        if let Some(failures) = self.by_source.known(&attempt.source) {
            failures.count = failures.count.saturating_sub(1);
        }
    }

    fn put_back(&mut self, attempt: &Attempt) {
        if let Some(bucket) = self.by_account.known(&attempt.source.account) {
            bucket.put_back(GUESS_PACE);
        }
    }
}

impl Failures {
    /// This many failures, the last one now.
    pub(crate) fn new(count: u32, now: Instant) -> Self {
        Self { count, last: Some(now) }
    }

    /// The number of failures that still count, if the next password may be checked now. On an error, returns the time
    /// to wait.
    pub(crate) fn counting(&self, now: Instant) -> Result<u32, Duration> {
        let Some(since) = self.last.map(|last| now.saturating_duration_since(last)) else { return Ok(0) };
        match delay(self.count).saturating_sub(since) {
            Duration::ZERO => Ok(if since < GUESS_MEMORY { self.count } else { 0 }),
            wait => Err(wait),
        }
    }
}

/// The wait after `wrong` wrong passwords: 0, 0, 0, 1, 2, 4 … 300 s.
fn delay(wrong: u32) -> Duration {
    let Some(doublings) = wrong.checked_sub(GUESSES_FREE) else { return Duration::ZERO };
    Duration::from_secs(1_u64.checked_shl(doublings).unwrap_or(u64::MAX)).min(GUESS_DELAY_MAX)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::rate_limit::LimitScope;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);

    fn name(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn network(number: u32) -> Subnet {
        let ip = IpAddr::from((0xc000_0200 + number).to_be_bytes());
        LimitScope { loopback: false }.network(ip).unwrap()
    }

    /// Guesses wrong for a whole day from each of 64 networks, as often as the throttle permits. Returns the times of
    /// the checked guesses. `aside` runs every ten minutes.
    fn besiege(
        throttle: &mut LoginThrottle,
        account: impl Fn(u32) -> Username,
        start: Instant,
        mut aside: impl FnMut(&mut LoginThrottle, Instant),
    ) -> Vec<Instant> {
        let mut checked = Vec::new();
        let mut due = [start; 64];
        for second in 0..24 * 3600 {
            let now = start + SECOND * second;
            for number in 0..64 {
                while due[number as usize] <= now {
                    match throttle.begin(&account(number), network(number), now) {
                        Ok(_wrong) => checked.push(now),
                        Err(wait) => due[number as usize] = now + wait,
                    }
                }
            }
            if second % 600 == 0 {
                aside(throttle, now);
            }
        }
        checked
    }

    /// The highest number of times within any hour. The times must be in order.
    fn most_in_an_hour(times: &[Instant]) -> usize {
        let within = |from: usize| times[from..].partition_point(|time| *time - times[from] < HOUR);
        (0..times.len()).map(within).max().unwrap_or(0)
    }

    #[test]
    fn password_guesses_do_not_lock_out_the_owner() {
        for target in ["ana", "nobody-has-this-name"].map(name) {
            let mut throttle = LoginThrottle::new();
            let mut fresh = 1000;
            let checked = besiege(
                &mut throttle,
                |_| target.clone(),
                Instant::now(),
                |throttle, now| {
                    // The owner signs in twice at home and once from a network that changes each time.
                    for here in [network(999), network(999), network(fresh)] {
                        let attempt =
                            throttle.begin(&target, here, now).expect("the owner is judged at once");
                        throttle.right(&attempt);
                    }
                    fresh += 1;
                },
            );
            let most = most_in_an_hour(&checked);
            assert!(most <= 100, "{most} guesses were checked within an hour");
            // Control: the throttle still checks guesses.
            assert!(checked.len() > 24 * 10, "{} in a day", checked.len());
        }
    }

    #[test]
    fn without_the_count_by_account_the_same_siege_would_pay() {
        let own = |number: u32| name(&format!("user{number}"));
        let checked = besiege(&mut LoginThrottle::new(), own, Instant::now(), |_, _| ());
        assert!(most_in_an_hour(&checked) > 1000);
    }

    #[test]
    fn each_wrong_password_makes_the_next_one_wait_longer() {
        let (mut throttle, mut now) = (LoginThrottle::new(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..14 {
            let wait = throttle.begin(&name("ana"), network(1), now).err().unwrap_or_default();
            waits.push(wait.as_secs());
            if !wait.is_zero() {
                assert!(throttle.begin(&name("ana"), network(1), now + wait - SECOND / 1000).is_err());
                now += wait;
                let _wrong = throttle.begin(&name("ana"), network(1), now).unwrap();
            }
        }
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        // The wait affects neither another account nor another network.
        assert!(throttle.begin(&name("bob"), network(1), now).is_ok());
        assert!(throttle.begin(&name("ana"), network(2), now).is_ok());
        // A day later, it does not affect the same account and network either.
        for _ in 0..3 {
            assert!(throttle.begin(&name("ana"), network(1), now + GUESS_MEMORY).is_ok());
        }
    }

    #[test]
    fn right_and_unjudged_passwords_cost_nothing() {
        let (mut throttle, now) = (LoginThrottle::new(), Instant::now());
        for _ in 0..1000 {
            let attempt = throttle.begin(&name("ana"), network(1), now).unwrap();
            throttle.unchecked(&attempt);
            let attempt = throttle.begin(&name("ana"), network(1), now).unwrap();
            throttle.right(&attempt);
        }
        let at_once: Vec<_> =
            (0..10).filter_map(|_| throttle.begin(&name("ana"), network(1), now).ok()).collect();
        assert_eq!(at_once.len(), 3, "what is offered at once does not share the first place");
        throttle.right(&at_once[0]);
        assert!(throttle.begin(&name("ana"), network(1), now).is_ok());
    }

    #[test]
    fn right_passwords_leave_nothing_and_wrong_ones_stay() {
        let (mut throttle, now) = (LoginThrottle::new(), Instant::now());
        for number in 0..1000 {
            let attempt = throttle.begin(&name(&format!("u{number}")), network(number), now).unwrap();
            throttle.right(&attempt);
        }
        assert_eq!(throttle.len(), 0);
        // Control: a wrong password before the right one stays counted for the account.
        let _wrong = throttle.begin(&name("ana"), network(1), now).unwrap();
        let attempt = throttle.begin(&name("ana"), network(2), now).unwrap();
        throttle.right(&attempt);
        assert_eq!(throttle.len(), 2);
    }

    #[test]
    fn remembers_only_so_many() {
        let (mut throttle, now) = (LoginThrottle::new(), Instant::now());
        for _ in 0..3 {
            let _wrong = throttle.begin(&name("ana"), network(1), now).unwrap();
        }
        assert!(throttle.begin(&name("ana"), network(1), now).is_err());
        for number in 0..GUESSERS_MAX {
            let _wrong = throttle.begin(&name(&format!("u{number}")), network(1), now).unwrap();
        }
        assert!(throttle.begin(&name("ana"), network(1), now).is_ok(), "the oldest is forgotten");
    }
}
