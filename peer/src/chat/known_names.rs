//! Names that were met or listed in this run, for completion.

use std::collections::BTreeSet;

use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::ListedPeer;
use commons::snapshot::RoomSnapshot;

use crate::limits::KNOWN_NAMES;

/// Users and rooms, as many of each as are worth completing.
#[derive(Default)]
pub(crate) struct KnownNames {
    users: BTreeSet<Username>,
    rooms: BTreeSet<RoomName>,
}

impl KnownNames {
    pub(crate) fn note_user(&mut self, user: &Username) {
        note(&mut self.users, user);
    }

    pub(crate) fn note_peers<'a>(&mut self, peers: impl IntoIterator<Item = &'a ListedPeer>) {
        let names = peers.into_iter().filter_map(|peer| Username::parse(&peer.username).ok());
        names.for_each(|user| self.note_user(&user));
    }

    /// Notes rooms and who sits in them.
    pub(crate) fn note_rooms<'a>(&mut self, rooms: impl IntoIterator<Item = &'a RoomSnapshot>) {
        for room in rooms {
            note(&mut self.rooms, &room.name);
            room.members.iter().for_each(|member| self.note_user(&member.username));
        }
    }

    pub(crate) fn users(&self) -> Vec<Username> {
        self.users.iter().cloned().collect()
    }

    pub(crate) fn rooms(&self) -> Vec<RoomName> {
        self.rooms.iter().cloned().collect()
    }
}

fn note<T: Ord + Clone>(known: &mut BTreeSet<T>, name: &T) {
    if known.len() < KNOWN_NAMES && !known.contains(name) {
        known.insert(name.clone());
    }
}
