//! The identity of a conversation. A message belongs to one conversation: a room or a private chat.

use commons::names::{RoomName, Username};
use uuid::Uuid;

/// A conversation: a room or the private chat with one user. A room is identified by its id because another room
/// may take its name later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConversationId {
    /// A room with this id. A room that is created again gets a new id.
    Room(Uuid),
    /// The private conversation with this user.
    Private(Username),
}

impl ConversationId {
    /// Returns the room id, or `None` for a private conversation.
    #[must_use]
    pub fn room(&self) -> Option<Uuid> {
        match self {
            Self::Room(id) => Some(*id),
            Self::Private(_) => None,
        }
    }
}

/// A conversation and the last known name of its room.
pub type NamedConversation = (ConversationId, Option<RoomName>);
