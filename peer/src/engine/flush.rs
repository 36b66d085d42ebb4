//! A wait for own messages that are on their way.

use tokio::time::Instant;

use crate::engine::input::Ticket;
use crate::history::conversation::ConversationId;

/// A wait whose caller wants to leave or to quit.
pub(in crate::engine) struct Flush {
    pub(in crate::engine) ticket: Ticket,
    /// The conversation of the messages; `None` for all conversations.
    pub(in crate::engine) of: Option<ConversationId>,
    /// Whether the history was asked for whom messages wait, and has not answered.
    pub(in crate::engine) is_counting: bool,
    /// The end of the wait at the latest.
    pub(in crate::engine) until: Instant,
}
