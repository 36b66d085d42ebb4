//! The state of a peer as a frontend shows it.
//!
//! A frontend reads it for its prompt, its status line and its completion.

use std::collections::BTreeMap;

use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::protocol::listed_peer::ListedPeer;
use commons::snapshot::Member;
use serde::{Deserialize, Serialize};

use crate::api::conversation::Conversation;
use crate::untrusted::UntrustedText;

/// The state of a peer: a prompt or a status line shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The signed-in user; `None` before the sign-in.
    pub username: Option<Username>,
    /// The open conversation, to which messages go.
    pub open: Option<Conversation>,
    /// Every conversation, with the number of messages received since it was last open.
    pub conversations: Vec<(Conversation, usize)>,
    /// The state of the session with the tracker.
    pub tracker: TrackerState,
    /// The tracker's address, as the user gave it.
    pub tracker_address: String,
    /// The tracker's key; `None` before it was met.
    pub tracker_key: Option<PublicKey>,
    /// The address on which this peer accepts links.
    pub listening: String,
    /// The trust in the keys of the other members of the open conversation.
    pub trust: BTreeMap<Username, Trust>,
    /// The users that were met or listed in this run, for completion.
    pub known_users: Vec<Username>,
    /// The rooms that were entered or listed in this run, for completion.
    pub known_rooms: Vec<RoomName>,
}

/// The degree of certainty that a name belongs to the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// The safety number was compared, or the member is this user.
    Verified,
    /// The key is the one that was met first; nobody compared the safety number.
    Unverified,
    /// The user presented another key: no message is sent until it is accepted.
    Changed,
    /// There is no key: a legacy client uses plaintext, which others on the network can read.
    Unencrypted,
}

/// The state of the session with the tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackerState {
    /// The session is open.
    Connected,
    /// There is no session; the peer tries to connect again.
    Lost,
}

/// A member of a conversation, and the trust in that member's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// The member, and whether that user is connected.
    #[serde(flatten)]
    pub member: Member,
    /// The trust in the member's key.
    pub trust: Trust,
    /// The text of a member who is away, which may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<UntrustedText>,
}

/// A connected user, as the tracker lists them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineUser {
    /// The user, in the tracker's words.
    #[serde(flatten)]
    pub peer: ListedPeer,
    /// The text of a user who is away, which may be empty. It is known of linked users only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<UntrustedText>,
}

/// The state of a link to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// The link is open.
    Up,
    /// The link is closed.
    Down,
}
