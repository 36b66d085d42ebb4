//! Lines as they are heard: doubles are swallowed, and those that are ahead of the tracker's word wait for it.

use std::collections::{HashSet, VecDeque};

use chrono::{DateTime, Utc};
use commons::names::Username;
use tokio::time::Instant;
use uuid::Uuid;

use crate::limits::{EARLY_LINES, EARLY_WAIT, SEEN_LINES};

/// A line as it was heard, its author being the user of the link it came by.
#[derive(Clone)]
pub(crate) struct Heard {
    pub(crate) from: Username,
    pub(crate) room: Option<String>,
    pub(crate) content: String,
    pub(crate) id: Uuid,
    pub(crate) sent_at: DateTime<Utc>,
}

/// The identities of the latest lines, to swallow doubles.
#[derive(Default)]
pub(crate) struct Seen {
    ids: HashSet<Uuid>,
    order: VecDeque<Uuid>,
}

impl Seen {
    /// Whether the line is heard for the first time.
    pub(crate) fn note(&mut self, id: Uuid) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > SEEN_LINES
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

/// Lines for a room in which their author does not sit, as far as is known: the tracker's word of it may be on its way.
#[derive(Default)]
pub(crate) struct Early {
    lines: VecDeque<(Instant, Heard)>,
}

impl Early {
    /// Keeps a line for a while.
    pub(crate) fn keep(&mut self, heard: Heard, now: Instant) {
        while self.lines.len() >= EARLY_LINES
            || self.lines.front().is_some_and(|(since, _)| is_late(*since, now))
        {
            self.lines.pop_front();
        }
        self.lines.push_back((now, heard));
    }

    /// All lines that still wait, oldest first, each with the time since when.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<(Instant, Heard)> {
        self.lines.drain(..).filter(|(since, _)| !is_late(*since, now)).collect()
    }
}

fn is_late(since: Instant, now: Instant) -> bool {
    since + EARLY_WAIT < now
}
