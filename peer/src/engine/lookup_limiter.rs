//! A rate limiter for lookups of the recipients of private messages at the tracker.
//!
//! Without it, many messages to one offline recipient would use up the rate limit of the session. It does no I/O:
//! the time is an argument.

use std::collections::BTreeMap;

use commons::names::Username;
use tokio::time::Instant;

use crate::limits::LOOKUP_PAUSE;

/// The time of the last lookup of each recipient.
#[derive(Debug, Default)]
pub(crate) struct LookupLimiter {
    last: BTreeMap<Username, Instant>,
}

impl LookupLimiter {
    /// Returns whether a lookup of a recipient is allowed now, and notes it if so. One is allowed every
    /// `LOOKUP_PAUSE`.
    pub(crate) fn try_acquire(&mut self, user: &Username, now: Instant) -> bool {
        self.last.retain(|_, at| now < *at + LOOKUP_PAUSE);
        let may = !self.last.contains_key(user);
        if may {
            self.last.insert(user.clone(), now);
        }
        may
    }

    /// Forgets a lookup that failed, so that the next one is allowed at once.
    pub(crate) fn forget(&mut self, user: &Username) {
        self.last.remove(user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn absent_recipient_is_looked_up_once_in_a_while() {
        let (mut lookups, now) = (LookupLimiter::default(), Instant::now());
        let (bob, carla) = (Username::parse("bob").unwrap(), Username::parse("carla").unwrap());
        assert!(lookups.try_acquire(&bob, now));
        assert!(!lookups.try_acquire(&bob, now));
        assert!(lookups.try_acquire(&carla, now));
        assert!(lookups.try_acquire(&bob, now + LOOKUP_PAUSE));
        lookups.forget(&bob);
        assert!(lookups.try_acquire(&bob, now + LOOKUP_PAUSE));
    }
}
