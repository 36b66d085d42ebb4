//! The rooms, and who sits in them.

use chrono::{DateTime, Utc};
use commons::names::{RoomName, Username};
use commons::room::{Joined, Room, RoomError, Seat};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::limits::{REVISION_BLOCK, REVISION_MAX, ROOMS_MAX};
use crate::repositories::collection::Collection;
use crate::repositories::record::{Decoded, Record, unreadable};
use crate::repositories::update::{Change, StorageError};

/// Why a room was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RoomFailure {
    /// There is none of that name.
    #[error("there is no such room")]
    NotFound,
    /// There is one of that name.
    #[error("there is a room of that name: join it, or choose another name")]
    Exists,
    /// There are as many as there may be.
    #[error("the tracker has no place for another room")]
    TooMany,
    /// The room's own rules forbid it.
    #[error(transparent)]
    Rule(#[from] RoomError),
    /// It could not be made durable.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The form of a room in the file: the original's, with our fields beside them.
#[derive(Serialize, Deserialize)]
struct StoredRoom {
    id: Option<Uuid>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    revision: u64,
    owner: Option<String>,
    peer_owner: Option<StoredSeat>,
    peer_one: Option<StoredSeat>,
    peer_two: Option<StoredSeat>,
}

/// A seat in the file; the original keeps the whole record of the peer in its place.
#[derive(Serialize, Deserialize)]
struct StoredSeat {
    username: String,
    #[serde(default)]
    since: u64,
    #[serde(default)]
    joined_at: DateTime<Utc>,
}

impl From<&Seat> for StoredSeat {
    fn from(seat: &Seat) -> Self {
        let Seat { username, since, joined_at } = seat;
        Self { username: username.as_str().to_owned(), since: *since, joined_at: *joined_at }
    }
}

impl StoredSeat {
    fn seat(self) -> Option<Seat> {
        let Self { username, since, joined_at } = self;
        Some(Seat { username: Username::parse(&username).ok()?, since, joined_at })
    }
}

impl StoredRoom {
    /// The room of an original file: the owner is who sits in the owner's seat, else the first who sits at all. A member
    /// whose name does not fit loses the seat, an owner the room too. Without any other member it does not fit either.
    fn take_over(self, name: &str) -> Option<Room> {
        let seats = [self.peer_owner, self.peer_one, self.peer_two].into_iter().flatten();
        let mut seats = seats.filter_map(|seat| StoredSeat { since: 1, ..seat }.seat());
        let owner_seat = seats.next()?;
        Some(Room {
            id: Uuid::new_v4(),
            name: RoomName::parse(name).ok()?,
            revision: 1,
            owner: owner_seat.username.clone(),
            owner_seat: Some(owner_seat),
            guests: [seats.next(), seats.next()],
        })
    }

    fn room(self, name: &str, id: Uuid) -> Option<Room> {
        let seat = |seat: Option<StoredSeat>| match seat {
            Some(seat) => seat.seat().map(Some),
            None => Some(None),
        };
        Some(Room {
            id,
            name: RoomName::parse(name).ok()?,
            revision: self.revision,
            owner: Username::parse(&self.owner?).ok()?,
            owner_seat: seat(self.peer_owner)?,
            guests: [seat(self.peer_one)?, seat(self.peer_two)?],
        })
    }
}

impl Record for Room {
    fn read(key: &str, json: &RawValue) -> Result<Decoded<Self>, String> {
        let stored: StoredRoom = serde_json::from_str(json.get()).map_err(|error| unreadable(&error))?;
        if stored.revision > REVISION_MAX {
            return Err("a revision that no room ever reaches".to_owned());
        }
        let reading = match stored.id {
            Some(id) => stored.room(key, id).map(Decoded::Native),
            None => stored.take_over(key).map(Decoded::Migrated),
        };
        Ok(reading.unwrap_or(Decoded::Invalid))
    }

    fn write(&self) -> serde_json::Result<Box<RawValue>> {
        let seat = |seat: &Option<Seat>| seat.as_ref().map(StoredSeat::from);
        to_raw_value(&StoredRoom {
            id: Some(self.id),
            name: self.name.as_str().to_owned(),
            revision: self.revision,
            owner: Some(self.owner.as_str().to_owned()),
            peer_owner: seat(&self.owner_seat),
            peer_one: seat(&self.guests[0]),
            peer_two: seat(&self.guests[1]),
        })
    }

    /// The names that do not fit, and what became of their seats.
    fn take_over_notes(&self, original: &RawValue) -> Vec<String> {
        let Ok(StoredRoom { peer_owner, peer_one, peer_two, .. }) = serde_json::from_str(original.get())
        else {
            return Vec::new();
        };
        let (name, owner) = (self.name.as_str(), &self.owner);
        let mut seats = [peer_owner, peer_one, peer_two].into_iter().flatten();
        // An owner who has left sits in no place, and the first who does owns the room.
        let first = seats.next().filter(|seat| Username::parse(&seat.username).is_err());
        let lost = first.map(|StoredSeat { username, .. }| {
            format!(
                "the room {name:?} belongs to {owner} now, and a seat is free: the name of its owner {username:?} does not fit our \
                 rules. If {username:?} is to keep it, stop the tracker, put the original files back into an empty folder, and give \
                 that user a name that fits in all three of them before the next start"
            )
        });
        let unfit = seats.filter(|seat| Username::parse(&seat.username).is_err());
        let freed = unfit.map(|StoredSeat { username, .. }| {
            format!("a seat in the room {name:?} is free: the name {username:?} does not fit our rules")
        });
        lost.into_iter().chain(freed).collect()
    }

    /// Presence may have used up the block of revisions in which the room was written.
    fn begin_run(&mut self) {
        self.revision = (self.revision / REVISION_BLOCK + 1) * REVISION_BLOCK;
    }

    /// A room is found by those who sit in it.
    fn index_keys(&self) -> Vec<String> {
        self.seats().map(|seat| seat.username.as_str().to_owned()).collect()
    }
}

/// What became of raising a room's revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Raised {
    Yes,
    /// The next revision begins a block, which is to be written first.
    AtBlockEnd,
    NotAMember,
}

