//! The requests of admins, and the entries of their replies.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::peer::rfc3339_seconds;
use crate::protocol::page::Page;

/// A request that only an admin may make. Names are plain text here: the tracker parses them and can report the error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AdminRequest {
    /// List the sessions by user name.
    Sessions(Page),
    /// End the session of a user.
    Kick {
        /// The name of the user.
        user: String,
    },
    /// Ban a user or an address.
    Ban(NewBan),
    /// Lift a ban.
    Unban(BanTarget),
    /// List the bans.
    Bans(Page),
    /// Send a text to all users who are signed in.
    Announce {
        /// The text: one line.
        text: String,
    },
    /// Delete a room of any user.
    AdminDeleteRoom {
        /// The name of the room.
        room: String,
    },
    /// Delete the account of a user.
    RemoveUser {
        /// The name of the user.
        user: String,
    },
}

/// The subject of a ban. Exactly one field is present.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanTarget {
    /// The name of the banned user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The banned address, or the banned network in CIDR notation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// The content of BAN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBan {
    /// The user or the address that is banned.
    #[serde(flatten)]
    pub target: BanTarget,
    /// The time in seconds until the ban ends. It is absent for a ban without an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// A session in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedSession {
    /// The time of the sign-in.
    #[serde(serialize_with = "rfc3339_seconds")]
    pub since: Option<DateTime<Utc>>,
    /// The address from which the session comes.
    pub address: IpAddr,
    /// Whether the session is encrypted.
    pub encrypted: bool,
    /// The number of bytes in the requests.
    pub bytes_in: u64,
    /// The number of bytes in the replies and pushes.
    pub bytes_out: u64,
    /// The number of requests.
    pub requests: u64,
}

/// A ban in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedBan {
    /// The user or the address that is banned.
    #[serde(flatten)]
    pub target: BanTarget,
    /// The time of the ban.
    #[serde(serialize_with = "rfc3339_seconds")]
    pub since: Option<DateTime<Utc>>,
    /// The time at which the ban ends; `null` for a ban without an end.
    #[serde(serialize_with = "rfc3339_seconds")]
    pub until: Option<DateTime<Utc>>,
    /// The admin who banned; `null` for the operator.
    pub by: Option<String>,
}

/// A text of an admin for all users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The admin; `null` for the operator.
    pub from: Option<String>,
    /// The text: one line.
    pub text: String,
}
