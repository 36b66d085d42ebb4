//! The irreversible loss that a command causes.
//!
//! A frontend for people shows it and asks for confirmation first.

use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::RoomsFate;
use serde::{Deserialize, Serialize};

use crate::api::conversation::Conversation;

/// The data that a command destroys irreversibly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// A room, which its other members lose too.
    Room {
        /// The name of the room.
        room: RoomName,
        /// The members besides this user.
        others: Vec<Username>,
    },
    /// A room of another user, which an admin deletes.
    RoomOfOthers(RoomName),
    /// The account of another user, which an admin deletes.
    AccountOfOther(Username),
    /// The user's place in a room, and the messages that still wait for its members.
    Membership {
        /// The name of the room.
        room: RoomName,
        /// True if the user owns the room, and so keeps the place.
        is_owner: bool,
    },
    /// The messages of a conversation on this device.
    History(Conversation),
    /// The account, and all its data on this device.
    Account {
        /// The owner of the account.
        user: Username,
        /// The rooms that the user owns, sorted by name.
        owned: Vec<RoomName>,
        /// The fate of these rooms.
        fate: RoomsFate,
    },
}
