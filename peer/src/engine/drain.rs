//! The wait before a room is left and before the program ends, until no own message is on its way.

use tokio::time::Instant;

use crate::engine::input::Ticket;
use crate::history::conversation::ConversationId;

/// A wait of `/leave` for the messages of one room, or of `/quit` for all.
pub(in crate::engine) struct Drain {
    pub(in crate::engine) ticket: Ticket,
    /// The conversation of the messages; `None` for all conversations.
    pub(in crate::engine) conversation: Option<ConversationId>,
    /// Whether the history is counting the messages that wait for each recipient.
    pub(in crate::engine) is_counting: bool,
    /// The end of the wait at the latest.
    pub(in crate::engine) until: Instant,
}
