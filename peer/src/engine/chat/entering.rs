//! The entry into rooms.
//!
//! A user enters a room only by a command on this device, and again at each sign-in. A reply to LOGIN opens nothing
//! by itself: the peer re-enters the rooms that it remembers, and only offers any other room to the user.

use std::collections::BTreeSet;

use commons::names::{NameError, RoomName, Username};
use commons::snapshot::{ChangeKind, RoomSnapshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::Event;
use crate::api::status::TrackerState;
use crate::api::tracker_loss::TrackerLoss;
use crate::engine::chat::Chat;
use crate::history::remembered_room::RememberedRoom;
use crate::limits::OFFERED_MAX;

impl Chat {
    /// Sets the rooms that the user entered on this device in earlier runs and has not left.
    pub(crate) fn remember(&mut self, rooms: Vec<RememberedRoom>) {
        self.remembered = rooms.into_iter().map(|room| (room.id, room)).collect();
    }

    /// Starts without the tracker in the remembered rooms. Only links will show which members are online.
    pub(crate) fn offline(&mut self, reason: Option<TrackerLoss>, now: Instant) -> Vec<Event> {
        let mut events = self.set_tracker_state(TrackerState::Lost, reason);
        let mut rooms: Vec<_> = self.remembered.values().filter_map(|room| room.snapshot.clone()).collect();
        rooms.sort_by(|a, b| a.name.cmp(&b.name));
        for mut room in rooms {
            room.members.iter_mut().for_each(|member| member.connected = member.username == self.me);
            (room.peer_owner, room.peer_one, room.peer_two) = (None, None, None);
            events.extend(self.entered(room, now));
        }
        events
    }

    /// Updates a member's presence when its link comes up or closes while the tracker is lost.
    pub(in crate::engine::chat) fn presence_by_link(&mut self, peer: &Username, up: bool) -> Vec<Event> {
        let mut events = Vec::new();
        for room in self.rooms.values_mut() {
            let members: Vec<_> = room.members.iter().map(|member| member.username.clone()).collect();
            let changed = room.members.iter_mut().find(|it| it.username == *peer && it.connected != up);
            let Some(member) = changed else { continue };
            member.connected = up;
            let change = if up { ChangeKind::Online } else { ChangeKind::Offline };
            let (name, username, room_state) = (room.name.clone(), peer.clone(), Box::new(room.clone()));
            events.push(Event::RoomUpdate { room: name, change, username, members, room_state });
        }
        events
    }

    /// Applies a sign-in, the first or a later one. `rooms` are the rooms of which the tracker says that the user
    /// is a member. After a sign-in, the first snapshot of a room replaces what was known.
    pub(in crate::engine) fn signed_in(
        &mut self,
        rooms: impl Iterator<Item = RoomSnapshot>,
        now: Instant,
    ) -> Vec<Event> {
        // Only a session that was lost, or a start without the tracker, precedes a sign-in.
        self.returned = self.tracker.is_some().then_some(now);
        let mut events = self.set_tracker_state(TrackerState::Connected, None);
        if !std::mem::replace(&mut self.logged_in, true) {
            events.push(Event::LoggedIn { username: self.me.clone() });
        }
        let (known, unknown): (Vec<_>, Vec<_>) =
            rooms.filter(|room| self.is_member(room)).partition(|room| self.is_known(room));
        let stays: BTreeSet<Uuid> = known.iter().map(|room| room.id).collect();
        for room in known {
            events.extend(self.entered(room, now));
        }
        let lost: Vec<_> = self.rooms.values().filter(|room| !stays.contains(&room.id)).collect();
        for name in lost.into_iter().map(|room| room.name.clone()).collect::<Vec<_>>() {
            let is_another = unknown.iter().any(|room| room.name == name);
            events.extend(self.room_ended(name.as_str(), |room| match is_another {
                true => Event::RoomDeleted { room },
                false => Event::RoomLeft { room },
            }));
        }
        // The user is no longer a member of the remaining remembered rooms. If they appear again, they are unknown.
        self.left.extend(std::mem::take(&mut self.remembered).into_keys());
        events.extend(unknown.into_iter().filter_map(|room| self.offer(&room)));
        events
    }

    /// Returns whether the user entered this room on this device and has not left it. A different room with the
    /// same name is unknown.
    pub(in crate::engine) fn is_known(&self, room: &RoomSnapshot) -> bool {
        let remembered = self.remembered.get(&room.id);
        let is_remembered = remembered
            .is_some_and(|known| known.snapshot.as_ref().is_none_or(|snapshot| snapshot.name == room.name));
        is_remembered || self.rooms.get(&room.name).is_some_and(|known| known.id == room.id)
    }

    /// Offers a room that the tracker lists but that was not entered on this device. Each room is offered once, and at most
    /// [`OFFERED_MAX`] are. A name that looks like a command or a private chat is not offered, because this version
    /// creates no such room.
    pub(in crate::engine::chat) fn offer(&mut self, room: &RoomSnapshot) -> Option<Event> {
        let is_misleading = matches!(RoomName::parse_new(room.name.as_str()), Err(NameError::Sigil(..)));
        if is_misleading || self.offered.len() >= OFFERED_MAX {
            return None;
        }
        self.known.note_rooms([room]);
        let is_known = self.offered.insert(room.id, room.name.clone()).is_some();
        (!is_known).then(|| Event::RoomAvailable { room: room.name.clone() })
    }

    /// Passes on an invitation, once for each room.
    pub(in crate::engine::chat) fn invited(&mut self, room: &RoomSnapshot, by: Username) -> Option<Event> {
        if self.blocked.contains(&by) {
            return None;
        }
        let invited = self.offer(room).map(|_| Event::Invited { room: room.name.clone(), by });
        invited.filter(|_| room.log.is_some())
    }

    /// Applies the answer to a request to enter a room. An answer with another room, or without this user as a
    /// member, is ignored.
    pub(in crate::engine) fn entry_granted(
        &mut self,
        name: &str,
        room: RoomSnapshot,
        now: Instant,
    ) -> Vec<Event> {
        let is_it = room.name.as_str() == name && self.is_member(&room);
        if is_it { self.entered(room, now) } else { Vec::new() }
    }

    /// Enters a room, or replaces its snapshot if the user is already in it.
    fn entered(&mut self, room: RoomSnapshot, now: Instant) -> Vec<Event> {
        let known = self.rooms.get(&room.name);
        if known.is_some_and(|known| known.id == room.id) {
            return self.replace(room, now);
        }
        // A room has only one name. Two names would give one conversation two sets of members.
        if self.rooms.values().any(|other| other.id == room.id) {
            return Vec::new();
        }
        let mut events = Vec::new();
        if known.is_some() {
            events.extend(self.room_ended(room.name.as_str(), |room| Event::RoomDeleted { room }));
        }
        self.offered.remove(&room.id);
        if let Some(RememberedRoom { membership, .. }) = self.remembered.remove(&room.id) {
            self.memberships.insert(room.id, membership);
        }
        self.known.note_rooms([&room]);
        self.set_room(room.clone());
        events.push(Event::RoomEntered { room: Box::new(room) });
        events
    }

    /// Replaces the snapshot of a room, and returns the one before.
    pub(in crate::engine::chat) fn set_room(&mut self, room: RoomSnapshot) -> Option<RoomSnapshot> {
        self.memberships.entry(room.id).or_default().note(&room);
        self.rooms.insert(room.name.clone(), room)
    }

    /// Removes a room that was deleted or that the user has left.
    pub(in crate::engine::chat) fn room_ended(
        &mut self,
        name: &str,
        event: impl FnOnce(RoomName) -> Event,
    ) -> Vec<Event> {
        let Some((name, room)) = self.rooms.remove_entry(name) else { return Vec::new() };
        self.memberships.remove(&room.id);
        self.left.push(room.id);
        vec![event(name)]
    }

    /// Returns the ids of the rooms that were left since the last call.
    pub(crate) fn take_left(&mut self) -> Vec<Uuid> {
        std::mem::take(&mut self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::chat::tests::{ana_in, sala, user};

    fn remembering(room: RoomSnapshot) -> Chat {
        let mut chat = Chat::new(user("ana"));
        chat.remember(vec![room.into()]);
        chat
    }

    #[tokio::test]
    async fn known_room_is_entered_again_and_unknown_one_offered_once() {
        let now = Instant::now();
        let login = |chat: &mut Chat, room: &RoomSnapshot| {
            let events = chat.signed_in(std::iter::once(room.clone()), now);
            let words = events.iter().filter_map(|event| match event {
                Event::RoomEntered { .. } => Some("entered"),
                Event::RoomAvailable { .. } => Some("available"),
                Event::RoomDeleted { .. } => Some("deleted"),
                Event::RoomLeft { .. } => Some("left"),
                _ => None,
            });
            words.collect::<Vec<_>>()
        };
        let known = sala(2, &["ana", "bob"]);
        let other = RoomSnapshot { id: Uuid::from_u128(1), ..known.clone() };
        let renamed = RoomSnapshot { name: RoomName::parse("other").unwrap(), ..known.clone() };
        assert_eq!(login(&mut remembering(known.clone()), &known), ["entered"]);
        assert_eq!(login(&mut remembering(known.clone()), &renamed), ["available"]);
        let mut chat = remembering(known.clone());
        assert_eq!(login(&mut chat, &other), ["available"]);
        assert_eq!(login(&mut chat, &other), [""; 0], "offered once");
        assert_eq!(login(&mut chat, &known), ["available"], "the tracker had let it go");
        let mut chat = ana_in(known);
        assert_eq!(login(&mut chat, &other), ["deleted", "available"]);
        assert_eq!(chat.take_left(), [Uuid::nil()]);
    }

    #[tokio::test]
    async fn two_names_never_lead_to_one_room() {
        let now = Instant::now();
        let mut chat = ana_in(sala(2, &["ana", "bob"]));
        let twin = RoomSnapshot { name: RoomName::parse("twin").unwrap(), ..sala(3, &["ana", "eve"]) };
        assert!(chat.entry_granted("twin", twin.clone(), now).is_empty());
        let twin = RoomSnapshot { id: Uuid::from_u128(9), ..twin };
        assert!(chat.entry_granted("sala", twin.clone(), now).is_empty(), "another one was asked for");
        assert_eq!(chat.entry_granted("twin", twin, now).len(), 1, "the control");
    }

    #[tokio::test]
    async fn tracker_offers_few_rooms_and_none_that_looks_like_a_chat() {
        let now = Instant::now();
        let offers = |name: String, from: usize, count: usize| {
            let rooms = (from..from + count).map(|n| RoomSnapshot {
                id: Uuid::from_u128(n as u128),
                name: RoomName::parse(&format!("{name}{n}")).unwrap(),
                ..sala(1, &["ana"])
            });
            Chat::new(user("ana")).signed_in(rooms.collect::<Vec<_>>().into_iter(), now)
        };
        let offered = |events: Vec<Event>| {
            events.iter().filter(|event| matches!(event, Event::RoomAvailable { .. })).count()
        };
        for misleading in ["@bob", "/quit", "\u{ff20}bob"] {
            assert_eq!(offered(offers(misleading.to_owned(), 0, 2)), 0, "{misleading}");
        }
        assert_eq!(offered(offers("room".to_owned(), 0, 2 * OFFERED_MAX)), OFFERED_MAX);
        // The control: a few rooms with usual names.
        assert_eq!(offered(offers("sala @bob ".to_owned(), 0, 3)), 3);
    }
}
