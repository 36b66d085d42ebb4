//! When the tracker was asked where recipients of private messages are. Pure: time is an argument.
//!
//! An author of many messages would else spend the rate limit of the session on one absent recipient.

use std::collections::BTreeMap;

use commons::names::Username;
use tokio::time::Instant;

use crate::limits::SEEK_PAUSE;

/// The last questions, by recipient.
#[derive(Debug, Default)]
pub(crate) struct Seeks {
    asked: BTreeMap<Username, Instant>,
}

impl Seeks {
    /// Whether the tracker may be asked about a recipient now; it is noted then.
    pub(crate) fn may_seek(&mut self, user: &Username, now: Instant) -> bool {
        self.asked.retain(|_, asked| now < *asked + SEEK_PAUSE);
        let may = !self.asked.contains_key(user);
        if may {
            self.asked.insert(user.clone(), now);
        }
        may
    }

    /// The question was in vain: the next one is asked at once.
    pub(crate) fn forget(&mut self, user: &Username) {
        self.asked.remove(user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn absent_recipient_is_sought_once_in_a_while() {
        let (mut seeks, now) = (Seeks::default(), Instant::now());
        let (bob, carla) = (Username::parse("bob").unwrap(), Username::parse("carla").unwrap());
        assert!(seeks.may_seek(&bob, now));
        assert!(!seeks.may_seek(&bob, now));
        assert!(seeks.may_seek(&carla, now));
        assert!(seeks.may_seek(&bob, now + SEEK_PAUSE));
        seeks.forget(&bob);
        assert!(seeks.may_seek(&bob, now + SEEK_PAUSE));
    }
}
