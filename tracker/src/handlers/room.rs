//! RoomCommandHandler: making rooms, sitting in them, leaving them, ending them, listing them.

use std::collections::BTreeMap;

use chrono::Utc;
use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::{ErrorCode, Page};
use commons::room::{Joined, Room};
use commons::snapshot::{ChangeKind, RoomSnapshot};

use crate::handlers::outcome::{Notice, Outcome, Refused, Shows};
use crate::handlers::page::PageBounds;
use crate::limits::SEATS_PER_USER;
use crate::repositories::peer::PeerRepository;
use crate::repositories::room::{RoomFailure, RoomRepository};
use crate::repositories::update::StorageError;

/// Serves what is asked about rooms.
#[derive(Debug)]
pub(crate) struct RoomCommandHandler {
    rooms: RoomRepository,
    peers: PeerRepository,
}

impl RoomCommandHandler {
    /// Over these rooms; `peers` are shown in them.
    pub(crate) fn new(rooms: RoomRepository, peers: PeerRepository) -> Self {
        Self { rooms, peers }
    }

    /// Makes a room and seats its owner.
    pub(crate) async fn create(&self, asker: &Username, room: &str) -> Result<Outcome, Refused> {
        let name = RoomName::parse(room)?;
        if self.rooms.room(&name).is_some() {
            return Err(RoomFailure::Exists.into());
        }
        self.seat_left(asker)?;
        self.rooms.create(&name, asker, Utc::now()).await?;
        Ok(Outcome::showing(format!("{name} is made, you are in it"), Shows::Room(name)))
    }

    /// Seats a user; joining again changes nothing.
    pub(crate) async fn join(&self, asker: &Username, room: &str) -> Result<Outcome, Refused> {
        let name = RoomName::parse(room)?;
        let present = self.rooms.room(&name).ok_or(RoomFailure::NotFound)?;
        if !present.is_member(asker) {
            self.seat_left(asker)?;
        }
        let outcome = Outcome::showing(format!("you are in {name}"), Shows::Room(name.clone()));
        Ok(match self.rooms.join(&name, asker, Utc::now()).await? {
            Joined::Newly => outcome.and_tell(Notice::new(&name, ChangeKind::Joined, asker)),
            Joined::Already => outcome,
        })
    }

    /// Frees a user's seat.
    pub(crate) async fn leave(&self, asker: &Username, room: &str) -> Result<Outcome, Refused> {
        let name = RoomName::parse(room)?;
        self.rooms.leave(&name, asker).await?;
        Ok(Outcome::said(format!("you left {name}")).and_tell(Notice::new(&name, ChangeKind::Left, asker)))
    }

    /// Ends a room.
    pub(crate) async fn delete(&self, asker: &Username, room: &str) -> Result<Outcome, Refused> {
        let name = RoomName::parse(room)?;
        let members = self.rooms.delete(&name, asker).await?;
        let notice = Notice { also: members, ..Notice::new(&name, ChangeKind::Deleted, asker) };
        Ok(Outcome::said(format!("{name} is deleted")).and_tell(notice))
    }

    /// A member's presence changed: what the rooms in which the user sits are to hear.
    pub(crate) async fn presence_changed(
        &self,
        username: &Username,
        kind: ChangeKind,
    ) -> Result<Vec<Notice>, StorageError> {
        let mut notices = Vec::new();
        for room in self.rooms.rooms_of(username) {
            if self.rooms.note_presence(&room.name, username).await? {
                notices.push(Notice::new(&room.name, kind, username));
            }
        }
        Ok(notices)
    }

    /// Takes a user out of everything: the own rooms end, seats in others are freed. What is to be heard of it counts
    /// also where the disk refuses the rest.
    pub(crate) async fn vacate(&self, username: &Username) -> (Vec<Notice>, Result<(), RoomFailure>) {
        let mut notices = Vec::new();
        let mut vacate = async || {
            for name in self.rooms.owned_by(username) {
                let members = self.rooms.delete(&name, username).await?;
                notices.push(Notice { also: members, ..Notice::new(&name, ChangeKind::Deleted, username) });
            }
            for room in self.rooms.rooms_of(username) {
                self.rooms.leave(&room.name, username).await?;
                notices.push(Notice::new(&room.name, ChangeKind::Left, username));
            }
            Ok(())
        };
        let vacated = vacate().await;
        (notices, vacated)
    }

    /// Frees the seats of guests for whom `overdue` holds: what is to be heard of it, also by those guests. What the
    /// disk refuses is left to the next time.
    pub(crate) async fn free_overdue(
        &self,
        overdue: impl Fn(&Username) -> bool + Clone + Send + 'static,
    ) -> Vec<Notice> {
        let mut notices = Vec::new();
        for guest in self.rooms.seated(&overdue) {
            for room in self.rooms.rooms_of(&guest).into_iter().filter(|room| room.owner != guest) {
                match self.rooms.free_guest(&room.name, &guest, overdue.clone()).await {
                    Ok(true) => {
                        let notice = Notice::new(&room.name, ChangeKind::Left, &guest);
                        notices.push(Notice { also: vec![guest.clone()], ..notice });
                    }
                    // The guest came back, or the room went, in this very moment.
                    Ok(false) | Err(RoomFailure::NotFound) => {}
                    Err(error) => tracing::error!(%error, "an overdue seat could not be freed"),
                }
            }
        }
        notices
    }

    /// A room as it is now.
    pub(crate) fn snapshot(&self, name: &RoomName) -> Result<RoomSnapshot, RoomFailure> {
        self.rooms.room(name).map(|room| self.show(&room)).ok_or(RoomFailure::NotFound)
    }

    /// The rooms in which a user sits, as they are now.
    pub(crate) fn snapshots_of(&self, username: &Username) -> BTreeMap<String, RoomSnapshot> {
        let rooms = self.rooms.rooms_of(username);
        rooms.iter().map(|room| (room.name.as_str().to_owned(), self.show(room))).collect()
    }

    /// A page of the rooms, and whether there are more.
    pub(crate) fn list(
        &self,
        page: &Page,
        with_id: bool,
    ) -> Result<(BTreeMap<String, RoomSnapshot>, bool), Refused> {
        let bounds = PageBounds::of(page, with_id)?;
        let (prefix, after) =
            (page.prefix.as_deref().unwrap_or_default(), page.after.as_deref().unwrap_or_default());
        Ok(self.rooms.scan(prefix, after, |rooms| {
            bounds.fill(rooms.map(|room| (room.name.as_str().to_owned(), self.show(room))))
        }))
    }

    fn show(&self, room: &Room) -> RoomSnapshot {
        room.snapshot(|username| self.peers.peer(username))
    }

    fn seat_left(&self, username: &Username) -> Result<(), Refused> {
        if self.rooms.seats_of(username) < SEATS_PER_USER {
            return Ok(());
        }
        let msg = format!("you sit in {SEATS_PER_USER} rooms: leave one first");
        Err(Refused::new(ErrorCode::TooManyRooms, msg))
    }
}
