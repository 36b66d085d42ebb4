//! The handler of requests about rooms.
//! Users create, join, leave, delete and list rooms.

use std::collections::BTreeMap;

use chrono::Utc;
use commons::keys::Seed;
use commons::names::{RoomName, Username};
use commons::peer::Peer;
use commons::protocol::page::Page;
use commons::protocol::with_tracker::RoomsFate;
use commons::room::{Joined, Room};
use commons::snapshot::{ChangeKind, RoomSnapshot};

use crate::handlers::outcome::{Outcome, ReplyBody, RequestError};
use crate::handlers::page::PageBounds;
use crate::legacy_views::{LegacyViews, simplify};
use crate::login::{ConnectionId, SignedIn};
use crate::repositories::peer::PeerRepository;
use crate::repositories::room::{RoomFailure, RoomRepository, is_shown_to, may_join_unsigned};
use crate::repositories::room_log::is_in_log;
use crate::repositories::update::StorageError;

/// Answers requests about rooms.
#[derive(Debug)]
pub(crate) struct RoomCommandHandler {
    rooms: RoomRepository,
    peers: PeerRepository,
    /// The tracker's key, which signs the end of a membership.
    key: Seed,
    /// The room that each legacy client currently shows.
    pub(crate) views: LegacyViews,
}

impl RoomCommandHandler {
    /// Creates the handler. Snapshots of rooms contain the records of `peers`, and `key` is the tracker's.
    pub(crate) fn new(rooms: RoomRepository, peers: PeerRepository, key: Seed) -> Self {
        Self { rooms, peers, key, views: LegacyViews::default() }
    }

    /// Creates a room with its owner as the first member.
    pub(crate) async fn create(&self, requester: &SignedIn, room: &str) -> Result<Outcome, RequestError> {
        let name = RoomName::parse_new(room)?;
        if self.rooms.room(&name).is_some() {
            return Err(RoomFailure::Exists.into());
        }
        self.rooms.check_room_count(&requester.username)?;
        self.rooms.create(&name, &requester.username, Some(requester.connection), Utc::now()).await?;
        tracing::info!(room = %name, owner = %requester.username, "room created");
        Ok(Outcome::showing(format!("{name} is created, and you are in it"), ReplyBody::Room(name)))
    }

    /// Adds a user to a room. A second join of the same room changes nothing.
    pub(crate) async fn join(&self, requester: &SignedIn, room: &str) -> Result<Outcome, RequestError> {
        let SignedIn { username, connection, .. } = requester;
        let (name, by) = (RoomName::parse(room)?, Some(*connection));
        let mut present = self.rooms.room(&name).ok_or(RoomFailure::NotFound)?;
        may_join_unsigned(&present, username)?;
        // A program that has a key can sign.
        let can_sign = !self.peers.peer(username).keys.is_empty();
        if can_sign && present.log.is_some() && !present.is_member(username) {
            return Err(RoomFailure::NotSigned.into());
        }
        if !present.is_member(username) {
            self.rooms.check_room_count(username)?;
        }
        present.join(username, Utc::now()).map_err(RoomFailure::from)?;
        // The view changes before the room, because a change of a room is pushed as soon as it is made.
        let shows_anew = self.views.open(username, &name);
        let joined = self.rooms.join(&name, username, by, Utc::now()).await;
        let joined = joined.inspect_err(|_| self.views.close(username, &name))?;
        if joined != Joined::Already {
            tracing::info!(room = %name, %username, "room entered");
        }
        if joined == Joined::Already && shows_anew {
            // The other members wait for this push before they send their messages to the legacy client.
            self.rooms.note_presence(&name, username, ChangeKind::Online, by).await?;
        }
        Ok(Outcome::showing(format!("you are in {name}"), ReplyBody::Room(name)))
    }

    /// Whether a room and its log are shown to a user.
    pub(crate) fn is_shown_to(&self, room: &Room, user: &Username) -> bool {
        is_shown_to(room, Some(&self.peers.peer(user)))
    }

    /// Removes a user from a room.
    pub(crate) async fn leave(&self, requester: &SignedIn, room: &str) -> Result<Outcome, RequestError> {
        let name = RoomName::parse(room)?;
        self.views.close(&requester.username, &name);
        self.rooms.leave(&name, &requester.username, Some(requester.connection)).await?;
        tracing::info!(room = %name, username = %requester.username, "room left");
        Ok(Outcome::text(format!("you left {name}")))
    }

