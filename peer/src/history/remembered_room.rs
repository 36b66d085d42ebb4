//! A remembered room: its last snapshot and the members that this peer saw join.

use std::sync::Arc;

use commons::room_log::log::RoomLog;
use commons::snapshot::RoomSnapshot;
use uuid::Uuid;

use crate::history::membership::Membership;

/// A room that the user entered on this device and has not left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedRoom {
    /// The id of the room.
    pub id: Uuid,
    /// The last snapshot of the room, or `None` if it is not known.
    pub snapshot: Option<RoomSnapshot>,
    /// The members of the room, as this peer saw them join.
    pub membership: Membership,
    /// The log of the room, if it has one.
    pub log: Option<Arc<RoomLog>>,
}

/// A room and whether its latest state is in the database.
pub(crate) struct Unwritten {
    /// The key of the conversation in the database.
    pub(crate) key: i64,
    /// The latest state of the room.
    pub(crate) room: RememberedRoom,
    /// Whether the latest state is in the database.
    pub(crate) is_written: bool,
}

impl Unwritten {
    /// Marks the room as unwritten after its transaction was rolled back.
    pub(crate) fn write_again(&mut self) {
        self.is_written = false;
    }
}

/// Creates the record of a room that this peer sees for the first time.
impl From<RoomSnapshot> for RememberedRoom {
    fn from(snapshot: RoomSnapshot) -> Self {
        let mut membership = Membership::default();
        membership.note(&snapshot);
        Self { id: snapshot.id, snapshot: Some(snapshot), membership, log: None }
    }
}

impl RememberedRoom {
    /// Returns whether only presence and the revision differ from an earlier state.
    pub(crate) fn changes_only_presence(&self, before: &Self) -> bool {
        let lasting = |room: &Self| {
            let mut snapshot = room.snapshot.clone()?;
            snapshot.revision = 0;
            snapshot.members.iter_mut().for_each(|member| member.connected = false);
            (snapshot.peer_owner, snapshot.peer_one, snapshot.peer_two) = (None, None, None);
            Some(snapshot)
        };
        self.membership.has_same_members(&before.membership) && lasting(self) == lasting(before)
    }
}
