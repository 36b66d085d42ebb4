//! The timers of the engine: what is due at which time.

use std::collections::BTreeMap;

use commons::names::Username;
use tokio::time::Instant;
use uuid::Uuid;

/// A task that is due later. Each occurs at most once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Repeats the HAVEs and WANTs that are due, and looks for absent recipients.
    Sync,
    /// Gives up the messages for former members of a room, once their last acks had time to come.
    GiveUp(Uuid),
    /// Does so once more, because the members changed while the first timer ran.
    GiveUpAgain(Uuid),
    /// Sends the messages of a room to a legacy client that shows the room again.
    ShowsAgain(Username, Uuid),
    /// Ends the waits of commands that took too long.
    Commands,
}

/// All timers that run.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeMap<Timer, Instant>);

impl Timers {
    /// Sets a timer. A running one of the same kind is replaced.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.0.insert(timer, at);
    }

    /// Sets a timer unless an earlier one of its kind runs.
    pub(crate) fn set_earliest(&mut self, timer: Timer, at: Instant) {
        let due = self.0.entry(timer).or_insert(at);
        *due = at.min(*due);
    }

    /// Returns whether a timer runs.
    pub(crate) fn is_set(&self, timer: &Timer) -> bool {
        self.0.contains_key(timer)
    }

    /// Returns the time of the next timer.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// Removes and returns the timers that are due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Timer> {
        self.0.extract_if(.., |_, at| *at <= now).map(|(timer, _)| timer).collect()
    }
}
