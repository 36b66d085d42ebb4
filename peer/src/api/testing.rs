//! Events for the tests of their readers.

use chrono::DateTime;
use commons::names::{RoomName, Username};
use uuid::Uuid;

use crate::api::Event;

/// Returns a message that was received in a room, or in private.
pub(crate) fn received(id: u128, from: &str, room: Option<&str>) -> Event {
    Event::Message {
        id: Uuid::from_u128(id),
        room: room.map(|room| RoomName::parse(room).unwrap()),
        from: Username::parse(from).unwrap(),
        to: None,
        content: "hi".into(),
        sent_at: DateTime::UNIX_EPOCH,
        late: false,
        missing: 0,
        filtered: false,
        request: false,
        muted: false,
    }
}
