//! The rooms and their members, as events have reported them. Pure.
//!
//! A frontend shows members from this state.

use std::collections::BTreeMap;

use commons::names::RoomName;
use commons::snapshot::{Member, RoomSnapshot};

/// The rooms of which this user is a member.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    rooms: BTreeMap<RoomName, RoomSnapshot>,
}

impl Rooms {
    /// Sets the state of a room that was entered or has changed.
    pub(crate) fn set(&mut self, room: RoomSnapshot) {
        self.rooms.insert(room.name.clone(), room);
    }

    pub(crate) fn forget(&mut self, name: &RoomName) {
        self.rooms.remove(name);
    }

    /// Returns the name of the first room in alphabetical order.
    pub(crate) fn first(&self) -> Option<&RoomName> {
        self.rooms.keys().next()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    pub(crate) fn find(&self, name: &RoomName) -> Option<&RoomSnapshot> {
        self.rooms.get(name)
    }

    pub(crate) fn members(&self, name: &RoomName) -> &[Member] {
        self.rooms.get(name).map(|room| room.members.as_slice()).unwrap_or_default()
    }
}
