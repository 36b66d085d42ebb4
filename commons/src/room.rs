//! The rules of a room: its owner, its members, and the revision that each change raises.
//!
//! A room has one place that is reserved for the owner, who may be absent. Guests take the other places. A refused
//! operation changes nothing.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::limits::{CAPACITY, GUESTS_MAX};
use crate::names::{RoomName, Username};
use crate::peer::Peer;
use crate::room_log::entry::Change;
use crate::room_log::log::RoomLog;
use crate::snapshot::{ChangeKind, LogPosition, Member, RoomChange, RoomSnapshot};

/// The membership of one user in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The user who is a member.
    pub username: Username,
    /// The room's revision at which the user joined.
    pub since: u64,
    /// Time at which the user joined. It shows which room a user joined last.
    pub joined_at: DateTime<Utc>,
}

/// The durable state of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The id of the room. A room that is created again under the same name gets another id.
    pub id: Uuid,
    /// The name, unique among existing rooms.
    pub name: RoomName,
    /// The revision, raised by every change, including presence.
    pub revision: u64,
    /// The change that led to this revision. `None` after the room was read from a file.
    pub last_change: Option<RoomChange>,
    /// The user who may delete the room. It changes only when the owner's account is deleted.
    pub owner: Username,
    /// The owner's membership; `None` while the owner has left.
    pub owner_membership: Option<Membership>,
    /// The memberships of the guests; `None` for a free place.
    pub guests: [Option<Membership>; GUESTS_MAX],
    /// The log that decides who is a member; `None` for a room that was created without a signature.
    pub log: Option<Arc<RoomLog>>,
}

/// Reason why a room refuses an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// The room has no free place for a guest.
    #[error("the room is full")]
    Full,
    /// The user is not a member of the room.
    #[error("you are not in this room")]
    NotAMember,
    /// Only the owner may do this.
    #[error("only the owner can do this")]
    NotOwner,
}

/// Result of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The user has joined.
    Newly,
    /// The user was a member already, and nothing changed.
    Already,
}

impl Room {
    /// Creates a room at revision 1 with its owner as the only member.
    #[must_use]
    pub fn create(name: RoomName, owner: Username, now: DateTime<Utc>) -> Self {
        let membership = Membership { username: owner.clone(), since: 1, joined_at: now };
        let guests = [const { None }; GUESTS_MAX];
        let last_change = Some(RoomChange { kind: ChangeKind::Joined, username: owner.clone() });
        Self {
            id: Uuid::new_v4(),
            name,
            revision: 1,
            last_change,
            owner,
            owner_membership: Some(membership),
            guests,
            log: None,
        }
    }

    /// Creates the room whose log begins with this entry.
    #[must_use]
    pub fn signed(log: RoomLog, now: DateTime<Utc>) -> Self {
        let state = log.state();
        let room = Self::create(state.name().clone(), state.owner().clone(), now);
        Self { id: state.id(), log: Some(Arc::new(log)), ..room }
    }

    /// Changes the members as the last entry of a longer log says. An entry that changes no member still raises the
    /// revision, so that all members see the longer log. The end of the room is for the caller.
    pub fn follow(&mut self, log: impl Into<Arc<RoomLog>>, now: DateTime<Utc>) -> Result<(), RoomError> {
        let log = log.into();
        let entry = &log.last().entry;
        let author = &entry.author;
        match &entry.change {
            // A member who has not signed so far keeps the place.
            Change::Joined { .. } if self.is_member(author) => self.changed(ChangeKind::Changed, author),
            Change::Joined { .. } => self.join(author, now).map(|_| ())?,
            Change::Left | Change::Expired => self.leave(author)?,
            Change::Removed(user) | Change::Banned(user) if self.is_member(user) => self.leave(user)?,
            Change::Owner(user) => self.give(user)?,
            _ => self.changed(ChangeKind::Changed, author),
        }
        self.log = Some(log);
        Ok(())
    }

    /// Makes a guest the owner. The former owner, if a member, takes the place of the guest.
    fn give(&mut self, user: &Username) -> Result<(), RoomError> {
        let place = self.guests.iter_mut().find(|place| place.as_ref().is_some_and(|m| m.username == *user));
        let place = place.ok_or(RoomError::NotAMember)?;
        std::mem::swap(place, &mut self.owner_membership);
        self.owner = user.clone();
        self.changed(ChangeKind::Changed, user);
        Ok(())
    }

