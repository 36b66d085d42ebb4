//! The rooms and their members, as events have reported them. Pure.
//!
//! A frontend shows members from this state.

use std::collections::BTreeMap;

use commons::names::{RoomName, Username};
use commons::snapshot::{ChangeKind, Member, RoomSnapshot};

/// The rooms of which this user is a member.
#[derive(Default)]
pub(crate) struct Rooms {
    rooms: BTreeMap<RoomName, RoomSnapshot>,
}

impl Rooms {
    pub(crate) fn enter(&mut self, room: RoomSnapshot) {
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

    /// Handles a change of a room; `members` are the members after it.
    pub(crate) fn note(&mut self, name: &RoomName, change: ChangeKind, who: &Username, members: &[Username]) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let before = std::mem::take(&mut room.members);
        let online = matches!(change, ChangeKind::Joined | ChangeKind::Online);
        let seat = |username: &Username| {
            let old = before.iter().find(|member| member.username == *username);
            let mut member = old.cloned().unwrap_or_else(|| Member {
                username: username.clone(),
                connected: online,
                since: 0,
                keys: Vec::new(),
                endorsements: Vec::new(),
                in_menu: false,
            });
            if username == who {
                member.connected = online;
            }
            member
        };
        room.members = members.iter().map(seat).collect();
    }
}
