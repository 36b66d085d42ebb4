//! The state of a peer as a frontend shows it.
//!
//! A frontend reads it for its prompt, its status line and its completion.

use std::collections::BTreeMap;

use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use serde::{Deserialize, Serialize};

use crate::api::{Conversation, TrackerState, Trust};

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
