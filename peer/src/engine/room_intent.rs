//! The changes of a room that its members can make.

use commons::names::Username;
use commons::room_log::facts::Policy;

/// A change that a user wants to make to the log of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RoomIntent {
    Join,
    Leave,
    Delete,
    /// Invite a user under the keys that this device knows.
    Invite(Username),
    Uninvite(Username),
    Remove(Username),
    Ban(Username),
    Unban(Username),
    SetPolicy(Policy),
    SetTopic(String),
    Give(Username),
    SetSuccessor(Option<Username>),
}
