//! Which conversation a line belongs to.

use commons::names::{RoomName, Username};
use uuid::Uuid;

/// A room by its identity, since another room may take its name later; or the private conversation with somebody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConversationId {
    /// A room, in this life of it.
    Room(Uuid),
    /// The private conversation with this user.
    Private(Username),
}

impl ConversationId {
    /// The room, where it is one.
    #[must_use]
    pub fn room(&self) -> Option<Uuid> {
        match self {
            Self::Room(id) => Some(*id),
            Self::Private(_) => None,
        }
    }
}

/// A conversation and what a room is called.
pub type NamedConversation = (ConversationId, Option<RoomName>);