/// The rooms.
#[derive(Debug, Clone)]
pub(crate) struct RoomRepository {
    rooms: Collection<Room>,
}

impl RoomRepository {
    /// The rooms of a collection.
    pub(crate) fn new(rooms: Collection<Room>) -> Self {
        Self { rooms }
    }

    /// A room as it is now.
    pub(crate) fn room(&self, name: &RoomName) -> Option<Room> {
        self.rooms.get(name.as_str())
    }

    /// The rooms in which a user sits.
    pub(crate) fn rooms_of(&self, username: &Username) -> Vec<Room> {
        self.rooms.index_keys(username.as_str()).iter().filter_map(|name| self.rooms.get(name)).collect()
    }

    /// The rooms that a user owns, seated in them or not. It looks at every room: for what is rare.
    pub(crate) fn owned_by(&self, username: &Username) -> Vec<RoomName> {
        let of_user = |room: &&Room| room.owner == *username;
        self.scan("", "", |rooms| rooms.filter(of_user).map(|room| room.name.clone()).collect())
    }

    /// The room that a user joined last, of those in which a seat is held.
    pub(crate) fn last_joined(&self, username: &Username) -> Option<RoomName> {
        let joined_at = |room: &Room| room.seat_of(username).map(|seat| seat.joined_at);
        self.rooms_of(username).into_iter().max_by_key(joined_at).map(|room| room.name)
    }

    /// In how many rooms a user sits.
    pub(crate) fn seats_of(&self, username: &Username) -> usize {
        self.rooms.index_keys(username.as_str()).len()
    }

    /// Those who sit somewhere and whom `wanted` picks.
    pub(crate) fn seated(&self, wanted: impl Fn(&Username) -> bool) -> Vec<Username> {
        let parse = |name: &str| Username::parse(name).ok();
        let names = self.rooms.filing_keys(|name| parse(name).is_some_and(|username| wanted(&username)));
        names.iter().filter_map(|name| parse(name)).collect()
    }

    /// Looks at the rooms by name: those that start with `prefix` and come after `after`.
    pub(crate) fn scan<R>(
        &self,
        prefix: &str,
        after: &str,
        look: impl FnOnce(&mut dyn Iterator<Item = &Room>) -> R,
    ) -> R {
        self.rooms.scan(prefix, after, |rooms| look(&mut rooms.map(|(_, room)| room)))
    }

    /// Makes a room with its owner in it.
    pub(crate) async fn create(
        &self,
        name: &RoomName,
        owner: &Username,
        now: DateTime<Utc>,
    ) -> Result<(), RoomFailure> {
        if self.rooms.len() >= ROOMS_MAX {
            return Err(RoomFailure::TooMany);
        }
        let room = Room::create(name.clone(), owner.clone(), now);
        let decide = move |present: Option<&Room>| match present {
            Some(_) => (Change::Keep, Err(RoomFailure::Exists)),
            None => (Change::Put(room.clone()), Ok(())),
        };
        self.rooms.update(name.as_str(), decide).await?
    }

