//! Commands about a room with a log, and the answer that describes such a room.
//!
//! They are a part of [`Command`](crate::api::Command), with the same flat JSON names. All but `room` are for the owner.

use chrono::{DateTime, Utc};
use commons::names::{RoomName, Username};
use commons::room_log::facts::Policy;
use serde::{Deserialize, Serialize};

use crate::api::status::Trust;
use crate::untrusted::UntrustedText;

/// A command about a room with a log. The room is the open one if it is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum RoomCommand {
    /// Describe the room: its members, since when, and by whose invitation.
    Room {
        /// The name of the room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomName>,
    },
    /// Invite a user, under the keys that this device has met.
    Invite {
        /// The name of the room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomName>,
        /// The invited user.
        user: Username,
    },
    /// Take an invitation back.
    Uninvite {
        /// The name of the room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomName>,
        /// The invited user.
        user: Username,
    },
    /// Remove a member. The member may come back to an open room.
    Kick {
        /// The name of the room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomName>,
        /// The member who is concerned.
        user: Username,
    },
    /// Remove a user, who cannot come back.
    Ban {
        /// The name of the room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomName>,
        /// The user who is concerned.
        user: Username,
    },
    /// Lift a ban.
    Unban {
        /// The name of the room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomName>,
        /// The user who is concerned.
        user: Username,
    },
    /// Make a member the owner.
    Give {
        /// The name of the room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomName>,
        /// The member who is concerned.
        user: Username,
    },
    /// Name the member who may become the owner after 30 days without an entry by the owner, or nobody.
    Successor {
        /// The name of the room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomName>,
        /// The member; nobody if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<Username>,
    },
    /// Set the topic, which may be empty.
    Topic {
        /// The name of the room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomName>,
        /// The topic: one line.
        text: String,
    },
    /// Set the rule by which users join.
    Policy {
        /// The name of the room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomName>,
        /// The rule from now on.
        policy: Policy,
    },
}

/// A room as its log shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomReport {
    /// The name of the room.
    pub room: RoomName,
    /// The user who decides about the room.
    pub owner: Username,
    /// The rule by which users join.
    pub policy: Policy,
    /// The topic, which its owner wrote.
    pub topic: UntrustedText,
    /// The member who may become the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Username>,
    /// The members, the owner first, then by the time of joining.
    pub members: Vec<ReportedMember>,
    /// The invited users who have not joined.
    pub invited: Vec<Username>,
    /// The banned users.
    pub banned: Vec<Username>,
    /// The number of the last entry of the log.
    pub epoch: u64,
    /// The digest of the last entry, in hex digits. Two members who see the same one see the same room.
    pub head: String,
}

/// A member of a room with a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedMember {
    /// The name of the member.
    pub username: Username,
    /// The time of joining, by the member's own clock; `None` for a legacy client, which signs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// The user by whose invitation the member joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited_by: Option<Username>,
    /// The trust in the member's key.
    pub trust: Trust,
    /// True if this device has met the member's key on a link.
    pub met: bool,
}

impl RoomCommand {
    /// The room that the command names; `None` for the open one.
    pub fn room_mut(&mut self) -> &mut Option<RoomName> {
        match self {
            Self::Room { room }
            | Self::Invite { room, .. }
            | Self::Uninvite { room, .. }
            | Self::Kick { room, .. }
            | Self::Ban { room, .. }
            | Self::Unban { room, .. }
            | Self::Give { room, .. }
            | Self::Successor { room, .. }
            | Self::Topic { room, .. }
            | Self::Policy { room, .. } => room,
        }
    }
}
