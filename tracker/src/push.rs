//! The push of a room's change.
//! It is encoded once for each kind of client that gets it.

use bytes::Bytes;
use commons::net::frame::encode;
use commons::protocol::with_tracker::{RoomUpdate, Status};
use commons::snapshot::RoomSnapshot;

use crate::handlers::outcome::Notice;
use crate::legacy_texts;

/// An encoded ROOM_UPDATE, in the current and in the legacy form.
pub(crate) struct Push {
    line: Bytes,
    legacy: Bytes,
}

impl Push {
    /// Encodes the push of a notice with the current state of the room. Returns `None` if it cannot be encoded as JSON.
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

    /// The frame for a session. `legacy` selects the form for legacy clients.
    pub(crate) fn line(&self, legacy: bool) -> Bytes {
        if legacy { self.legacy.clone() } else { self.line.clone() }
    }
}
