//! The timers of the engine: what is due at which time.

use std::collections::BTreeMap;

use commons::names::Username;
use tokio::time::Instant;
use uuid::Uuid;

use crate::limits::SYNC_TICK;

/// A task that is due once. Each occurs at most once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Gives up the messages for former members of a room, once their last acks had time to come.
    GiveUp(Uuid),
    /// Does so once more, because the members changed while the first timer ran.
    GiveUpAgain(Uuid),
    /// Sends the messages of a room to a legacy client that shows the room again.
    ShowsAgain(Username, Uuid),
    /// Publishes the away text of a user who changes it often.
    ShowAway(Username),
    /// Sends the user's own away text again, after a full send queue refused it.
    SendAway(Username),
    /// Ends the waits of commands that took too long.
    Commands,
}

/// All timers that run.
#[derive(Debug)]
pub(crate) struct Timers {
    /// The next time of the sync, which repeats the HAVEs and WANTs that are due and looks for absent recipients.
    sync: Instant,
    once: BTreeMap<Timer, Instant>,
}

impl Timers {
    pub(crate) fn start(now: Instant) -> Self {
        Self { sync: now + SYNC_TICK, once: BTreeMap::new() }
    }

    /// Sets a timer. A running one of the same kind is replaced.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.once.insert(timer, at);
    }

    /// Sets a timer unless an earlier one of its kind runs.
    pub(crate) fn set_earliest(&mut self, timer: Timer, at: Instant) {
        let due = self.once.entry(timer).or_insert(at);
        *due = at.min(*due);
    }

    /// Returns whether a timer runs.
    pub(crate) fn is_set(&self, timer: &Timer) -> bool {
        self.once.contains_key(timer)
    }

    /// Returns the time of the next timer.
    pub(crate) fn next(&self) -> Instant {
        self.once.values().copied().fold(self.sync, Instant::min)
    }

    /// Returns whether the sync is due. If so, its next time is set.
    pub(crate) fn take_sync(&mut self, now: Instant) -> bool {
        let is_due = self.sync <= now;
        if is_due {
            self.sync = now + SYNC_TICK;
        }
        is_due
    }

    /// Removes and returns the timers that are due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Timer> {
        self.once.extract_if(.., |_, at| *at <= now).map(|(timer, _)| timer).collect()
    }
}
