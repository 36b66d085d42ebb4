//! A room as it is told to others: the whole of it, numbered, so that late or doubled tellings do no harm.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::keys::{PublicKey, Signature};
use crate::names::{RoomName, Username};
use crate::peer::Peer;

/// The whole state of a room at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSnapshot {
    /// The room's identity; a room deleted and made again has another one.
    pub id: Uuid,
    /// The room's name.
    pub name: RoomName,
    /// Which state this is; within one session a later state has a higher number.
    pub revision: u64,
    /// Seats in all.
    pub capacity: usize,
    /// Who may delete it.
    pub owner: Username,
    /// The seated members in seat order, a seated owner first.
    pub members: Vec<Member>,
    /// The owner's record while it can be linked to.
    pub peer_owner: Option<Peer>,
    /// The first guest's record while it can be linked to.
    pub peer_one: Option<Peer>,
    /// The second guest's record while it can be linked to.
    pub peer_two: Option<Peer>,
}

/// A seated member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who sits there.
    pub username: Username,
    /// Whether the member can be reached now.
    pub connected: bool,
    /// The revision at which the seat was taken.
    pub since: u64,
    /// The member's public keys; empty for one who never had any.
    #[serde(default)]
    pub keys: Vec<PublicKey>,
    /// Signatures by which one of the keys vouches for another: see [`Endorsement`](crate::endorsement::Endorsement).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endorsements: Vec<Signature>,
    /// Whether the member's program, a legacy client, shows something else than this room, and drops its messages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_menu: bool,
}

/// What happened to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// A seat was taken.
    Joined,
    /// A seat was freed.
    Left,
    /// A member cannot be reached; the seat is held.
    Offline,
    /// A member can be reached again, perhaps elsewhere.
    Online,
    /// The room is gone.
    Deleted,
}

/// What happened to a room, and whose doing or fate it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomChange {
    /// What happened.
    pub kind: ChangeKind,
    /// To whom, or by whom.
    pub username: Username,
}

impl RoomSnapshot {
    /// The record of a member that can be linked to.
    #[must_use]
    pub fn peer(&self, username: &Username) -> Option<&Peer> {
        self.peers().find(|peer| peer.username == *username)
    }

    /// The records of all members that can be linked to.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        [&self.peer_owner, &self.peer_one, &self.peer_two].into_iter().flatten()
    }

    /// Names the owner in the owner's slot also where the owner is away: legacy clients read the name there without a
    /// look whether there is one. Without an address, nobody is dialled.
    pub fn name_owner(&mut self) {
        if self.peer_owner.is_none() {
            self.peer_owner = Some(Peer::never_seen(self.owner.clone()));
        }
    }

    /// Whether a user holds a seat.
    #[must_use]
    pub fn has_member(&self, username: &Username) -> bool {
        self.member(username).is_some()
    }

    fn member(&self, username: &Username) -> Option<&Member> {
        self.members.iter().find(|member| member.username == *username)
    }

    /// What leads from `self` to `next`, members in seat order: the departures first, then arrivals and presence.
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
        let told: Vec<_> =
            old.changes_to(&new).into_iter().map(|c| (c.kind, c.username.as_str().to_owned())).collect();
        let expected = [
            (ChangeKind::Left, "bob"),
            (ChangeKind::Offline, "ana"),
            (ChangeKind::Online, "carla"),
            (ChangeKind::Joined, "dora"),
        ];
        assert_eq!(told, expected.map(|(kind, name)| (kind, name.to_owned())));
        assert!(new.changes_to(&new).is_empty());
    }
}
