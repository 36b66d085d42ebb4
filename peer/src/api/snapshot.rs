//! The snapshot: the complete state of a peer at the moment in which a frontend subscribes.
//!
//! All later changes follow as events, without a gap. So a frontend that starts late, as a page in a browser does, draws
//! its screen from the snapshot and keeps it current with the events. It reads messages with the command `history`.

use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::snapshot::RoomSnapshot;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::conversation::Conversation;
use crate::api::status::{TrackerState, Trust};
use crate::api::tracker_loss::TrackerLoss;
use crate::untrusted::UntrustedText;

/// The state of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The signed-in user; `None` before the sign-in.
    pub username: Option<Username>,
    /// The key of this device; `None` before the sign-in.
    pub key: Option<PublicKey>,
    /// The users that have an account on this device at this tracker; only before the sign-in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Username>,
    /// The name that was given at the start of the program; only before the sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<Username>,
    /// The state of the session with the tracker.
    pub tracker: TrackerState,
    /// The reason why there is no session, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracker_reason: Option<TrackerLoss>,
    /// The tracker's address, as the user gave it.
    pub tracker_address: String,
    /// The tracker's key; `None` before it was met.
    pub tracker_key: Option<PublicKey>,
    /// The address on which this peer accepts links.
    pub listening: String,
    /// The rooms in which the user is, by name, each with its complete state.
    pub rooms: Vec<RoomSnapshot>,
    /// The other users of the private chats, by name.
    pub private_chats: Vec<Username>,
    /// The rooms that the tracker lists and that were not entered on this device, as in `room_available`.
    pub available_rooms: Vec<RoomName>,
    /// The other members of all conversations and everybody who is linked, by name.
    pub users: Vec<UserState>,
    /// The users whose private messages are blocked, by name.
    pub blocked: Vec<Username>,
    /// The users who are muted in rooms, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub muted: Vec<Username>,
    /// The users who ask for a private chat, by name: see [`Event::ChatRequest`](crate::api::Event::ChatRequest).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Username>,
    /// The conversations with messages that no frontend has read, also from earlier runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadSummary>,
    /// The conversation that a frontend opened last, in an earlier run too. It is for the terminal.
    #[serde(skip)]
    pub last_open: Option<Conversation>,
    /// The user's own away text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<UntrustedText>,
    /// True if a command that reads the history needs the password first.
    pub history_locked: bool,
}

/// The unread messages of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadSummary {
    /// The conversation that holds them.
    #[serde(flatten)]
    pub conversation: Conversation,
    /// Their number, at most 500.
    pub messages: usize,
    /// The id of the first one.
    pub first: Uuid,
}

/// The state of another user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserState {
    /// The name of the user.
    pub username: Username,
    /// The link to the user; `None` if there is none.
    pub link: Option<LinkInfo>,
    /// The trust in the user's key.
    pub trust: Trust,
    /// The key that waits for `accept`, if the user's key has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_key: Option<PublicKey>,
    /// The text of a user who is away, which may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<UntrustedText>,
}

/// The protection of a link, as in the event `link`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkInfo {
    /// True if the link is encrypted, so that nobody on the network can read it.
    pub encrypted: bool,
    /// True if the safety number of the link's key was compared.
    pub verified: bool,
}

/// The position of a frontend in the stream of messages: the rows of the history up to which it has them. After
/// [`Event::Lagged`](crate::api::Event::Lagged) it subscribes again from there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The row at which the frontend began.
    pub since: i64,
    /// The last row of a received message.
    pub received: i64,
    /// The last row of a message that was written on this device.
    pub sent: i64,
}

impl Snapshot {
    /// Returns the snapshot before the sign-in. The addresses are those of this peer.
    #[must_use]
    pub fn signed_out(tracker_address: String, tracker_key: Option<PublicKey>, listening: String) -> Self {
        Self {
            username: None,
            key: None,
            accounts: Vec::new(),
            given_name: None,
            tracker: TrackerState::Lost,
            tracker_reason: None,
            tracker_address,
            tracker_key,
            listening,
            rooms: Vec::new(),
            private_chats: Vec::new(),
            available_rooms: Vec::new(),
            users: Vec::new(),
            blocked: Vec::new(),
            requests: Vec::new(),
            muted: Vec::new(),
            unread: Vec::new(),
            last_open: None,
            away: None,
            history_locked: true,
        }
    }
}
