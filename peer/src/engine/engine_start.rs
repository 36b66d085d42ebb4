//! The data with which the engine starts after a sign-in.

use std::collections::BTreeSet;

use commons::keys::PublicKey;
use commons::names::Username;
use commons::snapshot::RoomSnapshot;

use crate::api::tracker_loss::TrackerLoss;
#[cfg(test)]
use crate::engine::omission::Omission;
use crate::identity::known_keys::KnownKeys;

/// The user, the keys and the rooms with which the engine starts.
pub(crate) struct EngineStart {
    pub(crate) me: Username,
    /// The key of this device.
    pub(crate) own_key: PublicKey,
    pub(crate) keys: KnownKeys,
    pub(crate) blocked: BTreeSet<Username>,
    /// The users whose private chats were accepted by a command.
    pub(crate) accepted: BTreeSet<Username>,
    /// The rooms of the tracker's reply, or the reason why there is none.
    pub(crate) login: Result<Vec<RoomSnapshot>, Option<TrackerLoss>>,
    /// Whether the tracker is on this computer, where original programs may be.
    pub(crate) is_tracker_local: bool,
    /// The rule that a control of the simulation leaves out.
    #[cfg(test)]
    pub(crate) omission: Option<Omission>,
}
