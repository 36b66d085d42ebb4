//! The events that drive the sync task.
//!
//! The hub sends them when a link, a membership or the history changes.

use commons::names::Username;
use commons::protocol::provenance::StreamSpans;

use crate::history::conversation::ConversationId;

/// An event that may cause the sync task to send a HAVE, a WANT or LINES.
pub(crate) enum SyncEvent {
    /// A new link to this user came up.
    Up(Username),
    /// The last link to this user closed.
    Down(Username),
    /// The members of a room have changed.
    Seats,
    /// More keys of the user's own account are trusted.
    OwnKeys,
    /// A peer sent a HAVE with the ranges that it holds.
    Have(Username, ConversationId, Vec<StreamSpans>),
    /// A peer sent a WANT for these ranges.
    Want(Username, ConversationId, Vec<StreamSpans>),
    /// LINES from a peer arrived and were passed to the history.
    Given(Username, ConversationId),
    /// Messages that a peer sent are stored.
    Stored(Username, ConversationId),
    /// A conversation has new messages, and every peer needs a HAVE.
    Grown(ConversationId),
}
