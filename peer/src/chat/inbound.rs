//! Lines as the links bring them, and those that are ahead of the tracker's word: they wait for it.

use std::collections::VecDeque;

use commons::names::Username;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use crate::limits::{EARLY_BATCHES, EARLY_WAIT};
use crate::peer_communication::link_registry::{MessageBatch, PlainMessage};

/// What a link brought.
pub(crate) struct Inbound {
    /// Whose link it is.
    pub(crate) from: Username,
    pub(crate) what: Spoken,
}

/// With or without provenance.
pub(crate) enum Spoken {
    Plain(PlainMessage),
    Given(MessageBatch),
}

impl Spoken {
    /// The room that is named, as the program names it.
    fn room(&self) -> (Option<&str>, Option<Uuid>) {
        match self {
            Self::Plain(line) => (line.room.as_deref(), None),
            Self::Given(given) => (None, given.room_id),
        }
    }
}

/// What came for a room in which it is out of place, as far as is known: the tracker's word of it may be on its way.
#[derive(Default)]
pub(crate) struct PendingMembership {
    waiting: VecDeque<(Instant, Inbound)>,
}

impl PendingMembership {
    /// Keeps it for a while.
    pub(crate) fn keep(&mut self, heard: Inbound, now: Instant) {
        while self.waiting.len() >= EARLY_BATCHES
            || self.waiting.front().is_some_and(|(since, _)| is_late(*since, now))
        {
            self.waiting.pop_front().iter().for_each(note_dropped);
        }
        self.waiting.push_back((now, heard));
    }

    /// Whether earlier messages of the same user to the same room wait: later ones must not overtake them.
    pub(crate) fn holds(&self, later: &Inbound, now: Instant) -> bool {
        let is_before =
            |earlier: &Inbound| earlier.from == later.from && earlier.what.room() == later.what.room();
        self.waiting.iter().any(|(since, earlier)| !is_late(*since, now) && is_before(earlier))
    }

    /// All that still waits, oldest first, each with the time since when.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<(Instant, Inbound)> {
        let (late, waiting): (Vec<_>, _) =
            self.waiting.drain(..).partition(|(since, _)| is_late(*since, now));
        late.iter().for_each(note_dropped);
        waiting
    }
}

fn is_late(since: Instant, now: Instant) -> bool {
    since + EARLY_WAIT < now
}

/// A dropped message is not acknowledged, so a modern program gives it again.
fn note_dropped((_, heard): &(Instant, Inbound)) {
    warn!(peer = ?heard.from, "messages for a room in which their author is not known to sit were dropped");
}
