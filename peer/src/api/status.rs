//! How a peer stands.

use std::collections::BTreeMap;

use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use serde::{Deserialize, Serialize};

use crate::api::{Conversation, TrackerState, Trust};

/// How a peer stands: what a prompt or a status line shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Signed in as; `None` before.
    pub username: Option<Username>,
    /// The conversation that lines go to.
    pub open: Option<Conversation>,
    /// Every conversation with the number of lines heard since it was last open.
    pub conversations: Vec<(Conversation, usize)>,
    /// Whether the tracker can be asked.
    pub tracker: TrackerState,
    /// The tracker's address, as it was given.
    pub tracker_address: String,
    /// The key by which it is known; `None` before it was met.
    pub tracker_key: Option<PublicKey>,
    /// Where this peer takes links.
    pub listening: String,
    /// What the names of the others in the open conversation are worth.
    pub trust: BTreeMap<Username, Trust>,
    /// Everybody that was met or listed in this run, for completion.
    pub known_users: Vec<Username>,
    /// Every room that was entered or listed in this run, for completion.
    pub known_rooms: Vec<RoomName>,
}
