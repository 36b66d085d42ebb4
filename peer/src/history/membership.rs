//! The membership of a room, as this peer has observed it. It decides from which revision on each member may have
//! messages.
//!
//! The tracker names the revision since which a user has been a member. This peer accepts that only as far as its own
//! observations allow. Otherwise the tracker could add a user afterwards and expose earlier messages. For example,
//! this peer has seen revision 5 without Bob. Then revision 9 lists Bob as a member since revision 1. Bob may have
//! messages from revision 6 on, not from revision 1.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use commons::names::Username;
use commons::peer::Peer;
use commons::snapshot::RoomSnapshot;
use serde::{Deserialize, Serialize};

/// The members of one room, with the first revision whose messages each may have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The highest revision of the room that this peer has seen; `None` before the first.
    latest: Option<u64>,
    members: BTreeMap<Username, Seen>,
}

/// The observations about one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// The first revision whose messages the member may have.
    from: u64,
    /// The last known address at which the member's peer accepts links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<SocketAddr>,
}

impl Membership {
    /// Updates the membership from a snapshot. The first snapshot of a room is believed, because there is nothing
    /// to compare it with.
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
        self.latest = self.latest.max(Some(room.membership_revision()));
    }

    /// Returns the first revision whose messages a user may have, or `None` if the user is not a member.
    pub(crate) fn from(&self, user: &Username) -> Option<u64> {
        self.members.get(user).map(|seen| seen.from)
    }

    /// Returns the last known address at which a member's peer accepts links.
    pub(crate) fn address(&self, user: &Username) -> Option<SocketAddr> {
        self.members.get(user)?.address
    }

    /// Returns true if both have the same members with the same values, regardless of the latest revision.
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
    fn member_who_joined_unseen_gets_no_earlier_messages() {
        let ghost: &[(&str, u64)] = &[(ANA, 1), (BOB, 1)];
        let membership = noted(&[(5, &[(ANA, 1)]), (9, ghost)]);
        assert_eq!(membership.from(&user(BOB)), Some(6));
        // A repeated claim and older snapshots do not help: Bob now counts only from revision 10 on.
        let membership = noted(&[(5, &[(ANA, 1)]), (9, ghost), (3, &[(ANA, 1)]), (4, ghost)]);
        assert_eq!(membership.from(&user(BOB)), Some(10));
        // The control: an honest claim is believed, and so is the first snapshot of a room.
        assert_eq!(noted(&[(5, &[(ANA, 1)]), (7, &[(ANA, 1), (BOB, 7)])]).from(&user(BOB)), Some(7));
        assert_eq!(noted(&[(9, ghost)]).from(&user(BOB)), Some(1));
    }

    #[test]
    fn member_who_returns_gets_messages_from_the_return_on() {
        let both: &[(&str, u64)] = &[(ANA, 1), (CARLA, 2)];
        let membership = noted(&[(2, both), (3, &[(ANA, 1)]), (8, both)]);
        assert_eq!(membership.from(&user(CARLA)), Some(4));
        assert_eq!(noted(&[(2, both), (3, &[(ANA, 1)])]).from(&user(CARLA)), None);
        // This peer missed the departure, so the later claim counts.
        assert_eq!(noted(&[(2, both), (8, &[(ANA, 1), (CARLA, 8)])]).from(&user(CARLA)), Some(8));
    }
}
