//! A change of a room as its members have signed it, for frontends.

use commons::names::{RoomName, Username};
use commons::room_log::facts::Policy;
use serde::{Deserialize, Serialize};

use crate::untrusted::UntrustedText;

/// An entry of a room's log that somebody else made. Entries that were made while this user was away come after the
/// sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomEntry {
    /// The name of the room.
    pub room: RoomName,
    /// The number of the entry.
    pub epoch: u64,
    /// The author. The tracker makes the entry by which a membership expires, under the name of the member.
    pub username: Username,
    /// The change, in a field of that name, with its values.
    #[serde(flatten)]
    pub change: RoomEntryChange,
}

/// The kinds of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum RoomEntryChange {
    /// The author joined.
    Joined {
        /// The user by whose invitation the author joined.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invited_by: Option<Username>,
        /// The relation of this user to the author's key.
        key: KeyAcquaintance,
    },
    /// The author left.
    Left,
    /// The author was away for too long.
    Expired,
    /// The owner removed a member.
    Removed {
        /// The former member.
        user: Username,
    },
    /// The owner banned a user.
    Banned {
        /// The banned user.
        user: Username,
    },
    /// The owner lifted a ban.
    Unbanned {
        /// The user who may join again.
        user: Username,
    },
    /// The owner invited a user.
    Invited {
        /// The invited user.
        user: Username,
    },
    /// The owner took an invitation back.
    Uninvited {
        /// The user who was invited.
        user: Username,
    },
    /// The owner changed the rule for joining.
    Policy {
        /// The new rule.
        policy: Policy,
    },
    /// The owner set the topic.
    Topic {
        /// The topic; empty if there is none any more.
        text: UntrustedText,
    },
    /// The room has another owner.
    Owner {
        /// The new owner.
        user: Username,
    },
    /// The owner named the member who may take the room over, or nobody.
    Successor {
        /// The member who may take the room over.
        user: Option<Username>,
    },
    /// The author signs with another device too.
    Device,
    /// The author revoked a key.
    Revoked,
    /// The owner deleted the room.
    Deleted,
}

/// The relation of this user to the key of somebody who joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyAcquaintance {
    /// The safety number was compared.
    Verified,
    /// The key was met before.
    Met,
    /// Another key of this name was met before.
    Changed,
    /// Nobody of this name was met before.
    NeverMet,
}
