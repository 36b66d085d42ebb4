//! Reasons why a command found no conversation to work on.
//!
//! They share one error code and differ in the text for people.

use commons::names::{RoomName, Username};

use crate::api::conversation::Conversation;

/// The reason why there is no conversation; the code is NO_CONVERSATION for all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MissingConversation {
    /// The command named no conversation, and none is open.
    #[error("No conversation is open. /join a room, or open a chat with /msg USER.")]
    NoneOpen,
    /// This user is not a member of the room.
    #[error("You are not in {0}. /join {0} enters it, /rooms lists those there are.")]
    NotEntered(RoomName),
    /// There is no private chat with this user.
    #[error("No private chat with {0} is open. /msg {0} opens one.")]
    NoChat(Username),
    /// Nothing of the conversation is stored on this device.
    #[error("Nothing is kept here of {0}. /conversations lists what there is.")]
    NotStored(Conversation),
    /// The command needs a room, and a private chat is open.
    #[error("A private chat cannot be deleted. /leave closes it, and /delete ROOM ends a room of yours.")]
    NotARoom,
}

impl From<&Conversation> for MissingConversation {
    fn from(conversation: &Conversation) -> Self {
        match conversation {
            Conversation::Room(room) => Self::NotEntered(room.clone()),
            Conversation::Private(user) => Self::NoChat(user.clone()),
        }
    }
}
