//! The names of users and rooms that this run has seen.
//!
//! The terminal completes them.

use std::collections::BTreeSet;

use commons::names::{RoomName, Username};
use commons::protocol::listed_peer::ListedPeer;
use commons::snapshot::RoomSnapshot;

use crate::limits::KNOWN_NAMES;

/// Known users and rooms, at most `KNOWN_NAMES` of each.
#[derive(Default)]
pub(crate) struct KnownNames {
    users: BTreeSet<Username>,
    rooms: BTreeSet<RoomName>,
}

impl KnownNames {
    /// Notes the name of a user.
    pub(crate) fn note_user(&mut self, user: &Username) {
        note(&mut self.users, user);
    }

    /// Notes the users of the tracker's list whose names are valid.
    pub(crate) fn note_peers<'a>(&mut self, peers: impl IntoIterator<Item = &'a ListedPeer>) {
        let names = peers.into_iter().filter_map(|peer| Username::parse(&peer.username).ok());
        names.for_each(|user| self.note_user(&user));
    }

    /// Notes rooms and their members.
    pub(crate) fn note_rooms<'a>(&mut self, rooms: impl IntoIterator<Item = &'a RoomSnapshot>) {
        for room in rooms {
            note(&mut self.rooms, &room.name);
            room.members.iter().for_each(|member| self.note_user(&member.username));
        }
    }

    /// Returns the known users, in alphabetical order.
    pub(crate) fn users(&self) -> Vec<Username> {
        self.users.iter().cloned().collect()
    }

    /// Returns the known rooms, in alphabetical order.
    pub(crate) fn rooms(&self) -> Vec<RoomName> {
        self.rooms.iter().cloned().collect()
    }
}

fn note<T: Ord + Clone>(known: &mut BTreeSet<T>, name: &T) {
    if known.len() < KNOWN_NAMES && !known.contains(name) {
        known.insert(name.clone());
    }
}
