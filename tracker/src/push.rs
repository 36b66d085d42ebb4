//! The pushes to the members of rooms: a change of a room, and its encoded form for each kind of client.
//!
//! A change of a room reaches the members from before the change and those from after it. Example: bob leaves a room.
//! The change goes to the remaining members, and to bob unless his own session asked for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use commons::names::{RoomName, Username};
use commons::net::frame::encode;
use commons::protocol::with_tracker::{RoomUpdate, Status};
use commons::room::Room;
use commons::snapshot::{ChangeKind, RoomChange, RoomSnapshot};
use uuid::Uuid;

use crate::legacy_texts;
use crate::legacy_views::simplify;
use crate::repositories::watch::Changed;

/// A change of a room and the users who are notified of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// The name of the room.
    pub(crate) room: RoomName,
    /// The id of the room.
    pub(crate) room_id: Uuid,
    /// The change and the user concerned.
    pub(crate) change: RoomChange,
    /// The members after the change. After a deletion, the last members.
    members: BTreeSet<Username>,
    /// The users who are no members any more.
    departed: BTreeSet<Username>,
    /// The users whom the owner has just invited.
    pub(crate) invited: BTreeSet<Username>,
}

/// An encoded ROOM_UPDATE, in the current form, and in the legacy form if legacy clients know such a change.
pub(crate) struct Push {
    frame: Bytes,
    legacy: Option<Bytes>,
}

impl Notice {
    /// The notices of a change: usually one. A room that was deleted and created again while the watcher lagged has
    /// two.
    /// `deleter` is the admin who deleted a room of another user.
    pub(crate) fn of(change: &Changed<Room>, deleter: Option<&Username>) -> Vec<Self> {
        let Changed { before, after, .. } = change;
        let same = |room: &&Arc<Room>| after.as_ref().is_some_and(|after| after.id == room.id);
        let deleted = before.as_ref().filter(|before| !same(before)).map(|room| {
            let username = deleter.unwrap_or(&room.owner).clone();
            let change = RoomChange { kind: ChangeKind::Deleted, username };
            Self::new(room, change, BTreeSet::new())
        });
        let changed = after.as_ref().and_then(|room| {
            let earlier = before.as_ref().filter(same).map(|before| member_names(before)).unwrap_or_default();
            let departed = earlier.difference(&member_names(room)).cloned().collect();
            let before = before.as_ref().filter(same).map(|before| invited_names(before)).unwrap_or_default();
            let invited = invited_names(room).difference(&before).cloned().collect();
            Some(Self { invited, ..Self::new(room, room.last_change.clone()?, departed) })
        });
        deleted.into_iter().chain(changed).collect()
    }

    /// A notice to the members of a room and to the users who departed from it.
    pub(crate) fn new(room: &Room, change: RoomChange, departed: BTreeSet<Username>) -> Self {
        let (members, invited) = (member_names(room), BTreeSet::new());
        Self { room: room.name.clone(), room_id: room.id, change, members, departed, invited }
    }

    /// The users who get the notice. `exists` says whether the room still exists. If it has been deleted meanwhile, that
    /// is a change of its own, which the members get.
    pub(crate) fn recipients(&self, exists: bool) -> BTreeSet<&Username> {
        let includes_members = exists || self.change.kind == ChangeKind::Deleted;
        self.members.iter().filter(|_| includes_members).chain(&self.departed).collect()
    }

    /// The text of the notice, for people.
    fn msg(&self) -> String {
        let (room, username) = (&self.room, &self.change.username);
        match self.change.kind {
            ChangeKind::Joined => format!("{username} joined {room}"),
            ChangeKind::Left => format!("{username} left {room}"),
            ChangeKind::Offline => format!("{username} went offline"),
            ChangeKind::Online => format!("{username} is back"),
            ChangeKind::Deleted => format!("{username} deleted {room}"),
            ChangeKind::Changed => format!("{username} changed {room}"),
        }
    }
}

fn invited_names(room: &Room) -> BTreeSet<Username> {
    room.log.as_ref().map(|log| log.state().invited().keys().cloned().collect()).unwrap_or_default()
}

fn member_names(room: &Room) -> BTreeSet<Username> {
    room.memberships().map(|member| member.username.clone()).collect()
}

impl Push {
    /// Encodes the push of a notice with the current state of the room. Returns `None` if it cannot be encoded as JSON.
    pub(crate) fn of(notice: &Notice, room: Option<RoomSnapshot>) -> Option<Self> {
        let mut update = RoomUpdate {
            msg: notice.msg(),
            change: notice.change.clone(),
            name: room.is_none().then(|| notice.room.clone()),
            room_id: room.is_none().then_some(notice.room_id),
            room,
        };
        let frame = encode(&Status::RoomUpdate(update.clone())).ok()?;
        update.msg = legacy_texts::update(&notice.room, notice.change.kind);
        update.room.iter_mut().for_each(simplify);
        let is_known = notice.change.kind != ChangeKind::Changed;
        let legacy = is_known.then(|| encode(&Status::RoomUpdate(update))).transpose().ok()?;
        Some(Self { frame, legacy })
    }

    /// The frame for a session, if it gets one. `legacy` selects the form for legacy clients.
    pub(crate) fn frame(&self, legacy: bool) -> Option<Bytes> {
        if legacy { self.legacy.clone() } else { Some(self.frame.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn changed(before: Option<&Room>, after: Option<&Room>) -> Changed<Room> {
        let [before, after] = [before, after].map(|room| room.cloned().map(Arc::new));
        Changed { key: "sala".to_owned(), before, after, by: None }
    }

    /// The kind of each notice of a change, and the users who get it.
    fn notices(change: &Changed<Room>, exists: bool) -> Vec<(ChangeKind, Vec<&'static str>)> {
        let known = ["ana", "bob", "carla"];
        let names = |notice: &Notice| {
            let users = notice.recipients(exists);
            known.into_iter().filter(|name| users.contains(&user(name))).collect()
        };
        Notice::of(change, None).iter().map(|notice| (notice.change.kind, names(notice))).collect()
    }

    #[test]
    fn change_concerns_members_from_before_and_after_it() {
        let ana_alone = Room::create(RoomName::parse("sala").unwrap(), user("ana"), DateTime::UNIX_EPOCH);
        let mut with_bob = ana_alone.clone();
        with_bob.join(&user("bob"), DateTime::UNIX_EPOCH).unwrap();
        let mut without = with_bob.clone();
        without.leave(&user("bob")).unwrap();
        let joined = changed(Some(&ana_alone), Some(&with_bob));
        assert_eq!(notices(&joined, true), [(ChangeKind::Joined, vec!["ana", "bob"])]);
        let left = changed(Some(&with_bob), Some(&without));
        assert_eq!(notices(&left, true), [(ChangeKind::Left, vec!["ana", "bob"])]);
        // The room has been deleted meanwhile. Ana gets that change next, and bob gets no other one.
        assert_eq!(notices(&left, false), [(ChangeKind::Left, vec!["bob"])]);
        let deleted = changed(Some(&with_bob), None);
        assert_eq!(notices(&deleted, false), [(ChangeKind::Deleted, vec!["ana", "bob"])]);
    }

    #[test]
    fn room_that_was_created_again_has_two_notices() {
        let create =
            |owner| Room::create(RoomName::parse("sala").unwrap(), user(owner), DateTime::UNIX_EPOCH);
        let change = changed(Some(&create("ana")), Some(&create("carla")));
        let expected = [(ChangeKind::Deleted, vec!["ana"]), (ChangeKind::Joined, vec!["carla"])];
        assert_eq!(notices(&change, true), expected);
    }
}
