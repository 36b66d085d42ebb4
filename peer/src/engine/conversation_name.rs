//! The name of a conversation, as the API gives it.

use commons::names::RoomName;

use crate::api::conversation::Conversation;
use crate::history::conversation::ConversationId;

/// Returns the conversation as the API names it; `None` for a room whose name is not known.
pub(crate) fn named(conversation: &ConversationId, room: Option<RoomName>) -> Option<Conversation> {
    match conversation {
        ConversationId::Private(user) => Some(Conversation::Private(user.clone())),
        ConversationId::Room(_) => room.map(Conversation::Room),
    }
}
