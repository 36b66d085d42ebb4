//! What whoever exchanges lines with the others is told.

use commons::names::Username;
use commons::protocol::provenance::StreamSpans;

use crate::history::conversation::ConversationId;

/// What happens that may be a reason to tell, ask or give.
pub(crate) enum SyncEvent {
    /// A peer is linked anew.
    Up(Username),
    /// A peer is not linked any more.
    Down(Username),
    /// Who sits where has changed.
    Seats,
    /// More keys of one's own account are known.
    OwnKeys,
    /// A peer tells what it has.
    Have(Username, ConversationId, Vec<StreamSpans>),
    /// A peer asks for lines.
    Want(Username, ConversationId, Vec<StreamSpans>),
    /// Lines that a peer gave are on their way into the history.
    Given(Username, ConversationId),
    /// Lines that a peer gave are stored.
    Stored(Username, ConversationId),
    /// Something new is here.
    Grown(ConversationId),
}
