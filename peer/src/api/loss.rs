//! The loss that a command causes for good: a frontend shows it before it asks a person for a yes.

use commons::names::{RoomName, Username};
use serde::{Deserialize, Serialize};

use crate::api::Conversation;

/// What nobody can bring back once a command was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// A room, also for its other members.
    Room {
        /// Its name.
        room: RoomName,
        /// The members besides oneself.
        others: Vec<Username>,
    },
    /// The messages of a conversation on this computer.
    History(Conversation),
    /// The account, its rooms, and what there is of it on this computer.
    Account(Username),
}
