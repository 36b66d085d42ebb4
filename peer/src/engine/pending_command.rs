//! A command that waits: for the tracker's answer, for a Lamport time, or for a slow recipient.

use commons::names::Username;
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::conversation::Conversation;
use crate::engine::input::Ticket;

/// A command whose caller waits.
pub(in crate::engine) struct PendingCommand {
    pub(in crate::engine) ticket: Ticket,
    pub(in crate::engine) intent: Intent,
    /// The user about whom the tracker was asked; `None` once it has answered.
    pub(in crate::engine) looked_up: Option<Username>,
    /// The end of the wait for a Lamport time, once it has begun.
    pub(in crate::engine) clock_until: Option<Instant>,
    /// The begin of the wait for a slow recipient.
    pub(in crate::engine) slow_since: Option<Instant>,
}

/// The purpose of a pending command.
pub(in crate::engine) enum Intent {
    Open(Conversation),
    Say { to: Conversation, text: String, id: Uuid },
}

impl Intent {
    pub(in crate::engine) fn conversation(&self) -> &Conversation {
        match self {
            Self::Open(conversation) | Self::Say { to: conversation, .. } => conversation,
        }
    }
}
