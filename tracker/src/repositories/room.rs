//! The repository of rooms.
//! It stores each room with its owner, its members and its revision.

use chrono::{DateTime, Utc};
use commons::names::{RoomName, Username};
use commons::peer::Peer;
use commons::room::{Joined, Room, RoomError};
use commons::room_log::facts::Policy;
use commons::room_log::refusal::Refusal;
use commons::snapshot::ChangeKind;

use crate::limits::{REVISION_BLOCK, ROOMS_MAX, ROOMS_PER_USER};
use crate::login::ConnectionId;
use crate::repositories::collection::Collection;
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
    /// The user is a member of the maximum number of rooms.
    #[error("you sit in {ROOMS_PER_USER} rooms: leave one first")]
    TooManyOfUser,
    /// A rule of the room forbids the change.
    #[error(transparent)]
    Rule(#[from] RoomError),
    /// The room has a log, and the change needs an entry.
    #[error("this room takes only programs that sign its log")]
    NotSigned,
    /// The entry may not follow the log of the room.
    #[error(transparent)]
    Entry(#[from] Refusal),
    /// The change could not be made durable.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Whether the next revision of a room begins a block, so that the room must be written first.
struct AtBlockEnd(bool);

/// The repository of rooms.
#[derive(Debug, Clone)]
pub(crate) struct RoomRepository {
    /// The stored rooms by name.
    pub(super) rooms: Collection<Room>,
}

/// Whether only invited users may join a room. Others do not see that such a room exists.
pub(crate) fn is_for_invited(room: &Room) -> bool {
    room.log.as_ref().is_some_and(|log| log.state().policy() == Policy::Invite)
}

/// Whether a room and its log are shown to the user of an encrypted session, whose record this is. `None` stands for
/// other sessions. An invitation is for keys, because the name may have passed to another user.
pub(crate) fn is_shown_to(room: &Room, viewer: Option<&Peer>) -> bool {
    let is_concerned = |Peer { username, keys, .. }: &Peer| {
        let invited = room.log.as_ref().and_then(|log| log.state().invited().get(username));
        let is_invited = invited.is_some_and(|invited| keys.iter().any(|key| invited.contains(key)));
        *username == room.owner || room.is_member(username) || is_invited
    };
    !is_for_invited(room) || viewer.is_some_and(is_concerned)
}

/// Checks that a user may join a room without an entry. In a room with a log, only users outside the log may, if it is
/// open and allows legacy clients. A member may always join again, which changes nothing.
pub(crate) fn may_join_unsigned(room: &Room, username: &Username) -> Result<(), RoomFailure> {
    let Some(state) = room.log.as_ref().map(|log| log.state()) else { return Ok(()) };
    if room.is_member(username) {
        return Ok(());
    }
    if !state.allows_legacy() {
        return Err(RoomFailure::NotSigned);
    }
    if state.banned().contains(username) {
        return Err(Refusal::Banned.into());
    }
    if state.policy() == Policy::Invite { Err(RoomFailure::NotSigned) } else { Ok(()) }
}

/// Checks that a user may leave a room without an entry: a member of its log may not.
fn may_leave_unsigned(room: &Room, username: &Username) -> Result<(), RoomFailure> {
    let Some(state) = room.log.as_ref().map(|log| log.state()) else { return Ok(()) };
    if state.allows_legacy() && !state.members().contains_key(username) {
        Ok(())
    } else {
        Err(RoomFailure::NotSigned)
    }
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

    /// The name of the room that a user joined last, among the rooms of which the user is a member. Invite rooms are
    /// left out, because everybody gets the answer.
    pub(crate) fn last_joined(&self, username: &Username) -> Option<RoomName> {
        let joined_at = |room: &Room| room.membership_of(username).map(|membership| membership.joined_at);
        let shown = self.rooms_of(username).into_iter().filter(|room| !is_for_invited(room));
        shown.max_by_key(joined_at).map(|room| room.name)
    }

    /// Checks that a user may become a member of one more room.
    pub(crate) fn check_room_count(&self, username: &Username) -> Result<(), RoomFailure> {
        if self.rooms.index_keys(username.as_str()).len() < ROOMS_PER_USER {
            Ok(())
        } else {
            Err(RoomFailure::TooManyOfUser)
        }
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
        self.insert(Room::create(name.clone(), owner.clone(), now), by).await
    }

    /// Inserts a new room, if its name is free and looks like no other one.
    pub(super) async fn insert(&self, room: Room, by: Option<ConnectionId>) -> Result<(), RoomFailure> {
        let name = room.name.clone();
        if self.rooms.len() >= ROOMS_MAX {
            return Err(RoomFailure::TooMany);
        }
        let Some(_claim) = self.rooms.claim(name.as_str()) else { return Err(RoomFailure::LooksAlike) };
        let decide = move |present: Option<&Room>| match present {
            Some(_) => (Change::Keep, Err(RoomFailure::Exists)),
            None => (Change::Put(room.clone()), Ok(())),
        };
        self.rooms.update_by(name.as_str(), by, decide).await?
    }

    /// Adds a user to a room without an entry.
    pub(crate) async fn join(
        &self,
        name: &RoomName,
        username: &Username,
        by: Option<ConnectionId>,
        now: DateTime<Utc>,
    ) -> Result<Joined, RoomFailure> {
        let username = username.clone();
        let join = move |room: &mut Room| {
            may_join_unsigned(room, &username)?;
            Ok(room.join(&username, now)?)
        };
        self.change(name, by, join).await
    }

    /// Removes a user from a room without an entry.
    pub(crate) async fn leave(
        &self,
        name: &RoomName,
        username: &Username,
        by: Option<ConnectionId>,
    ) -> Result<(), RoomFailure> {
        let username = username.clone();
        let leave = move |room: &mut Room| {
            may_leave_unsigned(room, &username)?;
            Ok(room.leave(&username)?)
        };
        self.change(name, by, leave).await
    }

    /// Deletes a room of its owner without an entry.
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
                _ if room.log.is_some() => (Change::Keep, Err(RoomFailure::NotSigned)),
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

    /// Ends a user's ownership of a room: gives it to the member who has been in it for the longest time if
    /// `may_hand_on` is true, and deletes it otherwise. A room without another member is deleted. So is a room with a
    /// log, because nobody else can sign its entries. Returns the new owner.
    pub(crate) async fn give_up(
        &self,
        name: &RoomName,
        owner: &Username,
        by: Option<ConnectionId>,
        may_hand_on: bool,
    ) -> Result<Option<Username>, RoomFailure> {
        let owner = owner.clone();
        let decide = move |present: Option<&Room>| {
            let Some(mut room) = present.cloned() else { return (Change::Keep, Err(RoomFailure::NotFound)) };
            match room.may_delete(&owner) {
                Err(error) => (Change::Keep, Err(error.into())),
                Ok(()) if may_hand_on && room.log.is_none() && room.hand_on() => {
                    let heir = room.owner.clone();
                    (Change::Put(room), Ok(Some(heir)))
                }
                Ok(()) => (Change::Remove, Ok(None)),
            }
        };
        self.rooms.update_by(name.as_str(), by, decide).await?
    }

    /// Removes a guest from a room without an entry, if `overdue` still returns true at that moment.
    pub(crate) async fn free_guest(
        &self,
        name: &RoomName,
        guest: &Username,
        overdue: impl Fn(&Username) -> bool + Send + 'static,
    ) -> Result<(), RoomFailure> {
        let guest = guest.clone();
        let free = move |room: &mut Room| {
            if guest != room.owner && may_leave_unsigned(room, &guest).is_ok() && overdue(&guest) {
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
