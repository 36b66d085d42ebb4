//! A sign-in that the tracker granted, until the engine starts: opening this device's data takes a while.

use commons::protocol::with_tracker::{Reply, RoomUpdate, TrackerRequest};
use commons::snapshot::RoomSnapshot;

use crate::api::tracker_loss::TrackerLoss;

/// The reports of the tracker before the engine starts.
#[derive(Debug, Default)]
pub(crate) struct PendingSignIn {
    /// The rooms that the tracker named in its reply to the sign-in, in their newest state; `None` before a reply.
    rooms: Option<Vec<RoomSnapshot>>,
    /// The reason why the session was lost after that reply, if it was.
    lost: Option<TrackerLoss>,
}

impl PendingSignIn {
    /// Returns whether the tracker has granted a sign-in.
    pub(crate) fn is_granted(&self) -> bool {
        self.rooms.is_some()
    }

    /// Applies a request that the tracker granted.
    pub(crate) fn granted(&mut self, request: &TrackerRequest, reply: &Reply) {
        match request {
            TrackerRequest::Register(_) | TrackerRequest::Login(_) => {
                self.lost = None;
                self.rooms = Some(reply.rooms.iter().flatten().map(|(_, room)| room.clone()).collect());
            }
            TrackerRequest::Logout => self.rooms = None,
            _ => {}
        }
    }

    /// Applies a change of a room that came after the reply.
    pub(crate) fn updated(&mut self, update: RoomUpdate) {
        let Some(rooms) = &mut self.rooms else { return };
        match update.room {
            Some(room) => {
                let known =
                    rooms.iter_mut().find(|known| known.id == room.id && known.revision < room.revision);
                if let Some(known) = known {
                    *known = room;
                }
            }
            None => rooms.retain(|room| Some(room.id) != update.room_id),
        }
    }

    /// Notes that the session was lost.
    pub(crate) fn tracker_lost(&mut self, reason: TrackerLoss) {
        self.lost = Some(reason);
    }

    /// Returns the reason why the session was lost after the reply, if it was.
    pub(crate) fn lost(self) -> Option<TrackerLoss> {
        self.lost
    }

    /// Takes the rooms of a sign-in that the tracker granted.
    pub(crate) fn take_rooms(&mut self) -> Option<Vec<RoomSnapshot>> {
        self.rooms.take()
    }
}