    /// Deletes a room of its owner.
    pub(crate) async fn delete(&self, requester: &SignedIn, room: &str) -> Result<Outcome, RequestError> {
        let name = RoomName::parse(room)?;
        self.rooms.delete(&name, &requester.username, Some(requester.connection)).await?;
        tracing::info!(room = %name, owner = %requester.username, "room deleted");
        self.views.close(&requester.username, &name);
        Ok(Outcome::text(format!("{name} is deleted")))
    }

    /// Raises the revisions of a user's rooms after a presence change.
    pub(crate) async fn presence_changed(
        &self,
        username: &Username,
        kind: ChangeKind,
        by: Option<ConnectionId>,
    ) -> Result<(), StorageError> {
        for room in self.rooms.rooms_of(username) {
            self.rooms.note_presence(&room.name, username, kind, by).await?;
        }
        Ok(())
    }

    /// Deletes a room, whoever owns it.
    pub(crate) async fn remove(
        &self,
        room: &str,
        by: Option<ConnectionId>,
    ) -> Result<RoomName, RequestError> {
        let name = RoomName::parse(room)?;
        self.rooms.remove(&name, by).await?;
        Ok(name)
    }

    /// Removes a user from all rooms: hands on or deletes the user's own rooms, and leaves the others. In invite rooms the
    /// user stays in the log, because only a member or the owner can sign the end of such a membership. If the disk
    /// refuses a change, the earlier ones stand.
    pub(crate) async fn leave_all(
        &self,
        username: &Username,
        by: Option<ConnectionId>,
        fate: RoomsFate,
    ) -> Result<(), RoomFailure> {
        for name in self.rooms.owned_by(username) {
            match self.rooms.give_up(&name, username, by, fate == RoomsFate::HandOn).await? {
                Some(heir) => {
                    tracing::info!(room = %name, former = %username, owner = %heir, "room handed on")
                }
                None => tracing::info!(room = %name, owner = %username, "room deleted"),
            }
        }
        for room in self.rooms.rooms_of(username) {
            if !is_in_log(&room, username) {
                self.rooms.leave(&room.name, username, by).await?;
                tracing::info!(room = %room.name, %username, "room left");
            } else if self.rooms.expire(&room, username, &self.key, |_| true).await? {
                tracing::info!(room = %room.name, %username, "membership ended");
            }
        }
        Ok(())
    }

    /// Removes each guest for whom `overdue` returns true from the guest's rooms, but not from invite rooms. If the disk
    /// refuses a change, the next sweep tries it again.
    pub(crate) async fn free_overdue(&self, overdue: impl Fn(&Username) -> bool + Clone + Send + 'static) {
        for guest in self.rooms.members(&overdue) {
            for room in self.rooms.rooms_of(&guest).into_iter().filter(|room| room.owner != guest) {
                let freed = match is_in_log(&room, &guest) {
                    true => self.rooms.expire(&room, &guest, &self.key, overdue.clone()).await.map(drop),
                    false => self.rooms.free_guest(&room.name, &guest, overdue.clone()).await,
                };
                match freed {
                    Ok(()) if !self.rooms.room(&room.name).is_some_and(|room| room.is_member(&guest)) => {
                        tracing::info!(room = %room.name, username = %guest, "seat freed after the hold");
                    }
                    Ok(()) => {}
                    // The room may have been deleted at this moment.
                    Err(RoomFailure::NotFound) => {}
                    Err(error) => tracing::error!(%error, "an overdue seat could not be freed"),
                }
            }
        }
    }

    /// The current snapshot of a room. `legacy` selects the form for legacy clients.
    pub(crate) fn snapshot(&self, name: &RoomName, legacy: bool) -> Result<RoomSnapshot, RoomFailure> {
        let mut shown = self.show(&self.rooms.room(name).ok_or(RoomFailure::NotFound)?, |_| true);
        if legacy {
            simplify(&mut shown);
        }
        Ok(shown)
    }

    /// The current snapshots of the rooms of which a user is a member, for the user.
    pub(crate) fn snapshots_of(&self, username: &Username) -> BTreeMap<String, RoomSnapshot> {
        let rooms = self.rooms.rooms_of(username);
        rooms.iter().map(|room| (room.name.as_str().to_owned(), self.show_to(username, room))).collect()
    }

