//! The state of the chat: the user, the rooms and the private chats.
//!
//! It does no I/O. Snapshots, messages and answers go in, and events come out. The time is an argument.

mod admission;
mod chat_requests;
mod entering;
pub(crate) mod held_back;
pub(crate) mod known_names;
mod members;
mod requests;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::api::administration::AdminEvent;
use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::{Reply, RoomUpdate, TrackerRequest};
use commons::snapshot::{ChangeKind, Member, RoomSnapshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::Event;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::missing_conversation::MissingConversation;
use crate::api::status::LinkState;
use crate::api::status::TrackerState;
use crate::api::tracker_loss::TrackerLoss;
use crate::engine::chat::chat_requests::ChatRequests;
use crate::engine::chat::held_back::PendingMembership;
use crate::engine::chat::known_names::KnownNames;
use crate::history::membership::Membership;
use crate::history::remembered_room::RememberedRoom;
use crate::limits::RETURN_GRACE;

/// The trust in a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LinkTrust {
    /// Whether the link is encrypted.
    pub(crate) encrypted: bool,
    /// Whether the users have compared the safety number of the key.
    pub(crate) verified: bool,
    /// The device key that the other side has proven; `None` for a legacy client.
    pub(crate) key: Option<PublicKey>,
}

/// The state of the chat in this run: the user, the conversations and the links.
pub(crate) struct Chat {
    me: Username,
    tracker: Option<TrackerState>,
    /// Whether the tracker has signed the user in, in this run.
    logged_in: bool,
    /// The time of the last sign-in after a loss of the tracker.
    returned: Option<Instant>,
    rooms: BTreeMap<RoomName, RoomSnapshot>,
    /// The members of each room, as this peer saw them join.
    memberships: BTreeMap<Uuid, Membership>,
    /// Rooms that were entered in earlier runs and not left. The first LOGIN reply enters them again.
    remembered: BTreeMap<Uuid, RememberedRoom>,
    /// Rooms that the tracker lists but that were not entered on this device. Each is offered once.
    offered: BTreeMap<Uuid, RoomName>,
    /// Rooms that were left and must still be removed from the history.
    left: Vec<Uuid>,
    private: BTreeMap<Username, Option<SocketAddr>>,
    /// The users whose link was reported as up.
    linked: BTreeSet<Username>,
    blocked: BTreeSet<Username>,
    held_back: PendingMembership,
    /// The state of each room that the history has noted, by its order. The history verifies messages against its memberships.
    synced: BTreeMap<Uuid, (u64, u64)>,
    requests: ChatRequests,
    known: KnownNames,
}

impl Chat {
    /// Creates the chat of a user who is in no conversation yet.
    pub(crate) fn new(me: Username) -> Self {
        Self {
            me,
            tracker: None,
            logged_in: false,
            returned: None,
            rooms: BTreeMap::new(),
            memberships: BTreeMap::new(),
            remembered: BTreeMap::new(),
            offered: BTreeMap::new(),
            left: Vec::new(),
            private: BTreeMap::new(),
            linked: BTreeSet::new(),
            blocked: BTreeSet::new(),
            held_back: PendingMembership::default(),
            synced: BTreeMap::new(),
            requests: ChatRequests::default(),
            known: KnownNames::default(),
        }
    }

