//! Commands of admins, their answers, and the events that they cause.
//!
//! They are a part of [`Command`](crate::api::Command), with the same flat JSON names.

use commons::names::{RoomName, Username};
use commons::protocol::administration::{BanTarget, ListedBan, ListedSession, NewBan};
use commons::snapshot::RoomSnapshot;
use serde::{Deserialize, Serialize};

use crate::untrusted::UntrustedText;

/// A command of an admin of the tracker. The tracker refuses it to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum AdminCommand {
    /// List the sessions of the tracker.
    Sessions,
    /// End the session of a user.
    AdminKick {
        /// The user whose session ends.
        user: Username,
    },
    /// Ban a user or an address.
    AdminBan(NewBan),
    /// Lift a ban.
    AdminUnban(BanTarget),
    /// List the bans.
    AdminBans,
    /// Send a text to all users who are signed in.
    AdminAnnounce {
        /// The text: one line.
        text: String,
    },
    /// Delete a room of any user.
    AdminDeleteRoom {
        /// The name of the room.
        room: RoomName,
    },
    /// Delete the account of a user.
    AdminRemove {
        /// The user whose account is deleted.
        user: Username,
    },
}

/// A session of the tracker with its user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSession {
    /// The name of the user.
    pub username: String,
    /// The data of the session.
    #[serde(flatten)]
    pub session: ListedSession,
}

/// The answer to a command of an admin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AdminAnswer {
    /// The sessions of the tracker, for an admin.
    Sessions {
        /// The sessions, sorted by name.
        sessions: Vec<UserSession>,
    },
    /// The bans of the tracker, for an admin.
    Bans {
        /// The bans, sorted by subject.
        bans: Vec<ListedBan>,
    },
}

/// An event that an admin, the operator, or the end of an account causes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AdminEvent {
    /// A text of an admin for everybody who is signed in, or the message of the day after the sign-in.
    Announcement {
        /// The admin; `None` for the operator of the tracker.
        from: Option<Username>,
        /// The text, which is one line.
        text: UntrustedText,
    },
    /// A room has another owner, because the account of its owner was deleted.
    RoomOwner {
        /// The name of the room.
        room: RoomName,
        /// The new owner.
        owner: Username,
        /// The state of the room after the change.
        room_state: Box<RoomSnapshot>,
    },
}

/// Shows no field: announcements stay out of logs.
impl std::fmt::Debug for AdminEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminEvent(..)")
    }
}