    /// Seats a user.
    pub(crate) async fn join(
        &self,
        name: &RoomName,
        username: &Username,
        now: DateTime<Utc>,
    ) -> Result<Joined, RoomFailure> {
        let username = username.clone();
        self.change(name, move |room| Ok(room.join(&username, now)?)).await
    }

    /// Frees a user's seat.
    pub(crate) async fn leave(&self, name: &RoomName, username: &Username) -> Result<(), RoomFailure> {
        let username = username.clone();
        self.change(name, move |room| Ok(room.leave(&username)?)).await
    }

    /// Ends a room. Returns its last state.
    pub(crate) async fn delete(&self, name: &RoomName, username: &Username) -> Result<Room, RoomFailure> {
        let username = username.clone();
        let decide = move |present: Option<&Room>| {
            let Some(room) = present else { return (Change::Keep, Err(RoomFailure::NotFound)) };
            match room.may_delete(&username) {
                Ok(()) => (Change::Remove, Ok(room.clone())),
                Err(error) => (Change::Keep, Err(error.into())),
            }
        };
        self.rooms.update(name.as_str(), decide).await?
    }

    /// Frees a guest's seat, if `overdue` still holds when it is done; whether it was.
    pub(crate) async fn free_guest(
        &self,
        name: &RoomName,
        guest: &Username,
        overdue: impl Fn(&Username) -> bool + Send + 'static,
    ) -> Result<bool, RoomFailure> {
        let guest = guest.clone();
        let free = move |room: &mut Room| {
            let due = guest != room.owner && overdue(&guest);
            Ok(due && room.leave(&guest).is_ok())
        };
        self.change(name, free).await
    }

    /// Raises the revision of a room because a member's presence changed; whether the user is a member. The disk is
    /// waited for only where a block of revisions begins; if it refuses, presence does not wait for it.
    pub(crate) async fn note_presence(
        &self,
        name: &RoomName,
        username: &Username,
    ) -> Result<bool, StorageError> {
        let raise = |may_begin_block: bool| {
            let username = username.clone();
            move |present: Option<&Room>| {
                let Some(room) = present.filter(|room| room.is_member(&username)) else {
                    return (Change::Keep, Raised::NotAMember);
                };
                let mut room = room.clone();
                room.note_presence();
                if room.revision.is_multiple_of(REVISION_BLOCK) && !may_begin_block {
                    return (Change::Keep, Raised::AtBlockEnd);
                }
                (Change::Put(room), Raised::Yes)
            }
        };
        let mut raised = self.rooms.update_in_memory(name.as_str(), raise(false)).await?;
        if raised == Raised::AtBlockEnd {
            raised = match self.rooms.update(name.as_str(), raise(true)).await {
                Err(StorageError::Disk) => self.rooms.update_in_memory(name.as_str(), raise(true)).await?,
                written => written?,
            };
        }
        Ok(raised == Raised::Yes)
    }

    /// Applies a rule to a room; what the rule leaves as it was is not written.
    async fn change<R: Send + 'static>(
        &self,
        name: &RoomName,
        mut rule: impl FnMut(&mut Room) -> Result<R, RoomFailure> + Send + 'static,
    ) -> Result<R, RoomFailure> {
        let decide = move |present: Option<&Room>| {
            let Some(present) = present else { return (Change::Keep, Err(RoomFailure::NotFound)) };
            let mut room = present.clone();
            let answer = rule(&mut room);
            (if room == *present { Change::Keep } else { Change::Put(room) }, answer)
        };
        self.rooms.update(name.as_str(), decide).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repositories::Repositories;
    use crate::repositories::data_folder::DataFolder;

    #[tokio::test]
    async fn revisions_grow_after_any_number_of_presence_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (ana, sala) = (Username::parse("ana").unwrap(), RoomName::parse("sala").unwrap());
        let mut last = 0;
        for changes in [0, 1, REVISION_BLOCK - 1, REVISION_BLOCK, 2 * REVISION_BLOCK + 7] {
            let repositories = Repositories::open(folder.path()).unwrap();
            let rooms = repositories.rooms();
            if last == 0 {
                repositories.users().create(&ana, "$argon2id$".to_owned()).await.unwrap();
                rooms.create(&sala, &ana, Utc::now()).await.unwrap();
            }
            assert!(rooms.room(&sala).unwrap().revision > last, "{changes}");
            for _ in 0..changes {
                assert!(rooms.note_presence(&sala, &ana).await.unwrap());
            }
            last = rooms.room(&sala).unwrap().revision;
            // Nothing is closed in good order: the next start finds what was flushed.
            drop((rooms, repositories));
            while DataFolder::open(folder.path()).is_err() {
                tokio::task::yield_now().await;
            }
        }
    }
}