    /// Applies an answer of the tracker, according to its request.
    pub(crate) fn answered(&mut self, request: &TrackerRequest, reply: &Reply, now: Instant) -> Vec<Event> {
        match request {
            TrackerRequest::Register(credentials) | TrackerRequest::Login(credentials) => {
                if credentials.username != self.me.as_str() {
                    return Vec::new();
                }
                self.signed_in(reply.rooms.iter().flat_map(BTreeMap::values).cloned(), now)
            }
            TrackerRequest::CreateRoom { room: name } | TrackerRequest::JoinRoom { room: name } => {
                reply.room.clone().map(|room| self.entry_granted(name, room, now)).unwrap_or_default()
            }
            TrackerRequest::LeaveRoom { room } => self.room_ended(room, |room| Event::RoomLeft { room }),
            TrackerRequest::DeleteRoom { room } => self.room_ended(room, |room| Event::RoomDeleted { room }),
            TrackerRequest::DeleteAccount { .. } => {
                let rooms: Vec<_> = self.rooms.keys().cloned().collect();
                rooms
                    .iter()
                    .flat_map(|room| self.room_ended(room.as_str(), |room| Event::RoomLeft { room }))
                    .collect()
            }
            TrackerRequest::ListPeers(_) => {
                self.known.note_peers(reply.peers.iter().flat_map(BTreeMap::values));
                Vec::new()
            }
            TrackerRequest::ListRooms(_) => {
                self.known.note_rooms(reply.rooms.iter().flat_map(BTreeMap::values));
                Vec::new()
            }
            TrackerRequest::GetPeer { .. }
            | TrackerRequest::ChangeRoom { .. }
            | TrackerRequest::RoomLog { .. }
            | TrackerRequest::ListKeys
            | TrackerRequest::RevokeKey { .. }
            | TrackerRequest::EndorseKey { .. }
            | TrackerRequest::ChangePassword { .. }
            | TrackerRequest::Logout
            | TrackerRequest::Ping
            | TrackerRequest::Pong
            | TrackerRequest::Admin(_) => Vec::new(),
        }
    }

    /// Notes that the tracker connection came up, or was lost for a reason.
    pub(crate) fn set_tracker_state(
        &mut self,
        state: TrackerState,
        reason: Option<TrackerLoss>,
    ) -> Vec<Event> {
        let changed = self.tracker.replace(state) != Some(state);
        changed.then_some(Event::Tracker { state, reason }).into_iter().collect()
    }

    /// Applies an update of a room.
    pub(crate) fn updated(&mut self, update: RoomUpdate, now: Instant) -> Vec<Event> {
        let Some(room) = update.room else {
            return self.deleted(update.name, update.room_id, &update.change.username);
        };
        if update.change.kind == ChangeKind::Changed && !self.is_known(&room) && !self.is_member(&room) {
            return self.invited(&room, update.change.username).into_iter().collect();
        }
        self.changed(room, now)
    }

    /// Applies a new state of a room. A state that is not newer than the known one is ignored.
    pub(crate) fn changed(&mut self, room: RoomSnapshot, now: Instant) -> Vec<Event> {
        match self.rooms.get(&room.name) {
            Some(known) if known.id == room.id && known.order() >= room.order() => Vec::new(),
            Some(known) if known.id == room.id && self.is_member(&room) => self.replace(room, now),
            // Another room has taken the name of the entered room.
            Some(_) if self.is_member(&room) => {
                let mut events = self.room_ended(room.name.as_str(), |room| Event::RoomDeleted { room });
                events.extend(self.offer(&room));
                events
            }
            Some(_) => self.room_ended(room.name.as_str(), |room| Event::RoomLeft { room }),
            None => Vec::new(),
        }
    }

    /// Forgets which snapshots of the rooms are newer, for a control of the simulation.
    #[cfg(test)]
    pub(in crate::engine) fn forget_revisions(&mut self) {
        self.rooms.values_mut().for_each(|room| room.revision = 0);
    }

    /// Returns whether the user is a member of a room.
    fn is_member(&self, room: &RoomSnapshot) -> bool {
        room.has_member(&self.me)
    }

    /// Replaces the snapshot of a room, and returns the changes of other members as events.
    fn replace(&mut self, mut room: RoomSnapshot, now: Instant) -> Vec<Event> {
        // After a restart of the tracker the members sign in one by one. A member with a link was never offline.
        if self.returned.is_some_and(|returned| now < returned + RETURN_GRACE) {
            for member in &mut room.members {
                member.connected |= self.linked.contains(&member.username);
            }
        }
        self.known.note_rooms([&room]);
        let members: Vec<Username> = room.members.iter().map(|member| member.username.clone()).collect();
        let name = room.name.clone();
        let Some(before) = self.set_room(room) else { return Vec::new() };
        let Some(after) = self.rooms.get(&name) else { return Vec::new() };
        let owner = (before.owner != after.owner).then(|| {
            Event::Admin(AdminEvent::RoomOwner {
                room: name.clone(),
                owner: after.owner.clone(),
                room_state: Box::new(after.clone()),
            })
        });
        before
            .changes_to(after)
            .into_iter()
            .filter(|change| self.me != change.username)
            .map(|change| Event::RoomUpdate {
                room: name.clone(),
                change: change.kind,
                username: change.username,
                members: members.clone(),
                room_state: Box::new(after.clone()),
            })
            .chain(owner)
            .collect()
    }