    /// The snapshot of a room for one of its members. It leaves out the user's own endorsements and, of a room with a log,
    /// the user's own keys in the slot. No client reads them there, and without them all rooms of a user fit in one frame.
    fn show_to(&self, user: &Username, room: &Room) -> RoomSnapshot {
        let mut shown = self.show(room, |member| member != user);
        let slots = [&mut shown.peer_owner, &mut shown.peer_one, &mut shown.peer_two];
        for own in slots.into_iter().flatten().filter(|peer| peer.username == *user && room.log.is_some()) {
            own.keys.clear();
        }
        shown
    }

    /// A page of the rooms, and whether more follow. `viewer` is the user of an encrypted session.
    pub(crate) fn list(
        &self,
        page: &Page,
        viewer: Option<&Username>,
        with_id: bool,
        legacy: bool,
    ) -> Result<(BTreeMap<String, RoomSnapshot>, bool), RequestError> {
        let bounds = PageBounds::of(page, with_id)?;
        let (prefix, after) =
            (page.prefix.as_deref().unwrap_or_default(), page.after.as_deref().unwrap_or_default());
        let viewer = viewer.map(|user| self.peers.peer(user));
        Ok(self.rooms.scan(prefix, after, |rooms| {
            // Only members need the endorsements. With them, a room may exceed what a legacy client reads at once.
            bounds.fill(rooms.filter(|room| is_shown_to(room, viewer.as_ref())).map(|room| {
                let mut shown = self.show(room, |_| false);
                if legacy {
                    simplify(&mut shown);
                }
                (room.name.as_str().to_owned(), shown)
            }))
        }))
    }

