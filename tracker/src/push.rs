//! A change of a room, encoded once for each kind of program that is told of it.

use bytes::Bytes;
use commons::net::frame::encode;
use commons::protocol::with_tracker::{RoomUpdate, Status};
use commons::snapshot::RoomSnapshot;

use crate::handlers::outcome::Notice;
use crate::legacy_texts;

/// A ROOM_UPDATE.
pub(crate) struct Push {
    line: Bytes,
    legacy: Bytes,
}

impl Push {
    /// The push of a notice, with the room as it is now; `None` where it cannot be written as JSON.
    pub(crate) fn of(notice: &Notice, room: Option<RoomSnapshot>) -> Option<Self> {
        let mut update = RoomUpdate {
            msg: notice.msg(),
            change: notice.change.clone(),
            name: room.is_none().then(|| notice.room.clone()),
            room_id: notice.room_id,
            room,
        };
        let line = encode(&Status::RoomUpdate(update.clone())).ok()?;
        update.msg = legacy_texts::update(notice);
        update.room.iter_mut().for_each(RoomSnapshot::name_owner);
        Some(Self { line, legacy: encode(&Status::RoomUpdate(update)).ok()? })
    }

    /// What a session is told.
    pub(crate) fn line(&self, legacy: bool) -> Bytes {
        if legacy { self.legacy.clone() } else { self.line.clone() }
    }
}
