//! The changes of a room that its members can make.

use commons::keys::PublicKey;
use commons::names::Username;
use commons::room_log::facts::Policy;

/// A change that a user wants to make to the log of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RoomIntent {
    Join,
    Leave,
    Delete,
    /// Give the room to the member who is there longest, or delete it if there is no other.
    HandOn,
    /// Let another device of this user sign too.
    AddDevice(PublicKey),
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
