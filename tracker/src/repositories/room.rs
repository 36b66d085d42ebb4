//! The repository of rooms.
//! It stores each room with its owner, its members and its revision.

use chrono::{DateTime, Utc};
use commons::confusables;
use commons::names::{RoomName, Username};
use commons::room::{Joined, Membership, Room, RoomError};
use commons::snapshot::ChangeKind;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::limits::{REVISION_BLOCK, REVISION_MAX, ROOMS_MAX};
use crate::login::ConnectionId;
use crate::repositories::collection::Collection;
use crate::repositories::record::{Decoded, Record, unreadable};
use crate::repositories::update::{Change, StorageError};
use crate::repositories::watch::Watch;

/// The reason why a room was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RoomFailure {
    /// No room has this name.
    #[error("there is no such room")]
    NotFound,
    /// A room already has this name.
    #[error("this room already exists: join it, or choose another name")]
    Exists,
    /// Another room has a name that looks like the new one.
    #[error("another room has a name that looks like this one: choose another name")]
    LooksAlike,
    /// The tracker already has the maximum number of rooms.
    #[error("the tracker has its maximum number of rooms")]
    TooMany,
    /// A rule of the room forbids the change.
    #[error(transparent)]
    Rule(#[from] RoomError),
    /// The change could not be made durable.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The layout of a room in the file: the legacy fields, and the fields that this version adds.
#[derive(Serialize, Deserialize)]
struct StoredRoom {
    id: Option<Uuid>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    revision: u64,
    owner: Option<String>,
    peer_owner: Option<StoredMembership>,
    peer_one: Option<StoredMembership>,
    peer_two: Option<StoredMembership>,
}

/// The layout of a membership in the file. The legacy tracker stored the whole peer record here.
#[derive(Serialize, Deserialize)]
struct StoredMembership {
    username: String,
    #[serde(default)]
    since: u64,
    #[serde(default)]
    joined_at: DateTime<Utc>,
}

impl From<&Membership> for StoredMembership {
    fn from(membership: &Membership) -> Self {
        let Membership { username, since, joined_at } = membership;
        Self { username: username.as_str().to_owned(), since: *since, joined_at: *joined_at }
    }
}

impl StoredMembership {
    fn membership(self) -> Option<Membership> {
        let Self { username, since, joined_at } = self;
        Some(Membership { username: Username::parse(&username).ok()?, since, joined_at })
    }
}

impl StoredRoom {
    /// Migrates the room of a legacy file. The member in the owner's place owns the room, or else the first other
    /// member. A user with an invalid name loses the membership, and an owner with such a name also loses the room. Returns
    /// `None` if no valid member is left or the room name is invalid.
    fn take_over(self, name: &str) -> Option<Room> {
        let memberships = [self.peer_owner, self.peer_one, self.peer_two].into_iter().flatten();
        let mut memberships =
            memberships.filter_map(|membership| StoredMembership { since: 1, ..membership }.membership());
        let owner_membership = memberships.next()?;
        Some(Room {
            id: Uuid::new_v4(),
            name: RoomName::parse(name).ok()?,
            revision: 1,
            last_change: None,
            owner: owner_membership.username.clone(),
            owner_membership: Some(owner_membership),
            guests: [memberships.next(), memberships.next()],
        })
    }

    fn room(self, name: &str, id: Uuid) -> Option<Room> {
        let membership = |membership: Option<StoredMembership>| match membership {
            Some(membership) => membership.membership().map(Some),
            None => Some(None),
        };
        Some(Room {
            id,
            name: RoomName::parse(name).ok()?,
            revision: self.revision,
            last_change: None,
            owner: Username::parse(&self.owner?).ok()?,
            owner_membership: membership(self.peer_owner)?,
            guests: [membership(self.peer_one)?, membership(self.peer_two)?],
        })
    }
}

impl Record for Room {
    fn read(key: &str, json: &RawValue) -> Result<Decoded<Self>, String> {
        let stored: StoredRoom = serde_json::from_str(json.get()).map_err(|error| unreadable(&error))?;
        if stored.revision > REVISION_MAX {
            return Err("the revision is above the maximum".to_owned());
        }
        let reading = match stored.id {
            Some(id) => stored.room(key, id).map(Decoded::Native),
            None => stored.take_over(key).map(Decoded::Migrated),
        };
        Ok(reading.unwrap_or(Decoded::Invalid))
    }

    fn write(&self) -> serde_json::Result<Box<RawValue>> {
        let membership = |membership: &Option<Membership>| membership.as_ref().map(StoredMembership::from);
        to_raw_value(&StoredRoom {
            id: Some(self.id),
            name: self.name.as_str().to_owned(),
            revision: self.revision,
            owner: Some(self.owner.as_str().to_owned()),
            peer_owner: membership(&self.owner_membership),
            peer_one: membership(&self.guests[0]),
            peer_two: membership(&self.guests[1]),
        })
    }

    /// Notes about the invalid names and the places that became free.
    fn take_over_notes(&self, original: &RawValue) -> Vec<String> {
        let Ok(StoredRoom { peer_owner, peer_one, peer_two, .. }) = serde_json::from_str(original.get())
        else {
            return Vec::new();
        };
        let (name, owner) = (self.name.as_str(), &self.owner);
        let mut memberships = [peer_owner, peer_one, peer_two].into_iter().flatten();
        // An owner who has left is no member. The first member then owns the room.
        let first = memberships.next().filter(|membership| Username::parse(&membership.username).is_err());
        let lost = first.map(|StoredMembership { username, .. }| {
            format!(
                "the room {name:?} belongs to {owner} now, and a seat is free: the name of its owner {username:?} does not fit our \
                 rules. If {username:?} is to keep it, stop the tracker, put the original files back into an empty folder, and give \
                 that user a name that fits in all three of them before the next start"
            )
        });
        let unfit = memberships.filter(|membership| Username::parse(&membership.username).is_err());
        let freed = unfit.map(|StoredMembership { username, .. }| {
            format!("a seat in the room {name:?} is free: the name {username:?} does not fit our rules")
        });
        lost.into_iter().chain(freed).collect()
    }

    fn skeleton(key: &str) -> Option<String> {
        Some(confusables::skeleton(key))
    }

    /// Advances to the next block of revisions. Presence changes may have used up the stored block, because they raise
    /// the revision in memory only.
    fn begin_run(&mut self) {
        self.revision = (self.revision / REVISION_BLOCK + 1) * REVISION_BLOCK;
    }

    /// The index finds a room by its members.
    fn index_keys(&self) -> Vec<String> {
        self.memberships().map(|membership| membership.username.as_str().to_owned()).collect()
    }
}

/// Whether the next revision of a room begins a block, so that the room must be written first.
struct AtBlockEnd(bool);

/// The repository of rooms.
#[derive(Debug, Clone)]
pub(crate) struct RoomRepository {
    rooms: Collection<Room>,
}

impl RoomRepository {
    /// Creates the repository on a collection of rooms.
    pub(crate) fn new(rooms: Collection<Room>) -> Self {
        Self { rooms }
    }

    /// Returns a copy of a room in its current state.
    pub(crate) fn room(&self, name: &RoomName) -> Option<Room> {
        self.rooms.get(name.as_str())
    }

    /// The rooms of which a user is a member.
    pub(crate) fn rooms_of(&self, username: &Username) -> Vec<Room> {
        self.rooms.index_keys(username.as_str()).iter().filter_map(|name| self.rooms.get(name)).collect()
    }

    /// The names of the rooms that a user owns, as a member or not. It scans all rooms, so it is for rare requests.
    pub(crate) fn owned_by(&self, username: &Username) -> Vec<RoomName> {
        let of_user = |room: &&Room| room.owner == *username;
        self.scan("", "", |rooms| rooms.filter(of_user).map(|room| room.name.clone()).collect())
    }

    /// The name of the room that a user joined last, among the rooms of which the user is a member.
    pub(crate) fn last_joined(&self, username: &Username) -> Option<RoomName> {
        let joined_at = |room: &Room| room.membership_of(username).map(|membership| membership.joined_at);
        self.rooms_of(username).into_iter().max_by_key(joined_at).map(|room| room.name)
    }

    /// The number of rooms of which a user is a member.
    pub(crate) fn room_count_of(&self, username: &Username) -> usize {
        self.rooms.index_keys(username.as_str()).len()
    }

    /// The users who are members of any room and for whom `wanted` returns true.
    pub(crate) fn members(&self, wanted: impl Fn(&Username) -> bool) -> Vec<Username> {
        let parse = |name: &str| Username::parse(name).ok();
        let names = self.rooms.filing_keys(|name| parse(name).is_some_and(|username| wanted(&username)));
        names.iter().filter_map(|name| parse(name)).collect()
    }

    /// Calls `look` with the rooms whose names start with `prefix` and come after `after`, in order.
    pub(crate) fn scan<R>(
        &self,
        prefix: &str,
        after: &str,
        look: impl FnOnce(&mut dyn Iterator<Item = &Room>) -> R,
    ) -> R {
        self.rooms.scan(prefix, after, |rooms| look(&mut rooms.map(|(_, room)| room)))
    }

    /// Starts to watch the changes of all rooms.
    pub(crate) fn watch(&self) -> Watch<Room> {
        self.rooms.watch()
    }

    /// Creates a room with its owner as the first member.
    pub(crate) async fn create(
        &self,
        name: &RoomName,
        owner: &Username,
        by: Option<ConnectionId>,
        now: DateTime<Utc>,
    ) -> Result<(), RoomFailure> {
        if self.rooms.len() >= ROOMS_MAX {
            return Err(RoomFailure::TooMany);
        }
        let Some(_claim) = self.rooms.claim(name.as_str()) else { return Err(RoomFailure::LooksAlike) };
        let room = Room::create(name.clone(), owner.clone(), now);
        let decide = move |present: Option<&Room>| match present {
            Some(_) => (Change::Keep, Err(RoomFailure::Exists)),
            None => (Change::Put(room.clone()), Ok(())),
        };
        self.rooms.update_by(name.as_str(), by, decide).await?
    }

    /// Adds a user to a room.
    pub(crate) async fn join(
        &self,
        name: &RoomName,
        username: &Username,
        by: Option<ConnectionId>,
        now: DateTime<Utc>,
    ) -> Result<Joined, RoomFailure> {
        let username = username.clone();
        self.change(name, by, move |room| Ok(room.join(&username, now)?)).await
    }

    /// Removes a user from a room.
    pub(crate) async fn leave(
        &self,
        name: &RoomName,
        username: &Username,
        by: Option<ConnectionId>,
    ) -> Result<(), RoomFailure> {
        let username = username.clone();
        self.change(name, by, move |room| Ok(room.leave(&username)?)).await
    }

    /// Deletes a room of its owner.
    pub(crate) async fn delete(
        &self,
        name: &RoomName,
        username: &Username,
        by: Option<ConnectionId>,
    ) -> Result<(), RoomFailure> {
        let username = username.clone();
        let decide = move |present: Option<&Room>| {
            let Some(room) = present else { return (Change::Keep, Err(RoomFailure::NotFound)) };
            match room.may_delete(&username) {
                Ok(()) => (Change::Remove, Ok(())),
                Err(error) => (Change::Keep, Err(error.into())),
            }
        };
        self.rooms.update_by(name.as_str(), by, decide).await?
    }

    /// Deletes a room, whoever owns it.
    pub(crate) async fn remove(&self, name: &RoomName, by: Option<ConnectionId>) -> Result<(), RoomFailure> {
        let decide = |present: Option<&Room>| match present {
            Some(_) => (Change::Remove, Ok(())),
            None => (Change::Keep, Err(RoomFailure::NotFound)),
        };
        self.rooms.update_by(name.as_str(), by, decide).await?
    }

    /// Gives a room of a user to the member who has been in it for the longest time. Deletes it if there is no other
    /// member. Returns the new owner.
    pub(crate) async fn hand_on(
        &self,
        name: &RoomName,
        owner: &Username,
        by: Option<ConnectionId>,
    ) -> Result<Option<Username>, RoomFailure> {
        let owner = owner.clone();
        let decide = move |present: Option<&Room>| {
            let Some(mut room) = present.cloned() else { return (Change::Keep, Err(RoomFailure::NotFound)) };
            match room.may_delete(&owner) {
                Err(error) => (Change::Keep, Err(error.into())),
                Ok(()) if room.hand_on() => {
                    let heir = room.owner.clone();
                    (Change::Put(room), Ok(Some(heir)))
                }
                Ok(()) => (Change::Remove, Ok(None)),
            }
        };
        self.rooms.update_by(name.as_str(), by, decide).await?
    }

    /// Removes a guest from a room if `overdue` still returns true at that moment.
    pub(crate) async fn free_guest(
        &self,
        name: &RoomName,
        guest: &Username,
        overdue: impl Fn(&Username) -> bool + Send + 'static,
    ) -> Result<(), RoomFailure> {
        let guest = guest.clone();
        let free = move |room: &mut Room| {
            if guest != room.owner && overdue(&guest) {
                // The guest may have left by now.
                let _ = room.leave(&guest);
            }
            Ok(())
        };
        self.change(name, None, free).await
    }

    /// Raises the revision of a room after a member's presence changed. If the user is not a member, nothing changes.
    /// Only a new block of revisions is written to the disk. If that write fails, the revision is raised in memory.
    pub(crate) async fn note_presence(
        &self,
        name: &RoomName,
        username: &Username,
        kind: ChangeKind,
        by: Option<ConnectionId>,
    ) -> Result<(), StorageError> {
        let raise = |may_begin_block: bool| {
            let username = username.clone();
            move |present: Option<&Room>| {
                let Some(room) = present.filter(|room| room.is_member(&username)) else {
                    return (Change::Keep, AtBlockEnd(false));
                };
                let mut room = room.clone();
                room.note_presence(kind, &username);
                if room.revision.is_multiple_of(REVISION_BLOCK) && !may_begin_block {
                    return (Change::Keep, AtBlockEnd(true));
                }
                (Change::Put(room), AtBlockEnd(false))
            }
        };
        let AtBlockEnd(must_write) = self.rooms.update_in_memory(name.as_str(), by, raise(false)).await?;
        if !must_write {
            return Ok(());
        }
        let written = match self.rooms.update_by(name.as_str(), by, raise(true)).await {
            Err(StorageError::Disk) => self.rooms.update_in_memory(name.as_str(), by, raise(true)).await,
            written => written,
        };
        written.map(drop)
    }

    /// Applies a rule to a room. Writes the room only if the rule changed it.
    async fn change<R: Send + 'static>(
        &self,
        name: &RoomName,
        by: Option<ConnectionId>,
        mut rule: impl FnMut(&mut Room) -> Result<R, RoomFailure> + Send + 'static,
    ) -> Result<R, RoomFailure> {
        let decide = move |present: Option<&Room>| {
            let Some(present) = present else { return (Change::Keep, Err(RoomFailure::NotFound)) };
            let mut room = present.clone();
            let answer = rule(&mut room);
            (if room == *present { Change::Keep } else { Change::Put(room) }, answer)
        };
        self.rooms.update_by(name.as_str(), by, decide).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repositories::Repositories;
    use crate::repositories::data_folder::DataFolder;
    use crate::repositories::stored_password::StoredPassword;

    #[tokio::test]
    async fn revisions_grow_after_any_number_of_presence_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (ana, sala) = (Username::parse("ana").unwrap(), RoomName::parse("sala").unwrap());
        let mut last = 0;
        for changes in [0, 1, REVISION_BLOCK - 1, REVISION_BLOCK, 2 * REVISION_BLOCK + 7] {
            let repositories = Repositories::open(folder.path()).unwrap();
            let rooms = repositories.rooms();
            if last == 0 {
                repositories.users().create(&ana, StoredPassword::read("$argon2id$").unwrap()).await.unwrap();
                rooms.create(&sala, &ana, None, Utc::now()).await.unwrap();
            }
            assert!(rooms.room(&sala).unwrap().revision > last, "{changes}");
            for _ in 0..changes {
                rooms.note_presence(&sala, &ana, ChangeKind::Online, None).await.unwrap();
            }
            last = rooms.room(&sala).unwrap().revision;
            // The repositories are not closed: the next start finds only the flushed state.
            drop((rooms, repositories));
            while DataFolder::open(folder.path()).is_err() {
                tokio::task::yield_now().await;
            }
        }
    }
}