    /// Removes a room that this user has left or deleted.
    pub(crate) fn ended(&mut self, name: &RoomName, is_deleted: bool) -> Vec<Event> {
        self.room_ended(name.as_str(), |room| match is_deleted {
            true => Event::RoomDeleted { room },
            false => Event::RoomLeft { room },
        })
    }

    /// Removes a deleted room. It is identified by its id, because another room may have its name by now. If the
    /// tracker sends neither id nor name, it is the only room of its owner.
    fn deleted(&mut self, name: Option<RoomName>, id: Option<Uuid>, owner: &Username) -> Vec<Event> {
        if let Some(id) = id {
            let name = self.rooms.values().find(|room| room.id == id).map(|room| room.name.clone());
            return name.map_or_else(Vec::new, |name| {
                self.room_ended(name.as_str(), |room| Event::RoomDeleted { room })
            });
        }
        let mut owned = self.rooms.values().filter(|room| room.owner == *owner).map(|room| room.name.clone());
        let Some(name) = name.or_else(|| owned.next().filter(|_| owned.next().is_none())) else {
            return Vec::new();
        };
        self.room_ended(name.as_str(), |room| Event::RoomDeleted { room })
    }

    /// Returns an error if a conversation does not exist.
    pub(in crate::engine) fn stands(&self, conversation: &Conversation) -> Result<(), CommandError> {
        let stands = match conversation {
            Conversation::Room(room) => self.rooms.contains_key(room),
            Conversation::Private(user) => self.private.contains_key(user),
        };
        stands.then_some(()).ok_or_else(|| MissingConversation::from(conversation).into())
    }

    /// Starts a private chat, or updates the address of its partner if one is given. Returns an event if it started.
    pub(crate) fn begin_private(&mut self, user: Username, address: Option<SocketAddr>) -> Option<Event> {
        self.known.note_user(&user);
        let conversation = Conversation::Private(user.clone());
        let started = !self.private.contains_key(&user);
        let known = self.private.entry(user).or_default();
        *known = address.or(*known);
        started.then_some(Event::ConversationStarted { conversation })
    }

    /// Returns the room that a request leaves or deletes, and the members to notify.
    pub(crate) fn leaves(&self, request: &TrackerRequest) -> Option<(RoomName, Vec<Username>)> {
        let (TrackerRequest::LeaveRoom { room } | TrackerRequest::DeleteRoom { room }) = request else {
            return None;
        };
        let (name, _) = self.rooms.get_key_value(room.as_str())?;
        Some((name.clone(), self.recipients(&Conversation::Room(name.clone())).unwrap_or_default()))
    }

    /// Ends a private chat.
    pub(crate) fn end_private(&mut self, user: &Username) -> Result<Event, CommandError> {
        self.private.remove(user).ok_or_else(|| MissingConversation::NoChat(user.clone()))?;
        Ok(Event::ConversationEnded {
            conversation: Conversation::Private(user.clone()),
            by: self.me.clone(),
        })
    }

    /// Returns the recipients of a message in a conversation: its members except the user.
    pub(crate) fn recipients(&self, conversation: &Conversation) -> Result<Vec<Username>, CommandError> {
        self.stands(conversation)?;
        Ok(self.members(conversation).into_iter().filter(|user| *user != self.me).collect())
    }

    /// Returns all members of a conversation, the user included.
    fn members(&self, conversation: &Conversation) -> Vec<Username> {
        match conversation {
            Conversation::Private(user) => vec![self.me.clone(), user.clone()],
            Conversation::Room(name) => {
                let members = self.rooms.get(name).map(|room| room.members.as_slice()).unwrap_or_default();
                members.iter().map(|member| member.username.clone()).collect()
            }
        }
    }

