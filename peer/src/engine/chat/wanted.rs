//! The users to whom a link is wanted: members of shared rooms, and partners of private chats.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use commons::names::Username;

use crate::engine::chat::Chat;
use crate::identity::known_keys::Announcement;

/// A user to whom a link is wanted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The address to dial, or `None` if the user is offline.
    pub(crate) address: Option<SocketAddr>,
    /// Whether the user asked for a private chat. Otherwise only a shared room wants the link.
    pub(crate) private: bool,
    /// The keys that the tracker announced, or `None` if it announced none.
    pub(crate) keys: Option<Announcement>,
}

impl Chat {
    /// Returns every user to whom a link is wanted.
    pub(crate) fn wanted(&self) -> BTreeMap<Username, Wanted> {
        let mut wanted: BTreeMap<_, _> = self
            .private
            .iter()
            .map(|(user, address)| (user.clone(), Wanted { address: *address, private: true, keys: None }))
            .collect();
        for room in self.rooms.values() {
            for member in room.members.iter().filter(|member| member.username != self.me) {
                // A legacy client that does not show the room dials by itself when it shows it again.
                let peer = room.peer(&member.username).filter(|_| !member.in_menu);
                let address = peer.and_then(commons::peer::Peer::socket_addr);
                let target = wanted.entry(member.username.clone()).or_insert(Wanted {
                    address,
                    private: false,
                    keys: None,
                });
                target.address = address.or(target.address);
                target.keys = Some(member.into());
            }
        }
        wanted
    }

    /// Returns the address of a member of a room that the tracker announced last, perhaps in an earlier run.
    pub(crate) fn last_address(&self, user: &Username) -> Option<SocketAddr> {
        self.memberships.values().find_map(|membership| membership.address(user))
    }
}
