//! The commands that the engine carries out: those about conversations and about the keys of others.

use commons::names::Username;
use uuid::Uuid;

use crate::api::conversation::Conversation;

/// A command for the engine, with the conversation and the id that the frontend left open.
#[derive(Debug)]
pub(crate) enum EngineCommand {
    Say {
        to: Conversation,
        text: String,
        id: Uuid,
    },
    Open(Conversation),
    EndPrivate(Username),
    /// Lists the members of a conversation.
    Users(Conversation),
    /// Lists the blocked users.
    Blocked,
    Block(Username),
    Unblock(Username),
    /// Accepts the keys that the tracker announces for a user.
    Accept(Username),
    /// Shows the safety number.
    Verify(Username),
    /// Records that the safety number was compared.
    Verified(Username),
}
