//! A rate limiter for lookups of unknown users at the tracker. Pure: time is an argument.
//!
//! Anybody who can dial this peer can invent names, and each lookup counts against this user's rate limit. So at most
//! [`KEY_LOOKUPS_MAX`] lookups are made in any [`KEY_LOOKUPS_TIME`].
//!
//! Example: with 10 in 10 s, the eleventh lookup is refused until the first one is 10 s old.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::limits::{KEY_LOOKUPS_MAX, KEY_LOOKUPS_TIME};

/// Times of the recent lookups, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct KeyLookupLimiter {
    recent: VecDeque<Instant>,
}

impl KeyLookupLimiter {
    /// Whether one more lookup is allowed now. If so, it is counted.
    pub(crate) fn try_acquire(&mut self, now: Instant) -> bool {
        while self.recent.front().is_some_and(|first| *first + KEY_LOOKUPS_TIME <= now) {
            self.recent.pop_front();
        }
        let may = self.recent.len() < KEY_LOOKUPS_MAX;
        if may {
            self.recent.push_back(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lookups_are_bounded_in_any_period() {
        let (mut limiter, now) = (KeyLookupLimiter::default(), Instant::now());
        let allowed = (0..99).filter(|_| limiter.try_acquire(now)).count();
        assert_eq!(allowed, KEY_LOOKUPS_MAX);
        assert!(!limiter.try_acquire(now + KEY_LOOKUPS_TIME / 2));
        assert!(limiter.try_acquire(now + KEY_LOOKUPS_TIME));
    }
}
