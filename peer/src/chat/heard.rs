//! Lines as the links bring them, and those that are ahead of the tracker's word: they wait for it.

use std::collections::VecDeque;

use commons::names::Username;
use tokio::time::Instant;

use crate::limits::{EARLY_BATCHES, EARLY_WAIT};
use crate::peer_communication::switchboard::{GivenLines, PlainLine};

/// What a link brought.
pub(crate) struct Heard {
    /// Whose link it is.
    pub(crate) from: Username,
    pub(crate) what: Spoken,
}

/// With or without provenance.
pub(crate) enum Spoken {
    Plain(PlainLine),
    Given(GivenLines),
}

/// What came for a room in which it is out of place, as far as is known: the tracker's word of it may be on its way.
#[derive(Default)]
pub(crate) struct Early {
    waiting: VecDeque<(Instant, Heard)>,
}

impl Early {
    /// Keeps it for a while.
    pub(crate) fn keep(&mut self, heard: Heard, now: Instant) {
        while self.waiting.len() >= EARLY_BATCHES
            || self.waiting.front().is_some_and(|(since, _)| is_late(*since, now))
        {
            self.waiting.pop_front();
        }
        self.waiting.push_back((now, heard));
    }

    /// Whether something of this user waits: what comes later must not overtake it.
    pub(crate) fn holds(&self, from: &Username) -> bool {
        self.waiting.iter().any(|(_, heard)| heard.from == *from)
    }

    /// All that still waits, oldest first, each with the time since when.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<(Instant, Heard)> {
        self.waiting.drain(..).filter(|(since, _)| !is_late(*since, now)).collect()
    }
}

fn is_late(since: Instant, now: Instant) -> bool {
    since + EARLY_WAIT < now
}