    /// The snapshot of a room, with the endorsements of those members for whom `endorsed` returns true.
    fn show(&self, room: &Room, endorsed: impl Fn(&Username) -> bool) -> RoomSnapshot {
        let mut shown = room.snapshot(|username| {
            let peer = self.peers.peer(username);
            if endorsed(username) { peer } else { Peer { endorsements: Vec::new(), ..peer } }
        });
        for member in shown.members.iter_mut().filter(|member| member.connected) {
            member.in_menu = self.views.hides(&member.username, &room.name);
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::Ipv6Addr;
    use std::sync::Arc;

    use commons::digest::Digest;
    use commons::endorsement::Endorsement;
    use commons::keys::Seed;
    use commons::limits::{FRAME_MAX, GUESTS_MAX, KEYS_PER_USER, ORIGINAL_RECV, ROOM_NAME_MAX, USERNAME_MAX};
    use commons::protocol::with_tracker::{Reply, RequestId, Status};
    use commons::room::Membership;
    use commons::room_log::entry::{Change, Creation, Entry, FIRST_EPOCH, SignedEntry};
    use commons::room_log::facts::Policy;
    use commons::room_log::log::RoomLog;
    use commons::snapshot::{LogPosition, RoomChange};
    use uuid::Uuid;

    use super::*;
    use crate::limits::{MOTD_MAX, ROOMS_PER_USER};
    use crate::push::{Notice, Push};
    use crate::repositories::Repositories;

    /// Creates a connected user with the longest possible name. Every key but the first is endorsed.
    async fn somebody(peers: &PeerRepository, n: usize, keys: usize) -> Username {
        let user = Username::parse(&format!("{n:0>USERNAME_MAX$}")).unwrap();
        let seeds: Vec<_> = (0..keys).map(|_| Seed::random().unwrap()).collect();
        for (index, seed) in seeds.iter().enumerate() {
            let endorsement = Endorsement { by: seeds[0].public_key(), key: seed.public_key() };
            peers.bind_key(&user, endorsement.key, || true, |_| Vec::new()).await.unwrap();
            if index > 0 {
                let signature = Endorsement::sign(&user, &seeds[0], endorsement.key);
                peers.endorse(&user, endorsement, signature).await.unwrap();
            }
        }
        let login = ConnectionId::new();
        peers.connect(&user, login, Ipv6Addr::from([0xffff; 8]).into(), u16::MAX);
        peers.mark_alive(&user, login, Utc::now());
        user
    }

    /// The bytes of a user's own keys in the slots of all rooms.
    const OWN_KEYS: usize = ROOMS_PER_USER * KEYS_PER_USER * 67;

    /// The first entry of a log.
    fn created() -> SignedEntry {
        let (seed, none) = (Seed::new([7; 32]), Digest([0; 32]));
        let creation = Creation {
            name: RoomName::parse("sala").unwrap(),
            keys: vec![seed.public_key()],
            policy: Policy::Open,
            legacy: true,
            nonce: [7; 32],
            tracker: seed.public_key(),
        };
        let author = Username::parse("ana").unwrap();
        let (key, change) = (seed.public_key(), Change::Created(creation));
        Entry { room: none, epoch: FIRST_EPOCH, previous: none, time: 0, author, key, change }.sign(&seed)
    }

    /// Creates a full room with the longest possible name and the highest numbers.
    fn full_room(n: usize, owner: &Username, guests: [&Username; GUESTS_MAX]) -> Room {
        let membership = |user: &Username| {
            Some(Membership { username: user.clone(), since: u64::MAX, joined_at: Utc::now() })
        };
        let last = char::from_u32(0x20001 + u32::try_from(n).unwrap()).unwrap();
        Room {
            id: Uuid::max(),
            name: RoomName::parse(&format!("{}{last}", "\u{20000}".repeat(ROOM_NAME_MAX - 1))).unwrap(),
            revision: u64::MAX,
            last_change: None,
            owner: owner.clone(),
            owner_membership: membership(owner),
            guests: guests.map(membership),
            log: Some(Arc::new(RoomLog::begin(created()).unwrap())),
        }
    }

    #[tokio::test]
    async fn rooms_in_a_login_reply_fit_in_one_frame() {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(folder.path()).unwrap();
        let peers = repositories.peers();
        let handler =
            RoomCommandHandler::new(repositories.rooms(), peers.clone(), repositories.key().clone());
        let mut users = Vec::new();
        for n in 0..=ROOMS_PER_USER * GUESTS_MAX {
            users.push(somebody(&peers, n, KEYS_PER_USER).await);
        }
        let (me, others) = users.split_first().unwrap();
        let rooms =
            others.chunks(GUESTS_MAX).enumerate().map(|(n, pair)| full_room(n, &pair[0], [&pair[1], me]));
        let rooms: Vec<_> = rooms.collect();
        let reply = |show: &dyn Fn(&Room) -> RoomSnapshot| {
            let shown = rooms.iter().map(|room| {
                let shown = show(room);
                let log = shown.log.map(|log| LogPosition { epoch: u64::MAX, ..log });
                assert!(log.is_some());
                RoomSnapshot { log, ..shown }
            });
            let rooms: BTreeMap<_, _> = shown.map(|room| (room.name.as_str().to_owned(), room)).collect();
            assert_eq!(rooms.len(), ROOMS_PER_USER);
            let id = Some(RequestId::Large(u64::MAX));
            let motd = Some("\"".repeat(MOTD_MAX));
            let msg = "welcome back".to_owned();
            let reply = Reply { msg, rooms: Some(rooms), motd, admin: true, id, ..Reply::default() };
            serde_json::to_vec(&Status::Ok(reply)).unwrap().len()
        };
        let bytes = reply(&|room| handler.show_to(me, room));
        assert!(bytes < FRAME_MAX, "{bytes}");
        // Control: with the user's own keys in the slots, the reply would not fit. The check below shows that endorsements are
        // included.
        assert!(reply(&|room| handler.show(room, |member| member != me)) > FRAME_MAX);
        let without = reply(&|room| handler.show(room, |_| false));
        assert!(bytes + OWN_KEYS - without > ROOMS_PER_USER * GUESTS_MAX * (KEYS_PER_USER - 1) * 128);
    }

    #[tokio::test]
    async fn room_update_fits_one_recv_of_a_legacy_client() {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(folder.path()).unwrap();
        let peers = repositories.peers();
        let handler =
            RoomCommandHandler::new(repositories.rooms(), peers.clone(), repositories.key().clone());
        let original = somebody(&peers, 0, 0).await;
        let (ana, bob) = (somebody(&peers, 1, KEYS_PER_USER).await, somebody(&peers, 2, KEYS_PER_USER).await);
        let room = full_room(0, &ana, [&bob, &original]);
        let change = RoomChange { kind: ChangeKind::Offline, username: ana };
        let notice = Notice::new(&room, change, BTreeSet::new());
        handler.views.sign_in(&original, true);
        let bytes =
            Push::of(&notice, Some(handler.show(&room, |_| true))).unwrap().frame(true).unwrap().len();
        assert!(bytes < ORIGINAL_RECV, "{bytes}");
    }
}
