//! The schedule of the lookups of users at the tracker. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use commons::names::Username;
use tokio::time::Instant;

use crate::engine::effect::{Effect, Effects};
use crate::engine::lookup_limiter::LookupLimiter;
use crate::limits::{LOOKUP_BACKOFF, LOOKUPS_AT_ONCE};

/// The lookups that are under way, and those that are due.
#[derive(Debug, Default)]
pub(in crate::engine) struct LookupSchedule {
    /// The users whose lookup the tracker has not answered.
    pub(in crate::engine) under_way: BTreeSet<Username>,
    pub(in crate::engine) limiter: LookupLimiter,
    /// Whether the history is counting the messages that wait for each recipient.
    pub(in crate::engine) is_counting: bool,
    /// The next time to look for each absent recipient, and the delay after it. The delay doubles, within
    /// `LOOKUP_BACKOFF`.
    pub(in crate::engine) due: BTreeMap<Username, (Instant, Duration)>,
}

impl LookupSchedule {
    /// Looks up a user at the tracker, unless a lookup of that user is under way.
    pub(in crate::engine) fn look_up(&mut self, user: &Username, effects: &mut Effects) {
        if self.under_way.insert(user.clone()) {
            effects.push(Effect::LookUp(user.clone()));
        }
    }

    /// Returns the absent users to look for now.
    pub(in crate::engine) fn take_due(
        &mut self,
        waiting: &BTreeSet<&Username>,
        now: Instant,
    ) -> Vec<Username> {
        self.due.retain(|user, _| waiting.contains(user));
        let mut due = Vec::new();
        for user in waiting {
            let (first, most) = LOOKUP_BACKOFF;
            let (at, delay) = self.due.entry((*user).clone()).or_insert((now, first));
            if *at <= now && due.len() < LOOKUPS_AT_ONCE {
                (*at, *delay) = (now + *delay, most.min(*delay * 2));
                due.push((*user).clone());
            }
        }
        due
    }
}
