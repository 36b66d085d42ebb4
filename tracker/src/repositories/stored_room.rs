//! The layout of a room in the file.
//! The file of a legacy tracker has another one, from which rooms are migrated.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use commons::confusables;
use commons::names::{RoomName, Username};
use commons::room::{Membership, Room};
use commons::room_log::entry::SignedEntry;
use commons::room_log::log::RoomLog;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::limits::{REVISION_BLOCK, REVISION_MAX};
use crate::repositories::record::{Decoded, Record, unreadable};

/// The layout of a room in the file: the legacy fields, and the fields that this version adds.
#[derive(Serialize, Deserialize)]
struct StoredRoom<'a> {
    id: Option<Uuid>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    revision: u64,
    owner: Option<String>,
    peer_owner: Option<StoredMembership>,
    peer_one: Option<StoredMembership>,
    peer_two: Option<StoredMembership>,
    /// The entries of the room's log. Absent for a room without one, so that such a file stays as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<Cow<'a, [SignedEntry]>>,
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

impl StoredRoom<'_> {
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
            log: None,
        })
    }

    /// The room without its log. Returns `None` if a name is invalid.
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
            log: None,
        })
    }
}

/// Reads the log of a room. An error is a text that says what is wrong with it.
fn followed(room: &Room, entries: Vec<SignedEntry>) -> Result<Arc<RoomLog>, String> {
    let name = room.name.as_str();
    let log = RoomLog::from_disk(entries).map_err(|refusal| {
        format!("the log of the room {name:?} has an entry that does not follow: {refusal}")
    })?;
    let state = log.state();
    let agrees = state.id() == room.id
        && *state.name() == room.name
        && *state.owner() == room.owner
        && !state.is_ended()
        && state.members().keys().all(|member| room.is_member(member));
    if agrees {
        Ok(Arc::new(log))
    } else {
        Err(format!("the room {name:?} is not as its log says: its id, name, owner or members are others"))
    }
}

impl Record for Room {
    fn read(key: &str, json: &RawValue) -> Result<Decoded<Self>, String> {
        let mut stored: StoredRoom<'_> = serde_json::from_str(json.get())
            .map_err(|error| format!("{} for the room {key:?}", unreadable(&error)))?;
        if stored.revision > REVISION_MAX {
            return Err("the revision is above the maximum".to_owned());
        }
        let Some(id) = stored.id else {
            return Ok(stored.take_over(key).map_or(Decoded::Invalid, Decoded::Migrated));
        };
        let entries = stored.log.take();
        let Some(mut room) = stored.room(key, id) else { return Ok(Decoded::Invalid) };
        room.log = entries.map(|entries| followed(&room, entries.into_owned())).transpose()?;
        Ok(Decoded::Native(room))
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
            log: self.log.as_ref().map(|log| Cow::Borrowed(log.entries())),
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

    /// The index finds a room by its members, and a room with a log by its id.
    fn index_keys(&self) -> Vec<String> {
        let members = self.memberships().map(|membership| membership.username.as_str().to_owned());
        members.chain(self.log.as_ref().map(|_| id_key(self.id))).collect()
    }
}

/// The key under which the index files a room with a log. No user has such a name.
pub(crate) fn id_key(id: Uuid) -> String {
    format!("#{id}")
}