    /// Returns the members of a conversation and their presence.
    pub(crate) fn users(&self, conversation: &Conversation) -> Result<Vec<Member>, CommandError> {
        self.stands(conversation)?;
        Ok(match conversation {
            Conversation::Room(name) => {
                self.rooms.get(name).map(|room| room.members.clone()).unwrap_or_default()
            }
            Conversation::Private(_) => {
                let member = |username: Username| {
                    let connected = username == self.me || self.linked.contains(&username);
                    Member {
                        username,
                        connected,
                        since: 0,
                        keys: Vec::new(),
                        endorsements: Vec::new(),
                        in_menu: false,
                    }
                };
                self.members(conversation).into_iter().map(member).collect()
            }
        })
    }

    /// Returns whether there is a private chat with this user.
    pub(crate) fn has_private(&self, user: &Username) -> bool {
        self.private.contains_key(user)
    }

    /// Returns the partners of private chats who have no link.
    pub(crate) fn away(&self) -> BTreeSet<Username> {
        self.private.keys().filter(|user| !self.linked.contains(*user)).cloned().collect()
    }

    /// Ends a private chat that the other user has left. A frontend that still shows it may write, which starts it
    /// again. Whether the user is still a member of a room, only the tracker decides.
    pub(crate) fn partner_left(&mut self, user: &Username) -> Option<Event> {
        self.private.remove(user)?;
        let conversation = Conversation::Private(user.clone());
        Some(Event::ConversationEnded { conversation, by: user.clone() })
    }

    /// Sets the link to a peer, whose trust was `before`; `None` stands for no link. Returns events for real changes. A
    /// link with another key is another link.
    pub(crate) fn set_link(
        &mut self,
        peer: &Username,
        before: Option<LinkTrust>,
        link: Option<LinkTrust>,
    ) -> Vec<Event> {
        let was_linked =
            if link.is_some() { !self.linked.insert(peer.clone()) } else { self.linked.remove(peer) };
        let before = before.filter(|_| was_linked);
        let is_another = before.map(|before| before.key) != link.map(|link| link.key);
        let event = |state, LinkTrust { encrypted, verified, .. }| Event::Link {
            peer: peer.clone(),
            state,
            encrypted,
            verified,
        };
        let ended = before.filter(|_| is_another).map(|before| event(LinkState::Down, before));
        let risen = link.filter(|_| is_another).map(|link| event(LinkState::Up, link));
        let mut events: Vec<_> = ended.into_iter().chain(risen).collect();
        if self.tracker() == TrackerState::Lost {
            events.extend(self.presence_by_link(peer, link.is_some()));
        }
        events
    }

    /// Returns whether the user shares a conversation with this peer.
    pub(crate) fn shares_conversation_with(&self, user: &Username) -> bool {
        self.private.contains_key(user) || self.rooms.values().any(|room| room.has_member(user))
    }

    /// Sets the blocked users. Returns events for those who are blocked now, and those who are no longer.
    pub(crate) fn set_blocked(&mut self, users: BTreeSet<Username>) -> Vec<Event> {
        let before = std::mem::replace(&mut self.blocked, users);
        let changed = before.symmetric_difference(&self.blocked);
        changed
            .map(|user| Event::BlockChanged { user: user.clone(), blocked: self.blocked.contains(user) })
            .collect()
    }

    pub(crate) fn blocked(&self) -> &BTreeSet<Username> {
        &self.blocked
    }

    pub(crate) fn me(&self) -> &Username {
        &self.me
    }

    pub(crate) fn tracker(&self) -> TrackerState {
        self.tracker.unwrap_or(TrackerState::Lost)
    }

    /// Returns every conversation.
    pub(crate) fn conversations(&self) -> Vec<Conversation> {
        let rooms = self.rooms.keys().cloned().map(Conversation::Room);
        rooms.chain(self.private.keys().cloned().map(Conversation::Private)).collect()
    }

