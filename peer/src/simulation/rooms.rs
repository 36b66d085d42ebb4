//! The simulated tracker, with one room and the history of its members.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::peer::Peer;
use commons::protocol::listed_peer::FoundPeer;
use commons::protocol::with_tracker::RoomUpdate;
use commons::room::Room;
use commons::snapshot::{ChangeKind, RoomChange, RoomSnapshot};
use uuid::Uuid;

use crate::history::testing::device;

/// The room and its members at every revision.
pub(crate) struct Rooms {
    room: Room,
    /// The members by revision, each with the revision of joining.
    states: BTreeMap<u64, BTreeMap<Username, u64>>,
    /// The users who are not connected to the tracker.
    absent: BTreeSet<Username>,
    /// The user of a legacy client, and whether it shows its menu in place of the room.
    pub(crate) legacy: Option<(Username, bool)>,
    /// The users of whom the tracker announces another key beside their own.
    changed: BTreeSet<Username>,
}

impl Rooms {
    pub(crate) fn new(owner: &Username) -> Self {
        let name = RoomName::parse("sala").unwrap();
        let mut room = Room::create(name, owner.clone(), DateTime::UNIX_EPOCH);
        room.id = Uuid::from_u128(0x5a1a);
        let mut rooms = Self {
            room,
            states: BTreeMap::new(),
            absent: BTreeSet::new(),
            legacy: None,
            changed: BTreeSet::new(),
        };
        rooms.note();
        rooms
    }

    fn note(&mut self) {
        let members = self.room.memberships().map(|member| (member.username.clone(), member.since)).collect();
        self.states.insert(self.room.revision, members);
    }

    pub(crate) fn id(&self) -> Uuid {
        self.room.id
    }

    pub(crate) fn name(&self) -> RoomName {
        self.room.name.clone()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.room.revision
    }

    /// Returns the current members, each with the revision of joining.
    pub(crate) fn members(&self) -> &BTreeMap<Username, u64> {
        &self.states[&self.room.revision]
    }

    /// Returns the revision at which a user had joined, as of the given revision.
    pub(crate) fn revision_of_joining(&self, revision: u64, user: &Username) -> Option<u64> {
        self.states.get(&revision)?.get(user).copied()
    }

    /// Returns whether a user was ever a member.
    pub(crate) fn was_ever_member(&self, user: &Username) -> bool {
        self.states.values().any(|members| members.contains_key(user))
    }

    /// Announces another key of a user from now on. Returns false if it did so before.
    pub(crate) fn announce_another_key(&mut self, user: &Username) -> bool {
        self.changed.insert(user.clone())
    }

    /// Returns the keys of a user that the tracker announces.
    fn keys(&self, user: &Username) -> Vec<PublicKey> {
        let another = self.changed.contains(user).then(|| device(&format!("{user}.2")));
        std::iter::once(device(user.as_str())).chain(another).collect()
    }

    fn peer(&self, user: &Username) -> Peer {
        let address = Some([127, 0, 0, 1].into());
        let is_legacy = self.legacy.as_ref().is_some_and(|(legacy, _)| legacy == user);
        let keys = if is_legacy { Vec::new() } else { self.keys(user) };
        let connected = !self.absent.contains(user);
        Peer { address, port: Some(1), connected, keys, ..Peer::never_seen(user.clone()) }
    }

    /// Returns the tracker's record of a user.
    pub(crate) fn record(&self, user: &Username) -> FoundPeer {
        FoundPeer { peer: self.peer(user), room: None }
    }

    pub(crate) fn snapshot(&self) -> RoomSnapshot {
        let mut snapshot = self.room.snapshot(|user| self.peer(user));
        for member in &mut snapshot.members {
            member.in_menu = self.legacy == Some((member.username.clone(), true));
        }
        snapshot
    }

    /// Lets a user join, or leave if already a member. Returns the update for the others, or `None` if the room is
    /// full.
    pub(crate) fn join_or_leave(&mut self, user: &Username) -> Option<RoomUpdate> {
        let kind = if self.room.leave(user).is_ok() {
            ChangeKind::Left
        } else {
            self.room.join(user, DateTime::UNIX_EPOCH).ok()?;
            ChangeKind::Joined
        };
        Some(self.changed(kind, user))
    }

    /// Notes that a member connected or disconnected, and returns the update for the others.
    pub(crate) fn presence(&mut self, kind: ChangeKind, user: &Username) -> Option<RoomUpdate> {
        if kind == ChangeKind::Offline {
            self.absent.insert(user.clone());
        } else {
            self.absent.remove(user);
        }
        self.room.is_member(user).then(|| {
            self.room.note_presence(kind, user);
            self.changed(kind, user)
        })
    }

    /// Deletes the room. Returns the update for its members.
    pub(crate) fn delete(&mut self) -> RoomUpdate {
        let members: Vec<_> = self.room.memberships().map(|member| member.username.clone()).collect();
        for member in members {
            // Each of them is a member.
            let _ = self.room.leave(&member);
        }
        self.note();
        let change = RoomChange { kind: ChangeKind::Deleted, username: self.room.owner.clone() };
        let (name, room_id) = (Some(self.name()), Some(self.id()));
        RoomUpdate { msg: String::new(), change, room: None, name, room_id }
    }

    fn changed(&mut self, kind: ChangeKind, user: &Username) -> RoomUpdate {
        self.note();
        let change = RoomChange { kind, username: user.clone() };
        RoomUpdate { msg: String::new(), change, room: Some(self.snapshot()), name: None, room_id: None }
    }
}
