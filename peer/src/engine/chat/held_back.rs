//! Received messages, and the queue of those whose membership is not confirmed yet.
//!
//! A message can arrive before the tracker's update that confirms its author's membership. It is held back for at
//! most `EARLY_WAIT`.

use std::collections::VecDeque;

use commons::names::Username;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use crate::limits::{EARLY_BATCHES, EARLY_WAIT};
use crate::peer_communication::link_report::{MessageBatch, PlainMessage};

/// A message or batch that a link received.
pub(crate) struct Inbound {
    /// The user at the other end of the link.
    pub(crate) from: Username,
    pub(crate) messages: InboundMessages,
}

/// A message of a legacy client, or a batch of messages with provenance.
pub(crate) enum InboundMessages {
    Unsigned(PlainMessage),
    Signed(MessageBatch),
}

impl InboundMessages {
    /// Returns whether the messages belong to the private chat with their sender.
    pub(in crate::engine) fn is_private(&self) -> bool {
        self.room() == (None, None)
    }

    /// Returns the room by name or by id, as the sender names it. Both are `None` in a private chat.
    fn room(&self) -> (Option<&str>, Option<Uuid>) {
        match self {
            Self::Unsigned(message) => (message.room.as_deref(), None),
            Self::Signed(batch) => (None, batch.room_id),
        }
    }
}

/// Received messages of senders whose membership is not confirmed, at most `EARLY_BATCHES` entries.
#[derive(Default)]
pub(crate) struct PendingMembership {
    waiting: VecDeque<(Instant, Inbound)>,
}

impl PendingMembership {
    /// Holds back an entry. Expired entries are dropped, and also the oldest if the queue is full.
    pub(crate) fn keep(&mut self, inbound: Inbound, now: Instant) {
        while self.waiting.len() >= EARLY_BATCHES
            || self.waiting.front().is_some_and(|(since, _)| is_late(*since, now))
        {
            self.waiting.pop_front().iter().for_each(note_dropped);
        }
        self.waiting.push_back((now, inbound));
    }

    /// Returns whether earlier messages from the same user to the same room are held back. Later messages must not
    /// overtake them.
    pub(crate) fn holds(&self, later: &Inbound, now: Instant) -> bool {
        let is_before = |earlier: &Inbound| {
            earlier.from == later.from && earlier.messages.room() == later.messages.room()
        };
        self.waiting.iter().any(|(since, earlier)| !is_late(*since, now) && is_before(earlier))
    }

    /// Drops the messages of an earlier link to a user. A new link brings all of them again, from the first on: if both
    /// were kept, one that expires would come after a later one.
    pub(crate) fn forget(&mut self, user: &Username) {
        self.waiting.retain(|(_, inbound)| inbound.from != *user);
    }

    /// Removes and returns all entries that have not expired, oldest first, with their times of arrival.
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

/// Logs a dropped entry. It was not acknowledged, so a current peer sends it again.
fn note_dropped((_, inbound): &(Instant, Inbound)) {
    warn!(peer = ?inbound.from, "messages for a room in which their author is not known to be a member were dropped");
}