    /// Returns the rooms in which the user is, by name.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &RoomSnapshot> {
        self.rooms.values()
    }

    /// Returns the partners of private chats.
    pub(crate) fn private_partners(&self) -> impl Iterator<Item = &Username> {
        self.private.keys()
    }

    /// Returns the other users that share a conversation with the user.
    pub(crate) fn others(&self) -> BTreeSet<Username> {
        let members = self.rooms.values().flat_map(|room| &room.members).map(|member| &member.username);
        members.chain(self.private.keys()).filter(|user| **user != self.me).cloned().collect()
    }

    /// Returns the users whose link was reported as up.
    pub(crate) fn linked(&self) -> &BTreeSet<Username> {
        &self.linked
    }

    /// Returns the rooms that the tracker lists and that were not entered on this device.
    pub(crate) fn offered(&self) -> impl Iterator<Item = &RoomName> {
        self.offered.values()
    }

    pub(crate) fn known(&self) -> &KnownNames {
        &self.known
    }
}

#[cfg(test)]
mod tests {
    use commons::snapshot::{ChangeKind, RoomChange};
    use uuid::Uuid;

    use super::*;

    pub(in crate::engine::chat) fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    pub(in crate::engine::chat) fn sala(revision: u64, members: &[&str]) -> RoomSnapshot {
        let member = |name: &&str| Member {
            username: user(name),
            connected: true,
            since: 1,
            keys: Vec::new(),
            endorsements: Vec::new(),
            in_menu: false,
        };
        RoomSnapshot {
            id: Uuid::nil(),
            name: RoomName::parse("sala").unwrap(),
            revision,
            capacity: 3,
            log: None,
            owner: user("ana"),
            members: members.iter().map(member).collect(),
            peer_owner: None,
            peer_one: None,
            peer_two: None,
        }
    }

    pub(in crate::engine::chat) fn ana_in(room: RoomSnapshot) -> Chat {
        let mut chat = Chat::new(user("ana"));
        chat.remember(vec![room.clone().into()]);
        chat.signed_in([room].into_iter(), Instant::now());
        chat
    }

    pub(in crate::engine::chat) fn update(
        kind: ChangeKind,
        username: &str,
        room: Option<RoomSnapshot>,
    ) -> RoomUpdate {
        let change = RoomChange { kind, username: user(username) };
        RoomUpdate { msg: String::new(), change, name: None, room_id: None, room }
    }

    #[tokio::test]
    async fn late_deletion_spares_a_new_room_of_the_same_name() {
        let now = Instant::now();
        let (old, new) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let deleted = RoomUpdate {
            name: Some(sala(1, &[]).name),
            room_id: Some(old),
            ..update(ChangeKind::Deleted, "bob", None)
        };
        let mut chat = ana_in(RoomSnapshot { id: new, ..sala(1, &["ana"]) });
        assert!(chat.updated(deleted.clone(), now).is_empty());
        assert_eq!(chat.conversations().len(), 1);
        // Control: the deletion removes the room that it names.
        let mut chat = ana_in(RoomSnapshot { id: old, ..sala(1, &["ana", "bob"]) });
        assert!(matches!(chat.updated(deleted, now)[..], [Event::RoomDeleted { .. }]));
    }

