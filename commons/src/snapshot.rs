//! Snapshots of a room: its complete state with a revision number.
//! Because each snapshot is complete and numbered, late or repeated ones do no harm.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Digest;
use crate::keys::{PublicKey, Signature};
use crate::names::{RoomName, Username};
use crate::peer::Peer;
use crate::room_log::head::Head;

/// The complete state of a room at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSnapshot {
    /// The id of the room. A room that was deleted and created again has another one.
    pub id: Uuid,
    /// The name of the room.
    pub name: RoomName,
    /// The revision. Within one session a later state has a higher number.
    pub revision: u64,
    /// Maximum number of members.
    pub capacity: usize,
    /// The last entry of the room's log; absent for a room that was created without a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogPosition>,
    /// The user who may delete the room.
    pub owner: Username,
    /// The members. An owner who is a member comes first.
    pub members: Vec<Member>,
    /// The owner's record while the owner can be linked.
    pub peer_owner: Option<Peer>,
    /// The first guest's record while the guest can be linked.
    pub peer_one: Option<Peer>,
    /// The second guest's record while the guest can be linked.
    pub peer_two: Option<Peer>,
}

/// The last entry of a room's log, without the tracker's signature. The reply to ROOM_LOG carries the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// The number of the entry.
    pub epoch: u64,
    /// The digest of the entry.
    pub head: Digest,
}

impl From<Head> for LogPosition {
    fn from(head: Head) -> Self {
        Self { epoch: head.epoch, head: head.digest }
    }
}

/// A member of a room, present or offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The name of the member.
    pub username: Username,
    /// Whether the member can be reached now.
    pub connected: bool,
    /// The revision at which the user joined.
    pub since: u64,
    /// The member's public keys; empty if the member never had any.
    #[serde(default)]
    pub keys: Vec<PublicKey>,
    /// Signatures by which one key vouches for another: see [`Endorsement`](crate::endorsement::Endorsement).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endorsements: Vec<Signature>,
    /// Whether the member uses a legacy client that does not show this room now, and therefore drops its messages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_menu: bool,
}

/// Kind of a change of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// A member has joined.
    Joined,
    /// A member has left.
    Left,
    /// A member cannot be reached, and stays a member.
    Offline,
    /// A member can be reached again, possibly at another address.
    Online,
    /// The room was deleted.
    Deleted,
    /// Something else about the room has changed, for example its topic or an invitation.
    Changed,
}

/// A change of a room, and the user concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomChange {
    /// The kind of the change.
    pub kind: ChangeKind,
    /// The user who caused the change, or whose presence changed.
    pub username: Username,
}

impl RoomSnapshot {
    /// The number by which messages and memberships of the room are compared. In a room with a log it is the epoch, which
    /// people sign; otherwise the tracker's revision.
    #[must_use]
    pub fn membership_revision(&self) -> u64 {
        self.log.map_or(self.revision, |log| log.epoch)
    }

    /// The place of this state among the states of the room: a later one is greater.
    #[must_use]
    pub fn order(&self) -> (u64, u64) {
        (self.log.map_or(0, |log| log.epoch), self.revision)
    }

    /// The record of a member that can be linked.
    #[must_use]
    pub fn peer(&self, username: &Username) -> Option<&Peer> {
        self.peers().find(|peer| peer.username == *username)
    }

    /// The records of all members that can be linked.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        [&self.peer_owner, &self.peer_one, &self.peer_two].into_iter().flatten()
    }

    /// Names an absent owner in the owner's slot, because legacy clients read the name there without a check. The
    /// record has no address, so nobody dials it.
    pub fn name_owner(&mut self) {
        if self.peer_owner.is_none() {
            self.peer_owner = Some(Peer::never_seen(self.owner.clone()));
        }
    }

    /// Whether a user is a member.
    #[must_use]
    pub fn has_member(&self, username: &Username) -> bool {
        self.member(username).is_some()
    }

    fn member(&self, username: &Username) -> Option<&Member> {
        self.members.iter().find(|member| member.username == *username)
    }

    /// The changes from `self` to `next`, in the order of the members: departures first, then arrivals and presence.
    #[must_use]
    pub fn changes_to(&self, next: &Self) -> Vec<RoomChange> {
        let change = |kind, member: &Member| RoomChange { kind, username: member.username.clone() };
        let left = self.members.iter().filter(|old| !next.has_member(&old.username));
        let rest = next.members.iter().filter_map(|new| match self.member(&new.username) {
            None => Some(change(ChangeKind::Joined, new)),
            Some(old) if old.connected == new.connected => None,
            Some(_) if new.connected => Some(change(ChangeKind::Online, new)),
            Some(_) => Some(change(ChangeKind::Offline, new)),
        });
        left.map(|old| change(ChangeKind::Left, old)).chain(rest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(members: &[(&str, bool)]) -> RoomSnapshot {
        let user = |name: &str| Username::parse(name).unwrap();
        RoomSnapshot {
            id: Uuid::nil(),
            name: RoomName::parse("sala").unwrap(),
            revision: 1,
            capacity: 3,
            log: None,
            owner: user("ana"),
            members: members
                .iter()
                .map(|(name, connected)| Member {
                    username: user(name),
                    connected: *connected,
                    since: 1,
                    keys: Vec::new(),
                    endorsements: Vec::new(),
                    in_menu: false,
                })
                .collect(),
            peer_owner: None,
            peer_one: None,
            peer_two: None,
        }
    }

    #[test]
    fn names_every_change_between_two_states() {
        let old = snapshot(&[("ana", true), ("bob", true), ("carla", false)]);
        let new = snapshot(&[("ana", false), ("carla", true), ("dora", true)]);
        let changes: Vec<_> =
            old.changes_to(&new).into_iter().map(|c| (c.kind, c.username.as_str().to_owned())).collect();
        let expected = [
            (ChangeKind::Left, "bob"),
            (ChangeKind::Offline, "ana"),
            (ChangeKind::Online, "carla"),
            (ChangeKind::Joined, "dora"),
        ];
        assert_eq!(changes, expected.map(|(kind, name)| (kind, name.to_owned())));
        assert!(new.changes_to(&new).is_empty());
    }
}
