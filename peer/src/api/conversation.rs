//! A conversation: a room, or a private chat with one user.

use std::fmt;

use commons::names::{RoomName, Username};
use serde::{Deserialize, Serialize};

/// The destination of a message: a room, or one other user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conversation {
    /// A room of which this user is a member.
    Room(RoomName),
    /// A private chat with another user.
    #[serde(rename = "to")]
    Private(Username),
}

/// Shows the conversation as a person types it: `sala`, `@bob`.
impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(room) => write!(f, "{room}"),
            Self::Private(user) => write!(f, "@{user}"),
        }
    }
}