    #[tokio::test]
    async fn older_revision_is_ignored_and_newer_one_reports_changes() {
        let now = Instant::now();
        let mut chat = ana_in(sala(3, &["ana", "bob"]));
        assert!(chat.updated(update(ChangeKind::Left, "bob", Some(sala(2, &["ana"]))), now).is_empty());
        // One update was lost, but its change is reported as well.
        let events =
            chat.updated(update(ChangeKind::Joined, "dora", Some(sala(5, &["ana", "carla", "dora"]))), now);
        let kinds: Vec<_> = events
            .iter()
            .map(|event| match event {
                Event::RoomUpdate { change, username, .. } => (*change, username.as_str()),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected =
            [(ChangeKind::Left, "bob"), (ChangeKind::Joined, "carla"), (ChangeKind::Joined, "dora")];
        assert_eq!(kinds, expected);
    }

    #[tokio::test]
    async fn login_accepts_older_revision_and_reports_lost_membership() {
        let now = Instant::now();
        let mut chat = ana_in(sala(9, &["ana", "bob"]));
        let events = chat.signed_in([sala(2, &["ana"])].into_iter(), now);
        assert!(matches!(events[..], [Event::RoomUpdate { change: ChangeKind::Left, .. }]));
        let events = chat.signed_in([].into_iter(), now);
        assert!(matches!(events[..], [Event::RoomLeft { .. }]));
        assert_eq!(chat.conversations(), []);
    }

    #[tokio::test]
    async fn linked_member_stays_online_when_the_tracker_returns() {
        let now = Instant::now();
        let mut chat = ana_in(sala(9, &["ana", "bob", "carla"]));
        chat.set_link(&user("bob"), None, Some(LinkTrust::default()));
        let mut alone = sala(2, &["ana", "bob", "carla"]);
        alone.members.iter_mut().skip(1).for_each(|member| member.connected = false);
        let events = chat.signed_in([alone.clone()].into_iter(), now);
        let offline = |events: &[Event]| {
            events
                .iter()
                .filter(|e| matches!(e, Event::RoomUpdate { change: ChangeKind::Offline, .. }))
                .count()
        };
        assert_eq!(offline(&events), 1, "carla, who is not linked");
        alone.revision += 1;
        let events = chat.updated(update(ChangeKind::Offline, "bob", Some(alone)), now + RETURN_GRACE);
        assert_eq!(offline(&events), 1, "bob, once everybody had time to return");
    }

    #[tokio::test]
    async fn deletion_without_a_name_removes_the_owners_only_room() {
        let mut chat = ana_in(sala(1, &["ana"]));
        let events = chat.updated(update(ChangeKind::Deleted, "ana", None), Instant::now());
        assert!(matches!(events[..], [Event::RoomDeleted { .. }]));
    }

    #[tokio::test]
    async fn link_that_ends_is_as_encrypted_as_it_was() {
        let mut chat = ana_in(sala(9, &["ana", "bob", "py"]));
        for (name, encrypted) in [("bob", true), ("py", false)] {
            let is_shown = |events: Vec<Event>| matches!(events[..], [Event::Link { encrypted: shown, .. }] if shown == encrypted);
            let trust = LinkTrust { encrypted, ..LinkTrust::default() };
            let verified = LinkTrust { verified: true, ..trust };
            assert!(is_shown(chat.set_link(&user(name), None, Some(trust))));
            assert_eq!(chat.set_link(&user(name), Some(trust), Some(verified)), []);
            assert!(is_shown(chat.set_link(&user(name), Some(verified), None)));
            assert_eq!(chat.set_link(&user(name), Some(verified), None), [], "its end was reported");
        }
    }

    #[tokio::test]
    async fn a_link_by_another_key_is_another_link() {
        let mut chat = ana_in(sala(9, &["ana", "bob"]));
        let by = |n: u8, verified| {
            Some(LinkTrust { encrypted: true, verified, key: Some(PublicKey::new([n; 32])) })
        };
        assert_eq!(chat.set_link(&user("bob"), None, by(1, true)).len(), 1);
        assert_eq!(chat.set_link(&user("bob"), by(1, true), by(1, true)), []);
        let events = chat.set_link(&user("bob"), by(1, true), by(2, false));
        let shown: Vec<_> = events
            .iter()
            .map(|event| match event {
                Event::Link { state, verified, .. } => (*state, *verified),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(shown, [(LinkState::Down, true), (LinkState::Up, false)]);
    }

    #[tokio::test]
    async fn private_chat_ends_by_either_side() {
        let mut chat = ana_in(sala(2, &["ana", "bob"]));
        let private = Conversation::Private(user("bob"));
        let nothing = Err(MissingConversation::NoChat(user("bob")).into());
        chat.begin_private(user("bob"), None);
        assert!(chat.conversations().contains(&private));
        chat.end_private(&user("bob")).unwrap();
        assert_eq!(chat.stands(&private), nothing);
        chat.begin_private(user("bob"), None);
        chat.partner_left(&user("bob"));
        assert_eq!(chat.stands(&private), nothing);
    }

    #[tokio::test]
    async fn links_are_wanted_to_members_and_private_partners() {
        let mut chat = ana_in(sala(2, &["ana", "bob"]));
        chat.begin_private(user("eve"), Some(([127, 0, 0, 1], 5000).into()));
        let wanted: Vec<_> = chat.wanted().into_iter().map(|(user, want)| (user, want.private)).collect();
        assert_eq!(wanted, [(user("bob"), false), (user("eve"), true)]);
    }
}
