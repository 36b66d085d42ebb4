//! The members of a room as this peer has seen them come: what the tracker claims of earlier times counts only as far as this
//! peer saw it happen.
//!
//! The tracker says since which revision somebody is a member. A member who is seen first after other revisions were seen without
//! it counts only from the next revision on, whatever is claimed: else a tracker could add a member to the past.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use commons::names::Username;
use commons::peer::Peer;
use commons::snapshot::RoomSnapshot;
use serde::{Deserialize, Serialize};

/// The members of one room, and from when on each may have its messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The highest revision of the room that this peer has seen; `None` before the first.
    latest: Option<u64>,
    members: BTreeMap<Username, Seen>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// The first revision whose messages the member may have.
    from: u64,
    /// Where its program took links last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<SocketAddr>,
}

impl Membership {
    /// Of a room that was seen up to this revision, with members since these.
    pub(crate) fn new(latest: u64, members: impl IntoIterator<Item = (Username, u64)>) -> Self {
        let members = members.into_iter().map(|(user, from)| (user, Seen { from, address: None }));
        Self { latest: Some(latest), members: members.collect() }
    }

    /// Notes a snapshot. At the first one of a room the tracker's word is all there is.
    pub(crate) fn note(&mut self, room: &RoomSnapshot) {
        let unseen = self.latest.map_or(0, |latest| latest.saturating_add(1));
        let mut known = std::mem::take(&mut self.members);
        for member in &room.members {
            let known = known.remove(&member.username);
            let first = known.as_ref().map_or(unseen, |seen| seen.from);
            let address = room.peer(&member.username).and_then(Peer::socket_addr);
            let address = address.or_else(|| known.and_then(|seen| seen.address));
            self.members.insert(member.username.clone(), Seen { from: member.since.max(first), address });
        }
        self.latest = self.latest.max(Some(room.revision));
    }

    /// The first revision whose messages a user may have; `None` for one who is no member.
    pub(crate) fn from(&self, user: &Username) -> Option<u64> {
        self.members.get(user).map(|seen| seen.from)
    }

    /// Where a member's program took links last.
    pub(crate) fn address(&self, user: &Username) -> Option<SocketAddr> {
        self.members.get(user)?.address
    }

    /// Whether both say the same of the members, whatever revision was seen last.
    pub(crate) fn has_same_members(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::testing::{ANA, BOB, CARLA, snapshot_of, user};

    fn noted(snapshots: &[(u64, &[(&str, u64)])]) -> Membership {
        let mut membership = Membership::default();
        for (revision, members) in snapshots {
            membership.note(&snapshot_of(*revision, members));
        }
        membership
    }

    #[test]
    fn a_member_who_came_unseen_does_not_reach_back() {
        let ghost: &[(&str, u64)] = &[(ANA, 1), (BOB, 1)];
        let membership = noted(&[(5, &[(ANA, 1)]), (9, ghost)]);
        assert_eq!(membership.from(&user(BOB)), Some(6));
        // The same claim again, and a room that is said to be as it was before, change nothing.
        let membership = noted(&[(5, &[(ANA, 1)]), (9, ghost), (3, &[(ANA, 1)]), (4, ghost)]);
        assert_eq!(membership.from(&user(BOB)), Some(10));
        // The control: an honest claim is believed, and so is what was there at first sight.
        assert_eq!(noted(&[(5, &[(ANA, 1)]), (7, &[(ANA, 1), (BOB, 7)])]).from(&user(BOB)), Some(7));
        assert_eq!(noted(&[(9, ghost)]).from(&user(BOB)), Some(1));
    }

    #[test]
    fn a_member_who_left_and_came_again_begins_anew() {
        let both: &[(&str, u64)] = &[(ANA, 1), (CARLA, 2)];
        let membership = noted(&[(2, both), (3, &[(ANA, 1)]), (8, both)]);
        assert_eq!(membership.from(&user(CARLA)), Some(4));
        assert_eq!(noted(&[(2, both), (3, &[(ANA, 1)])]).from(&user(CARLA)), None);
        // Where the change was missed, the later claim counts.
        assert_eq!(noted(&[(2, both), (8, &[(ANA, 1), (CARLA, 8)])]).from(&user(CARLA)), Some(8));
    }
}
