//! The last entry of each room's log that the user was told of.

use std::collections::BTreeMap;

use commons::room_log::log::RoomLog;
use uuid::Uuid;

/// The epochs of the last published entries.
#[derive(Debug, Default)]
pub(crate) struct PublishedEntries {
    epochs: BTreeMap<Uuid, u64>,
}

impl PublishedEntries {
    /// Returns the epoch of the last published entry of a room, and sets it to the last entry.
    pub(crate) fn advance(&mut self, log: &RoomLog) -> Option<u64> {
        self.epochs.insert(log.state().id(), log.head().epoch)
    }

    /// Forgets all rooms but these.
    pub(crate) fn retain(&mut self, rooms: &[Uuid]) {
        self.epochs.retain(|room, _| rooms.contains(room));
    }
}
