//! The logs of rooms in the repository of rooms.
//! An entry is checked on a copy of the log. Then the writer thread replaces the log, if nobody else was faster.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use commons::keys::{PublicKey, Seed};
use commons::names::Username;
use commons::room::Room;
use commons::room_log::entry::{Change as Entered, SignedEntry};
use commons::room_log::facts::Policy;
use commons::room_log::log::RoomLog;
use commons::room_log::refusal::Refusal;
use uuid::Uuid;

use crate::limits::EXPIRY_TRIES;
use crate::login::ConnectionId;
use crate::repositories::room::{RoomFailure, RoomRepository};
use crate::repositories::stored_room::id_key;
use crate::repositories::update::Change;

/// The time of an entry: milliseconds since 1970.
pub(crate) fn in_log_time(time: DateTime<Utc>) -> u64 {
    u64::try_from(time.timestamp_millis()).unwrap_or_default()
}

/// Whether the log of a room lists this user as a member.
pub(crate) fn is_in_log(room: &Room, user: &Username) -> bool {
    room.log.as_ref().is_some_and(|log| log.state().members().contains_key(user))
}

/// A copy of the log of a room with one more entry. The copy and the check of the signature take time, which the writer
/// thread has not got.
pub(crate) fn extended(room: &Room, entry: SignedEntry) -> Result<RoomLog, RoomFailure> {
    Ok(room.log.as_ref().ok_or(RoomFailure::NotFound)?.extended(entry)?)
}

impl RoomRepository {
    /// Returns a copy of the room with a log that has this id.
    pub(crate) fn room_of_id(&self, id: Uuid) -> Option<Room> {
        self.rooms.index_keys(&id_key(id)).iter().find_map(|name| self.rooms.get(name))
    }

    /// Whether a name is reserved for the keys of a log: it lists a user of this name who does not have `key`.
    pub(crate) fn is_reserved(&self, username: &Username, key: Option<PublicKey>) -> bool {
        let is_another = |room: &Room| {
            let keys = room.log.as_ref().and_then(|log| log.state().keys(username));
            is_in_log(room, username) && !key.is_some_and(|key| keys.is_some_and(|keys| keys.contains(&key)))
        };
        self.rooms_of(username).iter().any(is_another)
    }

    /// Creates the room whose log begins with this entry.
    pub(crate) async fn create_signed(
        &self,
        log: RoomLog,
        by: Option<ConnectionId>,
        now: DateTime<Utc>,
    ) -> Result<(), RoomFailure> {
        self.insert(Room::signed(log, now), by).await
    }

    /// Replaces the log of a room by one that is longer by an entry, and changes the room as the entry says. `room` is
    /// the state with the shorter log. The outcome is [`Refusal::Stale`] if another entry was faster.
    pub(crate) async fn replace_log(
        &self,
        room: &Room,
        log: RoomLog,
        by: Option<ConnectionId>,
        now: DateTime<Utc>,
    ) -> Result<(), RoomFailure> {
        self.replace_log_if(room, log, by, now, || true).await.map(drop)
    }

    /// Ends the membership of a guest of an open room by an entry of the tracker, if `overdue` still returns true at
    /// that moment. Returns whether it did. The member of an invite room stays, and so does a member of a room whose
    /// log names another tracker's key.
    pub(crate) async fn expire(
        &self,
        room: &Room,
        guest: &Username,
        tracker: &Seed,
        overdue: impl Fn(&Username) -> bool + Clone + Send + 'static,
    ) -> Result<bool, RoomFailure> {
        for _ in 0..EXPIRY_TRIES {
            let Some(room) = self.room(&room.name).filter(|present| present.id == room.id) else {
                return Ok(false);
            };
            let Some(log) = room.log.clone().filter(|_| is_in_log(&room, guest)) else { return Ok(false) };
            let (state, now) = (log.state(), Utc::now());
            let may_expire = state.policy() == Policy::Open && state.tracker() == tracker.public_key();
            if !may_expire || *state.owner() == *guest {
                return Ok(false);
            }
            let entry = state.next(guest.clone(), tracker.public_key(), in_log_time(now), Entered::Expired);
            let (still, of) = (overdue.clone(), guest.clone());
            let longer = extended(&room, entry.sign(tracker))?;
            match self.replace_log_if(&room, longer, None, now, move || still(&of)).await {
                Err(RoomFailure::Entry(Refusal::Stale)) => {}
                replaced => return replaced,
            }
        }
        Err(Refusal::Stale.into())
    }

    /// Replaces the log if `holds` returns true at that moment. Returns whether it did.
    async fn replace_log_if(
        &self,
        room: &Room,
        log: RoomLog,
        by: Option<ConnectionId>,
        now: DateTime<Utc>,
        holds: impl Fn() -> bool + Send + 'static,
    ) -> Result<bool, RoomFailure> {
        let before = room.log.as_ref().map(|log| log.head());
        let (id, log) = (room.id, Arc::new(log));
        let decide = move |present: Option<&Room>| {
            let present = present.filter(|room| room.id == id);
            let Some(present) = present else { return (Change::Keep, Err(RoomFailure::NotFound)) };
            if present.log.as_ref().map(|log| log.head()) != before {
                return (Change::Keep, Err(Refusal::Stale.into()));
            }
            if !holds() {
                return (Change::Keep, Ok(false));
            }
            if log.state().is_ended() {
                return (Change::Remove, Ok(true));
            }
            let mut room = present.clone();
            match room.follow(log.clone(), now) {
                Ok(()) => (Change::Put(room), Ok(true)),
                Err(error) => (Change::Keep, Err(error.into())),
            }
        };
        self.rooms.update_by(room.name.as_str(), by, decide).await?
    }
}