    /// Adds a member: the owner in the reserved place, a guest in the first free one.
    pub fn join(&mut self, username: &Username, now: DateTime<Utc>) -> Result<Joined, RoomError> {
        if self.is_member(username) {
            return Ok(Joined::Already);
        }
        let place = if *username == self.owner {
            &mut self.owner_membership
        } else {
            self.guests.iter_mut().find(|place| place.is_none()).ok_or(RoomError::Full)?
        };
        *place = Some(Membership { username: username.clone(), since: self.revision + 1, joined_at: now });
        self.changed(ChangeKind::Joined, username);
        Ok(Joined::Newly)
    }

    /// Removes a member. An owner who leaves stays the owner and may return.
    pub fn leave(&mut self, username: &Username) -> Result<(), RoomError> {
        let mut places = std::iter::once(&mut self.owner_membership).chain(&mut self.guests);
        let place = places
            .find(|place| place.as_ref().is_some_and(|member| member.username == *username))
            .ok_or(RoomError::NotAMember)?;
        *place = None;
        self.changed(ChangeKind::Left, username);
        Ok(())
    }

    /// Whether this user may delete the room: only the owner may, member or not.
    pub fn may_delete(&self, username: &Username) -> Result<(), RoomError> {
        if *username == self.owner {
            Ok(())
        } else if self.is_member(username) {
            Err(RoomError::NotOwner)
        } else {
            Err(RoomError::NotAMember)
        }
    }

    /// Gives the room of a user who is deleted to the member who has been in it for the longest time, in the owner's
    /// place. Returns false, and changes nothing, if the room has no other member.
    pub fn hand_on(&mut self) -> bool {
        let longest = self
            .guests
            .iter_mut()
            .filter(|place| place.is_some())
            .min_by_key(|place| place.as_ref().map(|member| member.since));
        let Some(successor) = longest.and_then(Option::take) else { return false };
        let former = std::mem::replace(&mut self.owner, successor.username.clone());
        self.owner_membership = Some(successor);
        self.changed(ChangeKind::Left, &former);
        true
    }

    /// Notes a change of presence: a member went offline or came back.
    pub fn note_presence(&mut self, kind: ChangeKind, username: &Username) {
        self.changed(kind, username);
    }

    fn changed(&mut self, kind: ChangeKind, username: &Username) {
        self.revision += 1;
        self.last_change = Some(RoomChange { kind, username: username.clone() });
    }

    /// The memberships, that of the owner first.
    pub fn memberships(&self) -> impl Iterator<Item = &Membership> {
        std::iter::once(&self.owner_membership).chain(&self.guests).flatten()
    }

    /// The membership of a user.
    #[must_use]
    pub fn membership_of(&self, username: &Username) -> Option<&Membership> {
        self.memberships().find(|member| member.username == *username)
    }

    /// Whether a user is a member.
    #[must_use]
    pub fn is_member(&self, username: &Username) -> bool {
        self.membership_of(username).is_some()
    }

