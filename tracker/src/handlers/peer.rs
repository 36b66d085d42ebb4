//! The handler of requests about peers.
//! It says which users are connected and where others reach them.

use std::collections::BTreeMap;

use commons::names::Username;
use commons::peer::Peer;
use commons::protocol::listed_peer::{FoundPeer, ListedPeer};
use commons::protocol::page::Page;
use commons::protocol::with_tracker::ErrorCode;

use crate::handlers::outcome::{Outcome, ReplyBody, RequestError};
use crate::handlers::page::PageBounds;
use crate::repositories::peer::PeerRepository;
use crate::repositories::room::RoomRepository;
use crate::repositories::user::UserRepository;

/// Answers requests about peers.
#[derive(Debug)]
pub(crate) struct PeerCommandHandler {
    users: UserRepository,
    rooms: RoomRepository,
    peers: PeerRepository,
}

impl PeerCommandHandler {
    /// Creates the handler. `users` says which users exist, and `rooms` of which rooms they are members.
    pub(crate) fn new(users: UserRepository, rooms: RoomRepository, peers: PeerRepository) -> Self {
        Self { users, rooms, peers }
    }

    /// Checks that a user exists. The reply shows the user's record.
    pub(crate) fn find(&self, username: &str) -> Result<Outcome, RequestError> {
        let username = Username::parse(username)?;
        if !self.users.exists(&username) {
            return Err(RequestError::new(ErrorCode::PeerNotFound, format!("there is no user {username}")));
        }
        Ok(Outcome::showing("peer", ReplyBody::Peer(username)))
    }

    /// The current record of a user, with the room that the user joined last.
    pub(crate) fn show(&self, username: &Username) -> FoundPeer {
        FoundPeer { peer: self.peers.peer(username), room: self.last_room(username) }
    }

    /// A page of the connected peers, and whether more follow.
    pub(crate) fn list(
        &self,
        page: &Page,
        with_id: bool,
    ) -> Result<(BTreeMap<String, ListedPeer>, bool), RequestError> {
        let bounds = PageBounds::of(page, with_id)?;
        let (prefix, after) =
            (page.prefix.as_deref().unwrap_or_default(), page.after.as_deref().unwrap_or_default());
        // One entry more than the page holds shows whether more entries follow.
        let peers: Vec<Peer> = self
            .peers
            .scan_connected(prefix, after, |peers| peers.take(bounds.entries + 1).cloned().collect());
        Ok(bounds.fill(peers.into_iter().map(|peer| {
            let room = self.last_room(&peer.username);
            (peer.username.as_str().to_owned(), ListedPeer::new(peer, room))
        })))
    }

    fn last_room(&self, username: &Username) -> Option<String> {
        self.rooms.last_joined(username).map(|name| name.as_str().to_owned())
    }
}
