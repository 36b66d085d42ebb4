//! The rate limiter for questions to the tracker about recipients of private messages.
//!
//! Without it, many messages to one offline recipient would use up the rate limit of the session. It does no I/O:
//! the time is an argument.

use std::collections::BTreeMap;

use commons::names::Username;
use tokio::time::Instant;

use crate::limits::LOOKUP_PAUSE;

/// The time of the last query about each recipient.
#[derive(Debug, Default)]
pub(crate) struct LookupLimiter {
    asked: BTreeMap<Username, Instant>,
}

impl LookupLimiter {
    /// Returns whether a query about a recipient is allowed now, and notes it if so. One is allowed every
    /// `LOOKUP_PAUSE`.
    pub(crate) fn try_acquire(&mut self, user: &Username, now: Instant) -> bool {
        self.asked.retain(|_, asked| now < *asked + LOOKUP_PAUSE);
        let may = !self.asked.contains_key(user);
        if may {
            self.asked.insert(user.clone(), now);
        }
        may
    }

    /// Forgets a query that failed, so that the next one is allowed at once.
    pub(crate) fn forget(&mut self, user: &Username) {
        self.asked.remove(user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn absent_recipient_is_sought_once_in_a_while() {
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