    /// The snapshot of the room. `peer_of` returns a member's current record.
    pub fn snapshot(&self, peer_of: impl Fn(&Username) -> Peer) -> RoomSnapshot {
        let slot = |membership: &Option<Membership>| {
            let peer = peer_of(&membership.as_ref()?.username);
            // Endorsements are sent in `members`; a second copy would waste space in the frame.
            let peer = Peer { endorsements: Vec::new(), ..peer };
            (peer.connected && peer.socket_addr().is_some()).then_some(peer)
        };
        let member = |membership: &Membership| {
            let Peer { username, connected, keys, endorsements, .. } = peer_of(&membership.username);
            Member { username, connected, since: membership.since, keys, endorsements, in_menu: false }
        };
        RoomSnapshot {
            id: self.id,
            name: self.name.clone(),
            revision: self.revision,
            capacity: CAPACITY,
            log: self.log.as_ref().map(|log| LogPosition::from(log.head())),
            owner: self.owner.clone(),
            members: self.memberships().map(member).collect(),
            peer_owner: slot(&self.owner_membership),
            peer_one: slot(&self.guests[0]),
            peer_two: slot(&self.guests[1]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn sala() -> Room {
        Room::create(RoomName::parse("sala").unwrap(), user("ana"), DateTime::UNIX_EPOCH)
    }

    fn join(room: &mut Room, name: &str) -> Result<Joined, RoomError> {
        room.join(&user(name), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn fourth_member_is_refused() {
        let mut room = sala();
        assert_eq!(join(&mut room, "bob"), Ok(Joined::Newly));
        assert_eq!(join(&mut room, "carla"), Ok(Joined::Newly));
        assert_eq!(join(&mut room, "dora"), Err(RoomError::Full));
        assert_eq!(join(&mut room, "bob"), Ok(Joined::Already));
        assert_eq!(room.revision, 3);
        let names: Vec<_> = room.memberships().map(|member| member.username.as_str()).collect();
        assert_eq!(names, ["ana", "bob", "carla"]);
    }

    #[test]
    fn owner_who_leaves_keeps_the_room_and_the_reserved_seat() {
        let mut room = sala();
        join(&mut room, "bob").unwrap();
        room.leave(&user("ana")).unwrap();
        assert_eq!(room.leave(&user("ana")), Err(RoomError::NotAMember));
        assert!(!room.is_member(&user("ana")));
        assert_eq!(room.may_delete(&user("ana")), Ok(()));
        join(&mut room, "carla").unwrap();
        assert_eq!(join(&mut room, "dora"), Err(RoomError::Full), "the owner's place is not for guests");
        assert_eq!(join(&mut room, "ana"), Ok(Joined::Newly));
        assert_eq!(room.memberships().next().unwrap().username.as_str(), "ana");
    }

    #[test]
    fn room_goes_to_its_longest_member() {
        let mut room = sala();
        assert!(!room.hand_on(), "nobody else is there");
        assert_eq!(room, Room { id: room.id, ..sala() }, "nothing changes");
        join(&mut room, "bob").unwrap();
        join(&mut room, "carla").unwrap();
        room.leave(&user("bob")).unwrap();
        join(&mut room, "bob").unwrap();
        let (since, before) = (room.membership_of(&user("carla")).unwrap().since, room.revision);
        assert!(room.hand_on());
        let names: Vec<_> = room.memberships().map(|member| member.username.as_str()).collect();
        assert_eq!((room.owner.as_str(), names), ("carla", vec!["carla", "bob"]));
        assert_eq!((room.membership_of(&user("carla")).unwrap().since, room.revision), (since, before + 1));
        let left = RoomChange { kind: ChangeKind::Left, username: user("ana") };
        assert_eq!(room.last_change, Some(left));
        assert_eq!(join(&mut room, "dora"), Ok(Joined::Newly), "a guest's place is free");
    }

    #[test]
    fn deleting_asks_for_membership_before_ownership() {
        let mut room = sala();
        join(&mut room, "bob").unwrap();
        assert_eq!(room.may_delete(&user("dora")), Err(RoomError::NotAMember));
        assert_eq!(room.may_delete(&user("bob")), Err(RoomError::NotOwner));
    }

    #[test]
    fn a_refusal_changes_nothing() {
        let mut room = sala();
        let before = room.clone();
        assert_eq!(room.leave(&user("bob")), Err(RoomError::NotAMember));
        assert_eq!(room, before);
    }

    #[test]
    fn a_snapshot_shows_slots_of_reachable_members_only() {
        let mut room = sala();
        join(&mut room, "bob").unwrap();
        let snapshot = room.snapshot(|name| Peer {
            address: Some([127, 0, 0, 1].into()),
            port: Some(5000),
            connected: name.as_str() == "ana",
            ..Peer::never_seen(name.clone())
        });
        assert_eq!(snapshot.peer_owner.map(|peer| peer.username), Some(user("ana")));
        assert_eq!(snapshot.peer_one, None);
        let connected: Vec<_> = snapshot.members.iter().map(|m| (m.username.as_str(), m.connected)).collect();
        assert_eq!(connected, [("ana", true), ("bob", false)]);
    }
}
